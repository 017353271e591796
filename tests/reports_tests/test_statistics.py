"""The numbers that sentences and tables are made from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compare.analysis.intervals import mcnemar_test, wilson_interval
from compare.records.run import read_run
from reports.statistics import (
    Drift,
    Kinks,
    LossGap,
    TrainingStatistics,
    compared_pairs,
    confusions,
    over_seeds,
    spread,
    totals,
)

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 75), (11, 312), (20, 21), (7, 7)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    assert mcnemar_test(b, c) == pytest.approx(min(1.0, 2 * tail / 2 ** (b + c)))


@pytest.mark.parametrize(("right", "rows"), [(950, 1000), (0, 10), (10, 10), (1, 3)])
def test_wilsons_interval(right: int, rows: int) -> None:
    z, share = 1.959963984540054, right / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    assert wilson_interval(right, rows) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_spread_over_seeds() -> None:
    assert spread([1.0, 3.0]) == (2.0, math.sqrt(2))
    assert spread([1.0]) == (1.0, None)
    assert spread([1.0, math.inf]) == (math.inf, None)


def test_the_numbers_of_a_training(make_run: MakeRun) -> None:
    run = read_run(make_run(flips=1, failing={(1, "gradient/1.weight")}, wrong=(1, 3)))
    sgd, adam = (TrainingStatistics(run, record) for record in run.record.trainings)
    assert (sgd.label, sgd.steps, sgd.certified) == ("SGD", 6, 2)
    assert (sgd.verdict.compared, sgd.verdict.failed) == (83, 1)
    assert sgd.kinks == Kinks(places=60, flips=2, largest=1e-9)
    assert sgd.losses["numpy"] == pytest.approx((2.0, 2 / 7))
    assert sgd.final("numpy", "test loss") == pytest.approx(2 / 7)
    assert sgd.loss_gap == LossGap(pytest.approx(1e-7), 1, 6, 0)
    assert sgd.accuracy_gaps == pytest.approx([1e-7 / 3] * 3, rel=1e-6)
    assert sgd.drift == Drift(5, 5e-7, pytest.approx(1e-6), [pytest.approx(1.5e-6)])
    assert sgd.time_ratio == pytest.approx(2.0, rel=0.05)
    assert sgd.test_share is not None
    assert (sgd.test_share.value, sgd.test_share.rows) == (39 / 40, 40)
    assert sgd.confusions["torch"] == (3, 40, [("even", "odd", 2), ("odd", "even", 1)])
    assert sgd.different_predictions == 2
    both = totals(run, [sgd, adam])
    assert (both.trainings, both.compared, both.failed, both.kinks.flips) == (2, 166, 2, 4)
    (pair,) = compared_pairs(run, [sgd, adam])
    assert pair.only == (1, 0)
    assert pair.accuracies == (39 / 40, 38 / 40)
    assert over_seeds(run, [sgd, adam]) == []


def test_what_was_not_measured_is_none(make_run: MakeRun) -> None:
    changes = {"finished": False, "compared": False, "drift": False, "ratio": None, "steps": 0}
    run = read_run(make_run(optimizers=("SGD",), **changes))
    training = TrainingStatistics(run, run.record.trainings[0])
    assert training.final("numpy", "test loss") is None
    assert training.losses == {}
    assert training.loss_gap == LossGap(0.0, None, 0, 0)
    assert (training.drift, training.time, training.time_ratio) == (None, None, None)
    assert (training.test_share, training.confusions) == (None, {})


def test_confusions_come_with_the_most_frequent_first() -> None:
    targets, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 0, 2])
    assert confusions(targets, predicted) == [(1, 2, 2), (0, 1, 1), (2, 0, 1)]
