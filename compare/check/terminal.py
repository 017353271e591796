"""A result on a terminal: the verdict first, the table last, nothing cut."""

from __future__ import annotations

from textwrap import wrap

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
    _say(console, verdict(outcome), STYLES[outcome.status])
    for sentence in result.invariants:
        _say(console, f"• {sentence}", indent="  ")
    first = result.first_divergence
    if first is not None:
        console.print()
        _say(console, f"First divergence: the {title(first)}, at {where(first)}", "bold")
        sides = Table(show_header=False, box=None, pad_edge=False)
        sides.add_column()
        sides.add_column(overflow="fold")
        sides.add_row("  expected", Text(number(first.expected_there), "green"))
        sides.add_row("  found", Text(number(first.found_there), "red"))
        console.print(sides)
        _say(console, f"  {distance(first)}", indent="  ")
        for line in named(outcome):
            _say(console, line, indent="  ")
    for note in result.notes:
        if note != result.error:
            _say(console, f"Note: {note}", indent="  ")
    if result.checks:
        console.print()
        console.print(_table(outcome))
    if outcome.printed_characters:
        console.print()
        count = f"{outcome.name} printed {outcome.printed_characters:,} characters"
        if prints:
            _say(console, f"{count}; the last of them:")
            console.print(Text(outcome.printed.rstrip()), soft_wrap=True)
        else:
            _say(console, f"{count}, not shown; --prints shows them.")


def _say(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """A sentence: broken between words on a terminal, one line of a file or a pipe."""
    lines = [text]
    if console.is_terminal:
        lines = wrap(text, console.width, subsequent_indent=indent, break_on_hyphens=False)
    for line in lines:
        console.print(Text(line, style), soft_wrap=True)


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
