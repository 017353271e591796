"""The IDX format: a header of big-endian integers, then the values, gzipped or not.

Bytes 0 and 1 are zero, byte 2 is the type (8 is unsigned bytes, the only one read here), byte 3
the number of dimensions; then one uint32 a dimension, then the values in C order.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.errors import InputError

_UNSIGNED_BYTES = 8
_TYPES = {
    8: "unsigned bytes",
    9: "signed bytes",
    11: "int16",
    12: "int32",
    13: "float32",
    14: "float64",
}
_GZIP_MAGIC = b"\x1f\x8b"


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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror or error}.") from error
    content = gunzip(content, str(path))
    return parse_idx(content, ndim, str(path)), md5(content)


def gunzip(content: bytes, name: str) -> bytes:
    """Return the content decompressed if it is gzipped, and as it is if not.

    Raises:
        InputError: the gzip data, read from what ``name`` names, is damaged or cut off.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise InputError(
            f"{name} is cut off: expected a whole gzip file, found {len(content):,} bytes that "
            "stop before its end."
        ) from error
    except (OSError, zlib.error) as error:
        raise InputError(
            f"{name} is damaged: expected gzip data, found bytes that do not decompress ({error})."
        ) from error


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
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=ndim, offset=4))
    expected_bytes, found_bytes = math.prod(shape), len(content) - start
    if found_bytes != expected_bytes:
        fault = "is cut off" if found_bytes < expected_bytes else "is too long"
        raise InputError(
            f"{name} {fault}: expected {expected_bytes:,} values after the header "
            f"({' × '.join(f'{n:,}' for n in shape)}), found {found_bytes:,}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
