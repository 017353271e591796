"""A data set of one's own: an ``.npz`` file with the arrays that Keras's ``mnist.npz`` has."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.dataset import Dataset, Split
from experiments.errors import InputError
from experiments.files import most_bytes, printable, read_bytes, strange

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names")
MOST_CLASSES = 100_000
LONGEST_NAME = 200


def load_npz(path: Path, name: str) -> Dataset:
    """Read a file of arrays: ``x_train``, ``y_train`` and those of :data:`OPTIONAL` that it has.

    Inputs are (N, features), (N, H, W) or (N, channels, H, W). Bytes (uint8) are divided by 255;
    other numbers are taken as they are. Targets are class numbers from 0, (N,) or (N, 1). Without
    test arrays the data set has no test rows; without ``class_names`` the classes are numbered.

    Args:
        path: the file.
        name: what it was asked for by.

    Raises:
        InputError: no such file, not an .npz file, or an array that is missing or does not fit.
    """
    content = _content(path)
    arrays = _arrays(path, content)
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError(f"{path} has one of x_test and y_test: expected both or neither.")
    train = _split(path, arrays, "train")
    test = _split(path, arrays, "test") if "x_test" in arrays else _no_rows(train)
    if test.inputs.shape[1:] != train.inputs.shape[1:]:
        raise InputError(
            f"{path}: a row of x_test has the shape {test.inputs.shape[1:]}, one of x_train "
            f"{train.inputs.shape[1:]}: expected the same."
        )
    classes = 1 + max(int(split.targets.max(initial=0)) for split in (train, test))
    return Dataset(
        name=name,
        title=path.stem,
        train=train,
        test=test,
        class_names=_class_names(path, arrays, classes),
        source=f"the file {path.name}",
        licence="not known: a file of the user's own",
        digests={path.name: hashlib.md5(content, usedforsecurity=False).hexdigest()},
    )


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise InputError(f"There is no data file {path}.") from None


def _arrays(path: Path, content: bytes) -> dict[str, NDArray]:
    """The arrays of the file that a data set has; others are left unread."""
    if content.startswith(b"\x93NUMPY"):
        raise InputError(f"{path} holds a single array: expected an .npz file of several.")
    left = most_bytes()
    arrays: dict[str, NDArray] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            for key in (*NEEDED, *OPTIONAL):
                if key in members:
                    arrays[key] = _array(path, file, members[key], key, left)
                    left -= arrays[key].nbytes
            if missing := [key for key in NEEDED if key not in arrays]:
                found = ", ".join(printable(name)[:40] for name in list(members)[:10])
                raise InputError(
                    f"{path} has no array {missing[0]!r}: expected {', '.join(NEEDED)} and perhaps "
                    f"{', '.join(OPTIONAL)}, found {found or 'nothing'}."
                )
    # RuntimeError: a password; SyntaxError, TypeError and MemoryError: a header that is no header.
    except (
        *(ValueError, EOFError, OSError, RuntimeError, KeyError, TypeError, SyntaxError),
        *(OverflowError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile),
    ) as error:
        said = printable(str(error).partition("\n")[0])[:200].rstrip(".")
        raise InputError(
            f"{path} is not an .npz file of plain arrays: {said or type(error).__name__}."
        ) from None
    return arrays


def _array(
    path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, most: int
) -> NDArray:
    """One member, whose header is asked before anything is unpacked.

    Raises:
        InputError: It is no array of numbers or texts, or holds more than ``most`` bytes.
    """
    with file.open(info) as member:
        version = np.lib.format.read_magic(member)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if reader is None:
            raise ValueError(f"{key} is of version {version} of the format")
        shape, fortran, dtype = reader(member)
        if dtype.kind not in "uifbU" or dtype.itemsize == 0:
            raise InputError(
                f"{path} is not an .npz file of plain arrays: {key} is {str(dtype)[:80]}."
            )
        if any(n < 0 for n in shape) or len(shape) > 4:
            raise InputError(
                f"{path}: {key} has a shape that no data has: expected at most 4 lengths, found "
                f"{str(shape)[:80]}."
            )
        size = math.prod(shape) * dtype.itemsize
        if size > most:
            raise InputError(
                f"{path}: {key} is too large: its header promises {size:,} bytes, expected at most "
                f"{most:,} on this machine."
            )
        values = member.read(size)
        if len(values) != size or member.read(1):
            raise InputError(
                f"{path}: {key} {'is cut off' if len(values) < size else 'is too long'}: expected "
                f"{size:,} bytes after its header."
            )
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")


def _split(path: Path, arrays: dict[str, NDArray], which: str) -> Split:
    inputs, targets = arrays[f"x_{which}"], arrays[f"y_{which}"]
    if inputs.ndim not in (2, 3, 4) or inputs.dtype.kind not in "uif" or 0 in inputs.shape:
        raise InputError(
            f"{path}: x_{which} should be numbers of shape (N, features), (N, H, W) or "
            f"(N, channels, H, W), but is {inputs.dtype} {inputs.shape}."
        )
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.shape != (len(inputs),):
        raise InputError(
            f"{path}: y_{which} should have one class a row, {len(inputs):,} in all, but has the "
            f"shape {targets.shape}."
        )
    if targets.dtype.kind not in "uifb":
        raise InputError(f"{path}: y_{which} should be class numbers, but is {targets.dtype}.")
    whole = targets.dtype.kind != "f" or bool(np.all(targets == np.rint(targets)))
    if not whole or targets.min() < 0 or targets.max() >= MOST_CLASSES:
        raise InputError(
            f"{path}: y_{which} should be class numbers 0, 1, 2, …, but is {targets.dtype} from "
            f"{targets.min()} to {targets.max()}."
        )
    scale = np.float32(255) if inputs.dtype == np.uint8 else np.float32(1)
    with np.errstate(over="ignore", invalid="ignore"):  # said below
        values = np.ascontiguousarray(inputs, np.float32) / scale
    if not np.isfinite(values).all():
        raise InputError(f"{path}: x_{which} has values that are NaN or too large for float32.")
    if values.ndim == 3:
        values = values[:, None]
    return Split(values, targets.astype(np.int64))


def _no_rows(train: Split) -> Split:
    return Split(train.inputs[:0], train.targets[:0])


def _class_names(path: Path, arrays: dict[str, NDArray], classes: int) -> tuple[str, ...]:
    if "class_names" not in arrays:
        return tuple(f"class {k}" for k in range(classes))
    names = arrays["class_names"]
    if names.ndim != 1 or names.dtype.kind != "U" or len(names) < classes:
        raise InputError(
            f"{path}: class_names should be {classes} texts, one for each class, but is "
            f"{names.dtype} {names.shape}."
        )
    if len(names) > MOST_CLASSES or names.dtype.itemsize > 4 * LONGEST_NAME:
        raise InputError(
            f"{path}: class_names should be at most {MOST_CLASSES:,} texts of at most "
            f"{LONGEST_NAME} characters, but is {names.dtype} {names.shape}."
        )
    try:
        texts = tuple(str(name) for name in names)
    except (ValueError, UnicodeError):  # a code that no character has
        raise InputError(f"{path}: class_names should be texts, but has what is none.") from None
    for text in texts:
        if (found := strange(text)) is not None:
            raise InputError(
                f"{path}: class_names should be made of characters that are seen, but "
                f"{printable(text)!r} has U+{ord(found):04X}."
            )
    return texts
