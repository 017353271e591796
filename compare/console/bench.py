"""A measurement on the terminal: a table for each case; 80 columns are enough."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compare.bench.records import BenchRecord, CaseRecord, ContenderRecord

MEBIBYTE = 2**20


def show_bench(record: BenchRecord, console: Console) -> None:
    """Print how it was measured, and the results."""
    protocol = record.protocol
    console.print(
        f"{protocol.threads} thread{'s' if protocol.threads > 1 else ''}, each library in its own "
        f"process; {protocol.repeats} rounds. ×: its time over NumPy's, above 1 where NumPy is "
        "faster, with the 95% interval. *: PyTorch's best eager setting."
    )
    if protocol.busy:
        console.print(
            f"[bold red]The machine was busy when this began (load {protocol.load:.1f}):[/] "
            "measure again on a quiet one."
        )
    for case in record.cases:
        console.print(case_table(case))
    for cost in record.harness:
        ratio = cost.over_plain
        console.print(
            f"Lock step, {cost.experiment}, {cost.label}: {ratio.value:.2f} "
            f"({ratio.low:.2f} to {ratio.high:.2f}) times the two plain trainings; {cost.steps:,} "
            f"steps, {cost.certified_steps} certified; {cost.threads} threads of each library.",
            soft_wrap=True,
        )


def case_table(case: CaseRecord) -> Table:
    """The contenders of a case; below, those that were not timed and why."""
    table = Table(title=escape(case.title), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("ms", "middle half", "×", "95%", "peak MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    absent = []
    for contender in case.contenders:
        if contender.status == "measured":
            table.add_row(*_cells(contender, case.best_eager))
        else:
            absent.append(f"{contender.title}: {contender.status}: {contender.reason}.")
    if absent:
        table.caption = escape("\n".join(absent))
        table.caption_justify = "left"
    return table


def _cells(contender: ContenderRecord, best_eager: str | None) -> tuple[str, ...]:
    step, memory = contender.step, contender.memory_bytes
    assert step is not None
    # PyTorch's settings stand below it, indented.
    title = escape(contender.title.replace("PyTorch, ", "  "))
    ratio = None if contender.name == "numpy" else contender.over_numpy
    return (
        f"{title} *" if contender.name == best_eager else title,
        milliseconds(step.median_s),
        f"{milliseconds(step.quartile_s)}–{milliseconds(step.upper_quartile_s)}",
        "" if ratio is None else f"{ratio.value:.2f}",
        "" if ratio is None else f"{ratio.low:.2f}–{ratio.high:.2f}",
        "" if memory is None else f"{memory / MEBIBYTE:.1f}",
    )


def milliseconds(seconds: float) -> str:
    """Three digits: ``0.00123`` → ``1.23``, ``1.234`` → ``1234``."""
    value = 1e3 * seconds
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"
