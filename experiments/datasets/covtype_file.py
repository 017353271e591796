"""Covertype's file: a line a row, 54 features and the class, integers separated by commas."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.idx import gunzip, md5
from experiments.errors import InputError

FILE = "covtype.data"
SUBFOLDER = "covertype"
FEATURES = 54
CLASSES = 7

_COLUMNS = FEATURES + 1
_COMMA, _NEWLINE = ord(","), ord("\n")
_BLOCK_BYTES = 1 << 23
_LEAST, _MOST = np.iinfo(np.int16).min, np.iinfo(np.int16).max


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, in its order.

    Attributes:
        features: int16, (N, 54).
        classes: int16, (N,), each from 1 to 7.
        digest: MD5 of the file's content, decompressed.
    """

    features: NDArray[np.int16]
    classes: NDArray[np.int16]
    digest: str


def read_table(folder: Path, called: str | None = None) -> Table:
    """Read ``covtype.data``, gzipped or not, from a folder or from its subfolder ``covertype``.

    Args:
        folder: where to look. Its own file comes first: the folder that was named is the one
            that is meant.
        called: how to name the folder in an error, where its path is not enough.

    Raises:
        InputError: no such folder, no such file in it, or a file at fault.
    """
    path = _locate(folder, called or str(folder))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror or error}.") from error
    content = gunzip(content, str(path))
    values = parse_rows(content, str(path))
    return Table(values[:, :FEATURES], values[:, FEATURES], md5(content))


def _locate(folder: Path, called: str) -> Path:
    expected = f"the file {FILE} (it may end in .gz), in it or in its {SUBFOLDER}/"
    try:
        if not folder.exists():
            raise InputError(f"The data folder {called} does not exist: expected {expected}.")
        if not folder.is_dir():
            raise InputError(
                f"The data folder {called} is a file: expected a folder with {expected}."
            )
        for place in (folder, folder / SUBFOLDER):
            for name in (FILE, f"{FILE}.gz"):
                if (place / name).exists():
                    return place / name
    except OSError as error:
        raise InputError(
            f"The data folder {called} could not be read: {error.strerror or error}."
        ) from error
    raise InputError(f"The data folder {called} lacks {FILE}: expected {expected}; found neither.")


def parse_rows(content: bytes, name: str) -> NDArray[np.int16]:
    """Return the rows of a decompressed file, int16 (N, 55), the class last.

    Args:
        content: the whole file.
        name: what to call the file in an error.

    Raises:
        InputError: no row, a line that is no row, or a class that is none of Covertype's.
    """
    if not content.strip():
        raise InputError(f"{name} is empty: expected lines of {_COLUMNS} integers, found none.")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    if not content.endswith(b"\n"):
        content += b"\n"
    blocks: list[NDArray[np.int16]] = []
    start, first_line = 0, 1
    while start < len(content):
        end = content.rfind(b"\n", start, start + _BLOCK_BYTES) + 1
        block = content[start : end or start + _BLOCK_BYTES]
        blocks.append(_parse_block(block, first_line, name))
        start, first_line = start + len(block), first_line + len(blocks[-1])
    return np.concatenate(blocks)


def _parse_block(block: bytes, first_line: int, name: str) -> NDArray[np.int16]:
    """Parse some whole lines; what is wrong with them is looked for only when something is."""
    characters = np.frombuffer(block, np.uint8)
    ends = characters[(characters == _COMMA) | (characters == _NEWLINE)]
    if len(ends) == 0 or len(ends) % _COLUMNS:
        raise _fault(block, first_line, name)
    ends = ends.reshape(-1, _COLUMNS)
    if (ends[:, :-1] != _COMMA).any() or (ends[:, -1] != _NEWLINE).any():
        raise _fault(block, first_line, name)
    try:
        with warnings.catch_warnings():
            # What is no number ends the reading with a warning, in later versions with an error.
            warnings.simplefilter("error", DeprecationWarning)
            # The whole set takes a third of the time that numpy.loadtxt takes.
            values = np.fromstring(block[:-1].replace(b"\n", b","), np.int64, sep=",")
    except (DeprecationWarning, ValueError):
        raise _fault(block, first_line, name) from None
    if len(values) != ends.size or values.min() < _LEAST or values.max() > _MOST:
        raise _fault(block, first_line, name)
    rows = values.astype(np.int16).reshape(-1, _COLUMNS)
    strange = np.flatnonzero((rows[:, -1] < 1) | (rows[:, -1] > CLASSES))
    if len(strange):
        raise InputError(
            f"{name} holds a class out of range: expected 1 to {CLASSES} as the last of "
            f"{_COLUMNS} integers, found {rows[strange[0], -1]} (line {first_line + strange[0]:,})."
        )
    return rows


def _fault(block: bytes, first_line: int, name: str) -> InputError:
    """Say what is wrong with the first line that is no row."""
    expected = f"{_COLUMNS} integers separated by commas, {FEATURES} features and the class"
    for number, line in enumerate(block.split(b"\n"), first_line):
        found = line.decode("utf-8", errors="replace").strip()
        fields = found.split(",")
        if len(fields) != _COLUMNS:
            shown = found if len(found) <= 40 else f"{found[:40]}…"
            return InputError(
                f"{name} is not Covertype's table: expected {expected}, found "
                f"{len(fields) if found else 0} in line {number:,} ({shown!r})."
            )
        for field in fields:
            if not re.fullmatch(r"\s*[-+]?[0-9]+\s*", field) or not _LEAST <= int(field) <= _MOST:
                return InputError(
                    f"{name} is not Covertype's table: expected integers from {_LEAST:,} to "
                    f"{_MOST:,}, found {field[:40]!r} in line {number:,}."
                )
    return InputError(f"{name} is not Covertype's table: expected lines of {expected}.")
