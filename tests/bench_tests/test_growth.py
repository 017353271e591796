"""Exponents of made-up times."""

from __future__ import annotations

import numpy as np
import pytest

from compare.bench.growth import SERIES, fit_exponent, measure_growth
from compare.bench.host import Here
from compare.bench.schedule import Schedule


def test_a_pure_power():
    sizes = (2, 8, 32, 128)
    found = fit_exponent(sizes, [3e-4 * n**1.5 for n in sizes])
    assert found == pytest.approx((1.5, 1.5, 1.5, 1.5))


def test_an_overhead_lowers_the_exponent_and_not_the_end():
    sizes = (1, 10, 100, 1000, 10_000)
    found = fit_exponent(sizes, [1.0 + 0.01 * n for n in sizes])
    assert found.value < 0.6
    assert found.last == pytest.approx(np.log10(101 / 11))
    assert found.low < found.value < found.high


def test_the_interval_of_a_textbook_regression():
    """b ± t s_b by the formulas of least squares written out, with t₀.₉₇₅ of 3 degrees, 3.1824."""
    sizes, seconds = np.array([1, 2, 4, 8, 16]), np.array([1.0, 2.1, 3.8, 8.5, 15.5])
    x, y = np.log(sizes), np.log(seconds)
    dx = x - x.mean()
    slope = (dx * y).sum() / (dx**2).sum()
    left = y - y.mean() - slope * dx
    half = 3.182446305284263 * np.sqrt((left**2).sum() / 3 / (dx**2).sum())
    found = fit_exponent(sizes, seconds)
    assert found[:3] == pytest.approx((slope, slope - half, slope + half))


def test_the_interval_covers_the_truth():
    random, covered = np.random.default_rng(0), 0
    sizes = 2.0 ** np.arange(6)
    for _ in range(400):
        found = fit_exponent(sizes, sizes**0.8 * np.exp(random.normal(0, 0.1, 6)))
        covered += found.low <= 0.8 <= found.high
    assert 365 <= covered <= 395  # 380 ± 3.4 standard deviations


def test_two_sizes_have_no_interval():
    with pytest.raises(ValueError, match="three sizes"):
        fit_exponent((1, 2), (1.0, 2.0))


def test_a_series_is_measured():
    series = SERIES[1]._replace(sizes=(4, 8, 16))
    here = Here(1)
    found = measure_growth(series, lambda name: here, Schedule(3, 0.01, 0.0))
    assert found.sizes == [4, 8, 16]
    assert [fit.name for fit in found.fits] == ["numpy", "torch"]
    assert all(len(fit.median_s) == 3 and min(fit.median_s) > 0 for fit in found.fits)


def test_the_series_change_one_size_each():
    for series in SERIES:
        first, second = (series.workload(size) for size in series.sizes[:2])
        assert first != second
        assert (first.batch_size != second.batch_size) == (series.what == "batch size")
