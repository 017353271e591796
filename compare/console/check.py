"""The outcome of ``nncompare check`` on a terminal: the verdict first, the table last."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compare.check.grading import STATUS
from compare.check.result import (
    ASK_AGAIN,
    Outcome,
    check_title,
    distance,
    exact_number,
    mistake_sentences,
    verdict_line,
    verdict_word,
    where,
)
from compare.languages import translated

# The verdict on a check → how it is shown.
WORDS = {
    "agrees": ("agrees", "green"),
    "accepted": ("accepted", "yellow"),
    "differs": ("DIFFERS", "bold red"),
}
STYLES = {0: "bold green", 1: "bold red", 2: "bold yellow"}


def show_outcome(outcome: Outcome, console: Console | None = None, prints: bool = False) -> None:
    """Print the whole outcome of one homework.

    Args:
        outcome: The outcome.
        console: Where to print; standard output by default.
        prints: Whether to show what the homework printed.
    """
    console = console or Console(highlight=False)
    result = outcome.result
    _print(console, verdict_line(outcome), STYLES[outcome.status])
    for sentence in result.invariants:
        _print(console, f"• {_said(sentence)}", indent="  ")
    first = result.first_divergence
    if first is not None:
        console.print()
        _print(console, f"First divergence: the {check_title(first)}, at {where(first)}", "bold")
        values = Table(show_header=False, box=None, pad_edge=False)
        values.add_column()
        values.add_column(overflow="fold")
        values.add_row(f"  {_said('expected')}", Text(exact_number(first.expected_there), "green"))
        values.add_row(f"  {_said('found')}", Text(exact_number(first.found_there), "red"))
        console.print(values)
        _print(console, f"  {_said(distance(first))}", indent="  ")
        if first.own:
            _print(console, "  " + _said(f"In your code: {first.own}."), indent="  ")
    for line in mistake_sentences(outcome):
        _print(console, line, indent="  ")
    for note in result.notes:
        if note != result.error:
            _print(console, f"Note: {note}", indent="  ")
    if result.checks:
        console.print()
        console.print(_table(outcome))
    if outcome.printed_characters:
        console.print()
        count = f"{outcome.name} printed {outcome.printed_characters:,} characters"
        if prints:
            _print(console, f"{count}; the last of them:")
            for line in outcome.printed.rstrip().split("\n"):
                console.print(Text(f"  | {line}"), soft_wrap=True)
        else:
            _print(console, f"{count}, not shown; --prints shows them.")
    show_isolation([outcome], console)


def show_verdict(outcome: Outcome, console: Console) -> None:
    """Print the line of one submission."""
    console.print(Text(_said(verdict_line(outcome)), STYLES[outcome.status]), soft_wrap=True)


def show_counts(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print how many submissions agree, differ and could not be checked."""
    statuses = [outcome.status for outcome in outcomes]
    counts = ", ".join(_said(f"{statuses.count(s)} {STATUS[s]}") for s in STATUS if s in statuses)
    console.print(_said(f"{len(outcomes)} submissions: {counts}."))


def show_isolation(outcomes: Sequence[Outcome], console: Console) -> None:
    """Say how homeworks were separated from the machine, unless they ran apart from it."""
    for one in dict.fromkeys(outcome.isolation for outcome in outcomes):
        if one is not None and not one.tool:
            _print(console, f"Note: {one.sentence}", indent="  ")


def show_seed(seed: int, console: Console) -> None:
    """Say how the questions of a class are asked again."""
    console.print(_said(ASK_AGAIN.format(seed=seed)), soft_wrap=True)


def show_unused_weights(keys: Sequence[str], console: Console | None = None) -> None:
    """Say which quantities have a weight and occur nowhere."""
    console = console or Console(highlight=False)
    for key in keys:
        _print(console, f"Note: {key} has a weight, but nothing of that name was checked.")


def _said(text: str) -> str:
    """Feedback in the reader's language."""
    return translated(text, "check")


def _print(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """Print a sentence: broken between words on a terminal, on one line elsewhere."""
    text = _said(text)
    lines = [text]
    if console.is_terminal:
        lines = wrap(text, console.width, subsequent_indent=indent, break_on_hyphens=False)
    for line in lines:
        console.print(Text(line, style), soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(_said("compared"), overflow="fold")
    table.add_column("", no_wrap=True)
    table.add_column(_said("error"), justify="right", no_wrap=True)
    table.add_column(_said("allowed"), justify="right", no_wrap=True)
    table.add_column(_said("mistake"), overflow="fold")
    for check in outcome.result.checks:
        table.add_row(
            _said(check_title(check)),
            Text(_said(WORDS[verdict_word(check)][0]), WORDS[verdict_word(check)][1]),
            f"{check.relative_error:.1e}",
            f"{check.tolerance:.1e}",
            check.diagnosis.code if check.diagnosis else "",
        )
    return table
