"""The table of final figures: a row each backend and training, or one for each configuration."""

from __future__ import annotations

from collections.abc import Sequence

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from compare.spec.experiment import Configuration
from reports.claims.learning import spread
from reports.facts import Facts
from reports.tables import pipe_table
from reports.trainings import measure, ranked, ranking_measure, several_seeds
from reports.variants import columns_of
from reports.wording import fixed

MOST_DOUBLE = 12
"""With more configurations than this both sides share a row."""
MOST_ROWS = 36
"""With more configurations than this the table has the ends of their ranking alone."""
BEST, WORST = 20, 5

Group = list[Facts]
"""The trainings of one configuration, one a seed."""


def results(run: Run, facts: Sequence[Facts]) -> str:
    """Final losses and accuracies; means with their standard deviation over several seeds."""
    groups = _groups(run, facts)
    if len(groups) <= MOST_DOUBLE:
        return _a_row_each_side(run, groups)
    return _a_row_each_plan(run, groups)


def cut(run: Run, facts: Sequence[Facts]) -> str:
    """What the caption says of the rows that the table does not have."""
    configurations = len({fact.training.label for fact in facts})
    if configurations <= MOST_ROWS:
        return ""
    return (
        f" Of the {configurations} the table has the best {BEST} and the worst {WORST} by NumPy's "
        f"final {ranking_measure(run)}; history.csv has them all."
    )


def _groups(run: Run, facts: Sequence[Facts]) -> dict[str, Group]:
    """Label → its trainings, in the order of the run, or ranked where only the ends are shown."""
    groups: dict[str, Group] = {}
    for fact in facts:
        groups.setdefault(fact.training.label, []).append(fact)
    if len(groups) <= MOST_ROWS:
        return groups
    order = ranked(run, [group[0].training for group in groups.values()])
    return {training.label: groups[training.label] for training in order}


def _quantities(run: Run) -> list[str]:
    rows = run.record.data
    found = ["train loss"]
    if rows.validation_rows:
        found += ["validation loss", "validation accuracy"]
    if rows.test_rows:
        return [*found, "test loss", "test accuracy"]
    return [*found, "training-set loss", "training-set accuracy"]


def _a_row_each_side(run: Run, groups: dict[str, Group]) -> str:
    columns = columns_of(run.record.experiment)
    quantities = _quantities(run)
    several = several_seeds(run)
    rows = []
    for label, group in groups.items():
        for backend, side in BACKENDS.items():
            cells = [column.cell(run.configurations[label]) for column in columns]
            if not all(fact.training.finished for fact in group):
                cells[-1] += " (broken off)"
            seeds = [str(len(group))] if several else []
            figures = [_figure(group, backend, quantity) for quantity in quantities]
            rows.append((side, *cells, *seeds, *figures))
    head = ["side", *(column.head for column in columns), *(["seeds"] if several else [])]
    return pipe_table([*head, *quantities], rows, "l" * len(head) + "r" * len(quantities))


def _a_row_each_plan(run: Run, groups: dict[str, Group]) -> str:
    columns = columns_of(run.record.experiment)
    quantities = list(dict.fromkeys(["train loss", ranking_measure(run), measure(run)]))
    labels: list[str | None] = list(groups)
    if len(groups) > MOST_ROWS:
        labels = [*labels[:BEST], None, *labels[-WORST:]]
    head = [column.head for column in columns]
    figures = [f"{quantity}, {side}" for quantity in quantities for side in BACKENDS.values()]
    rows = []
    for label in labels:
        if label is None:
            rows.append(["⋮"] * (len(head) + len(figures)))
            continue
        configuration: Configuration = run.configurations[label]
        rows.append(
            [
                *(column.cell(configuration) for column in columns),
                *(_figure(groups[label], b, q) for q in quantities for b in BACKENDS),
            ]
        )
    return pipe_table([*head, *figures], rows, "l" * len(head) + "r" * len(figures))


def _figure(group: Group, backend: str, quantity: str) -> str:
    values = [v for fact in group if (v := fact.values[backend, quantity]) is not None]
    if not values:
        return "–"
    mean, deviation = spread(values)
    return fixed(mean) + (f" ± {fixed(deviation)}" if deviation is not None else "")
