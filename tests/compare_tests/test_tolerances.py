"""The measure of error and the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from compare.parity import tolerances
from compare.parity.tolerances import componentwise_error, float32_bound, whole_error

ONE = np.ones(3)


def test_the_largest_element_counts():
    value = np.array([1.0, 2.0, 3.0])
    moved = np.array([1.0, 2.5, 3.0])
    assert componentwise_error(moved, value, np.array([1.0, 10.0, 1.0])) == 0.05
    assert whole_error(moved, value, 5.0) == 0.1


@pytest.mark.parametrize("place", [0, tolerances.PIECE - 1, tolerances.PIECE, 50_005])
@pytest.mark.parametrize("wrong", [3.0, np.nan, np.inf])
def test_every_piece_of_a_large_array_counts_whatever_its_layout(place, wrong):
    exact = np.random.default_rng(0).random((17, 2942)) + 1.0
    value = np.array(exact, order="F")
    value.flat[place] = wrong
    size = np.arange(1.0, 2943.0)
    expected = abs(wrong - exact.flat[place]) / size[place % 2942]
    expected = np.inf if np.isnan(expected) else expected
    assert componentwise_error(value, exact, size) == expected
    assert componentwise_error(exact, exact, size) == 0


@pytest.mark.parametrize(
    "measure", [componentwise_error, lambda value, referee, size: whole_error(value, referee, 1.0)]
)
def test_what_is_not_comparable_is_infinitely_far(measure):
    assert measure(np.ones(2), ONE, ONE) == np.inf
    assert measure(np.ones((3, 1)), ONE, ONE) == np.inf
    assert measure(np.array([1, np.nan, 1]), ONE, ONE) == np.inf
    assert measure(np.array([1, np.inf, 1]), ONE, ONE) == np.inf
    assert measure(ONE, np.array([1, np.nan, 1]), ONE) == np.inf
    # NaN is unequal, also to NaN: two broken backends do not agree.
    assert measure(np.full(3, np.nan), np.full(3, np.nan), ONE) == np.inf


def test_a_difference_where_nothing_was_summed_is_beyond_every_bound():
    assert componentwise_error(ONE, np.zeros(3), np.zeros(3)) > 1e300
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


def test_digits_that_a_format_lacks_are_not_asked_for():
    """Near the smallest numbers rounding is absolute: one unit in the last place of float32."""
    value = np.array([2.0**-140 + 2.0**-149])
    exact, size = np.array([2.0**-140]), np.array([2.0**-140])
    assert componentwise_error(value, exact, size, "float32") == 2.0**-23
    assert componentwise_error(value, exact, size, "float64") == 2.0**-9


def test_overflow_on_both_sides_is_agreement():
    a = np.array([np.inf, np.nan, np.inf, np.nan, 1.0, np.inf])
    b = np.array([np.inf, np.nan, -np.inf, np.inf, 1.0, 1.0])
    np.testing.assert_array_equal(
        tolerances.overflowed_alike(a, b), [True, True, True, True, False, False]
    )
    assert not tolerances.overflowed_alike(a, b[:2]).any()


def test_a_record_keeps_the_bounds_that_were_used():
    kept = tolerances.recorded_tolerances()
    assert kept.k == tolerances.K
    assert kept.floor_ulp == tolerances.FLOOR_ULP
    assert kept.float64 == tolerances.FLOAT64
    assert kept.unit_roundoff == tolerances.UNIT_ROUNDOFF
