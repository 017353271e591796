"""What the report needs to know of one training, as plain numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from compare.records import DriftRow, Run, TrainingRecord
from compare.results import BACKENDS, StepTime, evaluations, quantity, step_time
from compare.verdict import Verdict, verdict
from reports.figures.differences import batch_gaps
from reports.trainings import label, predicted_key


class Facts(NamedTuple):
    """The numbers of one training.

    Attributes:
        label: Its name in the report.
        training: Its record.
        verdict: What its comparisons add up to.
        time: Time a step, or None.
        values: (backend, quantity) → final value, or None.
        losses: Backend → training loss at the first and at the last evaluation, or None.
        predicted: Backend → predicted classes of the test rows.
        drift: The last measured distances.
    """

    label: str
    training: TrainingRecord
    verdict: Verdict
    time: StepTime | None
    values: dict[tuple[str, str], float | None]
    losses: dict[str, tuple[float, float] | None]
    predicted: dict[str, np.ndarray]
    drift: list[DriftRow]


QUANTITIES = (
    "train loss",
    "validation loss",
    "test loss",
    "validation accuracy",
    "test accuracy",
)


def facts_of(run: Run, training: TrainingRecord) -> Facts:
    """Gather the numbers of a training."""
    key = (training.optimizer, training.seed)
    drift = [row for row in run.drift if (row.optimizer, row.seed) == key]
    last = max((row.step for row in drift), default=0)
    losses = {}
    for backend in BACKENDS:
        found = evaluations(run, backend, training, "train", "loss")
        losses[backend] = (found[0][1], found[-1][1]) if len(found) > 1 else None
    return Facts(
        label(run, training),
        training,
        verdict(run.parity_of(training)),
        step_time(run.timing, training),
        {
            (backend, name): quantity(run, backend, training, name)
            for backend in BACKENDS
            for name in QUANTITIES
        },
        losses,
        {
            backend: run.predictions[predicted_key(backend, training)]
            for backend in BACKENDS
            if predicted_key(backend, training) in run.predictions
        },
        [row for row in drift if row.step == last],
    )


def final_train_accuracy(run: Run, training: TrainingRecord) -> float | None:
    """NumPy's accuracy on the training set at the last evaluation."""
    found = evaluations(run, "numpy", training, "train", "accuracy")
    return found[-1][1] if found else None


def largest_gap(run: Run, training: TrainingRecord) -> tuple[float, int | None, int]:
    """The largest difference of the sides' batch losses, its step, and how many there are."""
    steps, gaps = batch_gaps(run, training, "loss")
    if not len(gaps):
        return 0.0, None, 0
    place = int(np.argmax(gaps))  # NaN counts as the largest
    return float(gaps[place]), int(steps[place]), len(gaps)


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
