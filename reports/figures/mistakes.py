"""Test pictures that a side takes for something else."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.records import Run
from compare.results import BACKENDS
from reports.figures.canvas import Drawing, paper
from reports.trainings import label, predicted_key, shown

COLUMNS = 10


def draw(run: Run) -> list[Drawing]:
    """A row for each side and training: the first pictures of the test set that it gets wrong."""
    targets = run.predictions.get("targets")
    trainings = [t for t in shown(run) if predicted_key("numpy", t) in run.predictions]
    if targets is None or not trainings or "images" not in run.pictures:
        return []
    rows = [
        (f"{label(run, training)}\n{side}", *_answers(run, training, backend))
        for training in trainings
        for backend, side in BACKENDS.items()
    ]
    if not any((predicted != targets).any() for _, predicted, _ in rows):
        return []
    canvas, axes = paper(2.1 * len(rows), len(rows), COLUMNS)
    for row, (title, predicted, other) in zip(axes, rows, strict=True):
        _draw_row(row, run, targets, predicted, other)
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=7.5)
    return [
        Drawing(
            "mistakes",
            canvas,
            "The first test pictures that each side gets wrong, in the order of the test set: true "
            "class → predicted class. A frame marks a picture to which the other side gives "
            "another answer.",
            "Rows of misclassified test pictures with their true and predicted classes.",
        )
    ]


def _answers(run: Run, training: Any, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes that a side predicts, and those of the other side."""
    other = next(name for name in BACKENDS if name != backend)
    own, others = (run.predictions[predicted_key(side, training)] for side in (backend, other))
    return own, others


def _draw_row(
    row: Any, run: Run, targets: np.ndarray, predicted: np.ndarray, other: np.ndarray
) -> None:
    names = run.record.data.class_names
    indices = run.pictures["indices"].tolist()
    place_of = {index: place for place, index in enumerate(indices)}
    wrong = [i for i in np.flatnonzero(predicted != targets).tolist() if i in place_of]
    for axis in row:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    for axis, i in zip(row, wrong, strict=False):
        picture = run.pictures["images"][place_of[i]]
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(f"{names[targets[i]]} → {names[predicted[i]]}", fontsize=7, pad=2)
        axis.spines[:].set_visible(bool(predicted[i] != other[i]))
