"""Every comparison on a map, sites × certified steps: a click on a cell shows its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from bokeh.models import (
    CDSView,
    ColumnDataSource,
    FixedTicker,
    Grid,
    HoverTool,
    IndexFilter,
    LogColorMapper,
    LogTicker,
    Range1d,
    Rect,
    Scatter,
    TapTool,
)
from bokeh.models.annotations.legends import ColorBar
from bokeh.palettes import Cividis256

from compare.languages import translated
from compare.records.run import Run, TrainingRecord
from compare.records.tables import ParityRow
from reports.figures.parity import FAILURE, LEAST, PARTS, share
from reports.interactive.plots import Interactive, in_json, plot, small
from reports.network import COMPARISONS, Site, class_of, site_of
from reports.trainings import label, shown

MOST_CELLS = 30_000
"""So many cells are in the page, of all trainings together."""
MOST_MAPS = 8
"""So many trainings have a map."""
NAME = "parity-map"


class Cells(NamedTuple):
    """The cells of one training and one kind of comparison.

    Attributes:
        sites: Site, the first row on top.
        steps: The first and the last certified step of each column.
        rows: Of each cell the comparison that is nearest to its bound: (column, row, comparison).
        failed: Of each cell, whether one of its comparisons fails.
    """

    sites: list[Site]
    steps: list[tuple[int, int]]
    rows: list[tuple[int, int, ParityRow]]
    failed: list[bool]


def cells_of(rows: Sequence[ParityRow], most: int) -> Cells:
    """Arrange comparisons of one kind; neighbouring steps share a column where there are too many.

    Args:
        rows: At least one comparison.
        most: So many cells at most, as far as every site can have one.
    """
    order = {part: place for place, part in enumerate(PARTS)}
    sites = sorted(
        {site_of(row): None for row in rows}, key=lambda site: order.get(site.part, len(order))
    )
    steps = sorted({row.step for row in rows})
    size = max(1, -(-len(steps) * len(sites) // max(most, len(sites))))
    columns = [steps[start : start + size] for start in range(0, len(steps), size)]
    column_of = {step: place for place, found in enumerate(columns) for step in found}
    row_of = {site: place for place, site in enumerate(sites)}
    worst: dict[tuple[int, int], ParityRow] = {}
    failed: dict[tuple[int, int], bool] = {}
    for row in rows:
        cell = column_of[row.step], row_of[site_of(row)]
        failed[cell] = failed.get(cell, False) or not row.passed
        if cell not in worst or _rank(row) > _rank(worst[cell]):
            worst[cell] = row
    places = sorted(worst)
    return Cells(
        sites,
        [(found[0], found[-1]) for found in columns],
        [(*cell, worst[cell]) for cell in places],
        [failed[cell] for cell in places],
    )


def _rank(row: ParityRow) -> tuple[bool, float]:
    return not row.passed, share(row)


def ask_parity(run: Run) -> Interactive | None:
    """The map of the comparisons of every training that it has room for, those that fail first."""
    compared = [training for training in run.record.trainings if run.parity_of(training)]
    if not compared:
        return None
    first = [training.label for training in shown(run)]
    ordered = sorted(
        compared,
        key=lambda t: (all(row.passed for row in run.parity_of(t)), t.label not in first),
    )
    chosen = ordered[:MOST_MAPS]
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    groups = []
    for training in chosen:
        rows = [r for r in run.parity_of(training) if not r.site.startswith("initial/")]
        for kind, text in COMPARISONS.items():
            own = [row for row in rows if site_of(row).kind == kind]
            if not own:
                continue
            most = MOST_CELLS * len(own) // max(1, len(rows) * len(chosen))
            found = cells_of(own, most)
            start = len(columns["x"])
            _add_rows(columns, found)
            worst = max(range(len(found.rows)), key=lambda k: _rank(found.rows[k][2]))
            groups.append(
                {
                    "training": label(run, training),
                    "kind": kind,
                    "text": text,
                    "rows": [start, len(columns["x"])],
                    "steps": [_steps(*ends) for ends in found.steps],
                    "sites": [_name(site) for site in found.sites],
                    "modules": [class_of(training, site.module) for site in found.sites],
                    "parts": [PARTS.get(site.part, site.part) for site in found.sites],
                    "worst": list(found.rows[worst][:2]),
                    "failed": sum(found.failed),
                    "several": any(low != high for low, high in found.steps),
                }
            )
    if not groups:
        return None
    document, root = in_json(_map_plot(columns))
    several = (
        " Where a column stands for several certified steps, a cell has the comparison of them "
        "that came nearest to its bound."
        if any(group["several"] for group in groups)
        else ""
    )
    missing = len(compared) - len(chosen)
    left_out = f" Of {len(compared)} trainings {len(chosen)} have a map." if missing else ""
    return Interactive(
        NAME,
        [],
        document,
        root,
        "Each cell is one comparison: its error as a share of its bound. The darker, the nearer to "
        "the bound; white is an error of 0, red with a white cross fails. A click on a cell, or "
        "the slider and the list of sites, shows the numbers of a comparison."
        f"{several}{left_out}",
        "A map of all comparisons, sites against certified steps, coloured by the error as a "
        "share of its bound.",
        {"groups": groups, "followed": _followed(run, chosen)},
    )


COLUMNS = ("x", "y", "share", "numpy", "torch", "bound", "step", "passed")


def _add_rows(columns: dict[str, list[Any]], found: Cells) -> None:
    for (x, y, row), failed in zip(found.rows, found.failed, strict=True):
        values = (x, y, share(row), row.numpy_error, row.torch_error, row.tolerance, row.step)
        for name, value in zip(COLUMNS, (*values, not failed), strict=True):
            columns[name].append(value)


def _map_plot(columns: dict[str, list[Any]]) -> Any:
    source = ColumnDataSource(
        {
            "x": np.array(columns["x"], np.uint16),
            "y": np.array(columns["y"], np.uint16),
            "share": small(columns["share"]),
            "numpy": small(columns["numpy"]),
            "torch": small(columns["torch"]),
            "bound": small(columns["bound"]),
            "step": np.array(columns["step"], np.int32),
            "passed": np.array(columns["passed"], np.uint8),
        }
    )
    made = plot(420, "certified step", "")
    made.x_range, made.y_range = Range1d(start=-0.5, end=0.5), Range1d(start=0.5, end=-0.5)
    made.background_fill_color = "white"
    colours = LogColorMapper(
        palette=list(Cividis256[::-1]),
        low=LEAST,
        high=1.0,
        low_color="white",
        high_color=FAILURE,
        nan_color=FAILURE,
    )
    cells = made.add_glyph(
        source,
        Rect(
            x="x",
            y="y",
            width=1,
            height=1,
            fill_color={"field": "share", "transform": colours},
            line_color=None,
        ),
        view=CDSView(filter=IndexFilter(indices=[])),
        name="cells",
    )
    cells.nonselection_glyph = None
    cells.selection_glyph = Rect(
        x="x",
        y="y",
        width=1,
        height=1,
        fill_color={"field": "share", "transform": colours},
        line_color="#ff00c8",
        line_width=3,
    )
    crosses = made.add_glyph(
        source,
        Scatter(x="x", y="y", marker="x", size=7, line_color="white", line_width=1.6),
        view=CDSView(filter=IndexFilter(indices=[])),
        name="crosses",
    )
    crosses.nonselection_glyph = None
    made.add_tools(
        TapTool(renderers=[cells], visible=False),
        HoverTool(
            renderers=[cells],
            visible=False,
            tooltips=[
                (translated("site", "figure"), "@site"),
                (translated("step", "figure"), "@step"),
                (translated("NumPy's error", "figure"), "@numpy{%.3e}"),
                (translated("bound", "figure"), "@bound{%.3e}"),
                (translated("share of the bound", "figure"), "@share{%.3e}"),
            ],
            formatters=dict.fromkeys(("@numpy", "@bound", "@share"), "printf"),
        ),
    )
    for axis, which in ((made.below[0], "x"), (made.left[0], "y")):
        axis.ticker = FixedTicker(name=f"{which}-ticks", ticks=[])
        axis.major_label_text_font_size = "10px"
    for grid in made.center:
        if isinstance(grid, Grid) and grid.dimension == 1:
            grid.ticker = FixedTicker(name="parts", ticks=[])
            grid.level = "overlay"
            grid.grid_line_color = "black"
        else:
            grid.visible = False
    made.add_layout(
        ColorBar(
            color_mapper=colours,
            orientation="horizontal",
            height=8,
            title=translated("error / bound", "figure"),
            ticker=LogTicker(desired_num_ticks=4),
            background_fill_color=None,
            bar_line_color=None,
            title_text_font_style="normal",
        ),
        "below",
    )
    return made


def _name(site: Site) -> str:
    return f"{site.part} {site.name}".replace("/", " ")


def _steps(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _followed(run: Run, trainings: Sequence[TrainingRecord]) -> list[dict[str, Any]]:
    """The numbers that were followed, with their values; the nearest to its bound comes first."""
    found = []
    for training in sorted(trainings, key=_share_of_bound, reverse=True):
        value = training.followed
        if value is None:
            continue
        row = ParityRow(
            training.label, training.seed, value.step, value.dtype, value.site,
            value.numpy_error, value.torch_error, value.tolerance, True,
        )  # fmt: skip
        site = site_of(row)
        found.append(
            {
                "training": label(run, training),
                "kind": site.kind,
                "site": _name(site),
                "step": value.step,
                "index": str(value.index),
                "numpy": repr(value.numpy),
                "torch": repr(value.torch),
                "referee": repr(value.referee),
            }
        )
    return found


def _share_of_bound(training: TrainingRecord) -> float:
    value = training.followed
    return value.numpy_error / value.tolerance if value and value.tolerance else 0.0
