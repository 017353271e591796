"""What the harness costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from compare.bench import harness, workers
from compare.bench.harness import BenchTraining, measure_harness, ratio_of_sums
from compare.bench.records import Protocol

IN_PROCESS = SimpleNamespace(call=workers.call, close=lambda: None)


def bounds(*epochs: list[float]) -> tuple[float, float, float]:
    found = ratio_of_sums(*epochs)
    return found.value, found.low, found.high


def test_sums_over_sums():
    # The first epoch is in every draw, and the others are alike.
    assert bounds([6.0, 3.0, 3.0], [1.0] * 3, [1.0] * 3) == pytest.approx((2, 2, 2))
    _, low, high = bounds([2.0, 1.0, 3.0, 2.0], [1.0] * 4, [0.0] * 4)
    assert low == pytest.approx((2 + 3) / 4, abs=0.1)
    assert high == pytest.approx((2 + 9) / 4, abs=0.1)
    assert bounds([3.0], [1.0], [1.0]) == pytest.approx((1.5, 1.5, 1.5))


def test_three_trainings_epoch_by_epoch():
    lines: list[str] = []
    training = BenchTraining("SGD", rows=250, test_rows=40, epochs=2)
    found = measure_harness(training, Protocol(), lambda threads: IN_PROCESS, lines.append)
    assert found.steps == 6  # two epochs of 100, 100 and 50 rows
    assert found.certified_steps == 6
    assert len(found.lockstep_s) == len(found.plain_s["numpy"]) == len(found.plain_s["torch"]) == 2
    plain = sum(found.plain_s["numpy"]) + sum(found.plain_s["torch"])
    assert found.over_plain.value == pytest.approx(sum(found.lockstep_s) / plain)
    assert lines == [f"harness: mnist_bn_mlp, SGD, epoch {number}" for number in (1, 2)]


def test_the_plain_trainings_train_as_the_lock_step_does():
    """The same draws, the same batches: after an epoch the weights are equal."""
    training = BenchTraining("Adam", rows=250, test_rows=40, epochs=1)
    plan, splits = training.plan(), training.splits()
    lockstep = next(harness.lockstep_epochs(plan, splits))
    for name, trained in (("numpy", lockstep.numpy), ("torch", lockstep.torch)):
        alone = list(harness.plain_epochs(plan, splits, name))
        assert len(alone) == 1
        assert (alone[0].weights() == trained.weights()).all()
