"""What the report needs to know of one training, as plain numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from compare.analysis.quantities import (
    BACKENDS,
    StepTime,
    batch_values,
    evaluations,
    quantity,
    step_time,
)
from compare.analysis.verdict import Verdict, verdict
from compare.records.run import Run, TrainingRecord, predicted_key
from compare.records.tables import DriftRow, TimingRow
from reports.trainings import label

QUANTITIES = (
    "train loss",
    "training-set loss",
    "validation loss",
    "test loss",
    "training-set accuracy",
    "validation accuracy",
    "test accuracy",
)


class Facts(NamedTuple):
    """The numbers of one training.

    Attributes:
        label: Its name in the report.
        training: Its record.
        steps: The updates made, also of an epoch that was broken off.
        verdict: What its comparisons add up to.
        time: Time a step, or None: only those that are shown are timed with an interval.
        ratio: The median times a step, PyTorch's over NumPy's, or None.
        values: (backend, quantity) → last value since training began, or None.
        losses: Backend → training loss before training and at the last evaluation, or None.
        train_accuracy: NumPy's on the whole training set at the last evaluation, or None.
        predicted: Backend → predicted classes of the test rows.
        drift: The last measured distances.
    """

    label: str
    training: TrainingRecord
    steps: int
    verdict: Verdict
    time: StepTime | None
    ratio: float | None
    values: dict[tuple[str, str], float | None]
    losses: dict[str, tuple[float, float] | None]
    train_accuracy: float | None
    predicted: dict[str, np.ndarray]
    drift: list[DriftRow]


def facts_of(run: Run, training: TrainingRecord, *, timed: bool = True) -> Facts:
    """Gather the numbers of a training; the interval of its times takes a moment."""
    drift, timing = run.drift_of(training), run.timing_of(training)
    last = max((row.step for row in drift), default=0)
    made = len(batch_values(run, "torch", training, "loss")[0])
    evaluated = evaluations(run, "numpy", training, "train", "accuracy")[1:]
    losses: dict[str, tuple[float, float] | None] = {}
    for backend in BACKENDS:
        found = evaluations(run, backend, training, "train", "loss")
        losses[backend] = (found[0][1], found[-1][1]) if len(found) > 1 else None
    return Facts(
        label(run, training),
        training,
        max(training.steps, made),
        verdict(run.parity_of(training)),
        step_time(timing, training) if timed else None,
        _median_ratio(timing),
        {
            (backend, name): quantity(run, backend, training, name) if evaluated else None
            for backend in BACKENDS
            for name in QUANTITIES
        },
        losses,
        evaluated[-1][1] if evaluated else None,
        {
            backend: run.predictions[predicted_key(backend, training)]
            for backend in BACKENDS
            if predicted_key(backend, training) in run.predictions
        },
        [row for row in drift if row.step == last],
    )


def _median_ratio(timing: list[TimingRow]) -> float | None:
    if not timing:
        return None
    numpy, torch = np.median([(row.numpy_s, row.torch_s) for row in timing], axis=0)
    return float(torch / numpy)


def gaps(run: Run, training: TrainingRecord, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(step, |NumPy − PyTorch|) of each batch that both sides have."""
    (steps, numpy), (_, torch) = (
        batch_values(run, backend, training, metric) for backend in ("numpy", "torch")
    )
    both = min(len(numpy), len(torch))
    with np.errstate(invalid="ignore"):  # two infinities: NaN
        return steps[:both], np.abs(numpy[:both] - torch[:both])


def largest_gap(run: Run, training: TrainingRecord) -> tuple[float, int | None, int, int]:
    """The largest difference of the sides' batch losses, its step, of how many, how many 0."""
    steps, found = gaps(run, training, "loss")
    if not len(found):
        return 0.0, None, 0, 0
    place = int(np.argmax(found))  # NaN counts as the largest
    return float(found[place]), int(steps[place]), len(found), int((found == 0).sum())


def accuracy_gaps(run: Run, training: TrainingRecord, name: str) -> list[float]:
    """|NumPy − PyTorch| of an accuracy at each evaluation.

    Args:
        run: The run.
        training: One of its trainings.
        name: ``test accuracy``, ``validation accuracy`` or ``training-set accuracy``.
    """
    split = name.removesuffix(" accuracy").replace("training-set", "train")
    numpy, torch = (
        dict(evaluations(run, backend, training, split, "accuracy")) for backend in BACKENDS
    )
    return [abs(numpy[epoch] - torch[epoch]) for epoch in numpy if epoch in torch]


def confusions(targets: np.ndarray, predicted: np.ndarray) -> list[tuple[int, int, int]]:
    """(true class, predicted class, times) of all mistakes, the most frequent first."""
    wrong = predicted != targets
    pairs = Counter(zip(targets[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(true, taken, times) for (true, taken), times in ordered]


def mcnemar(only_first: int, only_second: int) -> float:
    """p of McNemar's exact test: is being right alone as likely for either? Two-sided."""
    total = only_first + only_second
    tail = sum(math.comb(total, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**total)


def wilson(right: int, rows: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z = 1.959963984540054
    share = right / rows
    middle = share + z * z / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    size = 1 + z * z / rows
    return (middle - half) / size, (middle + half) / size
