"""What the harness costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from compare.bench import harness, workers
from compare.bench.records import HarnessRecord, Protocol

IN_PROCESS = SimpleNamespace(call=workers.call, close=lambda: None)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two epochs of 100, 100 and 50 rows."""
    _, experiment = harness.load_experiment(harness.EXPERIMENT, ["training.epochs=2"])
    monkeypatch.setattr(harness, "load_experiment", lambda name: (None, experiment))
    monkeypatch.setattr(harness, "TRAIN_ROWS", 250)
    monkeypatch.setattr(harness, "TEST_ROWS", 40)
    harness.epochs_of.cache_clear()


def test_sums_over_sums():
    epochs_s = {"lockstep": [6.0, 3.0], "numpy": [1.0, 1.0], "torch": [1.0, 2.0]}
    record = HarnessRecord(title="", threads=1, steps=2, certified_steps=1, epochs_s=epochs_s)
    ratio = record.over_plain
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((9 / 5, 1, 3))


def test_three_trainings_epoch_by_epoch():
    lines: list[str] = []
    found = harness.measure_harness("SGD", Protocol(), lambda threads: IN_PROCESS, lines.append)
    assert found.steps == 6
    assert 1 <= found.certified_steps <= 6
    assert [len(seconds) for seconds in found.epochs_s.values()] == [2, 2, 2]
    assert lines == [f"harness: mnist_bn_mlp, SGD, epoch {number}" for number in (1, 2)]


def test_the_plain_trainings_train_as_the_lock_step_does():
    """The same draws, the same batches: after an epoch the weights are equal."""
    configuration, splits = harness.configuration_of("Adam"), harness.synthetic_splits()
    lockstep = next(harness.lockstep_epochs(configuration, splits))
    for name, trained in (("numpy", lockstep.numpy), ("torch", lockstep.torch)):
        alone = next(harness.plain_epochs(configuration, splits, name))
        assert (alone.weights() == trained.weights()).all()
