"""Thousands of comparisons as one grid: sites × steps, in units of each bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from compare.records.tables import ParityRow

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
}
PANELS = {
    "float32": "float32, each stage alone",
    "float64": "float64, each stage alone",
    "whole": "float64, the whole step",
}


class Site(NamedTuple):
    """Where values were compared, taken apart."""

    panel: str
    part: str
    module: str
    name: str


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


def site_of(row: ParityRow) -> Site:
    """Take the name of a site apart: ``gradient/1.weight`` is the gradients' module 1."""
    words = row.site.split("/")
    panel = row.dtype
    if words[0] == "whole":
        panel, words = "whole", words[1:]
    part, name = words[0], "/".join(words[1:])
    module = words[1] if len(words) > 1 else ""
    if part in ("initial", "buffer", "gradient", "update", "optimizer"):
        module = module.rpartition(".")[0]
    return Site(panel, part, module, name)


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
    panels = [panel for panel in PANELS if any(site.panel == panel for site in sites)]
    ratios = {panel: np.full(shape, np.nan) for panel in panels}
    failed = {panel: np.zeros(shape, int) for panel in panels}
    for row, site in zip(rows, sites, strict=True):
        cell = row_of[site.part, level(site)], column_of[row.step]
        ratios[site.panel][cell] = np.fmax(ratios[site.panel][cell], _ratio(row))
        failed[site.panel][cell] += not row.passed
    return Grid(labels, all_steps[::size], ratios, failed)


def _ratio(row: ParityRow) -> float:
    if np.isnan(row.numpy_error):
        return float("inf")
    if row.tolerance > 0:
        return row.numpy_error / row.tolerance
    return 0.0 if row.passed else float("inf")
