"""Pictures of the data: samples, mistakes, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, TrainingRecord, predicted_key
from reports.figures.style import Drawing, paper
from reports.text import class_name, plural
from reports.trainings import heading, label, ranked, shown

SAMPLE_ROWS = 3
COLUMNS = 10
"""Pictures in a row."""
ROW_CM = 2.1
GAP, HEAD = 1 / 7, 3 / 7  # between columns and above rows, in sizes of a picture
MOST_NUMBERED = 12
"""A confusion matrix of more classes has no numbers in its cells."""
MOST_MATRICES = 3
"""Of more trainings, the best and the worst have confusion matrices."""


def draw_samples(run: Run) -> list[Drawing]:
    """The first test pictures, each under the name of its class."""
    images, indices = run.pictures.get("images"), run.pictures.get("indices")
    targets = run.predictions.get("targets")
    if images is None or indices is None or targets is None or not len(images):
        return []
    names = run.record.data.class_names
    shown = [
        Tile(picture, names[targets[index]]) for picture, index in zip(images, indices, strict=True)
    ][: SAMPLE_ROWS * COLUMNS]
    rows = [shown[first : first + COLUMNS] for first in range(0, len(shown), COLUMNS)]
    return [
        Drawing(
            "samples",
            gallery(rows),
            f"The first {len(shown)} pictures of the test set, each under the class it is labelled "
            "with. Dark is a high value.",
            f"A grid of {len(shown)} small greyscale pictures with their class names.",
        )
    ]


def draw_mistakes(run: Run) -> list[Drawing]:
    """A row for each backend and training: the first test pictures that it gets wrong."""
    trainings = [t for t in shown(run) if predicted_key("numpy", t) in run.predictions]
    if "targets" not in run.predictions or "images" not in run.pictures:
        return []
    trainings = [t for t in trainings if predicted_key("torch", t) in run.predictions]
    rows = [_mistakes(run, training, backend) for training in trainings for backend in BACKENDS]
    if not any(rows):
        return []
    titles = [f"{heading(run, t, 14)}\n{name}" for t in trainings for name in BACKENDS.values()]
    return [
        Drawing(
            "mistakes",
            gallery(rows, titles),
            "The first test pictures that each backend gets wrong, in the order of the test set: "
            "true class → predicted class. A frame marks a picture to which the other backend "
            "gives another answer.",
            "Rows of misclassified test pictures with their true and predicted classes.",
        )
    ]


def _mistakes(run: Run, training: TrainingRecord, backend: str) -> list[Tile]:
    """What a backend gets wrong, framed where the other answers otherwise."""
    targets, names = run.predictions["targets"], run.record.data.class_names
    other = next(name for name in BACKENDS if name != backend)
    own, others = (run.predictions[predicted_key(name, training)] for name in (backend, other))
    return [
        Tile(
            picture, f"{names[targets[i]]} → {class_name(names, own[i])}", bool(own[i] != others[i])
        )
        for i, picture in zip(run.pictures["indices"], run.pictures["images"], strict=True)
        if own[i] != targets[i]
    ][:COLUMNS]


class Tile(NamedTuple):
    """A picture (H, W) of grey values 0 to 255, words above it, and whether it has a frame."""

    picture: np.ndarray
    words: str
    framed: bool = False


def gallery(rows: Sequence[Sequence[Tile]], titles: Sequence[str] = ()) -> Any:
    """Draw rows of pictures, with a title to the left of each row.

    All pictures are one image on one pair of axes: a pair for each would take most of the
    report's time.
    """
    height, width = rows[0][0].picture.shape if rows[0] else (28, 28)
    size = max(height, width)
    gap, head = round(GAP * size), round(HEAD * size)
    mosaic = np.zeros((len(rows) * (size + head), COLUMNS * (size + gap)))
    canvas, axes = paper(ROW_CM * len(rows))
    axis = axes[0, 0]
    axis.set_axis_off()
    for place, row in enumerate(rows):
        top = place * (size + head) + head
        for column, tile in enumerate(row):
            left = column * (size + gap)
            mosaic[top : top + height, left : left + width] = tile.picture
            middle = left + width / 2 - 0.5
            axis.text(middle, top - 1, tile.words, ha="center", va="bottom", fontsize=7.5)
            if tile.framed:
                x = np.array([0, width, width, 0, 0]) + left - 0.5
                y = np.array([0, 0, height, height, 0]) + top - 0.5
                axis.plot(x, y, color="black", lw=1.2)
        if titles:
            axis.text(-gap, top + height / 2, titles[place], ha="right", va="center", fontsize=7.5)
    axis.imshow(mosaic, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axis.set_xlim(-(0.5 + 1.4 * size if titles else 0.5), mosaic.shape[1] - gap)
    return canvas


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, a row for each true class and a column for each predicted one.

    A rounded output that is no class has no column, and is not counted.
    """
    named = (predicted >= 0) & (predicted < classes)
    places = targets[named].astype(np.int64) * classes + predicted[named]
    flat = np.bincount(places, minlength=classes**2)
    return flat.reshape(classes, classes)


def draw_confusion(run: Run) -> list[Drawing]:
    """A matrix for each backend and training, the backends beside each other."""
    targets = run.predictions.get("targets")
    trainings = [t for t in shown(run) if predicted_key("numpy", t) in run.predictions]
    if len(trainings) > MOST_MATRICES:  # more would not fit on a page
        best_first = ranked(run, trainings)
        trainings = [best_first[0], best_first[-1]]
    if targets is None or not trainings:
        return []
    names = run.record.data.class_names
    canvas, axes = paper(7.4 * len(trainings), len(trainings), 2)
    for row, training in zip(axes, trainings, strict=True):
        for axis, (backend, name) in zip(row, BACKENDS.items(), strict=True):
            predicted = run.predictions[predicted_key(backend, training)]
            _draw_matrix(axis, confusion_matrix(targets, predicted, len(names)), names)
            axis.set_title(f"{label(run, training)}: {name}")
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
