"""The measure of error and the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from compare import tolerances
from compare.tolerances import componentwise_error, float32_bound, whole_error

ONE = np.ones(3)


def test_the_largest_element_counts():
    value = np.array([1.0, 2.0, 3.0])
    moved = np.array([1.0, 2.5, 3.0])
    assert componentwise_error(moved, value, np.array([1.0, 10.0, 1.0])) == 0.05
    assert whole_error(moved, value, np.array([1.0, 10.0, 1.0])) == 0.05
    assert whole_error(moved, value, np.array([1.0, 1.0, 5.0])) == 0.1


@pytest.mark.parametrize("measure", [componentwise_error, whole_error])
def test_what_is_not_comparable_is_infinitely_far(measure):
    assert measure(np.ones(2), ONE, ONE) == np.inf
    assert measure(np.ones((3, 1)), ONE, ONE) == np.inf
    assert measure(np.array([1, np.nan, 1]), ONE, ONE) == np.inf
    assert measure(np.array([1, np.inf, 1]), ONE, ONE) == np.inf
    assert measure(ONE, np.array([1, np.nan, 1]), ONE) == np.inf
    # NaN is unequal, also to NaN: two broken sides do not agree.
    assert measure(np.full(3, np.nan), np.full(3, np.nan), ONE) == np.inf


def test_a_difference_where_nothing_was_summed_is_infinite():
    assert componentwise_error(ONE, np.zeros(3), np.zeros(3)) == np.inf
    assert componentwise_error(np.zeros(3), np.zeros(3), np.zeros(3)) == 0
    assert componentwise_error(ONE, ONE, np.zeros(3)) == 0


def test_nothing_to_compare_is_equal():
    assert componentwise_error(np.ones((0, 3)), np.ones((0, 3)), np.ones((0, 3))) == 0


def test_equal_infinities_agree():
    assert componentwise_error(np.array([np.inf]), np.array([np.inf]), np.ones(1)) == 0


def test_the_float32_bound_follows_pytorch_and_never_vanishes():
    floor = tolerances.FLOOR_ULP * 2.0**-24
    assert float32_bound(0.0) == tolerances.K * floor
    assert float32_bound(10 * floor) == tolerances.K * 10 * floor
    # Where PyTorch itself is broken, NumPy is not allowed to be.
    assert float32_bound(np.inf) == tolerances.K * floor
    assert float32_bound(np.nan) == tolerances.K * floor
