"""The tables of comparisons: by kind, the nearest to their bounds, and one number in full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from compare.records.run import Run
from compare.records.tables import ParityRow
from reports.followed import Followed, nearest
from reports.network import COMPARISONS, site_of
from reports.statistics import TrainingStatistics
from reports.text import code, count, escaped, number, percent, pipe_table
from reports.trainings import MOST_SHOWN

MOST_ALONE = MOST_SHOWN
"""So many trainings have rows of their own in the table of comparisons."""

WHAT = {
    "start": "every starting weight and buffer",
    "float32": "each layer, the loss and the update alone, from the same values",
    "float64": "the same in double precision, with random output gradients",
    "whole": "all layers and gradients of a step from end to end",
}
"""Kind of comparison → what is compared."""


def kinds(run: Run, trainings: Sequence[TrainingStatistics]) -> str:
    """What was compared, how often, how much of it within its bound, and how near it came."""
    groups: dict[str, _Counts] = {}
    for training in trainings:
        for row in run.parity_of(training.record):
            kind = "start" if row.site.startswith("initial/") else site_of(row).kind
            groups.setdefault(kind, _Counts()).add(row, training.label)
    rows = []
    for kind in COMPARISONS:
        if kind in groups:
            found = groups[kind]
            within = count(found.rows - found.failed)
            near = "no bit differs" if not found.failed else "–"
            if kind != "start":
                near = _nearest(found.nearest)[0]
            cells = (count(found.rows), f"**{within}**" if found.failed else within, near)
            rows.append((f"{COMPARISONS[kind]}: {WHAT[kind]}", *cells))
    columns = ("what was compared", "comparisons", "within bound", "nearest to the bound")
    return pipe_table(columns, rows, "lrrr")


def nearest_table(trainings: Sequence[TrainingStatistics]) -> str:
    """The comparisons nearest to their bounds."""
    rows = []
    for share, label, row in nearest(trainings):
        cells = (number(row.numpy_error), number(row.torch_error), number(row.tolerance))
        text = percent(share, 1) if math.isfinite(share) else "∞"
        site = code(row.site)
        rows.append(
            (
                text if row.passed else f"**{text}**",
                *cells,
                row.dtype,
                escaped(label),
                count(row.step),
                site,
            )
        )
    columns = ("of bound", "NumPy", "PyTorch", "bound", "in", "training", "step", "site")
    return pipe_table(columns, rows, "rrrrllrl")


def followed_table(followed: Followed) -> str:
    """The number that is followed, from every side."""
    value = followed.value
    digits = 10 if value.dtype == "float32" else 18
    sides = [("NumPy", value.dtype, value.numpy), ("PyTorch", value.dtype, value.torch)]
    rows = [
        (
            f"{name}, {dtype}",
            number(found, digits),
            number(abs(found - value.referee)),
            number(abs(found - value.referee) / value.size) if value.size else "–",
        )
        for name, dtype, found in sides
    ]
    rows.append(("PyTorch, float64: the referee", number(value.referee, 17), "0", "0"))
    rows.append(("size: what was summed, in absolute values", number(value.size, 5), "–", "–"))
    columns = ("", "value", "distance from the referee", "divided by the size")
    return pipe_table(columns, rows, "lrrr")


def parity(run: Run, trainings: Sequence[TrainingStatistics]) -> str:
    """Comparisons by kind, each with the passing one nearest to its bound.

    A few trainings have rows of their own, many share them.
    """
    compared = {training.label: run.parity_of(training.record) for training in trainings}
    return parity_table(compared, what="training", alone=len(trainings) <= MOST_ALONE)


def parity_table(
    compared: Mapping[str, Sequence[ParityRow]], what: str, *, alone: bool = True
) -> str:
    """The table of comparisons by their label.

    Args:
        compared: Label → its comparisons.
        what: What a label stands for.
        alone: Whether each label has rows of its own, or all share them.
    """
    groups: dict[tuple[str, str], _Counts] = {}
    for label, found in compared.items():
        for row in found:
            kind = "start" if row.site.startswith("initial/") else site_of(row).kind
            key = (label if alone else "", kind)
            groups.setdefault(key, _Counts()).add(row, label)
    rows = []
    for (label, kind), counts in groups.items():
        name = COMPARISONS[kind]
        failed = f"**{count(counts.failed)}**" if counts.failed else "0"
        near = _nearest(counts.nearest)
        if alone:
            rows.append((escaped(label), name, count(counts.rows), failed, *near))
        else:
            of = escaped(counts.label) if near[0] not in ("–", "0") else "–"
            rows.append((name, count(counts.rows), failed, *near, of))
    columns = ("comparison", "made", "failed", "nearest", "at step", "at site")
    if alone:
        return pipe_table((what, *columns), rows, "llrrrrl")
    return pipe_table((*columns, f"of {what}"), rows, "lrrrrll")


class _Counts:
    """Comparisons of one kind, and the passing one that is nearest to its bound."""

    def __init__(self) -> None:
        self.rows = self.failed = 0
        self.nearest: ParityRow | None = None
        self.label = ""

    def add(self, row: ParityRow, label: str) -> None:
        self.rows += 1
        self.failed += not row.passed
        if row.passed and (self.nearest is None or _share(row) > _share(self.nearest)):
            self.nearest, self.label = row, label


def _share(row: ParityRow) -> float:
    return row.numpy_error / row.tolerance if row.tolerance > 0 else 0.0


def _nearest(row: ParityRow | None) -> tuple[str, str, str]:
    if row is None or row.tolerance == 0:
        return "–", "–", "–"
    share = _share(row)
    text = percent(share, 1) if share >= 5e-4 else "< 0.1%" if share else "0"
    return text, count(row.step), code(row.site.removeprefix("whole/"))
