"""The figures of ``optimizer_paths``: paths on contours, and what happens along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from compare.demos.path_facts import PathFacts, all_facts, gaps
from compare.demos.records import KindRun
from compare.spec.demos import OptimizerPaths
from reports.figures.style import (
    BACKEND_COLOURS,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Drawing,
    paper,
)
from reports.text import joined, number, plural

Facts = Mapping[tuple[str, str], PathFacts]

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, GREY, "#CC79A7", "#56B4E9", "black")
DASHES = ("-", "--", "-.", ":")
LEVELS = 12
# What is this many times as far from the minimum as the start is not drawn.
FARTHEST = 3.0


def draw_paths(run: KindRun) -> list[Drawing]:
    """The contours with the paths, then the value, y and the sides' distance along the steps."""
    form = run.record.experiment
    assert isinstance(form, OptimizerPaths)
    facts = all_facts(run.tables["paths"])
    return [_contours(form, facts), _along(form, facts)]


def _contours(form: OptimizerPaths, facts: Facts) -> Drawing:
    labels = list(form.optimizers)
    columns = min(2, len(labels))
    rows = -(-len(labels) // columns)
    canvas, axes = paper(1.2 + 5.6 * rows, rows, columns, sharex=True, sharey=True)
    x, y = _view(facts)
    grid = np.meshgrid(np.linspace(*x, 201), np.linspace(*y, 201))
    p, q = form.divisors
    height = grid[0] ** 2 / p + grid[1] ** 2 / q
    # Equal steps of √f are equal steps of distance: contours neither crowd nor leave gaps.
    levels = np.linspace(0, np.sqrt(height.max()), LEVELS + 1)[1:] ** 2
    for axis in axes.flat[len(labels) :]:
        axis.set_visible(False)
    for axis, label in zip(axes.flat, labels, strict=False):
        axis.contour(*grid, height, levels, colors="#b5b5b5", linewidths=0.6)
        axis.grid(visible=False)
        axis.plot(0, 0, "+", color="black", ms=8, mew=1.2, label="minimum")
        numpy, torch = facts["numpy", label].points, facts["torch", label].points
        axis.plot(*numpy.T, ".-", color=BACKEND_COLOURS["numpy"], lw=1.1, ms=3.5, label="NumPy")
        axis.plot(*torch.T, "o", color=BACKEND_COLOURS["torch"], mfc="none", ms=6, mew=0.8,
                  label="PyTorch")  # fmt: skip
        axis.plot(*numpy[0], "s", color="black", ms=4.5, label="start")
        axis.set_title(f"{label}: length {number(facts['numpy', label].length)}")
        axis.set_xlim(x)
        axis.set_ylim(y)
        axis.set_xlabel("x")
        axis.set_ylabel("y")
        axis.label_outer()
    handles, names = axes.flat[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=4)
    steps = max(fact.steps for fact in facts.values())
    away = [label for label in labels if _runs_away(facts["numpy", label])]
    left = f" {joined(away)} runs away and leaves the picture." if away else ""
    return Drawing(
        "paths",
        canvas,
        f"The first {plural(steps, 'step')} of every optimizer on the contours of $f$. Lines with "
        "dots are NumPy's path and open circles PyTorch's; where every circle is around a dot, "
        "the two sides walk alike. The contours are drawn at equal steps of $\\sqrt f$. The two "
        f"axes have different scales.{left}",
        "Contour plots of a valley along x with the paths of "
        f"{', '.join(labels)}; NumPy as a line with dots, PyTorch as open circles.",
    )


def _runs_away(fact: PathFacts) -> bool:
    distance = np.hypot(*fact.points.T)
    return bool((~(distance <= FARTHEST * distance[0])).any())


def _view(facts: Facts) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part of the plane that shows the paths, as far as they do not run away."""
    points = np.concatenate([fact.points for fact in facts.values()])
    farthest = FARTHEST * np.hypot(*points[0])
    points = np.vstack([points[np.hypot(*points.T) <= farthest], [[0, 0]]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.maximum(0.08 * (high - low), 1e-3)
    low, high = low - margin, high + margin
    half = max(-low[1], high[1])  # the floor of the valley in the middle
    return (float(low[0]), float(high[0])), (-float(half), float(half))


def _along(form: OptimizerPaths, facts: Facts) -> Drawing:
    canvas, axes = paper(7.0, 1, 3)
    value, across, gap = axes[0]
    for place, label in enumerate(form.optimizers):
        colour = COLOURS[place % len(COLOURS)]
        line: dict[str, Any] = {"color": colour, "ls": DASHES[place % 4], "lw": 1.1}
        marks: dict[str, Any] = {"color": colour, "ls": "none", "mfc": "none", "mew": 0.7}
        numpy, torch = facts["numpy", label], facts["torch", label]
        steps = np.arange(numpy.steps + 1)
        every = max(1, len(steps) // 40)
        for axis, a, b in ((value, numpy.values, torch.values),
                           (across, numpy.points[:, 1], torch.points[:, 1])):  # fmt: skip
            axis.plot(steps, a, label=label, **line)
            axis.plot(steps[::every], b[::every], marker="o", ms=2.8, **marks)
        distance = gaps(facts, label)
        gap.plot(steps[: len(distance)], np.where(distance > 0, distance, np.nan), **line)
    value.set_yscale("log", nonpositive="mask")
    value.set_title("f")
    across.set_title("y")
    gap.set_title("distance of the sides")
    if any(line.get_ydata().size and np.isfinite(line.get_ydata()).any() for line in gap.lines):
        gap.set_yscale("log")
    for axis in axes[0]:
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, names = value.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)))
    return Drawing(
        "along",
        canvas,
        "Along the steps: the value, the position across the valley, and how far the two sides' "
        "points are from each other. In the first two panels lines are NumPy's and open marks "
        "PyTorch's; in the last a step where both points are equal to the bit is left out.",
        "Three panels against the step: the value on a logarithmic axis, y, and the distance "
        "between NumPy's and PyTorch's points.",
    )
