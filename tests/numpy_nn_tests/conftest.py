"""How close is close enough, in one table, and the one comparison that all tests here use."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

# (what is compared, dtype) → largest difference, as a part of max(1, largest expected value).
TOLERANCES = {
    # The same formula in another order of summation: hundreds of roundings of 1e-16 at the
    # most, and a factor of a thousand for ill-conditioned draws. A wrong term is above 1e-3.
    ("module", "float64"): 1e-10,
    # The same with roundings of 6e-8.
    ("module", "float32"): 2e-5,
    # Elementwise, in PyTorch's own order of operations, over 20 steps.
    ("optimizer", "float64"): 1e-12,
    # The same with roundings of 6e-8, which PyTorch's fused multiply-adds save in part.
    ("optimizer", "float32"): 2e-5,
    # Central differences with a step of 1e-6: truncation 1e-12 times the third derivative,
    # rounding 1e-16 / 1e-6.
    ("difference", "float64"): 1e-7,
    # The same values by another memory layout, so that BLAS adds them up in another order.
    ("layout", "float64"): 1e-12,
    # Normal draws: PyTorch's vectorised log, sin and cos in float32 are off by a few ulp.
    ("normal", "float32"): 2e-6,
    # In float64 both backends use the C library's.
    ("normal", "float64"): 1e-15,
}

Compare = Callable[..., None]


@pytest.fixture
def close() -> Compare:
    """Assert that an array is a reference's, in shape, dtype and values (NaN is unequal)."""

    def compare(actual: Any, expected: Any, kind: str, what: str = "value") -> None:
        actual = np.asarray(actual)
        expected = np.asarray(expected)
        assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, not {expected.dtype}"
        assert actual.shape == expected.shape, f"{what}: {actual.shape}, not {expected.shape}"
        if not actual.size:
            return
        if actual.dtype.kind != "f":
            assert (actual == expected).all(), f"{what}: {actual}, not {expected}"
            return
        allowed = TOLERANCES[kind, actual.dtype.name] * max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(actual - expected).max())
        assert error <= allowed, f"{what}: {error} away, {allowed} allowed"

    return compare
