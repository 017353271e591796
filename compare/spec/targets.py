"""What the output of a network means: which targets its loss takes, and which class it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NO_CLASS = -1
"""Predicted where the output is no number, or rounds to no class that can be counted."""


class TargetType(NamedTuple):
    """How a loss sees the classes.

    Attributes:
        one_output: Whether the network has one output, or one for each class.
        most_classes: How many classes there may be; None where any number will do.
        predicted_classes: Outputs (N, C) or (N, 1) to classes (N,), int64.
    """

    one_output: bool
    most_classes: int | None
    predicted_classes: Callable[[np.ndarray], np.ndarray]

    def targets(self, classes: np.ndarray) -> np.ndarray:
        """Classes (N,) as the loss takes them: (N,) int64, or (N, 1) float32 for one output."""
        return classes.astype(np.float32)[:, None] if self.one_output else classes


def _largest(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=1)


def _above(threshold: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda outputs: (outputs[:, 0] > threshold).astype(np.int64)


def _nearest(outputs: np.ndarray) -> np.ndarray:
    rounded = np.rint(outputs[:, 0].astype(np.float64))
    known = np.abs(rounded) < 2**31  # false for NaN too
    return np.where(known, rounded, NO_CLASS).astype(np.int64)


_CLASSES = TargetType(False, None, _largest)
_NUMBER = TargetType(True, None, _nearest)

TARGET_TYPES = {
    "CrossEntropyLoss": _CLASSES,
    "NLLLoss": _CLASSES,
    "BCELoss": TargetType(True, 2, _above(0.5)),
    "BCEWithLogitsLoss": TargetType(True, 2, _above(0.0)),
    "MSELoss": _NUMBER,
    "L1Loss": _NUMBER,
    "SmoothL1Loss": _NUMBER,
    "HuberLoss": _NUMBER,
}
"""Loss class → what it makes of the classes."""
