"""Forest Covertype, its first two classes, from a folder; else from scikit-learn's download."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.error
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.covtype_file import FEATURES, FILE, Table, read_table
from experiments.datasets.dataset import Dataset, Split
from experiments.datasets.location import Location, named_location
from experiments.datasets.standardise import standard_of
from experiments.errors import InputError

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
