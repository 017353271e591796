"""MNIST, or other images in its layout, from a folder; else MNIST from its mirrors; and a sample.

The sample travels with the package, so that nothing need be downloaded: 6,000 training and 1,000
test digits, the first 600 (100) of each class in MNIST's own training (test) files, made by
``scripts/make_mnist_sample.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.datasets.dataset import Dataset
from experiments.datasets.download import Location, default_cache, download, named_location
from experiments.datasets.idx import (
    CLASSES,
    SUBFOLDER,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    Folder,
    read_folder,
)
from experiments.errors import InputError

TITLE = "MNIST handwritten digits"
LICENCE = "CC BY-SA 3.0, Yann LeCun and Corinna Cortes; derived from NIST Special Databases 3 and 1"
CLASS_NAMES = tuple(str(digit) for digit in range(CLASSES))

DIGESTS = {
    TRAIN_IMAGES: "6bbc9ace898e44ae57da46a324031adb",
    TRAIN_LABELS: "a25bea736e30d166cdddb491f175f624",
    TEST_IMAGES: "2646ac647ad5339dbf082846283269ea",
    TEST_LABELS: "27ae3e4e09519cfbb04c329615203637",
}
"""File name → MD5 of the original's content, decompressed: packing differs among mirrors."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Tried in this order; yann.lecun.com itself no longer serves the files."""


def load_mnist(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None,
    mirrors: Sequence[str] | None,
) -> Dataset:
    """Load the folder given, else the one in $NNCOMPARE_DATA, else a checked download.

    Raises:
        InputError: the folder lacks a file, a file is at fault, or no mirror served it.
    """
    location = named_location(data_dir)
    if location is not None:
        return _from_folder(location)
    mirrors = MIRRORS if mirrors is None else mirrors
    cache = (default_cache() if cache_dir is None else Path(cache_dir)) / SUBFOLDER
    download(DIGESTS, cache, mirrors, title="MNIST")
    source = f"downloaded from {' or '.join(mirrors)}, its MD5 checked"
    return _dataset(read_folder(cache), TITLE, CLASS_NAMES, source, LICENCE)


def _from_folder(location: Location) -> Dataset:
    read = read_folder(location.folder, location.called)
    different = different_files(read.digests)
    if not different:
        return _dataset(read, TITLE, CLASS_NAMES, location.source, LICENCE)
    # What the images are is not known here: only that they are not MNIST's, or not all of them.
    folder_name = location.folder.resolve().name or str(location.folder)
    which = "" if len(different) == len(DIGESTS) else f" of {', '.join(different)}"
    return _dataset(
        read,
        title=f"IDX images from {folder_name} (not MNIST: other digests{which})",
        class_names=tuple(f"class {k}" for k in range(CLASSES)),
        source=f"{location.source}; not MNIST, by its digests",
        licence="not known: the files are not MNIST's",
    )


def different_files(digests: Mapping[str, str]) -> list[str]:
    """Return the names of the files whose content is not MNIST's."""
    return [name for name, digest in DIGESTS.items() if digests[name] != digest]


def _dataset(
    read: Folder, title: str, class_names: tuple[str, ...], source: str, licence: str
) -> Dataset:
    return Dataset(
        name="mnist",
        title=title,
        train=read.train.as_split(),
        test=read.test.as_split(),
        class_names=class_names,
        source=source,
        licence=licence,
        digests=read.digests,
    )


SAMPLE_FOLDER = Path(__file__).parent / "mnist_sample"
TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100

SAMPLE_DIGESTS = {
    TRAIN_IMAGES: "9f484b2233862355104d937104feba72",
    TRAIN_LABELS: "914ce1bea93984b0d7f6acff85acdd83",
    TEST_IMAGES: "658261784893cf2e575eb5cacabde307",
    TEST_LABELS: "db8c854d9dc5446a4792347cd2d85006",
}
"""File name → MD5 of the content, decompressed."""


def load_mnist_sample(
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
    read = read_folder(SAMPLE_FOLDER)
    for name, digest in SAMPLE_DIGESTS.items():
        if read.digests[name] != digest:
            raise InputError(
                f"{SAMPLE_FOLDER / name}.gz is damaged: expected content with MD5 {digest}, found "
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
