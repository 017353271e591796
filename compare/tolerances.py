"""Every bound of the harness, in one table, each with its reason.

An error is |value − referee| / size, elementwise, and the largest over the array counts; ``size``
is what was summed to make the value (:mod:`compare.magnitude`). This is the componentwise error
of an inner product, |fl(xᵀy) − xᵀy| ≤ γₙ |x|ᵀ|y| (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1): it does not grow when the sum cancels.
"""

from __future__ import annotations

import numpy as np

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

# float32, each stage alone: NumPy may be K times as far from the float64 referee as PyTorch is,
# or K times FLOOR_ULP units of roundoff where PyTorch happens to be closer than that.
FLOOR_ULP = 4.0
K = 8.0

# float64, each stage alone, against PyTorch.
FLOAT64_STAGE = 1e-13

# float64, the whole step end to end, largest difference over largest size of an array: the
# rounding of one layer passes through all the others.
FLOAT64_WHOLE = 1e-10


def float32_bound(torch_error: float) -> float:
    """How far NumPy may be from the referee where PyTorch is ``torch_error`` away from it."""
    floor = FLOOR_ULP * UNIT_ROUNDOFF["float32"]
    return K * max(torch_error, floor) if np.isfinite(torch_error) else K * floor


def componentwise_error(value: np.ndarray, referee: np.ndarray, size: np.ndarray) -> float:
    """The largest |value − referee| / size over all elements.

    A difference where nothing was summed (size 0) is infinite, as are another shape and a NaN
    that the referee does not have; equal values differ by 0 whatever their size.
    """
    if value.shape != referee.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    value, referee = value.astype(np.float64), referee.astype(np.float64)
    size = np.broadcast_to(size, referee.shape)
    with np.errstate(all="ignore"):
        ratio = np.where(value == referee, 0.0, np.abs(value - referee) / size)
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())


def whole_error(value: np.ndarray, referee: np.ndarray, size: np.ndarray) -> float:
    """The largest difference over the largest size of the array."""
    largest = np.max(size, initial=0.0)
    return componentwise_error(value, referee, np.full(referee.shape, largest))
