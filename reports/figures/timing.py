"""How long a training step takes on either side."""

from __future__ import annotations

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.analysis.timings import spread
from compare.records.run import Run
from reports.figures.boxes import READING, Box, draw_boxes
from reports.figures.canvas import Drawing, paper
from reports.trainings import label, shown


def draw(run: Run) -> list[Drawing]:
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
            f"Time of a training step, measured in turn on the two sides within one run. {READING}",
            "Box plots of the time of a training step for each optimizer and side.",
        )
    ]
