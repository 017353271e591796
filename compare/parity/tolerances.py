"""Every bound of the harness, in one table, each with its reason.

An error is |value − referee| / size, elementwise, and the largest over the array counts; ``size``
is what was summed to make the value (:mod:`compare.parity.sizes`). This is the componentwise error
of an inner product, |fl(xᵀy) − xᵀy| ≤ γₙ |x|ᵀ|y| (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1): it does not grow when the sum cancels.
"""

from __future__ import annotations

import numpy as np

from compare.records.run import Tolerances

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

# float32, each stage alone: NumPy may be K times as far from the float64 referee as PyTorch is,
# or K times FLOOR_ULP units of roundoff where PyTorch happens to be closer than that.
#
# K was chosen from the ratio numpy_error / max(torch_error, FLOOR_ULP units) of honest runs,
# measured by `python scripts/calibrate_k.py --seeds 20 --steps 600` (NumPy 2.4.6 with OpenBLAS
# 0.3.31, PyTorch 2.13.0 with MKL 2024.2, AMD EPYC with AVX-512, one thread); comparisons are those
# of both precisions, the last column is the largest error in float64:
#
#     net          optimizer  seeds  comparisons  failed  median   99.9%  largest  float64
#     bn_mlp       SGD           20      327,600       0    0.34    1.67     2.13  1.7e-15
#     bn_mlp       Adam          20      496,080       0    0.34    1.61     2.21  1.3e-15
#     softmax_mlp  SGD           20      102,960       0    0.26    1.00     1.57  7.9e-16
#     softmax_mlp  Adam          20      159,120       0    0.35    1.13     1.60  1.0e-15
#
# K = 8 stands 3.6 times above the largest of these ratios, a margin for other processors and
# libraries, which sum in other orders.
FLOOR_ULP = 4.0
K = 8.0

# float64, against PyTorch, whatever the sums are. Right sides were nearer than 2e-15 in all runs of
# the calibration; an ε or a slope that is wrong in its sixth digit is a million times further away.
FLOAT64 = 1e-13

# Below these numbers a format has fewer digits, and rounding is no longer relative.
SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}


def recorded_tolerances() -> Tolerances:
    """The bounds as a run records them."""
    return Tolerances(k=K, floor_ulp=FLOOR_ULP, float64=FLOAT64, unit_roundoff=UNIT_ROUNDOFF)


def float32_bound(torch_error: float) -> float:
    """How far NumPy may be from the referee where PyTorch is ``torch_error`` away from it."""
    floor = FLOOR_ULP * UNIT_ROUNDOFF["float32"]
    return K * max(torch_error, floor) if np.isfinite(torch_error) else K * floor


def float64_bound(terms: int) -> float:
    """How far the two sides may be apart in float64 where the longest sum has so many terms.

    Added up one after the other, n terms lose up to n units of roundoff of their size (Higham,
    equation 3.5), and PyTorch's batch normalisation does add them up so. The same bound holds for
    a stage alone, and for the step end to end, where the size has grown by what rounding at every
    stage does to the stages after it (:mod:`compare.parity.whole_step`).
    """
    return max(FLOAT64, terms * UNIT_ROUNDOFF["float64"])


def componentwise_error(
    value: np.ndarray, referee: np.ndarray, size: np.ndarray, dtype: str = "float64"
) -> float:
    """The largest |value − referee| / size over all elements, for a value computed in ``dtype``.

    Another shape is infinitely far, and so is a NaN; equal values differ by 0 whatever their size.
    """
    if value.shape != referee.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    value, referee = value.astype(np.float64, copy=False), referee.astype(np.float64, copy=False)
    size = np.maximum(size, SMALLEST_NORMAL[dtype])
    with np.errstate(all="ignore"):
        ratio = np.asarray(value - referee)
        np.abs(ratio, out=ratio)
        ratio /= size
        if np.isnan(largest := ratio.max()):  # what is equal, infinities too, differs by 0
            largest = np.where(value == referee, 0.0, ratio).max()
    return float("inf") if np.isnan(largest) else float(largest)


def whole_error(value: np.ndarray, referee: np.ndarray, size: float) -> float:
    """The largest difference over the size of the array."""
    return componentwise_error(value, referee, np.asarray(size))


def overflowed_alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two computations both left the range of their format.

    A training that diverges overflows on both sides. Whether a sum then ends as an infinity or,
    where infinities of both signs met, as NaN depends on its order: neither is more wrong than
    the other.
    """
    if a.shape != b.shape:
        return np.zeros(a.shape, bool)
    return ~np.isfinite(a) & ~np.isfinite(b)
