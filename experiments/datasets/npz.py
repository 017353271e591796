"""A data set of one's own: an ``.npz`` file with the arrays that Keras's ``mnist.npz`` has."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.dataset import Dataset, Split
from experiments.errors import InputError

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names")
MOST_CLASSES = 100_000


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
    for key in NEEDED:
        if key not in arrays:
            raise InputError(
                f"{path} has no array {key!r}: expected {', '.join(NEEDED)} and perhaps "
                f"{', '.join(OPTIONAL)}, found {', '.join(arrays) or 'nothing'}."
            )
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
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no data file {path}.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror or error}.") from None


def _arrays(path: Path, content: bytes) -> dict[str, NDArray]:
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise InputError(f"{path} holds a single array: expected an .npz file of several.")
        with found as file:
            return {key: file[key] for key in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is not an .npz file of plain arrays: {str(error).partition(chr(10))[0]}."
        ) from None


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
    whole = targets.dtype.kind in "uib" or (
        targets.dtype.kind == "f" and bool(np.all(targets == np.rint(targets)))
    )
    if not whole or targets.min() < 0 or targets.max() >= MOST_CLASSES:
        raise InputError(
            f"{path}: y_{which} should be class numbers 0, 1, 2, …, but is {targets.dtype} from "
            f"{targets.min()} to {targets.max()}."
        )
    scale = np.float32(255) if inputs.dtype == np.uint8 else np.float32(1)
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
    return tuple(str(name) for name in names)
