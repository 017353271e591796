"""Panels, lines, marks and legends of the figures that an experiment's file describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures.series import Band, thinned
from reports.figures.style import BLUE, GREEN, ORANGE, VERMILLION, paper

# Okabe and Ito's, in an order in which neighbours differ in lightness too.
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
MARKED = 7
"""PyTorch's open marks on a line."""
ENTRIES = 5
"""So many entries of a legend stand in a row."""


def colour(place: int, of: int) -> Any:
    """The colour of a line; from a scale where there are more than can be told apart by name."""
    if of <= len(COLOURS):
        return COLOURS[place]
    return matplotlib.colormaps["viridis"](0.92 * place / (of - 1))


def mark(place: int) -> str:
    """The mark of PyTorch's values on a line."""
    return MARKS[place % len(MARKS)]


def grid(
    panels: int, *, columns: int | None = None, height_cm: float | None = None, **kwargs: Any
) -> tuple[Any, list[Any], int]:
    """A figure with so many panels in equal rows: (figure, axes of the panels, columns)."""
    if columns is None:
        columns = panels if panels <= 3 else 2 if panels == 4 else 3 if panels in (5, 6, 9) else 4
    rows = math.ceil(panels / columns)
    if height_cm is None:
        height_cm = {1: 8.0, 2: 6.6}.get(columns, 5.6 if columns == 3 else 4.4)
    canvas, axes = paper(1.6 + height_cm * rows, rows, columns, **kwargs)
    flat = list(axes.flat)
    for axis in flat[panels:]:
        axis.set_visible(False)
    return canvas, flat[:panels], columns


def label_edges(axes: Sequence[Any], columns: int, x: str, y: str) -> None:
    """Name the axes at the left and at the bottom alone."""
    for place, axis in enumerate(axes):
        if place % columns == 0:
            axis.set_ylabel(y)
        if place + columns >= len(axes):
            axis.set_xlabel(x)
            axis.tick_params(labelbottom=True)


def draw_line(
    axis: Any, band: Band, backend: str, place: int, of: int, *, dashed: bool, scale: float
) -> None:
    """One backend's line: NumPy's as a line with its range, PyTorch's as open marks.

    Args:
        axis: Where to.
        band: What.
        backend: Which backend it is.
        place: The number of the line.
        of: How many lines there are.
        dashed: Whether it is the second quantity.
        scale: Steps in a unit of the x axis.
    """
    if backend == "torch":
        finite = np.flatnonzero(np.isfinite(band.mean))
        if not len(finite):
            return
        # Lines that lie on each other have their marks at different places.
        ends = np.linspace(0, len(finite) - 1, MARKED) + (place % 5) * len(finite) / MARKED / 6
        places = finite[np.unique(np.clip(ends.round().astype(int), 0, len(finite) - 1))]
        axis.plot(
            band.steps[places] / scale,
            band.mean[places],
            ls="none",
            marker=mark(place),
            ms=3.2,
            mfc="none" if not dashed else "white",
            mew=0.8,
            color=colour(place, of),
            zorder=4,
        )
        return
    few = thinned(band)
    x = few.steps / scale
    ink = colour(place, of)
    axis.plot(x, few.mean, color=ink, ls="--" if dashed else "-", lw=1.1, zorder=3)
    if np.any(few.high > few.low):
        axis.fill_between(x, few.low, few.high, color=ink, alpha=0.15, lw=0, zorder=2)
    finite = np.flatnonzero(np.isfinite(few.mean))
    if len(finite) < len(few.mean):
        last = x[finite[-1]] if len(finite) else x[0]
        edge = axis.get_xaxis_transform()
        height = 0.97 - 0.05 * (place % 5)
        axis.plot(
            [last], [height], "x", color=ink, ms=5, mew=1.4, zorder=5, transform=edge,
            gid="diverged",
        )  # fmt: skip


def legend(canvas: Any, lines: Sequence[str], quantity: str, also: str | None) -> None:
    """What the colours are, and which backend and quantity a line or a mark is."""
    cases = [
        Line2D([], [], color=colour(k, len(lines)), marker=mark(k), mfc="none", ms=3.6, mew=0.8,
               label=name)
        for k, name in enumerate(lines)
        if name
    ]  # fmt: skip
    backends = [Line2D([], [], color="black", label="NumPy: line")]
    if also is not None:
        backends = [
            Line2D([], [], color="black", label=f"NumPy, {quantity}"),
            Line2D([], [], color="black", ls="--", label=f"NumPy, {also}"),
        ]
    backends.append(
        Line2D([], [], color="black", ls="none", marker="o", mfc="none", ms=3.6,
               label="PyTorch: open marks")
    )  # fmt: skip
    in_rows(canvas, [cases, backends])


def in_rows(canvas: Any, rows: Sequence[Sequence[Any]]) -> None:
    """A legend above the panels: in one row if it fits, else each group begins a row of its own."""
    if sum(map(len, rows)) <= ENTRIES:
        rows = [[entry for row in rows for entry in row]]
    lines = [row[k : k + ENTRIES] for row in rows for k in range(0, len(row), ENTRIES)]
    columns = max(map(len, lines))
    nothing = Line2D([], [], ls="none", label=" ")
    # Matplotlib fills a legend column by column.
    handles = [line[k] if k < len(line) else nothing for k in range(columns) for line in lines]
    canvas.legend(handles=handles, loc="outside upper center", ncols=columns)


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers alone, along the bottom."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def y_label(quantity: str, also: str | None = None) -> str:
    """The name of the y axis: what both quantities share, if there are two."""
    if also is not None and quantity.split()[-1] == also.split()[-1]:
        quantity = quantity.split()[-1]
    return f"{quantity} (nats)" if quantity in NATS else quantity


NATS = ("loss", "train loss", "training-set loss", "validation loss", "test loss")


def scale_axis(axes: Sequence[Any], quantity: str, highest: float, log: bool) -> bool:
    """Set the y axis of panels that share it.

    Returns:
        Whether the highest values are cut off: a loss that explodes would flatten all others.
    """
    axis = axes[0]
    if log:
        axis.set_yscale("log")
        return False
    if quantity.endswith("accuracy"):
        drawn = [
            np.nanmin(line.get_ydata()) for a in axes for line in a.lines if len(line.get_ydata())
        ]
        lowest = min(drawn, default=0.0)
        if not lowest > 0.6:
            axis.set_ylim(-0.02, 1.02)
        return False
    top = axis.get_ylim()[1]
    if quantity.endswith("loss") and math.isfinite(highest) and top > highest > 0:
        axis.set_ylim(0, highest)
        return True
    return False
