"""Which trainings share a panel, and which a line."""

from __future__ import annotations

from collections.abc import Sequence

from compare.records.run import Run, TrainingRecord
from compare.spec.experiment import OPTIMIZER, Configuration
from compare.spec.report import FigureSettings
from reports.variants import short_case
from reports.wording import escaped, joined

MOST_PANELS = 25
MOST_LINES = 16


def trained(run: Run, configurations: Sequence[Configuration]) -> list[TrainingRecord]:
    """The finished trainings of some configurations, all seeds."""
    labels = {configuration.label for configuration in configurations}
    return [t for t in run.record.trainings if t.finished and t.label in labels]


def plans_of(run: Run) -> list[Configuration]:
    """The configurations that have a finished training."""
    labels = {training.label for training in run.record.trainings if training.finished}
    return [
        configuration
        for configuration in run.configurations.values()
        if configuration.label in labels
    ]


def by_case(
    configurations: Sequence[Configuration], axis: str | None
) -> dict[str, list[Configuration]]:
    """Case → configurations, in order; all under one empty case where there is no axis."""
    found: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        found.setdefault("" if axis is None else configuration.variant[axis], []).append(
            configuration
        )
    return found


def panels_of(run: Run, form: FigureSettings) -> dict[str, list[Configuration]]:
    """Title → the configurations of a panel; at most as many panels as a page has room for."""
    found = by_case(plans_of(run), form.panels)
    kept = list(found.items())[:MOST_PANELS]
    return {title(form.panels, case): configurations for case, configurations in kept}


def lines_of(
    configurations: Sequence[Configuration], form: FigureSettings
) -> dict[str, list[Configuration]]:
    """Name → the configurations of a line.

    Where the form names no axis for the lines, each configuration of the panel has one, named by
    what differs within the panel.
    """
    if form.lines is not None:
        return {
            short_case(form.lines, case): p
            for case, p in by_case(configurations, form.lines).items()
        }
    axes = [
        axis
        for axis in configurations[0].variant
        if axis != form.panels
        and len({configuration.variant[axis] for configuration in configurations}) > 1
    ]
    names = {
        " ".join(configuration.variant[axis] for axis in axes): [configuration]
        for configuration in configurations
    }
    return dict(list(names.items())[:MOST_LINES])


def title(axis: str | None, case: str) -> str:
    """The title of a panel: ``std 0.01``; the case alone where it says what it is."""
    return case


def averaged(run: Run, form: FigureSettings) -> str:
    """What the figure averages over beside the seeds, as a sentence."""
    if form.lines is None:
        return ""
    named = set(form.axes())
    axes = [OPTIMIZER, *run.record.experiment.vary]
    configurations = plans_of(run)
    over = [a for a in axes if a not in named and len({p.variant[a] for p in configurations}) > 1]
    return f" Each is the mean over {joined([escaped(axis) for axis in over])}." if over else ""


def missing_panels(run: Run, form: FigureSettings) -> str:
    """A sentence on panels that the page had no room for."""
    panels = len(by_case(plans_of(run), form.panels))
    if panels <= MOST_PANELS:
        return ""
    return f" The first {MOST_PANELS} of {panels} panels are drawn."
