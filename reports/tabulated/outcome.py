"""Tables of what came out: parity, time a step, reported figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compare.analysis.intervals import Interval
from compare.records.run import Run
from compare.records.tables import ParityRow
from reports.claims.learning import reported_here
from reports.facts import Facts
from reports.parity_grid import PANELS, site_of
from reports.tables import pipe_table
from reports.times import RATIO_COLUMNS, milliseconds, ratio_cells
from reports.trainings import MOST_SHOWN
from reports.wording import capitalised, code, count, escaped, fixed, percent

SHORT_NOTE = 12
"""A note as long as ``up to`` goes before its figure, a longer one behind it."""
MOST_ALONE = MOST_SHOWN
"""So many trainings have rows of their own in the table of comparisons."""


def parity(run: Run, facts: list[Facts]) -> str:
    """Comparisons by kind, each with the passing one nearest to its bound.

    A few trainings have rows of their own, many share them.
    """
    compared = {fact.label: run.parity_of(fact.training) for fact in facts}
    return parity_table(compared, what="training", alone=len(facts) <= MOST_ALONE)


def parity_table(
    compared: Mapping[str, Sequence[ParityRow]], what: str, *, alone: bool = True
) -> str:
    """The same of comparisons by their label.

    Args:
        compared: Label → its comparisons.
        what: What a label stands for.
        alone: Whether each label has rows of its own, or all share them.
    """
    groups: dict[tuple[str, str], _Kind] = {}
    for label, found in compared.items():
        for row in found:
            kind = "start" if row.site.startswith("initial/") else site_of(row).panel
            key = (label if alone else "", kind)
            groups.setdefault(key, _Kind()).count(row, label)
    rows = []
    for (label, kind), members in groups.items():
        name = "bits at the start" if kind == "start" else PANELS[kind]
        failed = f"**{count(members.failed)}**" if members.failed else "0"
        near = _nearest(members.nearest)
        if alone:
            rows.append((escaped(label), name, count(members.made), failed, *near))
        else:
            of = escaped(members.label) if near[0] not in ("–", "0") else "–"
            rows.append((name, count(members.made), failed, *near, of))
    columns = ("comparison", "made", "failed", "nearest", "at step", "at site")
    if alone:
        return pipe_table((what, *columns), rows, "llrrrrl")
    return pipe_table((*columns, f"of {what}"), rows, "lrrrrll")


class _Kind:
    """Comparisons of one kind, added up."""

    def __init__(self) -> None:
        self.made = self.failed = 0
        self.nearest: ParityRow | None = None
        self.label = ""

    def count(self, row: ParityRow, label: str) -> None:
        self.made += 1
        self.failed += not row.passed
        if row.passed and (self.nearest is None or _share(row) > _share(self.nearest)):
            self.nearest, self.label = row, label


def _share(row: ParityRow) -> float:
    return row.numpy_error / row.tolerance if row.tolerance > 0 else 0.0


def _nearest(row: ParityRow | None) -> tuple[str, str, str]:
    if row is None or row.tolerance == 0:
        return "–", "–", "–"
    share = _share(row)
    said = percent(share, 1) if share >= 5e-4 else "< 0.1%" if share else "0"
    return said, count(row.step), code(row.site.removeprefix("whole/"))


def timing(facts: list[Facts]) -> str:
    """Median times a step and their ratio."""
    rows = [
        (
            escaped(fact.label),
            count(time.steps),
            milliseconds(time.numpy.median_s),
            milliseconds(time.torch.median_s),
            *ratio_cells(time.ratio),
        )
        for fact in facts
        if (time := fact.time) is not None
    ]
    columns = ("training", "steps timed", "NumPy (ms)", "PyTorch (ms)", *RATIO_COLUMNS)
    return pipe_table(columns, rows, "lrrrrr")


def reported(run: Run) -> str:
    """Published figures and ours."""
    rows = []
    for figure in run.record.experiment.reported:
        note = escaped(figure.note)
        value = f"{figure.value:.4f}"
        if note:
            value = f"{note} {value}" if len(note) <= SHORT_NOTE else f"{value} ({note})"
        rows.append(
            (
                capitalised(figure.quantity),
                escaped(figure.label),
                str(figure.epoch) if figure.epoch else "last",
                escaped(figure.by),
                value,
                *(_here(found) for found in reported_here(run, figure)),
            )
        )
    training = "training" if run.record.experiment.vary else "optimizer"
    columns = ("quantity", training, "epoch", "by", "reported", "NumPy here", "PyTorch here")
    return pipe_table(columns, rows, "llrlrrr")


def _here(found: Interval | None) -> str:
    if found is None:
        return "–"
    interval = f" ({fixed(found.low)} to {fixed(found.high)})" if found.known else ""
    return fixed(found.mean) + interval
