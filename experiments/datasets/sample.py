"""A sample of MNIST that travels with the package, so that nothing need be downloaded.

6,000 training and 1,000 test digits: the first 600 (100) of each class in MNIST's own training
(test) files. Made by ``scripts/make_mnist_sample.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from experiments.datasets.dataset import Dataset
from experiments.datasets.folder import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    read_folder,
)
from experiments.datasets.mnist import CLASS_NAMES, LICENCE
from experiments.errors import InputError

FOLDER = Path(__file__).parent / "mnist_sample"
TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100

DIGESTS = {
    TRAIN_IMAGES: "9f484b2233862355104d937104feba72",
    TRAIN_LABELS: "914ce1bea93984b0d7f6acff85acdd83",
    TEST_IMAGES: "658261784893cf2e575eb5cacabde307",
    TEST_LABELS: "db8c854d9dc5446a4792347cd2d85006",
}
"""File name → MD5 of the content, decompressed."""


def load_sample(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """Load the sample from the package; $NNCOMPARE_DATA has no part in it.

    Raises:
        InputError: a data folder was given, which would go unread, or the package is damaged.
    """
    if data_dir is not None:
        raise InputError(
            "The data set mnist-sample is in the package and is not read from a folder: expected "
            f"no data folder with it, found {os.fspath(data_dir)}; ask for mnist to read that."
        )
    read = read_folder(FOLDER)
    for name, digest in DIGESTS.items():
        if read.digests[name] != digest:
            raise InputError(
                f"{FOLDER / name}.gz is damaged: expected content with MD5 {digest}, found "
                f"{read.digests[name]}; install the package again."
            )
    return Dataset(
        name="mnist-sample",
        title="a stratified sample of MNIST",
        train=read.train.as_split(),
        test=read.test.as_split(),
        class_names=CLASS_NAMES,
        source=(
            f"the package: the first {TRAIN_PER_CLASS} digits of each class in MNIST's training "
            f"files and the first {TEST_PER_CLASS} in its test files"
        ),
        licence=LICENCE,
        digests=read.digests,
    )
