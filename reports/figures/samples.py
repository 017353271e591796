"""What the data looks like."""

from __future__ import annotations

from compare.records.run import Run
from reports.figures.canvas import Drawing
from reports.figures.gallery import COLUMNS, Tile, gallery

ROWS = 3


def draw(run: Run) -> list[Drawing]:
    """The first test pictures, each under the name of its class."""
    images, indices = run.pictures.get("images"), run.pictures.get("indices")
    targets = run.predictions.get("targets")
    if images is None or indices is None or targets is None or not len(images):
        return []
    names = run.record.data.class_names
    shown = [
        Tile(picture, names[targets[index]]) for picture, index in zip(images, indices, strict=True)
    ][: ROWS * COLUMNS]
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
