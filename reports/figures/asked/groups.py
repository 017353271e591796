"""Which trainings share a panel, and which a line."""

from __future__ import annotations

from collections.abc import Sequence

from compare.experiment import OPTIMIZER, Plan
from compare.records import Run, TrainingRecord
from compare.report_forms import FigureForm
from reports.variants import short_case
from reports.wording import escaped, joined

MOST_PANELS = 25
MOST_LINES = 16


def trained(run: Run, plans: Sequence[Plan]) -> list[TrainingRecord]:
    """The finished trainings of some plans, all seeds."""
    labels = {plan.label for plan in plans}
    return [t for t in run.record.trainings if t.finished and t.optimizer in labels]


def plans_of(run: Run) -> list[Plan]:
    """The plans that have a finished training."""
    labels = {training.optimizer for training in run.record.trainings if training.finished}
    return [plan for plan in run.plans.values() if plan.label in labels]


def by_case(plans: Sequence[Plan], axis: str | None) -> dict[str, list[Plan]]:
    """Case → plans, in order; all under one empty case where there is no axis."""
    found: dict[str, list[Plan]] = {}
    for plan in plans:
        found.setdefault("" if axis is None else plan.variant[axis], []).append(plan)
    return found


def panels_of(run: Run, form: FigureForm) -> dict[str, list[Plan]]:
    """Title → the plans of a panel; at most as many panels as a page has room for."""
    found = by_case(plans_of(run), form.panels)
    kept = list(found.items())[:MOST_PANELS]
    return {title(form.panels, case): plans for case, plans in kept}


def lines_of(plans: Sequence[Plan], form: FigureForm) -> dict[str, list[Plan]]:
    """Name → the plans of a line.

    Where the form names no axis for the lines, each plan of the panel has one, named by what
    differs within the panel.
    """
    if form.lines is not None:
        return {short_case(form.lines, case): p for case, p in by_case(plans, form.lines).items()}
    axes = [
        axis
        for axis in plans[0].variant
        if axis != form.panels and len({plan.variant[axis] for plan in plans}) > 1
    ]
    names = {" ".join(plan.variant[axis] for axis in axes): [plan] for plan in plans}
    return dict(list(names.items())[:MOST_LINES])


def title(axis: str | None, case: str) -> str:
    """The title of a panel: ``std 0.01``; the case alone where it says what it is."""
    return case


def averaged(run: Run, form: FigureForm) -> str:
    """What the figure averages over beside the seeds, as a sentence."""
    if form.lines is None:
        return ""
    named = set(form.axes())
    axes = [OPTIMIZER, *run.record.experiment.vary]
    plans = plans_of(run)
    over = [a for a in axes if a not in named and len({p.variant[a] for p in plans}) > 1]
    return f" Each is the mean over {joined([escaped(axis) for axis in over])}." if over else ""


def missing_panels(run: Run, form: FigureForm) -> str:
    """A sentence on panels that the page had no room for."""
    panels = len(by_case(plans_of(run), form.panels))
    if panels <= MOST_PANELS:
        return ""
    return f" The first {MOST_PANELS} of {panels} panels are drawn."
