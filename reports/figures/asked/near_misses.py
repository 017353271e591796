"""``near misses``: how far the predicted class is from the right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, TrainingRecord, predicted_key
from compare.spec.report import FigureSettings
from reports.figures.asked.groups import by_case, lines_of, plans_of, trained
from reports.figures.asked.look import grid, in_rows, label_edges, whole_numbers
from reports.figures.canvas import SIDE_COLOURS, Drawing
from reports.trainings import several_seeds
from reports.wording import escaped, percent


def draw(run: Run, form: FigureSettings, name: str) -> Drawing | None:
    """Draw it; None where no prediction was recorded."""
    targets = run.predictions.get("targets")
    if targets is None:
        return None
    panels = {
        ", ".join(filter(None, (panel, line))): [
            t for t in trained(run, members) if predicted_key("numpy", t) in run.predictions
        ]
        for panel, configurations in by_case(plans_of(run), form.panels).items()
        for line, members in lines_of(configurations, form).items()
    }
    panels = {title: trainings for title, trainings in panels.items() if trainings}
    if not panels:
        return None
    furthest = len(run.record.data.class_names) - 1
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    for axis, (title, trainings) in zip(axes, panels.items(), strict=True):
        _draw_panel(axis, run, trainings, targets, furthest)
        axis.set_title(title)
        whole_numbers(axis)
    label_edges(axes, columns, "predicted class − true class", "share of the test rows")
    drawn = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    in_rows(canvas, [[drawn[side] for side in BACKENDS.values()]])
    told = f"{escaped(form.caption)} " if form.caption else ""
    return Drawing(
        name,
        canvas,
        f"{told}Mistakes on the test rows by the distance of the predicted class from the right "
        f"one; what is further than {furthest} stands at the ends. Bars are NumPy's "
        "and open marks PyTorch's; the rows that are right, at 0, are left out and counted in the "
        "panel." + (" Means over the seeds." if several_seeds(run) else ""),
        "Histograms of predicted minus true class among the mistakes, NumPy as bars and PyTorch as "
        "marks.",
    )


def shares(predicted: np.ndarray, targets: np.ndarray, furthest: int) -> np.ndarray:
    """The share of rows at each distance from −furthest to furthest; further ones at the ends.

    Args:
        predicted: Classes (N,), or rounded outputs that are none.
        targets: Classes (N,).
        furthest: The largest distance of two classes.
    """
    distance = np.clip(predicted.astype(np.int64) - targets, -furthest, furthest)
    return np.bincount(distance + furthest, minlength=2 * furthest + 1) / len(targets)


def _draw_panel(
    axis: Any, run: Run, trainings: Sequence[TrainingRecord], targets: np.ndarray, furthest: int
) -> None:
    places = np.arange(-furthest, furthest + 1)
    right = []
    for backend, side in BACKENDS.items():
        found = np.mean(
            [
                shares(run.predictions[predicted_key(backend, training)], targets, furthest)
                for training in trainings
            ],
            axis=0,
        )
        right.append(f"{side} {percent(float(found[furthest]), 1)}")
        found[furthest] = np.nan
        ink = SIDE_COLOURS[backend]
        if backend == "numpy":
            axis.bar(places, found, width=0.8, color=ink, alpha=0.6, label=side)
        else:
            axis.plot(places, found, "o", mfc="none", mec=ink, ms=4, mew=1.0, label=side)
    axis.text(
        0.02, 0.97, "right:\n" + "\n".join(right), transform=axis.transAxes, va="top", fontsize=7
    )
