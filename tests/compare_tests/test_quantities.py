"""Figures read off hand-made records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compare.analysis.quantities import batch_values, evaluations, quantity, step_time
from compare.records.run import Initial, Run, TrainingRecord
from compare.records.tables import HistoryRow, TimingRow


def training(optimizer: str = "SGD", seed: int = 0) -> TrainingRecord:
    return TrainingRecord(
        label=optimizer, seed=seed, finished=True, steps=4, parameters=1, parity_rows=0,
        initial=Initial(values=1, differing_bits=0, copied=False), kinks=[], wall_s=1.0,
    )  # fmt: skip


def history(backend: str, optimizer: str, seed: int, offset: float) -> list[HistoryRow]:
    """Two epochs of two steps; every value tells where it belongs."""
    rows = []

    def add(epoch: int, step: int, phase: str, split: str, value: float) -> None:
        for metric, sign in (("loss", 1), ("accuracy", -1)):
            rows.append(
                HistoryRow(
                    backend,
                    optimizer,
                    seed,
                    epoch,
                    step,
                    phase,
                    split,
                    metric,
                    sign * (offset + value),
                )
            )

    for epoch in (0, 1, 2):
        for step in (2 * epoch - 2, 2 * epoch - 1) if epoch else ():
            add(epoch, step, "step", "train", 100 + step)
        for split, value in (("train", 10), ("validation", 20), ("test", 30)):
            add(epoch, 2 * epoch, "evaluation", split, value + epoch)
    return rows


@pytest.fixture
def run() -> Run:
    rows = []
    for number, (backend, optimizer, seed) in enumerate(
        [("numpy", "SGD", 0), ("torch", "SGD", 0), ("numpy", "SGD", 1), ("numpy", "Adam", 0)]
    ):
        rows += history(backend, optimizer, seed, 1000.0 * number)
    return of(rows)


def of(rows: list[HistoryRow]) -> Run:
    """A run of these rows, two steps an epoch with each optimizer."""
    found = Run(Path(), None, rows, [], [], [], {}, {})  # type: ignore[arg-type]
    found.__dict__["steps_per_epoch"] = {"SGD": 2, "Adam": 2}
    return found


def test_evaluations(run):
    found = evaluations(run, "numpy", training(), "test", "loss")
    assert found == [(0, 30.0), (1, 31.0), (2, 32.0)]
    found = evaluations(run, "torch", training(), "train", "accuracy")
    assert found == [(0, -1010.0), (1, -1011.0), (2, -1012.0)]
    found = evaluations(run, "numpy", training(seed=1), "validation", "loss")
    assert found == [(0, 2020.0), (1, 2021.0), (2, 2022.0)]
    assert evaluations(run, "torch", training(seed=1), "test", "loss") == []


def test_batch_values(run):
    steps, values = batch_values(run, "numpy", training("Adam"), "loss")
    np.testing.assert_array_equal(steps, [0, 1, 2, 3])
    np.testing.assert_array_equal(values, [3100.0, 3101.0, 3102.0, 3103.0])


def test_batch_values_of_nothing(run):
    steps, values = batch_values(run, "torch", training("Adam"), "loss")
    assert len(steps) == len(values) == 0


@pytest.mark.parametrize(
    ("name", "epoch", "value"),
    [
        ("train loss", None, 102.5),  # the mean over the batches of the last epoch
        ("train loss", 1, 100.5),
        ("train accuracy", 2, -102.5),
        ("test loss", None, 32.0),
        ("test loss", 0, 30.0),
        ("test accuracy", 1, -31.0),
        ("validation loss", None, 22.0),
        ("train loss", 0, None),  # no batch was trained on before the first epoch
        ("train loss", 7, None),
        ("test loss", 7, None),
    ],
)
def test_quantity(run, name, epoch, value):
    assert quantity(run, "numpy", training(), name, epoch) == value


def test_quantity_of_nothing(run):
    assert quantity(run, "torch", training("Adam"), "train loss") is None
    assert quantity(run, "torch", training("Adam"), "test loss") is None


def test_an_epoch_that_was_broken_off(run):
    """Batches without an evaluation after them do not count as an epoch."""
    extra = HistoryRow("numpy", "SGD", 0, 3, 4, "step", "train", "loss", 5.0)
    run.history.append(extra)
    broken = training().model_copy(update={"steps": 5, "finished": False})
    assert quantity(run, "numpy", broken, "train loss") == 102.5
    assert quantity(run, "numpy", broken, "train loss", 3) == 5.0
    assert evaluations(run, "numpy", broken, "train", "loss")[-1] == (2, 12.0)


def test_what_is_evaluated_at_each_second_epoch(run):
    """The epochs between have batches, and no row that could be taken for an evaluation."""
    seldom = of([r for r in run.history if r.step != 2 or r.epoch != 1])
    assert evaluations(seldom, "numpy", training(), "train", "loss") == [(0, 10.0), (2, 12.0)]
    steps, values = batch_values(seldom, "numpy", training(), "loss")
    np.testing.assert_array_equal(steps, [0, 1, 2, 3])
    np.testing.assert_array_equal(values, [100.0, 101.0, 102.0, 103.0])


def a_training(losses: list[float], predicted: list[int], targets: list[int]) -> Run:
    """Two steps an epoch, with an evaluation at the end of each."""
    rows = []
    for step, loss in enumerate(losses):
        rows.append(
            HistoryRow("torch", "SGD", 0, step // 2 + 1, step, "step", "train", "loss", loss)
        )
    for epoch in range(len(losses) // 2 + 1):
        for split, accuracy in (("train", 0.9), ("test", 0.6 + 0.1 * epoch)):
            key = ("torch", "SGD", 0, epoch, 2 * epoch, "evaluation", split)
            rows.append(HistoryRow(*key, "accuracy", accuracy))
            rows.append(HistoryRow(*key, "loss", 7.0 if split == "train" else 8.5))
    found = of(rows)
    found.predictions = {"torch/SGD/0": np.array(predicted), "targets": np.array(targets)}
    return found


@pytest.mark.parametrize(
    ("name", "epoch", "value"),
    [
        ("training-set accuracy", None, 0.9),
        ("training-set loss", 1, 7.0),
        ("accuracy gap", None, 0.1),
        ("accuracy gap", 1, 0.2),
        ("accuracy gap", 9, None),
        ("loss gap", None, 1.5),
        ("loss gap", 9, None),
        ("loss rises", None, 2.0),  # to 3.5, and to a loss that is no number
        ("loss rises", 1, 0.0),
        ("finite", None, 0.0),
        ("finite", 1, 1.0),
        ("near misses", None, 0.5),  # two of four: 4 for 3, 2 for 3
        ("near misses", 1, None),
    ],
)
def test_quantities_that_are_worked_out(name, epoch, value):
    run = a_training([3.0, 2.0, 3.5, np.nan], [4, 2, 9, 3, -1], [3, 3, 3, 3, 3])
    found = quantity(run, "torch", training(), name, epoch)
    assert found == (None if value is None else pytest.approx(value))


def test_a_loss_that_stays_infinite_or_nan_has_not_fallen():
    run = a_training([np.nan, np.nan, np.inf, np.inf], [0], [0])
    assert quantity(run, "torch", training(), "loss rises") == 2.0
    assert quantity(run, "torch", training(), "finite") == 0.0


def test_no_mistakes_are_no_near_misses():
    run = a_training([1.0, 0.5], [3], [3])
    assert quantity(run, "torch", training(), "near misses") is None
    assert quantity(run, "numpy", training(), "near misses") is None


def test_step_time():
    timing = [TimingRow("SGD", 0, i, 0.002 + 1e-5 * i, 0.001 + 5e-6 * i) for i in range(11)]
    timing += [TimingRow("SGD", 1, 0, 9.0, 9.0), TimingRow("Adam", 0, 0, 9.0, 9.0)]
    found = step_time(timing, training())
    assert found is not None
    assert found.numpy == pytest.approx((0.002005, 0.002025, 0.00205, 0.002075, 0.002095))
    assert found.torch == pytest.approx([half / 2 for half in found.numpy])
    # Every step has the same ratio, so every draw has it.
    assert found.ratio == pytest.approx((0.5, 0.5, 0.5))
    assert found.steps == 11
    assert step_time(timing, training()) == found  # the same interval every time


def test_step_time_of_nothing():
    assert step_time([TimingRow("Adam", 0, 0, 9.0, 9.0)], training()) is None
