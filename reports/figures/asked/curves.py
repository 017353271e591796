"""``curves``: a quantity along the training, lines and panels for the cases of two axes."""

from __future__ import annotations

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from compare.spec.report import FigureSettings
from reports.figures.asked.groups import (
    averaged,
    lines_of,
    missing_panels,
    panels_of,
    trained,
)
from reports.figures.asked.look import (
    draw_line,
    grid,
    label_edges,
    legend,
    scale_axis,
    whole_numbers,
    y_label,
)
from reports.figures.asked.series import BATCH, Band, is_smoothed, series, together
from reports.figures.canvas import Drawing
from reports.trainings import several_seeds
from reports.wording import capitalised, escaped

CUT = 3.0
"""A loss axis ends at so many times the loss that the trainings typically start from."""


def draw(run: Run, form: FigureSettings, name: str) -> Drawing | None:
    """Draw it; None where the run has no such curve."""
    quantities = [form.quantity, *([form.also] if form.also else [])]
    panels = panels_of(run, form)
    if not panels:
        return None
    names = list(
        dict.fromkeys(
            line for configurations in panels.values() for line in lines_of(configurations, form)
        )
    )
    by_step = all(quantity in BATCH for quantity in quantities)
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    starts: list[float] = []
    for axis, (title, configurations) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        whole_numbers(axis)
        for line, members in lines_of(configurations, form).items():
            trainings = trained(run, members)
            per_epoch = run.steps_per_epoch[members[0].label]
            for backend in BACKENDS:
                for quantity in quantities:
                    band = together([series(run, backend, t, quantity) for t in trainings])
                    if band is None:
                        continue
                    starts += _start(band)
                    draw_line(
                        axis,
                        band,
                        backend,
                        names.index(line),
                        len(names),
                        dashed=quantity != form.quantity,
                        scale=1 if by_step else per_epoch,
                    )
    if not starts:
        return None
    cut = scale_axis(axes, form.quantity, CUT * float(np.median(starts)), form.log)
    label_edges(axes, columns, "step" if by_step else "epoch", y_label(form.quantity, form.also))
    legend(canvas, names, form.quantity, form.also)
    crossed = any(line.get_gid() == "diverged" for axis in axes for line in axis.lines)
    return Drawing(
        name,
        canvas,
        _caption(run, form, cut=cut, crossed=crossed),
        f"{capitalised(form.quantity)} along the training, panels: {len(panels)}, NumPy as lines "
        "and PyTorch as marks.",
    )


def _start(band: Band) -> list[float]:
    return [float(band.mean[0])] if np.isfinite(band.mean[0]) else []


def _caption(run: Run, form: FigureSettings, *, cut: bool, crossed: bool) -> str:
    told = f"{escaped(form.caption)} " if form.caption else f"{capitalised(form.quantity)}. "
    told += "Lines are NumPy's and open marks PyTorch's"
    told += f"; {form.also} is dashed." if form.also else "."
    told += averaged(run, form)
    if several_seeds(run):
        seeds = len({training.seed for training in run.record.trainings})
        told += f" Means over {seeds} seeds; the band reaches from the least to the largest."
    if is_smoothed(run, (form.quantity, form.also)):
        told += " What is measured on batches is a running mean."
    if crossed:
        told += (
            " A cross at the upper edge is where NumPy's curve ends in a value that is not finite."
        )
    if cut:
        told += " Losses far above those at the start are cut off."
    return told + missing_panels(run, form)
