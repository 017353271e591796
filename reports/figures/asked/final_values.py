"""``final values``: a quantity at the end of the training, against the cases of an axis."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D

from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run
from compare.spec.experiment import Configuration
from compare.spec.report import FigureSettings
from compare.spec.vary import setting
from reports.figures.asked.groups import (
    averaged,
    by_case,
    lines_of,
    missing_panels,
    panels_of,
    plans_of,
    trained,
)
from reports.figures.asked.look import colour, grid, label_edges, legend, mark, y_label
from reports.figures.canvas import Drawing
from reports.trainings import several_seeds
from reports.variants import short_case
from reports.wording import capitalised, escaped


class Point(NamedTuple):
    """The trainings at one place of the axis.

    Attributes:
        values: Their finite figures.
        diverged: How many met a loss, or ended with a figure, that is not a finite number.
    """

    values: list[float]
    diverged: int


def draw(run: Run, form: FigureSettings, name: str) -> Drawing | None:
    """Draw it; None where the run has no such figure, or the form names no axis for it."""
    across = form.across or form.lines
    panels = panels_of(run, form)
    if across is None or not panels:
        return None
    if form.across is None:
        form = form.model_copy(update={"lines": None, "across": across})
    cases = list(by_case(plans_of(run), across))
    places, numeric = _places(run, across, cases)
    names = list(
        dict.fromkeys(
            n for configurations in panels.values() for n in _lines(configurations, form, across)
        )
    )
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    anything = False
    for axis, (title, configurations) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        for line, members in _lines(configurations, form, across).items():
            for backend in BACKENDS:
                points = [
                    _point(run, form, backend, [p for p in members if p.variant[across] == case])
                    for case in cases
                ]
                place = names.index(line)
                side_by_side = 0.0 if numeric else 0.07 * (place - (len(names) - 1) / 2)
                at = [x + side_by_side for x in places]
                anything |= _draw_points(
                    axis, at, points, backend, place, len(names), joined_up=numeric
                )
        if numeric:
            axis.set_xscale("log")
        else:
            words = [short_case(across, case) for case in cases]
            axis.set_xlim(-0.5, len(cases) - 0.5)
            axis.set_xticks(places, words, rotation=30 if max(map(len, words)) > 9 else 0)
    if not anything:
        return None
    if form.log:
        axes[0].set_yscale("log")
    elif form.quantity.endswith("accuracy"):
        axes[0].set_ylim(-0.02, 1.06)
    label_edges(axes, columns, across, y_label(form.quantity))
    legend(canvas, names, form.quantity, None)
    broken = any(line.get_gid() == "diverged" for axis in axes for line in axis.lines)
    if broken:
        cross = Line2D([], [], ls="none", marker="x", color="black", mew=1.4)
        axes[-1].legend([cross], ["diverged"], loc="best")
    return Drawing(
        name,
        canvas,
        _caption(run, form, broken=broken),
        f"Final {form.quantity} against {across}, NumPy as lines and PyTorch as marks.",
    )


def _lines(
    configurations: list[Configuration], form: FigureSettings, across: str
) -> dict[str, list[Configuration]]:
    """Name → configurations of a line; the axis along the bottom makes no lines."""
    if form.lines is not None:
        return lines_of(configurations, form)
    axes = [
        axis
        for axis in configurations[0].variant
        if axis not in (form.panels, across)
        and len({configuration.variant[axis] for configuration in configurations}) > 1
    ]
    found: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        found.setdefault(" ".join(configuration.variant[axis] for axis in axes), []).append(
            configuration
        )
    return found


def _places(run: Run, across: str, cases: list[str]) -> tuple[list[float], bool]:
    """Where the cases stand: at their values, on a logarithmic axis, or side by side."""
    axis = run.record.experiment.vary.get(across)
    if axis is not None and axis.key is not None:
        by_label = {configuration.variant[across]: configuration for configuration in plans_of(run)}
        values = [
            setting(by_label[case].experiment.model_dump(mode="json"), axis.key) for case in cases
        ]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) == len(cases) and min(numbers) > 0 and max(numbers) / min(numbers) > 20:
            return [float(value) for value in numbers], True
    return [float(place) for place in range(len(cases))], False


def _point(
    run: Run, form: FigureSettings, backend: str, configurations: list[Configuration]
) -> Point:
    values, diverged = [], 0
    for training in trained(run, configurations):
        value = quantity(run, backend, training, form.quantity)
        if value is None:
            continue
        diverged += quantity(run, backend, training, "finite") == 0 or not math.isfinite(value)
        if math.isfinite(value):
            values.append(value)
    return Point(values, diverged)


def _draw_points(
    axis: Any,
    places: list[float],
    points: list[Point],
    backend: str,
    place: int,
    of: int,
    *,
    joined_up: bool,
) -> bool:
    """Draw one side's line; return whether there was anything to draw."""
    ink = colour(place, of)
    means = np.array([np.mean(p.values) if p.values else math.nan for p in points])
    if backend == "numpy":
        axis.plot(places, means, "-" if joined_up else ".", color=ink, lw=1.1, zorder=3)
        low = [min(p.values, default=math.nan) for p in points]
        high = [max(p.values, default=math.nan) for p in points]
        if np.any(np.array(high) > np.array(low)):
            axis.vlines(places, low, high, color=ink, lw=1.1, alpha=0.6)
    else:
        axis.plot(places, means, ls="none", marker=mark(place), mfc="none", color=ink, zorder=4)
    for x, mean, point in zip(places, means, points, strict=True):
        if point.diverged:
            # At its value where it has one, else at the upper edge: it is not left out.
            known = math.isfinite(mean)
            transform = axis.transData if known else axis.get_xaxis_transform()
            y = mean if known else 0.985 - 0.045 * (2 * place + (backend == "torch"))
            axis.plot(
                [x], [y], "x", color=ink, ms=5.5 if backend == "numpy" else 8, zorder=5,
                mew=1.6 if backend == "numpy" else 0.8, transform=transform, gid="diverged",
            )  # fmt: skip
    return bool(np.any(np.isfinite(means)) or any(point.diverged for point in points))


def _caption(run: Run, form: FigureSettings, *, broken: bool) -> str:
    told = (
        f"{escaped(form.caption)} "
        if form.caption
        else f"{capitalised(form.quantity)} at the end of the training. "
    )
    told += "Lines or dots are NumPy's and open marks PyTorch's."
    told += averaged(run, form)
    if several_seeds(run):
        seeds = len({training.seed for training in run.record.trainings})
        told += (
            f" Means over {seeds} seeds; NumPy's bars reach from the least to the largest value."
        )
    if broken:
        told += (
            " A cross marks trainings that met a loss that is not a finite number (thick NumPy's, "
            "thin PyTorch's): at the mean of the finite figures, at the upper edge where there is "
            "none."
        )
    return told + missing_panels(run, form)
