"""Stretches: how steps are cut, and that nothing in the records depends on it."""

from __future__ import annotations

import numpy as np
import pytest

from compare.records.tables import TrainingLog
from compare.spec.model import model_spec
from compare.training import lockstep
from compare.training.data import Rows, Splits
from compare.training.lockstep import LockStep

DROPOUT = (
    'model={architecture="pass_fail_mlp",arguments={sizes=[784,8,8,10],dropout=0.5}}',
    "optimizers={SGD={lr=0.1}}",
    "training.gradient_norms=true",
    "reported=[]",
)


class Watching:
    """The steps that an observer hears of."""

    def __init__(self):
        self.steps = []

    def step(self, backend, step, loss, accuracy):
        self.steps.append((backend, step))

    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.fixture
def make(tiny):
    def make(*changes: str, n: int = 230) -> LockStep:
        random = np.random.default_rng(0)
        data = Rows(random.random((n, 784), np.float32), random.integers(0, 10, n))
        form = tiny("training.epochs=3", "training.batch_size=10", *changes)
        configuration = form.configurations[0]
        return LockStep(
            configuration, model_spec(configuration.experiment, configuration.optimizer), 0,
            Splits(data, None, None), TrainingLog(configuration.label, 0), Watching(),
        )  # fmt: skip

    return make


def trained(run: LockStep) -> LockStep:
    for _ in run.train():
        pass
    return run


def cuts(run: LockStep, steps: int, first: int = 0) -> list[list[int]]:
    found = run._stretches((step, np.arange(1)) for step in range(first, steps))
    return [[step for step, _ in stretch] for stretch in found]


def test_they_end_where_something_is_looked_at(make):
    run = make("parity.first_steps=2", "parity.every=25", "parity.replicas=0")
    assert cuts(run, 40) == [
        [0], [1], [*range(2, 10)], [*range(10, 20)], [20, 21, 22, 23, 24], [25],
        [26, 27, 28, 29], [*range(30, 40)],
    ]  # fmt: skip
    assert cuts(run, 30, first=23) == [[23, 24], [25], [26, 27, 28, 29]]


def test_drift_is_measured_between_them(make):
    run = make("parity.first_steps=1", "parity.every=99", "parity.replica_steps=30")
    singles = [[step] for step in range(10)]
    assert cuts(run, 45) == [
        *singles, [*range(10, 20)], [*range(20, 30)], [*range(30, 40)], [*range(40, 45)],
    ]  # fmt: skip


def test_sides_take_turns(make):
    run = trained(make("parity.first_steps=1", "parity.every=99", "parity.replicas=0"))
    heard = run.observer.steps
    assert heard[:3] == [("numpy", 1), ("torch", 1), ("torch", 2)]
    assert heard[11:13] == [("numpy", 2), ("numpy", 3)]
    for backend in ("numpy", "torch"):
        assert [step for name, step in heard if name == backend] == list(range(1, 70))


@pytest.mark.parametrize("changes", [(), DROPOUT], ids=["plain", "dropout"])
def test_records_are_those_of_single_steps(make, monkeypatch, changes):
    looks = ("parity.first_steps=3", "parity.every=31", "parity.replica_steps=40", *changes)
    together = trained(make(*looks)).log
    monkeypatch.setattr(lockstep, "STRETCH", 1)
    apart = trained(make(*looks)).log
    for table in ("parity", "history", "drift", "gradients"):
        assert together.rows[table] == apart.rows[table]
        assert together.rows[table] or table == "gradients"
    assert [r.step for r in together.rows["timing"]] == [r.step for r in apart.rows["timing"]]
    for backend, weights in together.weights.items():
        for name, value in weights.items():
            np.testing.assert_array_equal(value, apart.weights[backend][name])


def test_rows_of_the_history_follow_the_steps(make):
    rows = trained(make("parity.replicas=0")).log.rows["history"]
    batches = [(r.step, r.backend, r.metric) for r in rows if r.split == "train" and r.epoch]
    inside = [row for row in batches if row[0] not in (23, 46, 69)]  # there epochs end
    wanted = [
        (step, backend, metric)
        for step in range(69)
        if step not in (23, 46, 69)
        for backend in ("numpy", "torch")
        for metric in ("loss", "accuracy")
    ]
    assert inside == wanted
