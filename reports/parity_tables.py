"""The tables of comparisons, of one number in full, and of how far the backends are apart."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from compare.records.run import Control, Run
from compare.records.tables import ParityRow
from reports.followed import Followed, nearest
from reports.network import COMPARISONS, site_of
from reports.statistics import TrainingStatistics
from reports.text import (
    code,
    count,
    escaped,
    number,
    percent,
    pipe_table,
    points,
    signed_points,
)
from reports.trainings import MOST_SHOWN

MOST_ALONE = MOST_SHOWN
"""So many trainings have rows of their own in the table of comparisons."""

WHAT = {
    "start": "every starting weight and buffer",
    "float32": "every layer, the loss and the update",
    "float64": "the same, under random output gradients",
    "whole": "all of a step from end to end",
    "evaluation": "every layer and the loss, after the last step",
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


def controls_table(controls: Sequence[Control]) -> str:
    """Mistakes that were put in on purpose, by the class that they were put into."""
    rows = [
        (
            code(control.part),
            count(control.tried),
            count(control.noticed),
            _least(control),
            "–" if control.over_bound is None else number(control.over_bound, 2),
        )
        for control in controls
    ]
    columns = ("put into", "mistakes", "noticed", "least", "times its bound")
    return pipe_table(columns, rows, "lrrlr")


def _least(control: Control) -> str:
    """The code of a mistake, and in words what is wrong: the first part of its explanation."""
    if not control.least:
        return "–"
    what = re.split(r"[:;,]", control.explanation, maxsplit=1)[0]
    return f"{code(control.least)}: {escaped(what)}" if what else code(control.least)


def gaps_table(trainings: Sequence[TrainingStatistics]) -> str:
    """How far the two backends are apart, a column for each training."""
    looked_at = max((t.record.sides.rows for t in trainings if t.record.sides), default=0)
    on = f", on {count(looked_at)} test rows" if looked_at else ""
    cells: list[tuple[str, Callable[[TrainingStatistics], str]]] = [
        ("batches with losses equal to the bit", _equal_batches),
        ("largest difference of a batch's loss, and its step", _largest_gap),
        ("largest difference of the accuracies in an evaluation", _largest_accuracy_gap),
        ("accuracy on new rows, NumPy − PyTorch (95% interval of paired shares)", _rows_difference),
        ("distance of the weights at the end, relative to their size", _distance),
        (f"inputs of activations on different sides of the kink at the end{on}", _sides),
        ("test loss at the end, NumPy − PyTorch", _whole_loss_difference),
        (f"test loss at the end, NumPy − PyTorch{on}", _loss_difference),
    ]
    rows = [(name, *(cell(training) for training in trainings)) for name, cell in cells]
    rows = [row for row in rows if set(row[1:]) != {"–"}]
    if len(rows) > 1 and rows[-1][1:] == rows[-2][1:]:  # measured on all test rows
        del rows[-2]
    columns = ("", *(escaped(training.label) for training in trainings))
    return pipe_table(columns, rows, "l" + "r" * len(trainings))


def _equal_batches(training: TrainingStatistics) -> str:
    gap = training.loss_gap
    return f"{count(gap.equal)} / {count(gap.batches)}" if gap.batches else "–"


def _largest_gap(training: TrainingStatistics) -> str:
    gap = training.loss_gap
    if gap.step is None:
        return "–"
    if not math.isfinite(gap.largest):
        return "not a number"
    return f"{number(gap.largest)}; {count(gap.step)}" if gap.largest else "0"


def _largest_accuracy_gap(training: TrainingStatistics) -> str:
    gaps = training.accuracy_gaps
    if not gaps:
        return "–"
    return points(max(gaps)) if all(map(math.isfinite, gaps)) else "not a number"


def _rows_difference(training: TrainingStatistics) -> str:
    found = training.rows_difference
    if found is None:
        return "–"
    low, high = map(signed_points, found)
    number_alone = re.sub(r"\D+$", "", low)
    return f"{number_alone} to {high}"


def _distance(training: TrainingStatistics) -> str:
    return "–" if training.distance is None else number(training.distance)


def _sides(training: TrainingStatistics) -> str:
    found = training.record.sides
    if found is None or not found.inputs:
        return "–"
    return f"{count(found.sides)} / {count(found.inputs)}"


def _whole_loss_difference(training: TrainingStatistics) -> str:
    ours, theirs = (training.final(backend, "test loss") for backend in ("numpy", "torch"))
    return "–" if ours is None or theirs is None else number(ours - theirs)


def _loss_difference(training: TrainingStatistics) -> str:
    difference = training.explained[0]
    return "–" if difference is None else number(difference)


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
