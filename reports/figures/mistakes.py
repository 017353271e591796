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
    pictures = dict(
        zip(
            run.pictures.get("indices", np.empty(0, int)).tolist(),
            run.pictures.get("images", []),
            strict=True,
        )
    )
    rows = [
        (f"{label(run, training)}\n{side}", run.predictions[predicted_key(backend, training)])
        for training in shown(run)
        if predicted_key("numpy", training) in run.predictions
        for backend, side in BACKENDS.items()
    ]
    if targets is None or not pictures or not any((p != targets).any() for _, p in rows):
        return []
    canvas, axes = paper(2.15 * len(rows), len(rows), COLUMNS)
    names = run.record.data.class_names
    for row, (title, predicted) in zip(axes, rows, strict=True):
        wrong = [i for i in np.flatnonzero(predicted != targets).tolist() if i in pictures]
        for place, axis in enumerate(row):
            _blank(axis)
            if place < len(wrong):
                i = wrong[place]
                axis.imshow(pictures[i], cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
                axis.set_title(f"{names[targets[i]]} → {names[predicted[i]]}", fontsize=7, pad=2)
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=7.5)
    return [
        Drawing(
            "mistakes",
            canvas,
            "The first test pictures that each side gets wrong, in the order of the test set: true "
            "class → predicted class. Equal rows of the two sides mean equal mistakes.",
            "Rows of misclassified test pictures with their true and predicted classes.",
        )
    ]


def _blank(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)
