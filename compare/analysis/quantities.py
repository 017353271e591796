"""Figures read off the records of a run: final values, reported quantities, time a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from compare.analysis.timings import Ratio, Spread, median_ratio, spread
from compare.records.run import Run, TrainingRecord, predicted_key
from compare.records.tables import HistoryRow, TimingRow

BACKENDS = {"numpy": "NumPy", "torch": "PyTorch"}


def evaluations(
    run: Run, backend: str, training: TrainingRecord, split: str, metric: str
) -> list[tuple[int, float]]:
    """(epoch, value) of each evaluation of a split in evaluation mode, in order."""
    return [
        (row.epoch, row.value)
        for row in _rows(run, backend, training, split, metric)
        if row.phase == "evaluation"
    ]


def batch_values(
    run: Run, backend: str, training: TrainingRecord, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """(step, value) of each batch in training mode, taken before its update."""
    rows = [row for row in _rows(run, backend, training, "train", metric) if row.phase == "step"]
    return np.array([r.step for r in rows], int), np.array([r.value for r in rows], float)


def quantity(
    run: Run, backend: str, training: TrainingRecord, name: str, epoch: int | None = None
) -> float | None:
    """A quantity of :data:`compare.spec.report.Quantity`, after an epoch or after the last.

    None where the run has no such value.
    """
    if name in SPECIAL:
        return SPECIAL[name](run, backend, training, epoch)
    split, metric = name.split(" ")
    if split == "train":
        return _mean_of_epoch(run, backend, training, metric, epoch)
    split = "train" if split == "training-set" else split
    found = dict(evaluations(run, backend, training, split, metric))
    return found.get(max(found, default=0) if epoch is None else epoch)


def _mean_of_epoch(
    run: Run, backend: str, training: TrainingRecord, metric: str, epoch: int | None
) -> float | None:
    """The mean over an epoch's batches, in training mode; by default the last one evaluated."""
    if epoch is None:
        ends = evaluations(run, backend, training, "train", metric)
        epoch = max((end for end, _ in ends), default=0)
    rows = _rows(run, backend, training, "train", metric)
    values = [row.value for row in rows if row.epoch == epoch and row.phase == "step"]
    return float(np.mean(values)) if values else None


def _accuracy_gap(
    run: Run, backend: str, training: TrainingRecord, epoch: int | None
) -> float | None:
    seen = quantity(run, backend, training, "training-set accuracy", epoch)
    unseen = quantity(run, backend, training, "test accuracy", epoch)
    return None if seen is None or unseen is None else seen - unseen


def _loss_gap(run: Run, backend: str, training: TrainingRecord, epoch: int | None) -> float | None:
    seen = quantity(run, backend, training, "training-set loss", epoch)
    unseen = quantity(run, backend, training, "test loss", epoch)
    return None if seen is None or unseen is None else unseen - seen


def _loss_rises(
    run: Run, backend: str, training: TrainingRecord, epoch: int | None
) -> float | None:
    losses = _losses_until(run, backend, training, epoch)
    # A loss that is not a number has not fallen.
    return float(np.sum(~(losses[1:] <= losses[:-1]))) if len(losses) > 1 else None


def _finite(run: Run, backend: str, training: TrainingRecord, epoch: int | None) -> float | None:
    losses = _losses_until(run, backend, training, epoch)
    return float(np.all(np.isfinite(losses))) if len(losses) else None


def _losses_until(
    run: Run, backend: str, training: TrainingRecord, epoch: int | None
) -> np.ndarray:
    """The batch losses, to the end of an epoch."""
    return np.array(
        [
            row.value
            for row in _rows(run, backend, training, "train", "loss")
            if row.phase == "step" and (epoch is None or row.epoch <= epoch)
        ]
    )


def _near_misses(
    run: Run, backend: str, training: TrainingRecord, epoch: int | None
) -> float | None:
    """The share of mistakes that are one class away; known at the end of the training alone."""
    predicted = run.predictions.get(predicted_key(backend, training))
    targets = run.predictions.get("targets")
    if predicted is None or targets is None or epoch is not None:
        return None
    distances = np.abs(predicted.astype(np.int64) - targets)
    wrong = int((distances > 0).sum())
    return float((distances == 1).sum() / wrong) if wrong else None


SPECIAL: dict[str, Callable[[Run, str, TrainingRecord, int | None], float | None]] = {
    "accuracy gap": _accuracy_gap,
    "loss gap": _loss_gap,
    "loss rises": _loss_rises,
    "finite": _finite,
    "near misses": _near_misses,
}
"""Quantities that are worked out of others."""


class StepTime(NamedTuple):
    """Time of a training step on either backend, and PyTorch's over NumPy's time of a step."""

    numpy: Spread
    torch: Spread
    ratio: Ratio
    steps: int


def step_time(timing: Sequence[TimingRow], training: TrainingRecord) -> StepTime | None:
    """Medians over all timed steps of a training; None where nothing was timed."""
    pairs = np.array(
        [
            (row.numpy_s, row.torch_s)
            for row in timing
            if (row.label, row.seed) == (training.label, training.seed)
        ]
    )
    if not len(pairs):
        return None
    numpy, torch = pairs.T
    return StepTime(spread(numpy), spread(torch), median_ratio(torch, numpy), len(pairs))


def _rows(
    run: Run, backend: str, training: TrainingRecord, split: str, metric: str
) -> list[HistoryRow]:
    return run.curves.get((backend, training.label, training.seed, split, metric), [])
