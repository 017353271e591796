"""``best trials``: the curves of the trainings that ended best, a panel each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run
from compare.spec.experiment import Configuration
from compare.spec.report import FigureSettings
from reports.figures.asked.groups import plans_of, trained
from reports.figures.asked.look import draw_line, grid, legend, whole_numbers, y_label
from reports.figures.asked.series import is_smoothed, series, together
from reports.figures.canvas import Drawing
from reports.trainings import several_seeds
from reports.variants import drawn_settings
from reports.wording import capitalised, escaped, fixed

COLUMNS = 5
ROW_CM = 4.1
LOW_IS_GOOD = ("loss", "rises", "gap")


def draw(run: Run, form: FigureSettings, name: str) -> Drawing | None:
    """Draw it; None where the run has no such curve."""
    best = ranking(run, form)[: form.count]
    if not best:
        return None
    quantities = [form.quantity, *([form.also] if form.also else [])]
    canvas, axes, _ = grid(len(best), columns=COLUMNS, height_cm=ROW_CM, sharex=True, sharey=True)
    for place, (axis, (configuration, score)) in enumerate(zip(axes, best, strict=True), 1):
        whole_numbers(axis)
        axis.set_title(f"{place}: {fixed(score, 3)}")
        per_epoch = run.steps_per_epoch[configuration.label]
        for backend in BACKENDS:
            for number, drawn in enumerate(quantities):
                band = together(
                    [series(run, backend, t, drawn) for t in trained(run, [configuration])]
                )
                if band is not None:
                    draw_line(axis, band, backend, number, 2, dashed=number == 1, scale=per_epoch)
        axis.set_xlabel(_settings(run, configuration), fontsize=6.5)
    if form.log:
        axes[0].set_yscale("log")
    elif form.quantity.endswith("accuracy"):
        axes[0].set_ylim(-0.02, 1.02)
    for axis in axes[::COLUMNS]:
        axis.set_ylabel(y_label(form.quantity, form.also))
    legend(canvas, [], form.quantity, form.also)
    return Drawing(
        name,
        canvas,
        _caption(run, form, len(best), len(plans_of(run))),
        f"The curves of the {len(best)} best trainings by {form.quantity}, one panel each.",
    )


def ranking(run: Run, form: FigureSettings) -> list[tuple[Configuration, float]]:
    """(configuration, NumPy's mean over seeds of the final quantity), the best first.

    A configuration with a training that did not end with a finite figure is left out.
    """
    found = []
    for configuration in plans_of(run):
        values = [quantity(run, "numpy", t, form.quantity) for t in trained(run, [configuration])]
        known = [value for value in values if value is not None and math.isfinite(value)]
        if known and len(known) == len(values):
            found.append((configuration, float(np.mean(known))))
    low = form.quantity.endswith(LOW_IS_GOOD)
    return sorted(found, key=lambda one: one[1] if low else -one[1])


def _settings(run: Run, configuration: Configuration) -> str:
    """What is varied, below a panel: the drawn settings, or else the cases."""
    drawn = drawn_settings(run.record.experiment, configuration)
    if drawn:
        return "\n".join(f"{name} {_short(value)}" for name, value in drawn)
    cases = [case for axis, case in configuration.variant.items() if _differs(run, axis)]
    return "\n".join(cases)


def _differs(run: Run, axis: str) -> bool:
    return len({configuration.variant[axis] for configuration in run.configurations.values()}) > 1


def _short(value: Any) -> str:
    return f"{value:.2g}"


def _caption(run: Run, form: FigureSettings, drawn: int, of: int) -> str:
    told = f"{escaped(form.caption)} " if form.caption else ""
    told += (
        f"The {drawn} best of {of} by NumPy's final {form.quantity}, which stands above each panel "
        f"with its place; below it, what was varied. {capitalised(form.quantity)} is solid"
        + (f", {form.also} dashed" if form.also else "")
        + "; the axis along the bottom is the epoch. Lines are NumPy's and open marks PyTorch's."
    )
    if several_seeds(run):
        told += " Means over the seeds; the band reaches from the least to the largest."
    if is_smoothed(run, (form.quantity, form.also)):
        told += " What is measured on batches is a running mean."
    return told
