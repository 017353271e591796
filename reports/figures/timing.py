"""How long a training step takes with either backend: boxes of measured times, one a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.analysis.timings import Spread, spread
from compare.records.run import Run
from reports.figures.style import BACKEND_COLOURS, Drawing, paper
from reports.trainings import label, shown

READING = (
    "The line is the median, the box holds the middle half of the steps, and the whiskers reach "
    "from the 5th to the 95th percentile."
)


class Box(NamedTuple):
    """One row: its name, its times, and whose they are (``numpy``, ``torch`` or a colour)."""

    name: str
    spread: Spread
    backend: str


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
        patch.set(facecolor=BACKEND_COLOURS.get(box.backend, box.backend), alpha=0.55)
        patch.set_hatch("////" if box.backend == "torch" else "")
    axis.set_yticks(range(1, len(boxes) + 1), [box.name for box in boxes])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("time of one training step (ms)")


def draw_timing(run: Run) -> list[Drawing]:
    """Boxes of the time a step, two a training."""
    boxes = []
    for training in shown(run):
        rows = run.timing_of(training)
        for backend, name in BACKENDS.items():
            times = np.array([getattr(row, f"{backend}_s") for row in rows])
            if len(times):
                boxes.append(Box(f"{label(run, training)}: {name}", spread(times), backend))
    if not boxes:
        return []
    canvas, axes = paper(1.8 + 0.75 * len(boxes))
    draw_boxes(axes[0, 0], boxes)
    return [
        Drawing(
            "timing",
            canvas,
            "Time of a training step, measured in turn on the two backends within one run. "
            f"{READING}",
            "Box plots of the time of a training step for each optimizer and backend.",
        )
    ]
