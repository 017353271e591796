"""Small pictures in rows, each under a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.figures.canvas import paper

COLUMNS = 10
ROW_CM = 2.1
GAP, HEAD = 1 / 7, 3 / 7  # between columns and above rows, in sizes of a picture


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
