"""Pictures of the data: samples, mistakes, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, TrainingRecord, confidence_key, predicted_key
from reports.figures.style import WIDTH_CM, Drawing, paper, plain
from reports.text import class_name, plural
from reports.trainings import heading, label, ranked, shown

SAMPLE_ROWS = 2
COLUMNS = 10
"""Pictures in a row."""
GAP, HEAD = 1 / 7, 3 / 7  # between columns and above rows, in sizes of a picture
MOST_NUMBERED = 12
"""A confusion matrix of more classes has no numbers in its cells."""
MISTAKE_HEAD = 0.9
"""Room for three lines above a picture, in sizes of a picture."""
TWO_ROWS = 1
"""So many trainings have two rows of mistakes, more have one."""
# The cells are wider than high, so that three digits fit.
CELLS = {"aspect": "auto", "interpolation": "nearest"}
SIGNIFICANT_CHANGE = 3.0
"""A difference of so many rows has the full colour, at least."""


def draw_samples(run: Run) -> list[Drawing]:
    """Training pictures of each class; in older records the first test pictures."""
    names = plain(run.record.data.class_names)
    trained = run.pictures.get("train/images")
    if trained is not None and len(trained):
        classes = list(zip(names, trained, strict=False))[:COLUMNS]
        rows = [[Tile(pictures[k], name) for name, pictures in classes] for k in range(SAMPLE_ROWS)]
        what = f"the first {SAMPLE_ROWS} of each class in the training set"
    else:
        images, indices = run.pictures.get("images"), run.pictures.get("indices")
        targets = run.predictions.get("targets")
        if images is None or indices is None or targets is None or not len(images):
            return []
        tiles = [
            Tile(picture, names[targets[index]])
            for picture, index in zip(images, indices, strict=True)
        ][: SAMPLE_ROWS * COLUMNS]
        rows = [tiles[first : first + COLUMNS] for first in range(0, len(tiles), COLUMNS)]
        what = f"the first {len(tiles)} of the test set"
    return [
        Drawing(
            "samples",
            gallery(rows),
            f"Pictures of the data: {what}, each under the class it is labelled with. Dark is a "
            "high value.",
            f"A grid of {sum(map(len, rows))} small greyscale pictures with their class names.",
        )
    ]


def draw_mistakes(run: Run) -> list[Drawing]:
    """For each training the test pictures that a backend gets wrong, disagreements first."""
    if "targets" not in run.predictions or "images" not in run.pictures:
        return []
    trainings = [
        t for t in shown(run) if all(predicted_key(b, t) in run.predictions for b in BACKENDS)
    ]
    rows, titles = [], []
    lines = 2 if len(trainings) <= TWO_ROWS else 1
    for training in trainings:
        tiles = _mistakes(run, training)[: lines * COLUMNS]
        for first in range(0, len(tiles), COLUMNS):
            rows.append(tiles[first : first + COLUMNS])
            titles.append("" if first else heading(run, training, 14))
    if not rows:
        return []
    sure = any(confidence_key("numpy", t) in run.predictions for t in trainings)
    percentages = ", with the probability that it gives to that class" if sure else ""
    return [
        Drawing(
            "mistakes",
            gallery(rows, titles, head=MISTAKE_HEAD),
            "Test pictures that a backend gets wrong: the true class, and what NumPy (N) and "
            f"PyTorch (P) take it for{percentages}. Those on which the two disagree come first "
            "and have a frame; then the order is that of the test set.",
            "Rows of misclassified test pictures with their true and predicted classes.",
        )
    ]


def _mistakes(run: Run, training: TrainingRecord) -> list[Tile]:
    """What either backend gets wrong, each picture once, framed where they disagree."""
    targets, names = run.predictions["targets"], plain(run.record.data.class_names)
    predicted = {b: run.predictions[predicted_key(b, training)] for b in BACKENDS}
    numpy, torch = predicted["numpy"], predicted["torch"]

    def words(i: int) -> str:
        lines = [names[targets[i]]]
        for backend, letter in (("numpy", "N"), ("torch", "P")):
            sure = run.predictions.get(confidence_key(backend, training))
            share = "" if sure is None else f", {100 * sure[i]:.0f}%"
            lines.append(f"{letter}: {class_name(names, predicted[backend][i])}{share}")
        return "\n".join(lines)

    apart, alike = [], []
    for i, picture in zip(run.pictures["indices"], run.pictures["images"], strict=True):
        if numpy[i] != torch[i]:
            apart.append(Tile(picture, words(i), framed=True))
        elif numpy[i] != targets[i]:
            alike.append(Tile(picture, words(i)))
    return apart + alike


class Tile(NamedTuple):
    """A picture (H, W) of grey values 0 to 255, words above it, and whether it has a frame."""

    picture: np.ndarray
    words: str
    framed: bool = False


def gallery(rows: Sequence[Sequence[Tile]], titles: Sequence[str] = (), head: float = HEAD) -> Any:
    """Draw rows of pictures, with a title to the left of each row, and room for words above.

    All pictures are one image on one pair of axes: a pair for each would take most of the
    report's time.
    """
    height, width = rows[0][0].picture.shape if rows[0] else (28, 28)
    size = max(height, width)
    gap, above = round(GAP * size), round(head * size)
    mosaic = np.zeros((len(rows) * (size + above), COLUMNS * (size + gap)))
    edge = 1.4 * size if titles else 0.0
    canvas, axes = paper(WIDTH_CM * mosaic.shape[0] / (mosaic.shape[1] - gap + edge))
    axis = axes[0, 0]
    axis.set_axis_off()
    for place, row in enumerate(rows):
        top = place * (size + above) + above
        for column, tile in enumerate(row):
            left = column * (size + gap)
            mosaic[top : top + height, left : left + width] = tile.picture
            middle = left + width / 2 - 0.5
            axis.text(middle, top - 1, tile.words, ha="center", va="bottom", fontsize=8)
            if tile.framed:
                x = np.array([0, width, width, 0, 0]) + left - 0.5
                y = np.array([0, 0, height, height, 0]) + top - 0.5
                axis.plot(x, y, color="black", lw=1.2)
        if titles:
            axis.text(-gap, top + height / 2, titles[place], ha="right", va="center", fontsize=8)
    axis.imshow(mosaic, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axis.set_xlim(-0.5 - edge, mosaic.shape[1] - gap)
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
    """NumPy's matrix of the best training, and what PyTorch has more or less in each cell."""
    targets = run.predictions.get("targets")
    trainings = [
        t for t in shown(run) if all(predicted_key(b, t) in run.predictions for b in BACKENDS)
    ]
    if targets is None or not trainings:
        return []
    training = ranked(run, trainings)[0]
    names = plain(run.record.data.class_names)
    numpy, torch = (
        confusion_matrix(targets, run.predictions[predicted_key(b, training)], len(names))
        for b in BACKENDS
    )
    canvas, axes = paper(4.3, 1, 2)
    _draw_matrix(axes[0, 0], numpy, names)
    _draw_change(axes[0, 1], torch - numpy, names)
    axes[0, 0].set_title(f"{label(run, training)}: NumPy")
    axes[0, 1].set_title("PyTorch − NumPy")
    for axis in axes[0]:
        axis.set_xlabel("predicted class")
        axis.set_ylabel("true class")
    best = ", which ended best" if len(trainings) > 1 else ""
    return [
        Drawing(
            "confusion",
            canvas,
            f"Confusion matrices on the test set with {label(run, training)}{best}, in test rows. "
            "Left: NumPy's; the darker a cell, the larger its share of its true class. Right: how "
            "many rows more (orange) or fewer (purple) PyTorch has; an empty cell is the same on "
            "both." + _left_out(run, [training]),
            "A confusion matrix of NumPy, and beside it the difference to that of PyTorch.",
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
    axis.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.15, **CELLS)
    _write_numbers(axis, matrix, names, dark=shares > 0.4)


def _draw_change(axis: Any, change: np.ndarray, names: list[str]) -> None:
    most = max(SIGNIFICANT_CHANGE, float(np.abs(change).max(initial=0)))
    axis.imshow(change, cmap="PuOr_r", vmin=-1.6 * most, vmax=1.6 * most, **CELLS)
    _write_numbers(axis, change, names, dark=np.zeros(change.shape, bool), sign=True)


def _write_numbers(
    axis: Any, matrix: np.ndarray, names: list[str], dark: np.ndarray, *, sign: bool = False
) -> None:
    """Name rows and columns, and write what is not 0 into the cells."""
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
            colour = "white" if dark[i, j] else "black"
            text = f"{times:+d}".replace("-", "−") if sign else f"{times}"
            axis.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)
