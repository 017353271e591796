"""How long a training step takes on either side."""

from __future__ import annotations

from compare.records import Run
from compare.results import BACKENDS
from reports.figures.canvas import SIDE_COLOURS, Drawing, paper
from reports.trainings import label, shown


def draw(run: Run) -> list[Drawing]:
    """Boxes of the time a step, two a training."""
    boxes = []
    for training in shown(run):
        rows = run.timing_of(training)
        for backend, name in BACKENDS.items():
            times = [1e3 * getattr(row, f"{backend}_s") for row in rows]
            if times:
                boxes.append((f"{label(run, training)}: {name}", times, backend))
    if not boxes:
        return []
    canvas, axes = paper(1.8 + 0.75 * len(boxes))
    axis = axes[0, 0]
    drawn = axis.boxplot(
        [times for _, times, _ in boxes],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.55,
        medianprops={"color": "black", "lw": 1.4},
    )
    for box, (_, _, backend) in zip(drawn["boxes"], boxes, strict=True):
        box.set(facecolor=SIDE_COLOURS[backend], alpha=0.55)
        box.set_hatch("" if backend == "numpy" else "////")
    axis.set_yticks(range(1, len(boxes) + 1), [name for name, _, _ in boxes])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("time of one training step (ms)")
    return [
        Drawing(
            "timing",
            canvas,
            "Time of a training step, measured in turn on the two sides within one run. The line "
            "is the median, the box holds the middle half of the steps, and the whiskers reach "
            "from the 5th to the 95th percentile.",
            "Box plots of the time of a training step for each optimizer and side.",
        )
    ]
