"""A measurement on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compare.bench.aims import aims
from compare.bench.records import BenchRecord, Case, Measured

MEBIBYTE = 2**20


def show_bench(record: BenchRecord, console: Console | None = None) -> None:
    """Print a table of each case, the other parts, and the aims; 80 columns are enough."""
    console = console or Console(highlight=False)
    protocol = record.protocol
    apart = "each library in its own process" if protocol.name == "processes" else "one process"
    threads = f"{protocol.threads} thread{'s' if protocol.threads > 1 else ''}"
    console.print(
        f"{threads}, {apart}; {protocol.repeats} rounds. ×: its time over NumPy's, above 1 where "
        "NumPy is faster, with the 95% interval. *: PyTorch's best eager setting."
    )
    if protocol.busy:
        console.print(
            f"[bold red]The machine was busy when this began (load {protocol.load:.1f}):[/] "
            "measure again on a quiet one."
        )
    for case in record.cases:
        console.print(_case(case))
    _others(record, console)
    _show_aims(record, console)


def _case(case: Case) -> Table:
    table = Table(title=escape(case.title), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("ms", "middle half", "×", "95%", "peak MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    absent = []
    for measured in case.contenders:
        if measured.status == "measured":
            table.add_row(*_row(measured, case))
        else:
            absent.append(f"{measured.title}: {measured.status}: {measured.reason}.")
    if absent:
        table.caption = escape("\n".join(absent))
        table.caption_justify = "left"
    return table


def _row(measured: Measured, case: Case) -> tuple[str, ...]:
    assert measured.step is not None
    step, ratio = measured.step, measured.over_numpy
    # PyTorch's settings stand below it, indented.
    title = escape(measured.title.replace("PyTorch, ", "  "))
    title += " *" if measured.name == case.best_eager else ""
    memory = measured.memory
    return (
        title,
        milliseconds(step.median_s),
        f"{milliseconds(step.quartile_s)}–{milliseconds(step.upper_quartile_s)}",
        "" if ratio is None or measured.name == "numpy" else f"{ratio.value:.2f}",
        "" if ratio is None or measured.name == "numpy" else f"{ratio.low:.2f}–{ratio.high:.2f}",
        "" if memory is None else f"{memory.used_bytes / MEBIBYTE:.1f}",
    )


def milliseconds(seconds: float) -> str:
    """Three digits: ``0.00123`` → ``1.23``, ``1.234`` → ``1234``."""
    value = 1e3 * seconds
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def _others(record: BenchRecord, console: Console) -> None:
    for growth in record.growth:
        for fit in growth.fits:
            console.print(
                f"Growth with the {growth.what} ({growth.title}), {fit.title}: exponent "
                f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f}), {fit.last:.2f} at the end.",
                soft_wrap=True,
            )
    for cost in record.harness:
        ratio = cost.over_plain
        console.print(
            f"Lock step, {cost.experiment}, {cost.optimizer}: {ratio.value:.2f} "
            f"({ratio.low:.2f} to {ratio.high:.2f}) times the two plain trainings; {cost.steps:,} "
            f"steps, {cost.certified_steps} certified; threads of each side: {cost.threads}.",
            soft_wrap=True,
        )
    for start in record.start:
        console.print(f"{start.command}: {start.median_s:.2f} s from start to end.")


def _show_aims(record: BenchRecord, console: Console) -> None:
    found = aims(record)
    if not found:
        return
    table = Table(title="Aims", title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for column in ("aim", "found", "95%", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for aim in found:
        table.add_row(
            escape(aim.what),
            aim.bound,
            f"{aim.found:.2f}",
            "" if aim.interval is None else f"{aim.interval[0]:.2f}–{aim.interval[1]:.2f}",
            "[green]reached[/]" if aim.reached else "[bold red]missed[/]",
        )
    console.print(table)
    missed = sum(not aim.reached for aim in found)
    console.print(f"{len(found) - missed} of {len(found)} aims reached.")
