"""The table at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compare.analysis.claims import claim_results
from compare.analysis.quantities import BACKENDS, quantity
from compare.analysis.verdict import Verdict, departures, explain, verdict
from compare.languages import translated
from compare.records.run import Run, TrainingRecord
from compare.spec.experiment import OPTIMIZER

MOST_ALONE = 8
"""So many trainings have a row for each backend; of more each configuration has one row."""
MOST_ROWS = 16
"""Of more configurations the best are shown."""
MOST_SENTENCES = 5
MOST_AXES = 2


def show_summary(run: Run, console: Console | None = None) -> bool:
    """Print losses, accuracies, time and verdict of both backends, and a line for each claim.

    A few trainings have a row for each backend; of many, the best have a row each, with means over
    the seeds.

    Returns:
        Whether every comparison of every training passed.
    """
    console = console or Console()
    trainings = run.record.trainings
    verdicts = [verdict(run.parity_of(training)) for training in trainings]
    if len(trainings) <= MOST_ALONE:
        console.print(_backend_table(run, verdicts))
    else:
        _print_best(run, verdicts, console)
    for sentence in _failures(run, verdicts):
        console.print(_said(sentence), soft_wrap=True, markup=False)
    passed = bool(trainings) and all(found.passed for found in verdicts)
    if passed and len(trainings) <= MOST_ALONE:
        compared = sum(found.compared for found in verdicts)
        console.print(
            _said(
                f"All {compared:,} comparisons pass: wherever the two were compared, NumPy "
                "computes what PyTorch computes, to rounding."
            ),
            highlight=False,
        )
    for line in _claims(run):
        console.print(_said(line), soft_wrap=True, markup=False)
    return passed


def _backend_table(run: Run, verdicts: Sequence[Verdict]) -> Table:
    several = _several_seeds(run)
    rows = run.record.data
    split = "test" if rows.test_rows else "training-set"
    table = _table(run)
    table.add_column(_said("backend"), no_wrap=True)
    table.add_column(
        _said("training" if run.record.experiment.vary else "optimizer"), overflow="fold"
    )
    # Two-line headings: the table fits into 80 columns with nothing cut off.
    short = split.replace("training-set", "set")
    for column in ("train\nloss", f"{short}\nloss", f"{short}\naccuracy", "ms a\nstep"):
        table.add_column(_said(column), justify="right", no_wrap=True)
    table.add_column(_said("parity"), no_wrap=True)
    for training, found in zip(run.record.trainings, verdicts, strict=True):
        label = training.label + (f", seed {training.seed}" if several else "")
        times = _median_times(run, training)
        for backend, name in BACKENDS.items():
            table.add_row(
                name,
                label,
                *(
                    _number(quantity(run, backend, training, which))
                    for which in ("train loss", f"{split} loss", f"{split} accuracy")
                ),
                "–" if times is None else f"{1e3 * times[backend]:.2f}",
                _said("reference" if backend == "torch" else _parity(found.compared, found.failed)),
            )
        table.add_section()
    return table


def _print_best(run: Run, verdicts: Sequence[Verdict], console: Console) -> None:
    """A row for each of the best configurations, and what can be said of all trainings together."""
    name = _measure(run)
    trainings = run.record.trainings
    groups: dict[str, list[TrainingRecord]] = {}
    compared: dict[str, list[int]] = {}
    for training, found in zip(trainings, verdicts, strict=True):
        groups.setdefault(training.label, []).append(training)
        counts = compared.setdefault(training.label, [0, 0])
        counts[0] += found.compared
        counts[1] += found.failed
    labels = sorted(groups, key=lambda label: -_rank(_mean(run, "numpy", groups[label], name)))
    axes = _axes(run)
    table = _table(run)
    for axis in axes:
        table.add_column(axis, overflow="fold")
    # With three axes and more there is room for one figure of each backend.
    figures = ["train loss", name] if len(axes) <= MOST_AXES else [name]
    for figure in figures:
        column = figure.replace("training-set", "set").replace(" ", "\n")
        for title in BACKENDS.values():
            table.add_column(_said(f"{column}\n{title}"), justify="right", no_wrap=True)
    table.add_column(_said("parity"), no_wrap=True)
    for label in labels[:MOST_ROWS]:
        variant = run.configurations[label].variant
        table.add_row(
            *(variant[axis].removeprefix(f"{axis} ") for axis in axes),
            *(
                _number(_mean(run, backend, groups[label], which))
                for which in figures
                for backend in BACKENDS
            ),
            _said(
                "[red]FAIL[/]" if compared[label][1] or not compared[label][0] else "[green]pass[/]"
            ),
        )
    console.print(table)
    for sentence in _of_all(run, verdicts, groups, name):
        console.print(_said(sentence), soft_wrap=True, markup=False)


def _of_all(
    run: Run, verdicts: Sequence[Verdict], groups: dict[str, list[TrainingRecord]], name: str
) -> list[str]:
    """Lines on all trainings together."""
    trainings = run.record.trainings
    shown = min(len(groups), MOST_ROWS)
    seeds = len({training.seed for training in trainings})
    of = f"the best {shown} of {len(groups)}" if shown < len(groups) else f"all {shown}"
    means = f", means over {seeds} seeds" if seeds > 1 else ""
    diverged = {
        title: sum(quantity(run, backend, training, "finite") == 0 for training in trainings)
        for backend, title in BACKENDS.items()
    }
    compared = sum(found.compared for found in verdicts)
    failed = sum(found.failed for found in verdicts)
    parity = (
        f"{failed:,} of {compared:,} comparisons fail"
        if failed
        else f"all {compared:,} comparisons pass"
    )
    lines = [
        f"Shown: {of} by NumPy's final {name}{means}.",
        f"{len(trainings)} trainings: {parity}"
        + (
            "; a loss is not a finite number in "
            + " and ".join(f"{number} with {title}" for title, number in diverged.items())
            if any(diverged.values())
            else ""
        )
        + ".",
    ]
    ratios = [
        times["torch"] / times["numpy"]
        for training in trainings
        if (times := _median_times(run, training)) is not None and times["numpy"] > 0
    ]
    if ratios:
        lines.append(
            f"Time a step, PyTorch's over NumPy's: {np.median(ratios):.2f} in the median training, "
            f"{min(ratios):.2f} to {max(ratios):.2f}."
        )
    return lines


def _failures(run: Run, verdicts: Sequence[Verdict]) -> list[str]:
    """The first divergences, and the trainings that ended in an error; of many the first few."""
    several = _several_seeds(run)
    found = []
    for training, judged in zip(run.record.trainings, verdicts, strict=True):
        if judged.first_divergence is None:
            continue
        label = training.label + (f", seed {training.seed}" if several else "")
        sentence = (
            f"{label}: {judged.failed:,} of {judged.compared:,} comparisons fail; the first "
            f"divergence is at {explain(judged.first_divergence)}."
        )
        if training.mistake is not None:
            sentence += f"\n{training.mistake.code}: {training.mistake.explanation}."
        found.append(sentence)
    errors = [
        f"{failure.label}, seed {failure.seed} failed: {failure.error}"
        for failure in run.record.failures
    ]
    return _few(found, "trainings with comparisons that fail") + _few(errors, "failed trainings")


def _few(sentences: list[str], what: str) -> list[str]:
    more = len(sentences) - MOST_SENTENCES
    return sentences[:MOST_SENTENCES] + ([f"… and {more} more {what}."] if more > 0 else [])


def _claims(run: Run) -> list[str]:
    """A line a claim: the decision, and the claim. A partial run answers none."""
    results = claim_results(run)
    if results and departures(run.record):
        what = "The claim about the full experiment is"
        if len(results) > 1:
            what = f"The {len(results)} claims about the full experiment are"
        return [f"{what} not answered by a part of it."]
    lines = []
    for found in results:
        differing = ""
        if len(set(found.decisions.values())) > 1:
            each = [
                f"{BACKENDS[backend]} {decision.value}"
                for backend, decision in found.decisions.items()
            ]
            differing = f" ({', '.join(each)})"
        lines.append(f"Claim {found.decision.value}: “{found.claim.says}”{differing}.")
    return lines


def _table(run: Run) -> Table:
    return Table(title=escape(translated(run.record.experiment.title)), title_justify="left")


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")


def _parity(compared: int, failed: int) -> str:
    return f"[red]FAIL[/] {failed}" if failed or not compared else f"[green]pass[/] {compared}"


def _several_seeds(run: Run) -> bool:
    return len({training.seed for training in run.record.trainings}) > 1


def _axes(run: Run) -> list[str]:
    """The axes that tell the configurations apart."""
    configurations = list(run.configurations.values())
    varied = [
        a
        for a in configurations[0].variant
        if len({configuration.variant[a] for configuration in configurations}) > 1
    ]
    return varied or [OPTIMIZER]


def _measure(run: Run) -> str:
    """The quantity for ranking: the held-out rows', where there are some, not the test set's."""
    rows = run.record.data
    if rows.validation_rows:
        return "validation accuracy"
    return "test accuracy" if rows.test_rows else "training-set accuracy"


def _mean(run: Run, backend: str, group: Sequence[TrainingRecord], name: str) -> float | None:
    values = [quantity(run, backend, training, name) for training in group]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _rank(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _median_times(run: Run, training: TrainingRecord) -> dict[str, float] | None:
    rows = run.timing_of(training)
    if not rows:
        return None
    numpy, torch = np.median([(row.numpy_s, row.torch_s) for row in rows], axis=0)
    return {"numpy": float(numpy), "torch": float(torch)}


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"
