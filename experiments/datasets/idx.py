"""The IDX format, and a folder in MNIST's layout: images and labels for training and for testing.

An IDX file begins with bytes 0 and 1, which are zero; byte 2 is the type (8 is unsigned bytes, the
only one read here), byte 3 the number of dimensions; then come one big-endian uint32 a dimension
and the values in C order, gzipped or not.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.dataset import Split
from experiments.errors import InputError
from experiments.files import most_bytes, opened, printable, read_unpacked, unpacked

_UNSIGNED_BYTES = 8
_TYPES = {
    8: "unsigned bytes",
    9: "signed bytes",
    11: "int16",
    12: "int32",
    13: "float32",
    14: "float64",
}
_CHUNK_BYTES = 1 << 24
_BEYOND_BYTES = 1 << 16
"""So much is read of what follows the values, to say how much it is."""


def read_idx(path: Path, ndim: int) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; whether it is gzipped is seen from its content, not its name.
        ndim: the number of dimensions it must have: 3 for images, 1 for labels.

    Returns:
        The values, read-only, in the shape the header gives, and the MD5 of the content after
        decompression.

    Raises:
        InputError: the file cannot be read, is damaged, or holds something else.
    """
    name = str(path)
    try:
        with opened(path) as file:
            content = _content(file, ndim, name)
    except FileNotFoundError:
        raise InputError(f"{name} could not be read: there is no such file.") from None
    return parse_idx(content, ndim, name), md5(content)


def _content(file: IO[bytes], ndim: int, name: str) -> bytes:
    """As much of a file as its header says, and a little more where there is any.

    Raises:
        InputError: It is damaged, or the header promises more than the memory holds.
    """
    start = 4 + 4 * ndim
    stream = unpacked(file)
    header = read_unpacked(stream, start, name)
    if len(header) < start or header[:4] != bytes([0, 0, _UNSIGNED_BYTES, ndim]):
        return header  # which is then said to be none
    shape = _shape(header, ndim)
    expected, limit = math.prod(shape), most_bytes()
    # What is not packed is no larger than it is, whatever the header says.
    if expected > limit and (stream is not file or os.fstat(file.fileno()).st_size > limit):
        raise InputError(
            f"{name} is too large: its header promises {expected:,} values "
            f"({' × '.join(f'{n:,}' for n in shape)}), expected at most {limit:,} on this machine."
        )
    parts, left = [header], expected + _BEYOND_BYTES
    while left > 0 and (part := read_unpacked(stream, min(left, _CHUNK_BYTES), name)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _shape(content: bytes, ndim: int) -> tuple[int, ...]:
    return tuple(int(n) for n in np.frombuffer(content, ">u4", count=ndim, offset=4))


def gunzip(content: bytes, name: str, most: int | None = None) -> bytes:
    """Return the content decompressed if it is gzipped, and as it is if not.

    Args:
        content: Of a file.
        name: What to call it in an error.
        most: How many bytes it may unpack to; by default what the memory holds.

    Raises:
        InputError: the gzip data is damaged or cut off, or unpacks to more.
    """
    limit = most_bytes() if most is None else most
    unpacked_content = read_unpacked(unpacked(io.BytesIO(content)), limit + 1, name)
    if len(unpacked_content) > limit:
        raise InputError(
            f"{name} unpacks to too much: expected at most {limit:,} bytes, found more."
        )
    return unpacked_content


def md5(content: bytes) -> str:
    """Return the MD5 in hexadecimal: it tells files apart, it does not secure them."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def parse_idx(content: bytes, ndim: int, name: str) -> NDArray[np.uint8]:
    """Return the values of a decompressed IDX file, as a read-only view of ``content``.

    Args:
        content: the whole file.
        ndim: the number of dimensions it must have.
        name: what to call the file in an error.

    Raises:
        InputError: not IDX, another type or number of dimensions, too few or too many bytes.
    """
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        expected = bytes([0, 0, _UNSIGNED_BYTES, ndim]).hex(" ")
        found = f"the bytes {magic.hex(' ')}" if magic else "an empty file"
        raise InputError(
            f"{name} is not an IDX file: expected it to start with the bytes {expected}, "
            f"found {found}."
        )
    if magic[2] != _UNSIGNED_BYTES:
        raise InputError(
            f"{name} holds values of another type: expected unsigned bytes, "
            f"found {_TYPES[magic[2]]}."
        )
    if magic[3] != ndim:
        raise InputError(
            f"{name} has the wrong number of dimensions: expected {ndim} "
            f"({'labels' if ndim == 1 else 'images'}), found {magic[3]}."
        )
    start = 4 + 4 * ndim
    if len(content) < start:
        raise InputError(
            f"{name} is cut off: expected a header of {start} bytes, found {len(content)} bytes."
        )
    shape = _shape(content, ndim)
    expected_bytes, found_bytes = math.prod(shape), len(content) - start
    if found_bytes != expected_bytes:
        fault = "is cut off" if found_bytes < expected_bytes else "is too long"
        more = " or more" if found_bytes == expected_bytes + _BEYOND_BYTES else ""
        raise InputError(
            f"{name} {fault}: expected {expected_bytes:,} values after the header "
            f"({' × '.join(f'{n:,}' for n in shape)}), found {found_bytes:,}{more}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

SUBFOLDER = "mnist"
CLASSES = 10
SIDE_PIXELS = 28


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images and labels as the files hold them.

    Attributes:
        images: uint8, (N, 28, 28), 0 is the background.
        labels: uint8, (N,), each from 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def as_split(self) -> Split:
        """Return inputs float32 (N, 1, 28, 28) from 0 to 1, and targets int64 (N,)."""
        inputs = np.divide(self.images[:, None], np.float32(255), dtype=np.float32)
        return Split(np.ascontiguousarray(inputs), self.labels.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Folder:
    """The four files of a folder, read and checked.

    Attributes:
        train: the training images and labels.
        test: the test images and labels.
        digests: file name, without ``.gz`` → MD5 of its content, decompressed.
    """

    train: Pixels
    test: Pixels
    digests: Mapping[str, str]


def read_folder(folder: Path, called: str | None = None) -> Folder:
    """Read the four files of a folder.

    Args:
        folder: holds the files, gzipped or not, itself or in a subfolder ``mnist``. Its own
            files come first: the folder that was named is the one that is meant.
        called: how to name the folder in an error, where its path is not enough.

    Raises:
        InputError: no such folder, a file missing, or a file at fault.
    """
    paths = _locate(folder, called or str(folder))
    digests: dict[str, str] = {}
    train = _read_pair(paths, TRAIN_IMAGES, TRAIN_LABELS, digests)
    test = _read_pair(paths, TEST_IMAGES, TEST_LABELS, digests)
    return Folder(train, test, digests)


def _locate(folder: Path, called: str) -> dict[str, Path]:
    expected = f"the files {', '.join(FILES)} (each may end in .gz), in it or in its {SUBFOLDER}/"
    try:
        if not folder.exists():
            raise InputError(f"The data folder {called} does not exist: expected {expected}.")
        if not folder.is_dir():
            raise InputError(
                f"The data folder {called} is a file: expected a folder with {expected}."
            )
        found = _files_in(folder) or _files_in(folder / SUBFOLDER)
    except ValueError:
        raise InputError(f"The data folder {printable(called)} is no path.") from None
    except OSError as error:
        raise InputError(
            f"The data folder {called} could not be read: {error.strerror or error}."
        ) from error
    missing = [name for name in FILES if name not in found]
    if missing:
        raise InputError(
            f"The data folder {called} lacks {', '.join(missing)}: expected {expected}; "
            f"found {len(found)} of the four."
        )
    return found


def _files_in(folder: Path) -> dict[str, Path]:
    # Unpacked before packed: the same content, faster to read.
    candidates = [(name, folder / (name + end)) for name in FILES for end in (".gz", "")]
    return {name: path for name, path in candidates if path.exists()}


def _read_pair(
    paths: Mapping[str, Path], images_name: str, labels_name: str, digests: dict[str, str]
) -> Pixels:
    images_path, labels_path = paths[images_name], paths[labels_name]
    images, digests[images_name] = read_idx(images_path, ndim=3)
    labels, digests[labels_name] = read_idx(labels_path, ndim=1)
    if images.shape[1:] != (SIDE_PIXELS, SIDE_PIXELS):
        raise InputError(
            f"{images_path} holds images of another size: expected {SIDE_PIXELS} × {SIDE_PIXELS} "
            f"pixels, the only size read, found {images.shape[1]} × {images.shape[2]}."
        )
    if len(images) != len(labels):
        raise InputError(
            f"{labels_path} does not go with {images_path}: expected as many labels as images, "
            f"found {len(labels):,} labels and {len(images):,} images."
        )
    if len(images) == 0:
        raise InputError(f"{images_path} is empty: expected at least one image, found none.")
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise InputError(
            f"{labels_path} holds a label out of range: expected 0 to {CLASSES - 1}, "
            f"found {labels[first]} (label number {first + 1:,})."
        )
    return Pixels(images, labels)
