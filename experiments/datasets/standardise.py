"""Features on a common scale: mean 0 and standard deviation 1 over the training rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Standard(NamedTuple):
    """How features are brought to a common scale: (x − mean) / scale.

    Attributes:
        mean: float64, (features,).
        scale: float64, (features,): the standard deviation, dividing by the number of rows N and
            not N − 1; 1 where a feature is constant.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return the rows standardised, float32 (N, features); rounded once, from float64."""
        found = np.empty(rows.shape, np.float32)
        # A feature at a time: the float64 copy of a large table would be its largest.
        for k in range(rows.shape[1]):
            found[:, k] = (rows[:, k] - self.mean[k]) / self.scale[k]
        return found


def standard_of(rows: NDArray[Any]) -> Standard:
    """Return the mean and the scale of every feature.

    Convention: as scikit-learn's ``StandardScaler``. A feature is constant when its variance is
    no larger than rounding can make it, N ε σ² + (N μ ε)² with ε = 2⁻⁵² (Chan, Golub and
    LeVeque, 1983, section 1: what the sum of N squared differences from a mean loses at worst).
    Such a feature becomes 0 and is not divided by anything.

    Args:
        rows: (N, features), N > 0.
    """
    count, features = rows.shape
    mean, variance = np.empty(features), np.empty(features)
    for k in range(features):
        feature = rows[:, k].astype(np.float64)
        mean[k] = feature.mean()
        variance[k] = np.mean((feature - mean[k]) ** 2)
    eps = np.finfo(np.float64).eps
    constant = variance <= count * eps * variance + (count * mean * eps) ** 2
    return Standard(mean, np.where(constant, 1.0, np.sqrt(variance)))
