"""What every loader returns: a training and a test split, and what is known of their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and their labels, in the order of the file.

    Attributes:
        inputs: float32, C-contiguous. For images (N, 1, 28, 28), grey levels divided by 255, so
            from 0 (background) to 1. For tables (N, features), each feature standardised: mean 0
            and standard deviation 1 over the training rows, or 0 throughout if constant there.
        targets: int64, (N,): the index of each input's class in ``Dataset.class_names``.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, and what a report must say about it.

    Attributes:
        name: the name it was asked for by, such as ``"mnist"``.
        title: what the data is, whatever it was asked for by: other images in MNIST's layout are
            not called MNIST.
        train: the split to learn from.
        test: the split to measure on. It may have no rows, where all that there is is trained
            on: its inputs then have the shape (0, …) and its targets (0,).
        class_names: one name a class, indexed by target.
        source: where it was read from.
        licence: the terms of the data and its authors, or that they are not known.
        digests: file name → MD5 (hexadecimal) of its content, decompressed.
    """

    name: str
    title: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    licence: str
    digests: Mapping[str, str]
