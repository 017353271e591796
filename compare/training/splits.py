"""The data of a run: rows to train on, to choose by, and to test on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """A split as arrays: inputs (N, …) float32, targets (N,) int64."""

    inputs: np.ndarray
    targets: np.ndarray


class Splits(NamedTuple):
    """What is trained on, what is held out, and what is tested on, where there is any of it."""

    train: Rows
    validation: Rows | None
    test: Rows | None

    def named(self) -> dict[str, Rows]:
        """The splits that there are, by the names that the records use."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in found.items() if rows is not None}

    def map(self, function: Callable[[Rows], Rows]) -> Splits:
        """The same with each split changed."""
        train, *others = self
        return Splits(function(train), *(r if r is None else function(r) for r in others))
