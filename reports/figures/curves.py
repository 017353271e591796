"""Loss and accuracy along the trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from compare.analysis.quantities import BACKENDS, batch_values, evaluations
from compare.records.run import Run, TrainingRecord
from reports.figures.canvas import GREY, SIDE_COLOURS, Drawing, paper
from reports.trainings import heading, shown

POINTS = 300
FLATTENS = 20.0
MARKS = {"train": "o", "validation": "^", "test": "s"}
DASHES = {"train": "-", "validation": ":", "test": "--"}


def draw(run: Run) -> list[Drawing]:
    """One column a training, losses above and accuracies below."""
    trainings = [t for t in shown(run) if evaluations(run, "numpy", t, "train", "loss")]
    if not trainings:
        return []
    canvas, axes = paper(11.2, 2, len(trainings), sharex="col", sharey="row")
    for column, training in zip(axes.T, trainings, strict=True):
        column[0].set_title(heading(run, training))
        for axis, metric in zip(column, ("loss", "accuracy"), strict=True):
            _draw_batches(axis, run, training, metric)
            for split in MARKS:
                _draw_evaluations(axis, run, training, split, metric)
        column[1].set_xlabel("epoch")
    if _explodes(axes[0]):
        axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("mean loss (nats)")
    axes[1, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylim(0, 1.02)
    _draw_legend(canvas, axes)
    return [
        Drawing(
            "curves",
            canvas,
            "Loss and accuracy of both sides. Lines are NumPy's and open marks PyTorch's; where "
            "every mark sits on its line, the two sides train alike. The grey line is the running "
            "mean over NumPy's batches in training mode, before each update; everything else is "
            "measured in evaluation mode at the end of an epoch.",
            "Curves of loss and accuracy against the epoch, one column for each optimizer, with "
            "NumPy as lines and PyTorch as marks.",
        )
    ]


def _explodes(axes: Any) -> bool:
    """Whether one loss is so far above what others start from that it would flatten them."""
    curves = [np.asarray(line.get_ydata(), float) for axis in axes for line in axis.lines]
    curves = [found for curve in curves if len(found := curve[np.isfinite(curve)])]
    if not curves:
        return False
    return bool(max(c.max() for c in curves) > FLATTENS * min(c[0] for c in curves) > 0)


def _draw_legend(canvas: Any, axes: Any) -> None:
    """NumPy's lines in the upper row, PyTorch's marks below them."""
    drawn: dict[str, Any] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        drawn.update(zip(labels, handles, strict=True))
    numpy = ["NumPy, batches", *(f"NumPy, {split}" for split in MARKS)]
    numpy = [name for name in numpy if name in drawn]
    pairs = [(name, name.replace("NumPy", "PyTorch")) for name in numpy]
    nothing = Line2D([], [], ls="none")
    entries = [
        (drawn.get(name, nothing), name * (name in drawn)) for pair in pairs for name in pair
    ]
    handles, labels = zip(*entries, strict=True)
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(pairs))


def _draw_batches(axis: Any, run: Run, training: TrainingRecord, metric: str) -> None:
    steps, values = batch_values(run, "numpy", training, metric)
    if len(steps) < 2:
        return
    window = max(1, len(values) // POINTS, min(len(values) // 10, 20))
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    epochs = (steps[window - 1 :] + 1 - window / 2) / run.steps_per_epoch[training.label]
    thin = slice(None, None, max(1, len(mean) // POINTS))
    axis.plot(epochs[thin], mean[thin], color=GREY, alpha=0.6, lw=0.8, label="NumPy, batches")


def _draw_evaluations(
    axis: Any, run: Run, training: TrainingRecord, split: str, metric: str
) -> None:
    last = training.steps / run.steps_per_epoch[training.label]
    for backend, name in BACKENDS.items():
        found = evaluations(run, backend, training, split, metric)
        if not found:
            continue
        epochs = [min(epoch, last) for epoch, _ in found]
        values = [value for _, value in found]
        look: dict[str, Any] = (
            {"ls": DASHES[split]}
            if backend == "numpy"
            else {"ls": "none", "marker": MARKS[split], "mfc": "none", "mew": 0.9}
        )
        axis.plot(epochs, values, color=SIDE_COLOURS[backend], label=f"{name}, {split}", **look)
