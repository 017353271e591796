"""What the data looks like."""

from __future__ import annotations

from compare.records import Run
from reports.figures.canvas import Drawing, paper

ROWS, COLUMNS = 3, 10


def draw(run: Run) -> list[Drawing]:
    """The first test pictures, each under the name of its class."""
    images, indices = run.pictures.get("images"), run.pictures.get("indices")
    targets = run.predictions.get("targets")
    if images is None or indices is None or targets is None or not len(images):
        return []
    number = min(len(images), ROWS * COLUMNS)
    rows = -(-number // COLUMNS)
    canvas, axes = paper(2.05 * rows, rows, COLUMNS)
    for place, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if place < number:
            axis.imshow(images[place], cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(run.record.data.class_names[targets[indices[place]]], fontsize=8, pad=2)
    return [
        Drawing(
            "samples",
            canvas,
            f"The first {number} pictures of the test set, each under the class it is labelled "
            "with. Dark is a high value.",
            f"A grid of {number} small greyscale pictures with their class names.",
        )
    ]
