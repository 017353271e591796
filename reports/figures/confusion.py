"""Which class is taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, TrainingRecord, predicted_key
from reports.figures.canvas import Drawing, paper
from reports.trainings import label, ranked, shown
from reports.wording import plural

MOST_NUMBERED = 12
MOST_ROWS = 3


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, a row for each true class and a column for each predicted one.

    A rounded output that is no class has no column, and is not counted.
    """
    named = (predicted >= 0) & (predicted < classes)
    places = targets[named].astype(np.int64) * classes + predicted[named]
    flat = np.bincount(places, minlength=classes**2)
    return flat.reshape(classes, classes)


def draw(run: Run) -> list[Drawing]:
    """A matrix for each side and training, the sides beside each other."""
    targets = run.predictions.get("targets")
    trainings = [t for t in shown(run) if predicted_key("numpy", t) in run.predictions]
    if len(trainings) > MOST_ROWS:  # more would not fit on a page
        best_first = ranked(run, trainings)
        trainings = [best_first[0], best_first[-1]]
    if targets is None or not trainings:
        return []
    names = run.record.data.class_names
    canvas, axes = paper(7.4 * len(trainings), len(trainings), 2)
    for row, training in zip(axes, trainings, strict=True):
        for axis, (backend, side) in zip(row, BACKENDS.items(), strict=True):
            predicted = run.predictions[predicted_key(backend, training)]
            _draw_matrix(axis, confusion_matrix(targets, predicted, len(names)), names)
            axis.set_title(f"{label(run, training)}: {side}")
            axis.set_xlabel("predicted class")
            axis.set_ylabel("true class")
    return [
        Drawing(
            "confusion",
            canvas,
            "Confusion matrices on the test set, counts of test rows. The darker a cell, the "
            "larger its share of its true class; what lies off the diagonal is wrong."
            + _left_out(run, trainings),
            "Confusion matrices of NumPy and PyTorch side by side, one row for each optimizer.",
        )
    ]


def _left_out(run: Run, trainings: list[TrainingRecord]) -> str:
    """A sentence on rounded outputs that are no class."""
    classes = len(run.record.data.class_names)
    keys = [predicted_key(backend, t) for t in trainings for backend in BACKENDS]
    found = [run.predictions[key] for key in keys if key in run.predictions]
    outside = sum(int(((p < 0) | (p >= classes)).sum()) for p in found)
    return f" {plural(outside, 'output')} rounded to no class and left out." if outside else ""


def _draw_matrix(axis: Any, matrix: np.ndarray, names: list[str]) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.15, interpolation="nearest")
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    if len(names) > MOST_NUMBERED:
        return
    rotated = max(map(len, names)) > 2
    axis.set_xticks(range(len(names)), names, rotation=45 if rotated else 0)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(length=0)
    for (i, j), times in np.ndenumerate(matrix):
        if times:
            colour = "white" if shares[i, j] > 0.4 else "black"
            axis.text(j, i, f"{times}", ha="center", va="center", fontsize=6.5, color=colour)
