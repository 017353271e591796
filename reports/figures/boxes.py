"""Boxes of measured times, one a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from compare.analysis.timings import Spread
from reports.figures.canvas import SIDE_COLOURS

READING = (
    "The line is the median, the box holds the middle half of the steps, and the whiskers reach "
    "from the 5th to the 95th percentile."
)


class Box(NamedTuple):
    """One row: its name, its times, and whose they are (``numpy``, ``torch`` or a colour)."""

    name: str
    spread: Spread
    side: str


def draw_boxes(axis: Any, boxes: Sequence[Box]) -> None:
    """Draw the boxes, in milliseconds, the first on top. :data:`READING` says how to read them."""
    drawn = axis.bxp(
        [
            {
                "whislo": 1e3 * box.spread.low_s,
                "q1": 1e3 * box.spread.quartile_s,
                "med": 1e3 * box.spread.median_s,
                "q3": 1e3 * box.spread.upper_quartile_s,
                "whishi": 1e3 * box.spread.high_s,
            }
            for box in boxes
        ],
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        widths=0.55,
        medianprops={"color": "black", "lw": 1.4},
    )
    for patch, box in zip(drawn["boxes"], boxes, strict=True):
        patch.set(facecolor=SIDE_COLOURS.get(box.side, box.side), alpha=0.55)
        patch.set_hatch("////" if box.side == "torch" else "")
    axis.set_yticks(range(1, len(boxes) + 1), [box.name for box in boxes])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("time of one training step (ms)")
