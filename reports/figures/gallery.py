"""Small pictures in rows, each under a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reports.figures.canvas import paper

COLUMNS = 10
ROW_CM = 2.1
GAP, HEAD = 0.12, 0.38  # in widths of a picture


def gallery(
    rows: Sequence[Sequence[tuple[np.ndarray, str, bool]]], titles: Sequence[str] = ()
) -> Any:
    """Draw rows of (picture, words above it, framed), with a title to the left of each row.

    One pair of axes for all of them: a pair for each would take most of the report's time.
    """
    canvas, axes = paper(ROW_CM * len(rows))
    axis = axes[0, 0]
    axis.set_axis_off()
    for place, row in enumerate(rows):
        top = place * (1 + HEAD)
        for column, (picture, words, framed) in enumerate(row):
            left, right = column * (1 + GAP), column * (1 + GAP) + 1
            axis.imshow(
                picture,
                extent=(left, right, top + 1, top),
                cmap="gray_r",
                vmin=0,
                vmax=255,
                interpolation="nearest",
            )
            axis.text((left + right) / 2, top - 0.05, words, ha="center", va="bottom", fontsize=7.5)
            if framed:
                outline = [left, right, right, left, left], [top, top, top + 1, top + 1, top]
                axis.plot(*outline, color="black", lw=1.2)
    for place, title in enumerate(titles):
        axis.text(-0.25, place * (1 + HEAD) + 0.5, title, ha="right", va="center", fontsize=7.5)
    axis.set_xlim(-1.4 if titles else 0, COLUMNS * (1 + GAP) - GAP)
    axis.set_ylim(len(rows) * (1 + HEAD) - HEAD, -HEAD)
    axis.set_aspect("equal")
    return canvas
