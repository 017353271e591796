"""Forest Covertype, its first two classes, from a folder; else from a download; and a sample.

Its file has a line a row: 54 features and the class, integers separated by commas. The sample
travels with the package: 6,000 rows, 2,567 of class 1 and 3,433 of class 2, of each class as large
a share as in the whole set, at equal distances along its file, made by
``scripts/make_covertype_sample.py``.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import urllib.error
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.dataset import Dataset, Split, standard_of
from experiments.datasets.download import Location, named_location
from experiments.datasets.idx import gunzip, md5
from experiments.errors import InputError
from experiments.files import printable, read_bytes

FILE = "covtype.data"
SUBFOLDER = "covertype"
FEATURES = 54
CLASSES = 7

MOST_BYTES = 256 << 20
"""What a file may hold, unpacked: the original has 75 million bytes, and no header that says so."""

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
        content = gunzip(read_bytes(path, MOST_BYTES), str(path), MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path} could not be read: there is no such file.") from None
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
    except ValueError:
        raise InputError(f"The data folder {printable(called)} is no path.") from None
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
            whole = re.fullmatch(r"\s*([-+]?[0-9]{1,40})\s*", field)
            if whole is None or not _LEAST <= int(whole[1]) <= _MOST:
                return InputError(
                    f"{name} is not Covertype's table: expected integers from {_LEAST:,} to "
                    f"{_MOST:,}, found {field[:40]!r} in line {number:,}."
                )
    return InputError(f"{name} is not Covertype's table: expected lines of {expected}.")


TITLE = "Forest Covertype, classes 1 and 2"
LICENCE = (
    "CC BY 4.0, Jock A. Blackard and Colorado State University; UCI Machine Learning Repository, "
    "https://doi.org/10.24432/C50K5N"
)
CLASS_NAMES = ("Spruce/Fir", "Lodgepole Pine")
"""Target 0 is the file's class 1, target 1 its class 2; rows of the other five are left out."""

DIGESTS = {FILE: "71df19898bd3e11db15ae0faf4159f2c"}
"""File name → MD5 of the original's content, decompressed."""

VALUES_DIGEST = "3342125133c4fe45546d7cec0526d518"
"""MD5 of the original's 581,012 × 55 values as little-endian int16, for what is not a file."""


def load_covertype(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None,
    mirrors: Sequence[str] | None,
) -> Dataset:
    """Load the folder given, else the one in $NNCOMPARE_DATA, else scikit-learn's download.

    All rows of the two classes are the training split, in the order of the file: the test split
    is empty.

    Raises:
        InputError: the folder lacks the file, the file is at fault, or nothing could be
            downloaded; or mirrors are named, of which scikit-learn asks none.
    """
    location = named_location(data_dir)
    if location is not None:
        return _from_folder(location)
    if mirrors is not None:
        raise InputError(
            "The data set covertype is downloaded by scikit-learn from its own address: expected "
            f"no mirrors, found {', '.join(mirrors) or 'an empty list'}."
        )
    source = "downloaded by scikit-learn's fetch_covtype, its values checked by MD5"
    return two_classes(_fetch(cache_dir), "covertype", TITLE, CLASS_NAMES, source, LICENCE)


def _from_folder(location: Location) -> Dataset:
    table = read_table(location.folder, location.called)
    if table.digest == DIGESTS[FILE]:
        return two_classes(table, "covertype", TITLE, CLASS_NAMES, location.source, LICENCE)
    # What the rows are is not known here: only that they are not Covertype's, or not all of them.
    folder_name = location.folder.resolve().name or str(location.folder)
    return two_classes(
        table,
        "covertype",
        title=f"rows of classes 1 and 2 from {folder_name} (not Forest Covertype: another digest)",
        class_names=("class 1", "class 2"),
        source=f"{location.source}; not Forest Covertype, by its digest",
        licence="not known: the file is not Forest Covertype's",
    )


def two_classes(
    table: Table, name: str, title: str, class_names: tuple[str, ...], source: str, licence: str
) -> Dataset:
    """Return the rows of classes 1 and 2 as a data set, standardised on themselves.

    Raises:
        InputError: the table lacks one of the two classes.
    """
    for k in (1, 2):
        if not (table.classes == k).any():
            raise InputError(
                f"The table {FILE} ({source}) lacks a class: expected rows of class 1 and of "
                f"class 2, found none of class {k}."
            )
    kept = table.classes <= 2
    features = table.features[kept]
    inputs = standard_of(features).apply(features)
    targets = table.classes[kept].astype(np.int64) - 1
    return Dataset(
        name=name,
        title=title,
        train=Split(inputs, targets),
        test=Split(np.zeros((0, FEATURES), np.float32), np.zeros(0, np.int64)),
        class_names=class_names,
        source=source,
        licence=licence,
        digests={FILE: table.digest},
    )


def _fetch(cache_dir: str | os.PathLike[str] | None) -> Table:
    """Let scikit-learn download the set, or take it from its cache; check every value."""
    from sklearn.datasets import fetch_covtype, get_data_home

    home = None if cache_dir is None else Path(cache_dir)
    way_out = f"give a folder that holds {FILE} (it may end in .gz) with --data-dir"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it tries once more
            found: Any = fetch_covtype(data_home=home, shuffle=False, n_retries=1)
        values = np.column_stack([found.data, found.target])
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            "Forest Covertype could not be downloaded: expected it from scikit-learn's "
            f"fetch_covtype, found {' '.join(str(reason).split())}; {way_out}."
        ) from error
    except OSError as error:
        raise InputError(
            "Forest Covertype could not be downloaded or kept: scikit-learn's fetch_covtype "
            f"reports {' '.join(str(error).split())}; {way_out}."
        ) from error
    except (EOFError, ValueError, KeyError, pickle.UnpicklingError, zlib.error) as error:
        raise InputError(
            f"scikit-learn's copy of Forest Covertype in {get_data_home(home)} is damaged "
            f"({' '.join(str(error).split())}): remove its covertype folder, or {way_out}."
        ) from error
    table = values.astype("<i2")
    digest = hashlib.md5(table.tobytes(), usedforsecurity=False).hexdigest()
    if digest != VALUES_DIGEST or not _same(table, values):
        raise InputError(
            f"scikit-learn's copy of Forest Covertype in {get_data_home(home)} holds other values: "
            f"expected MD5 {VALUES_DIGEST}, found {digest}; remove its covertype folder, or "
            f"{way_out}."
        )
    # The same values as the file's: so its digest stands for them too.
    return Table(table[:, :FEATURES], table[:, FEATURES], DIGESTS[FILE])


def _same(table: NDArray[np.int16], values: NDArray[Any]) -> bool:
    """Whether nothing was lost on the way to integers."""
    return bool((table == values).all())


SAMPLE_FOLDER = Path(__file__).parent / "covertype_sample"
SAMPLE_ROWS = {1: 2567, 2: 3433}
"""Class of the file → rows of the sample."""

SAMPLE_DIGESTS = {FILE: "89696d212058e75b3ef4ac0dab92f482"}
"""File name → MD5 of the content, decompressed."""


def load_covertype_sample(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """Load the sample from the package; $NNCOMPARE_DATA has no part in it.

    It is standardised on its own rows, all of which are the training split.

    Raises:
        InputError: a data folder was given, which would go unread, or the package is damaged.
    """
    if data_dir is not None:
        raise InputError(
            "The data set covertype-sample is in the package and is not read from a folder: "
            f"expected no data folder with it, found {os.fspath(data_dir)}; ask for covertype to "
            "read that."
        )
    table = read_table(SAMPLE_FOLDER)
    if table.digest != SAMPLE_DIGESTS[FILE]:
        raise InputError(
            f"{SAMPLE_FOLDER / FILE}.gz is damaged: expected content with MD5 "
            f"{SAMPLE_DIGESTS[FILE]}, found {table.digest}; install the package again."
        )
    return two_classes(
        table,
        "covertype-sample",
        "a stratified sample of Forest Covertype, classes 1 and 2",
        CLASS_NAMES,
        f"the package: {SAMPLE_ROWS[1]:,} rows of class 1 and {SAMPLE_ROWS[2]:,} of class 2, at "
        "equal distances along Forest Covertype's file",
        LICENCE,
    )
