"""A result on a terminal: the verdict first, the table last, nothing cut."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.check.outcome import Outcome
from compare.check.wording import distance, named, number, title, verdict, where

STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow"}


def show(outcome: Outcome, console: Console | None = None, prints: bool = False) -> None:
    """Print everything; what the homework printed only if wanted."""
    console = console or Console(highlight=False)
    result = outcome.result
    console.print(Text(verdict(outcome), STYLES[outcome.status]), soft_wrap=True)
    for sentence in result.invariants:
        console.print(Text(f"• {sentence}"), soft_wrap=True)
    first = result.first_divergence
    if first is not None:
        console.print()
        console.print(
            Text(f"First divergence: the {title(first)}, at {where(first)}", "bold"), soft_wrap=True
        )
        sides = Table(show_header=False, box=None, pad_edge=False)
        sides.add_column()
        sides.add_column(overflow="fold")
        sides.add_row("  expected", Text(number(first.expected_there), "green"))
        sides.add_row("  found", Text(number(first.found_there), "red"))
        console.print(sides)
        console.print(Text(f"  {distance(first)}"), soft_wrap=True)
        for line in named(outcome):
            console.print(Text(line), soft_wrap=True)
    for note in result.notes:
        if note != result.error:
            console.print(Text(f"Note: {note}"), soft_wrap=True)
    if result.checks:
        console.print()
        console.print(_table(outcome))
    if outcome.printed_characters:
        console.print()
        count = f"{outcome.name} printed {outcome.printed_characters:,} characters"
        if prints:
            console.print(Text(f"{count}; the last of them:"), soft_wrap=True)
            console.print(Text(outcome.printed.rstrip()), soft_wrap=True)
        else:
            console.print(Text(f"{count}, not shown; --prints shows them."), soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("compared", overflow="fold")
    table.add_column("", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("mistake", overflow="fold")
    for check in outcome.result.checks:
        table.add_row(
            title(check),
            Text("agrees", "green") if check.passed else Text("DIFFERS", "bold red"),
            f"{check.relative_error:.1e}",
            f"{check.tolerance:.1e}",
            check.diagnosis.code if check.diagnosis else "",
        )
    return table
