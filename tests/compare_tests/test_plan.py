"""Which steps are certified: as asked, as the file says, or as many as are worth their time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import torch_nn
from compare.backends.torch_backend import TorchBackend
from compare.parity.plan import SHARE, Work, affordable_steps, plan_steps, spread, work_of
from compare.spec.experiment import ParitySettings
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp, cnn, deep_convnet, softmax_mlp

WORK = Work(multiplications=1e6, values=1e4, modules=10, weights=100_000)


def planned(steps: int, **settings: object) -> list[int]:
    found = plan_steps(ParitySettings(**settings), WORK, 100, steps)
    assert found.record.planned == sum(step in found.steps for step in range(steps + 5))
    return [step for step in range(steps + 5) if step in found.steps]


def test_all_steps():
    assert planned(7, certify="all") == list(range(7))
    assert plan_steps(ParitySettings(certify="all"), WORK, 100, 7).record.steps == []


@pytest.mark.parametrize("number", [1, 2, 3, 5, 30, 100, 1000])
def test_so_many_steps(number):
    found = planned(100, certify=number, first_steps=3)
    assert len(found) == min(number, 100)
    assert found[0] == 0
    assert number < 3 or found[-1] == 99


def test_the_numbers_of_the_file_are_kept_whatever_they_cost():
    assert planned(10, first_steps=2, every=4) == [0, 1, 4, 8]
    assert planned(100, every=50) == [*range(20), 50]
    assert planned(100, first_steps=1) == list(range(0, 100, 10))


def test_auto_takes_a_fifth_of_the_time_and_no_more_than_thirty_steps():
    for steps in (1, 50, 400, 1000):
        found = len(planned(steps, certify="auto"))
        certified, plain = found * WORK.certified_s(100), steps * WORK.plain_s(100)
        assert found == 1 or certified <= SHARE * (certified + plain)
    assert len(planned(10**6)) == 20 + 9  # step 0 is among both
    assert planned(400) == planned(400, certify="auto")
    # With one step more it would be beyond.
    found = affordable_steps(WORK, 100, 400)
    certified = (found + 1) * WORK.certified_s(100)
    assert certified > SHARE * (certified + 400 * WORK.plain_s(100))


def test_the_file_goes_before_auto_unless_that_is_asked_for():
    assert ParitySettings(first_steps=1).chosen == "file"
    assert ParitySettings(first_steps=1, certify="auto").chosen == "auto"
    assert ParitySettings(first_steps=1, certify=4).chosen == "number"


def test_spread_has_no_step_twice():
    for steps in range(1, 30):
        for number in range(1, 40):
            found = spread(number, steps)
            assert len(set(found)) == len(found) == min(number, steps)
            assert found == sorted(found)
            assert found[-1] < steps


@pytest.mark.parametrize(
    ("architecture", "shape", "exact"),
    [(softmax_mlp, (784,), True), (bn_mlp, (784,), True), (cnn, (1, 28, 28), True),
     (deep_convnet, (1, 28, 28), False)],
)  # fmt: skip
def test_multiplications_are_those_that_torch_counts(architecture, shape, exact):
    """Padding that does not keep the size is not looked at."""
    referee = TorchBackend(ModelSpec(architecture, settings={"lr": 0.1}), "float64")
    work = work_of(referee, np.zeros((2, *shape), np.float32))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        architecture(torch_nn)(torch.zeros(2, *shape))
    # A multiplication and an addition count as two.
    expected = counter.get_total_flops() / 2 / 2
    assert work.multiplications == pytest.approx(expected, rel=1e-9 if exact else 0.2)
    assert work.modules == sum(not any(m.children()) for m in referee.model.modules())


def test_two_thirds_of_the_steps_are_the_first():
    assert spread(9, 100) == [0, 1, 2, 3, 4, 5, 36, 67, 99]
    assert spread(4, 10) == [0, 1, 2, 9]
    assert spread(1, 10) == [0]


def test_the_file_asks_for_a_tenth_at_least_for_each():
    assert planned(15, first_steps=1) == list(range(15))
    assert planned(25, first_steps=1) == list(range(0, 25, 2))


@pytest.mark.parametrize(("rows", "few"), [(23, None), (24, 8), (100, 8)])
@pytest.mark.parametrize("certify", ["all", "auto", 2])
def test_how_many_rows_are_taken_is_recorded(rows, few, certify):
    record = plan_steps(ParitySettings(certify=certify), WORK, rows, 50).record
    assert record.few_rows == few
    assert record.rule == ("number" if certify == 2 else certify)
    assert record.plain_steps == pytest.approx(2 * WORK.certified_s(rows) / WORK.plain_s(rows))


def test_looking_up_a_row_multiplies_nothing():
    def net(nn):
        return nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 5))

    referee = TorchBackend(ModelSpec(net, settings={"lr": 0.1}), "float64")
    work = work_of(referee, np.zeros((2, 3), np.int64))
    assert work.multiplications == 12 * 5
    assert work.values == 3 + 12 + 12
    assert work.weights == 7 * 4 + 12 * 5 + 5
