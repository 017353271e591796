"""Every comparison of a training in one picture."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from compare.records import Run, TrainingRecord
from reports.figures.canvas import Drawing, paper
from reports.parity_grid import PANELS, PARTS, Grid, parity_grid
from reports.trainings import label, shown
from reports.wording import count

LEAST = 1e-5
FAILURE, NOT_COMPARED = "#D7191C", "#e8e8e8"
ROW_CM, MARGIN_CM = 0.31, 2.9
MOST_MARKS = 2000


def draw(run: Run) -> list[Drawing]:
    """A heatmap for each training, its kinds of comparison beside each other."""
    drawings = []
    for number, training in enumerate(shown(run), 1):
        rows = run.parity_of(training)
        if rows:
            grid = parity_grid(rows)
            drawings.append(_drawing(run, training, grid, f"parity-{number}", len(rows)))
    return drawings


def _drawing(run: Run, training: TrainingRecord, grid: Grid, name: str, compared: int) -> Drawing:
    panels = list(grid.ratios)
    canvas, axes = paper(MARGIN_CM + ROW_CM * len(grid.rows), 1, len(panels), sharey=True)
    colours = ScalarMappable(LogNorm(LEAST, 1.0), "cividis_r")
    for axis, panel in zip(axes[0], panels, strict=True):
        _draw_panel(axis, grid, panel, colours)
        axis.set_title(PANELS[panel])
        axis.set_xlabel("training step")
    _label_rows(axes[0, 0], grid)
    bar = canvas.colorbar(
        colours, ax=list(axes[0]), location="bottom", fraction=0.025, pad=0.01, aspect=45
    )
    bar.set_label(f"largest error / bound in the cell (white: 0; up to {LEAST:g}: lightest)")
    cells = sum(int((failed > 0).sum()) for failed in grid.failed.values())
    marks = (
        f"A red cell with a white cross holds a comparison that fails; there are {count(cells)}."
        if cells
        else "A failing cell would be red with a white cross; there is none."
    )
    return Drawing(
        name,
        canvas,
        f"{label(run, training)}: all {count(compared)} comparisons by site and certified step, "
        "each in units of its own bound. The darker a cell, the nearer its worst comparison is to "
        f"the bound. {marks} Grey was not compared.",
        f"Heatmap of error over bound, sites against steps, for {label(run, training)}; "
        f"{cells} cells fail.",
    )


def _draw_panel(axis: Any, grid: Grid, panel: str, colours: ScalarMappable) -> None:
    ratios, failed = grid.ratios[panel], grid.failed[panel] > 0
    picture = colours.to_rgba(np.clip(np.where(np.isnan(ratios), 1.0, ratios), LEAST, 1.0))
    picture[ratios == 0] = (1, 1, 1, 1)
    picture[np.isnan(ratios)] = _rgba(NOT_COMPARED)
    picture[failed] = _rgba(FAILURE)
    axis.imshow(picture, aspect="auto", interpolation="nearest")
    places = np.argwhere(failed)
    marked = axis.scatter(
        places[:, 1], places[:, 0], marker="x", color="white", s=9, linewidths=1.0, zorder=3
    )
    marked.set_gid(f"failing-{panel}")
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    steps = grid.steps
    ticks = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
    axis.set_xticks(ticks, [str(steps[tick]) for tick in ticks])


def _label_rows(axis: Any, grid: Grid) -> None:
    axis.set_yticks(range(len(grid.rows)), [name for _, name in grid.rows], fontsize=6)
    axis.tick_params(axis="y", length=2)
    first = 0
    for part, members in groupby(grid.rows, key=lambda row: row[0]):
        last = first + len(list(members)) - 1
        axis.annotate(
            PARTS.get(part, part),
            (-0.35, 1 - ((first + last) / 2 + 0.5) / len(grid.rows)),
            xycoords="axes fraction",
            ha="right",
            va="center",
            fontsize=7,
        )
        for other in axis.figure.axes:
            if first:
                other.axhline(first - 0.5, color="black", lw=0.6)
        first = last + 1


def _rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)
