"""Which steps are certified: as asked, as the file says, or as many as are worth their time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import torch_nn
from compare.backends.torch_backend import TorchBackend
from compare.parity.plan import (
    SHARE,
    Work,
    affordable_steps,
    plan_explanation,
    plan_replicas,
    plan_steps,
    spread,
    work_of,
)
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


# ---- Replicas, and what is made once more

SHARED = 0.05 / 0.95


def follow(steps: int, **settings: object) -> tuple[int, int, str]:
    found = plan_replicas(ParitySettings(**settings), steps)
    return found.count, found.steps, found.rule


def in_both(count: int) -> float:
    """Steps of both backends for one of the replicas and a float64 run, which takes two."""
    return (2 + 1.1 * count) / 2


@pytest.mark.parametrize("steps", [60, 90, 300, 401, 500, 1407, 3000])
def test_replicas_take_a_twentieth_of_the_time(steps):
    count, followed, _ = follow(steps)
    assert 3 <= followed <= 100
    assert followed == 3 or followed * in_both(count) <= SHARED * steps
    more = followed + (1 if followed < 10 else 10)
    assert more > 100 or more * in_both(count) > SHARED * steps


def test_long_trainings_keep_their_two_replicas_and_hundred_steps():
    assert follow(6000) == (2, 100, "auto")
    assert follow(10**6) == (2, 100, "auto")


def test_where_two_replicas_follow_less_than_ten_steps_one_does():
    assert follow(300) == (1, 10, "auto")
    assert follow(90) == (1, 3, "auto")
    assert follow(2) == (1, 2, "auto")
    assert follow(400) == (2, 10, "auto")


def test_what_the_file_says_of_replicas_stays():
    assert follow(20, replicas=8, replica_steps=100) == (8, 20, "file")
    assert follow(20, replica_steps=15) == (2, 15, "file")
    assert follow(6000, replicas=8) == (8, 50, "auto")
    assert follow(6000, replicas=0) == follow(6000, replica_steps=0) == (0, 0, "file")


@pytest.mark.parametrize("rows", [8, 100, 128, 1000])
@pytest.mark.parametrize("steps", [1, 90, 300, 1407, 10**5])
def test_explaining_the_end_takes_a_twentieth_of_the_time(rows, steps):
    found = plan_explanation(rows, steps)
    assert 100 <= found.rows <= 1000
    # Ten forward passes of one backend, a third of a step each.
    passes = found.rows / rows * 10 / 3 / 2
    assert passes + found.replayed == pytest.approx(SHARED * steps)
    assert found.rows in (100, 1000) or passes == pytest.approx(SHARED * steps / 3, rel=0.02)
    # What is left when the steps of both were made once more goes to those of the float64 run.
    if found.replayed >= 4:
        assert 4 + 1.5 * found.early(4) == pytest.approx(found.replayed)
