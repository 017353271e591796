"""Intervals and equivalence tests: against scipy, against hand calculations, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from compare.analysis.intervals import equivalence_test, mean_interval, paired_interval

RANDOM = np.random.default_rng(7)
SAMPLES = [RANDOM.normal(loc, scale, size).tolist() for loc, scale, size in
           [(0.0, 1.0, 2), (0.3, 0.1, 3), (-2.0, 5.0, 10), (1e-4, 1e-6, 5)]]  # fmt: skip


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_that_of_scipy(values: list[float], confidence: float) -> None:
    found = mean_interval(values, confidence)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.values == len(values)


def test_the_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, s = 1, and t(0.975, 2) = 4.3027 in every table.
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, math.inf, -math.inf])
def test_equal_values_have_an_interval_without_width(value: float) -> None:
    found = mean_interval([value] * 3)
    assert (found.mean, found.low, found.high) == (value, value, value)
    assert found.known


@pytest.mark.parametrize("values", [[0.5], [math.inf], [1.0, math.inf], [1.0, math.nan],
                                    [math.inf, -math.inf], [math.nan, math.nan]])  # fmt: skip
def test_what_has_no_interval(values: list[float]) -> None:
    assert not mean_interval(values).known


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("margin", [0.01, 0.5, 3.0])
def test_equivalence_is_two_tests_of_scipy(values: list[float], margin: float) -> None:
    found = equivalence_test(values, margin)
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert found is not None
    assert found.p == pytest.approx(max(above, below), rel=1e-9)
    inside = -margin < found.low and found.high < margin
    assert (found.equivalent is True) == inside == (found.p < 0.05)


@pytest.mark.parametrize(
    ("values", "margin", "answer"),
    [
        ([0.001, -0.001, 0.002], 0.01, True),
        ([0.02, 0.021, 0.022], 0.01, False),
        ([-0.02, -0.021, -0.022], 0.01, False),
        ([0.02, -0.02, 0.01], 0.01, None),
        ([0.009, 0.0095, 0.0099], 0.01, None),
        ([0.0, 0.0, 0.0], 0.01, True),
        ([0.005, 0.005], 0.01, True),
        ([0.01, 0.01], 0.01, False),
        ([0.02, 0.02], 0.01, False),
    ],
)
def test_the_answers_of_planted_differences(
    values: list[float], margin: float, answer: bool | None
) -> None:
    found = equivalence_test(values, margin)
    assert found is not None
    assert found.equivalent is answer


def test_differences_that_are_equal_have_p_of_0_or_1() -> None:
    inside, outside = equivalence_test([0.0] * 4, 0.01), equivalence_test([0.5] * 4, 0.01)
    assert inside is not None
    assert outside is not None
    assert (inside.p, outside.p) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, math.nan], [math.inf, 0.0]])
def test_what_cannot_be_tested(values: list[float]) -> None:
    assert equivalence_test(values, 0.01) is None


def test_paired_interval_covers_the_difference():
    """In 95 of 100 draws, about, where the two are right together for the most part."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        counts = random.multinomial(1000, [0.9, 0.03, 0.02, 0.05])
        low, high = paired_interval(int(counts[1]), int(counts[2]), 1000)
        covered += low <= 0.01 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_paired_interval_of_equal_answers_is_not_empty():
    low, high = paired_interval(0, 0, 100)
    assert low < 0 < high
