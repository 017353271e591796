"""Tables of what came out: results, parity, time a step, reported figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compare.records import Run
from compare.results import BACKENDS
from compare.tables import ParityRow
from reports.claims.learning import reported_here
from reports.facts import Facts
from reports.parity_grid import PANELS, site_of
from reports.tables import pipe_table
from reports.trainings import several_seeds
from reports.wording import capitalised, code, count, escaped, fixed, number, percent


def results(run: Run, facts: list[Facts]) -> str:
    """Final losses and accuracies, a row each side and training."""
    columns = ["train loss", "test loss", "test accuracy"]
    if run.record.data.validation_rows:
        columns[1:1] = ["validation loss", "validation accuracy"]
    several = several_seeds(run)
    rows = [
        (
            side,
            escaped(fact.training.optimizer) + ("" if fact.training.finished else " (broken off)"),
            *([str(fact.training.seed)] if several else []),
            *(fixed(fact.values[backend, column]) for column in columns),
        )
        for fact in facts
        for backend, side in BACKENDS.items()
    ]
    head = ["side", "optimizer", *(["seed"] if several else [])]
    return pipe_table([*head, *columns], rows, "l" * len(head) + "r" * len(columns))


def parity(run: Run, facts: list[Facts]) -> str:
    """Comparisons by training and kind, each with the passing one nearest to its bound."""
    return parity_table(
        {fact.label: run.parity_of(fact.training) for fact in facts}, what="training"
    )


def parity_table(compared: Mapping[str, Sequence[ParityRow]], what: str) -> str:
    """The same of comparisons by their label; ``what`` says what a label stands for."""
    rows = []
    for label, found in compared.items():
        groups: dict[str, list[ParityRow]] = {}
        for row in found:
            start = row.site.startswith("initial/")
            groups.setdefault("start" if start else site_of(row).panel, []).append(row)
        for name, members in groups.items():
            failed = sum(not row.passed for row in members)
            passing = [row for row in members if row.passed]
            nearest = max(passing, key=_share, default=None)
            rows.append(
                (
                    escaped(label),
                    "bits at the start" if name == "start" else PANELS[name],
                    count(len(members)),
                    f"**{count(failed)}**" if failed else "0",
                    *_nearest(nearest),
                )
            )
    columns = (what, "comparison", "made", "failed", "nearest", "at step", "at site")
    return pipe_table(columns, rows, "llrrrrl")


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
            number(1e3 * time.numpy_s),
            number(1e3 * time.torch_s),
            f"{time.ratio:.2f}",
            f"{time.low:.2f} to {time.high:.2f}",
        )
        for fact in facts
        if (time := fact.time) is not None
    ]
    columns = ("training", "steps timed", "NumPy (ms)", "PyTorch (ms)", "ratio", "95% interval")
    return pipe_table(columns, rows, "lrrrrr")


def reported(run: Run) -> str:
    """Published figures and ours."""
    rows = []
    for figure in run.record.experiment.reported:
        note = f"{escaped(figure.note)} " if figure.note else ""
        rows.append(
            (
                capitalised(figure.quantity),
                escaped(figure.optimizer),
                str(figure.epoch) if figure.epoch else "last",
                escaped(figure.by),
                f"{note}{figure.value:.4f}",
                *(fixed(value) for value in reported_here(run, figure)),
            )
        )
    columns = ("quantity", "optimizer", "epoch", "by", "reported", "NumPy here", "PyTorch here")
    return pipe_table(columns, rows, "llrlrrr")
