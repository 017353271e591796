"""A sample of Covertype's first two classes that travels with the package.

6,000 rows, 2,567 of class 1 and 3,433 of class 2: of each class as large a share as in the whole
set, at equal distances along its file. Made by ``scripts/make_covertype_sample.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from experiments.datasets.covertype import CLASS_NAMES, LICENCE, two_classes
from experiments.datasets.covtype_file import FILE, read_table
from experiments.datasets.dataset import Dataset
from experiments.errors import InputError

FOLDER = Path(__file__).parent / "covertype_sample"
ROWS = {1: 2567, 2: 3433}
"""Class of the file → rows of the sample."""

DIGESTS = {FILE: "89696d212058e75b3ef4ac0dab92f482"}
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
    table = read_table(FOLDER)
    if table.digest != DIGESTS[FILE]:
        raise InputError(
            f"{FOLDER / FILE}.gz is damaged: expected content with MD5 {DIGESTS[FILE]}, found "
            f"{table.digest}; install the package again."
        )
    return two_classes(
        table,
        "covertype-sample",
        "a stratified sample of Forest Covertype, classes 1 and 2",
        CLASS_NAMES,
        f"the package: {ROWS[1]:,} rows of class 1 and {ROWS[2]:,} of class 2, at equal distances "
        "along Forest Covertype's file",
        LICENCE,
    )
