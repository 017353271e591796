"""What the harness costs, and how long commands take to start."""

from __future__ import annotations

import pytest

from compare.bench.harness import NAMES, Training, measure_harness, ratio_of_sums
from compare.bench.host import Here
from compare.bench.start import COMMANDS, measure_start
from experiments.errors import InputError


def test_sums_over_sums():
    found = ratio_of_sums([6.0, 3.0, 3.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert found.value == pytest.approx(12 / 6)
    # The first epoch is in every draw, and the others are alike.
    assert (found.low, found.high) == pytest.approx((2, 2))
    found = ratio_of_sums([2.0, 1.0, 3.0, 2.0], [1.0] * 4, [0.0] * 4)
    assert found.low == pytest.approx((2 + 3) / 4, abs=0.1)
    assert found.high == pytest.approx((2 + 9) / 4, abs=0.1)
    assert ratio_of_sums([3.0], [1.0], [1.0]) == pytest.approx((1.5, 1.5, 1.5))


def test_three_trainings_epoch_by_epoch():
    here, lines = Here(1), []
    training = Training(optimizer="SGD", rows=250, test_rows=40, epochs=2)
    found = measure_harness(training, lambda name: here, 1, 0.0, lines.append)
    assert found.steps == 6  # two epochs of 100, 100 and 50 rows
    assert found.certified_steps == 6
    assert len(found.lockstep_s) == len(found.plain_s["numpy"]) == len(found.plain_s["torch"]) == 2
    plain = sum(found.plain_s["numpy"]) + sum(found.plain_s["torch"])
    assert found.over_plain.value == pytest.approx(sum(found.lockstep_s) / plain)
    assert lines == ["mnist_bn_mlp, SGD: epoch 1", "mnist_bn_mlp, SGD: epoch 2"]


def test_the_plain_trainings_train_as_the_lock_step_does():
    """The same draws, the same batches: after an epoch the weights are equal."""
    here = Here(1)
    training = Training(optimizer="Adam", rows=250, test_rows=40, epochs=1)
    for name in NAMES:
        here.prepare(name, training)
        here.call(name, "epoch")
    together = here._made["lockstep"].made
    for name, side in (("plain-numpy", together.numpy), ("plain-torch", together.torch)):
        assert (here._made[name].side.weights() == side.weights()).all()
    assert here.call("plain-numpy", "epoch") is None
    assert here.call("lockstep", "epoch") is None


def test_the_commands_start():
    found = measure_start(1, 1, COMMANDS[:2])
    assert [start.command for start in found] == ["nncompare --help", "nncompare list"]
    assert all(start.median_s == start.seconds[0] > 0 for start in found)
    with pytest.raises(InputError, match="nncompare nothing ended with 2: "):
        measure_start(1, 1, ["nothing"])
