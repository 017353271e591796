"""Thousands of comparisons as one map, sites × steps, in units of each bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgba

from compare.records.run import Run, TrainingRecord
from compare.records.tables import ParityRow
from reports.figures.style import Drawing, paper
from reports.network import COMPARISONS, Site, class_of, site_of
from reports.text import count, plural
from reports.trainings import label

MOST_MAPS = 2
"""So many trainings with a failure have a map."""
MOST_ROWS = 64
MOST_COLUMNS = 100

PARTS = {
    "initial": "start",
    "shuffle": "shuffle",
    "forward": "forward",
    "buffer": "buffers",
    "backward": "backward",
    "gradient": "gradients",
    "update": "update",
    "optimizer": "optimizer state",
    "evaluation": "evaluation",
}
LEAST = 1e-6
FAILURE, NOT_COMPARED = "#D7191C", "#e4e4e4"
ROW_CM, MARGIN_CM = 0.27, 2.9
LABEL_POINTS = 6.0


class Grid(NamedTuple):
    """What a heatmap draws.

    Attributes:
        rows: (part, label) of each row.
        steps: The first step of each column.
        ratios: Panel → error / bound, the largest in each cell, NaN where nothing was compared.
        failed: Panel → how many comparisons of each cell failed.
    """

    rows: list[tuple[str, str]]
    steps: list[int]
    ratios: dict[str, np.ndarray]
    failed: dict[str, np.ndarray]


# From fine to coarse: every site, every module, every outermost module, every part.
LEVELS: list[Callable[[Site], str]] = [
    lambda site: "" if site.part == "initial" else site.name.replace("/", " "),
    lambda site: "" if site.part == "initial" else site.module,
    lambda site: "" if site.part == "initial" else site.module.partition(".")[0],
    lambda site: "",
]


def parity_grid(rows: Sequence[ParityRow]) -> Grid:
    """Gather comparisons into the finest grid that can be read on a page."""
    sites = [site_of(row) for row in rows]
    for level in LEVELS:
        names = dict.fromkeys((site.part, level(site)) for site in sites)
        if len(names) <= MOST_ROWS:
            break
    order = {part: place for place, part in enumerate(PARTS)}
    labels = sorted(names, key=lambda name: order.get(name[0], len(order)))
    all_steps = sorted({row.step for row in rows})
    size = max(1, -(-len(all_steps) // MOST_COLUMNS))
    row_of = {name: place for place, name in enumerate(labels)}
    column_of = {step: place // size for place, step in enumerate(all_steps)}
    shape = (len(labels), len(all_steps[::size]))
    kinds = [kind for kind in COMPARISONS if any(site.kind == kind for site in sites)]
    ratios = {kind: np.full(shape, np.nan) for kind in kinds}
    failed = {kind: np.zeros(shape, int) for kind in kinds}
    for row, site in zip(rows, sites, strict=True):
        cell = row_of[site.part, level(site)], column_of[row.step]
        ratios[site.kind][cell] = np.fmax(ratios[site.kind][cell], share(row))
        failed[site.kind][cell] += not row.passed
    return Grid(labels, all_steps[::size], ratios, failed)


def share(row: ParityRow) -> float:
    """The error in units of the bound: above 1 it fails; NaN counts as infinitely far."""
    if np.isnan(row.numpy_error):
        return float("inf")
    if row.tolerance > 0:
        return row.numpy_error / row.tolerance
    return 0.0 if row.passed else float("inf")


def draw_parity(run: Run) -> list[Drawing]:
    """A heatmap for each training with a failure, its kinds of comparison beside each other.

    Of many such trainings the first have one. Where all comparisons pass there is nothing to find
    on a map, and none is drawn.
    """
    found = [(t, run.parity_of(t)) for t in run.record.trainings]
    failing = [(t, rows) for t, rows in found if not all(row.passed for row in rows)]
    return [
        _drawing(run, training, parity_grid(rows), f"parity-{number}", len(rows))
        for number, (training, rows) in enumerate(failing[:MOST_MAPS], 1)
    ]


def _drawing(run: Run, training: TrainingRecord, grid: Grid, name: str, compared: int) -> Drawing:
    panels = list(grid.ratios)
    canvas, axes = paper(MARGIN_CM + ROW_CM * len(grid.rows), 1, len(panels))
    colours = ScalarMappable(LogNorm(LEAST, 1.0), "cividis_r")
    for axis, panel in zip(axes[0], panels, strict=True):
        _draw_panel(axis, grid, panel, colours)
        axis.set_title(COMPARISONS[panel])
        axis.set_xlabel("training step")
    _label_rows(axes[0], grid, {name: class_of(training, name) for name in training.modules})
    bar = canvas.colorbar(
        colours,
        ax=list(axes[0]),
        location="bottom",
        fraction=0.025,
        pad=0.01,
        aspect=45,
        extend="min",
    )
    bar.set_label("largest error / bound in a cell")
    cells = sum(int((failed > 0).sum()) for failed in grid.failed.values())
    marks = (
        f"**Red with a white cross: {plural(cells, 'cell')} with a comparison that fails.**"
        if cells
        else "A cell with a failing comparison would be red with a white cross; there is none."
    )
    return Drawing(
        name,
        canvas,
        f"{label(run, training)}: all {plural(compared, 'comparison')} by site and certified "
        "step, each in units of its own bound. The darker a cell, the nearer its worst comparison "
        f"is to the bound; white is an error of 0, grey was not compared. {marks}",
        f"Heatmap of error over bound, sites against steps, for {label(run, training)}; cells "
        f"that fail: {count(cells)}.",
    )


def _draw_panel(axis: Any, grid: Grid, panel: str, colours: ScalarMappable) -> None:
    ratios, failed = grid.ratios[panel], grid.failed[panel] > 0
    picture = colours.to_rgba(np.clip(np.nan_to_num(ratios), LEAST, 1.0))
    picture[ratios == 0] = to_rgba("white")
    picture[np.isnan(ratios)] = to_rgba(NOT_COMPARED)
    picture[failed] = to_rgba(FAILURE)
    axis.imshow(picture, aspect="auto", interpolation="nearest")
    rows, columns = np.nonzero(failed)
    # A white cross on a black one stands out on any colour, also where red is printed grey.
    axis.scatter(columns, rows, marker="x", color="black", s=16, linewidths=2.4, zorder=3)
    marks = axis.scatter(columns, rows, marker="x", color="white", s=9, linewidths=1.0, zorder=4)
    marks.set_gid(f"failing-{panel}")
    axis.grid(visible=False)
    axis.set_yticks([])
    axis.spines[:].set_visible(True)
    places = np.linspace(0, len(grid.steps) - 1, min(6, len(grid.steps))).round().astype(int)
    ticks = np.unique(places).tolist()
    axis.set_xticks(ticks, [str(grid.steps[tick]) for tick in ticks])


def _label_rows(axes: Any, grid: Grid, classes: dict[str, str]) -> None:
    """Module names beside the rows, and the parts of a step beside those."""
    names = [f"{name} {classes[name]}" if classes.get(name) else name for _, name in grid.rows]
    axes[0].set_yticks(range(len(names)), names, fontsize=LABEL_POINTS)
    axes[0].tick_params(axis="y", length=2)
    left = -0.58 * LABEL_POINTS * max(map(len, names)) - 12
    first = 0
    for part, members in groupby(grid.rows, key=lambda row: row[0]):
        last = first + len(list(members)) - 1
        axes[0].annotate(
            PARTS.get(part, part),
            (0, (first + last) / 2),
            (left, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
        )
        for axis in axes:
            if first:
                axis.axhline(first - 0.5, color="black", lw=0.6)
        first = last + 1
