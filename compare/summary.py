"""The table at the end of a run."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compare.records import Run
from compare.results import BACKENDS, quantity, step_time
from compare.verdict import explain, verdict


def show_summary(run: Run, console: Console | None = None) -> bool:
    """Print side × optimizer with losses, accuracy, time and verdict.

    Returns:
        Whether every comparison of every training passed.
    """
    console = console or Console()
    several = len({training.seed for training in run.record.trainings}) > 1
    table = Table(title=escape(run.record.experiment.title), title_justify="left")
    table.add_column("side", no_wrap=True)
    table.add_column("optimizer", overflow="fold")
    # Two-line headings: the table fits into 80 columns with nothing cut off.
    for column in ("train\nloss", "test\nloss", "test\naccuracy", "ms a\nstep"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("parity", no_wrap=True)
    all_passed = bool(run.record.trainings)
    sentences = []
    for training in run.record.trainings:
        found = verdict(run.parity_of(training))
        all_passed &= found.passed
        label = training.optimizer + (f", seed {training.seed}" if several else "")
        if found.first_divergence is not None:
            sentences.append(
                f"{label}: {found.failed:,} of {found.compared:,} comparisons fail; the first "
                f"divergence is at {explain(found.first_divergence)}."
            )
            if training.mistake is not None:
                sentences.append(f"{training.mistake.code}: {training.mistake.explanation}.")
        times = step_time(run.timing, training)
        for backend, name in BACKENDS.items():
            seconds = getattr(times, f"{backend}_s") if times else None
            verdict_text = (
                "reference"
                if backend == "torch"
                else f"[green]pass[/] {found.compared}"
                if found.passed
                else f"[red]FAIL[/] {found.failed}"
            )
            table.add_row(
                name,
                label,
                _number(quantity(run, backend, training, "train loss")),
                _number(quantity(run, backend, training, "test loss")),
                _number(quantity(run, backend, training, "test accuracy")),
                "–" if seconds is None else f"{1e3 * seconds:.2f}",
                verdict_text,
            )
        table.add_section()
    console.print(table)
    for sentence in sentences:
        console.print(sentence, soft_wrap=True, markup=False)
    return all_passed


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"
