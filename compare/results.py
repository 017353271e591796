"""Figures read off the records of a run: final values, reported quantities, time a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.records import Run, TrainingRecord
from compare.tables import HistoryRow, TimingRow

BACKENDS = {"numpy": "NumPy", "torch": "PyTorch"}


def evaluations(
    run: Run, backend: str, training: TrainingRecord, split: str, metric: str
) -> list[tuple[int, float]]:
    """(epoch, value) of each evaluation of a split in evaluation mode, in order."""
    ends = _last_steps(run, training)
    return [
        (row.epoch, row.value)
        for row in _rows(run, backend, training, split, metric)
        if row.step == ends.get(row.epoch)
    ]


def batch_values(
    run: Run, backend: str, training: TrainingRecord, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """(step, value) of each batch in training mode, taken before its update."""
    ends = _last_steps(run, training)
    rows = [
        row
        for row in _rows(run, backend, training, "train", metric)
        if row.step != ends.get(row.epoch)
    ]
    return np.array([r.step for r in rows], int), np.array([r.value for r in rows], float)


def quantity(
    run: Run, backend: str, training: TrainingRecord, name: str, epoch: int | None = None
) -> float | None:
    """A quantity of :class:`compare.experiment.Reported`, after an epoch or after the last.

    ``train loss`` and ``train accuracy`` are means over the batches of the epoch, in training
    mode; the others are evaluations. None where the run has no such value.
    """
    split, metric = name.split(" ")
    if split == "train":
        ends = _last_steps(run, training)
        last = max(ends, default=0) if epoch is None else epoch
        values = [
            row.value
            for row in _rows(run, backend, training, split, metric)
            if row.epoch == last and row.step != ends.get(row.epoch)
        ]
        return float(np.mean(values)) if values else None
    found = dict(evaluations(run, backend, training, split, metric))
    return found.get(max(found, default=0) if epoch is None else epoch)


class StepTime(NamedTuple):
    """Time of a training step, in seconds, and PyTorch's time over NumPy's.

    ``low`` and ``high`` bound the ratio of the medians with 95% confidence (bootstrap over
    steps); the quartiles show the spread of single steps.
    """

    numpy_s: float
    torch_s: float
    numpy_quartiles_s: tuple[float, float]
    torch_quartiles_s: tuple[float, float]
    ratio: float
    low: float
    high: float
    steps: int


def step_time(timing: Sequence[TimingRow], training: TrainingRecord) -> StepTime | None:
    """Medians over all timed steps of a training; None where nothing was timed."""
    pairs = np.array(
        [
            (row.numpy_s, row.torch_s)
            for row in timing
            if (row.optimizer, row.seed) == (training.optimizer, training.seed)
        ]
    )
    if not len(pairs):
        return None
    numpy_s, torch_s = np.median(pairs, axis=0)
    quartiles = np.quantile(pairs, [0.25, 0.75], axis=0)
    random = np.random.default_rng(0)
    drawn = pairs[random.integers(0, len(pairs), (1000, min(len(pairs), 2000)))]
    medians = np.median(drawn, axis=1)
    low, high = np.quantile(medians[:, 1] / medians[:, 0], [0.025, 0.975])
    return StepTime(
        float(numpy_s),
        float(torch_s),
        (float(quartiles[0, 0]), float(quartiles[1, 0])),
        (float(quartiles[0, 1]), float(quartiles[1, 1])),
        float(torch_s / numpy_s),
        float(low),
        float(high),
        len(pairs),
    )


def _rows(
    run: Run, backend: str, training: TrainingRecord, split: str, metric: str
) -> list[HistoryRow]:
    key = (backend, training.optimizer, training.seed, split, metric)
    return [r for r in run.history if (r.backend, r.optimizer, r.seed, r.split, r.metric) == key]


def _last_steps(run: Run, training: TrainingRecord) -> dict[int, int]:
    """Epoch → number of updates made by its end: the step of that epoch's evaluations."""
    return {
        row.epoch: row.step
        for row in run.history
        if row.split == "test" and (row.optimizer, row.seed) == (training.optimizer, training.seed)
    }
