"""What is left when one side's curves are taken from the other's."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.analysis.quantities import evaluations
from compare.records.run import Run, TrainingRecord
from reports.facts import gaps
from reports.figures.canvas import BLUE, GREY, VERMILLION, Drawing, paper
from reports.trainings import heading, shown

POINTS = 400
FLOAT32_ROUNDOFF = 2.0**-24


def draw(run: Run) -> list[Drawing]:
    """|NumPy − PyTorch| of every loss, one panel a training."""
    trainings = [t for t in shown(run) if len(gaps(run, t, "loss")[0])]
    if not trainings:
        return []
    canvas, axes = paper(6.6, 1, len(trainings), sharey=True)
    for axis, training in zip(axes[0], trainings, strict=True):
        _draw_training(axis, run, training)
        axis.set_title(heading(run, training))
        axis.set_xlabel("epoch")
    axes[0, 0].set_ylabel("|loss NumPy − loss PyTorch| (nats)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return [
        Drawing(
            "differences",
            canvas,
            "The curves of the two sides subtracted, on a logarithmic axis. The dotted line is the "
            "unit roundoff of float32, 2⁻²⁴, below which nothing of size 1 can agree; losses that "
            "are equal to the bit have no point. Where there are more batches than the paper has "
            "room for, the largest difference in each group is drawn.",
            "The absolute difference of the two sides' losses against the epoch, on a logarithmic "
            "axis.",
        )
    ]


def _draw_training(axis: Any, run: Run, training: TrainingRecord) -> None:
    per_epoch = run.steps_per_epoch[training.label]
    steps, largest = _thinned(*gaps(run, training, "loss"))
    axis.plot(
        (steps + 1) / per_epoch,
        _positive(largest),
        color=BLUE,
        ls="none",
        marker=".",
        ms=2.5,
        label="training batches",
    )
    numpy, torch = (
        dict(evaluations(run, backend, training, "test", "loss")) for backend in ("numpy", "torch")
    )
    last = training.steps / per_epoch
    epochs = [epoch for epoch in numpy if epoch in torch]
    axis.plot(
        [min(epoch, last) for epoch in epochs],
        _positive(np.array([abs(numpy[e] - torch[e]) for e in epochs])),
        color=VERMILLION,
        ls="none",
        marker="s",
        mfc="white",
        label="whole test set",
    )
    axis.axhline(FLOAT32_ROUNDOFF, color=GREY, ls=":", lw=1, label="float32 unit roundoff")
    axis.set_yscale("log")


def _thinned(steps: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most so many groups of neighbours, each with its largest value."""
    size = -(-len(gaps) // POINTS)
    starts = np.arange(0, len(gaps), size)
    return steps[starts], np.maximum.reduceat(gaps, starts)


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show; the rest as gaps."""
    return np.where(values > 0, values, np.nan)
