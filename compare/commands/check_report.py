"""``nncompare check --report``: an outcome as HTML and PDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compare.check.notebook import NotebookError
from compare.check.result import (
    Check,
    Outcome,
    check_title,
    distance,
    exact_number,
    mistake_sentences,
    verdict_line,
    verdict_word,
    where,
)
from compare.check.scoring import Mark, Scoring, consequence_sentence, marks, score
from compare.check.source import Source, read_source
from compare.languages import translated
from compare.mistakes.examples import example_lines
from compare.records.atomic import write_atomically
from experiments.errors import InputError
from reports.documents import html_document, pdf_document

# Lines of the homework that are printed with the report.
LONGEST_LISTING = 400


def write_check_report(
    outcome: Outcome,
    homework: Path,
    folder: Path,
    name: str | None = None,
    scoring: Scoring | None = None,
) -> list[Path]:
    """Write ``NAME.html`` and ``NAME.pdf`` into ``folder``.

    Args:
        outcome: The outcome.
        homework: The file, whose text is printed at the end.
        folder: Where to write; created if it does not exist.
        name: The name of both files without its ending; the homework's by default.
        scoring: How checks become points, which are then shown; they are not by default.
    """
    heading = _said(f"{outcome.name} compared with PyTorch")
    text = markdown(outcome, heading, _source(homework), scoring)
    stem = name or homework.name.removesuffix(".py")
    new_folder(folder)
    files = {
        folder / f"{stem}.html": html_document(text, [], heading),
        folder / f"{stem}.pdf": pdf_document(text, [], heading),
    }
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def _said(text: str) -> str:
    """Feedback in the reader's language."""
    return translated(text, "check")


def _heading(text: str) -> str:
    return f"## {_said(text)}"


def new_folder(folder: Path) -> None:
    """Make a folder unless it is there.

    Raises:
        InputError: That is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made into a folder: {error.strerror}.") from None


def markdown(
    outcome: Outcome, heading: str, source: Source | None, scoring: Scoring | None = None
) -> str:
    """The report as Markdown for pandoc; the points are in it if ``scoring`` is given."""
    result = outcome.result
    parts = [f"# {escaped(heading)}", f"**{escaped(_said(verdict_line(outcome)))}**"]
    if outcome.assignment is not None:
        one = outcome.assignment
        settings = ", ".join(f"{key}={value}" for key, value in one.settings.items())
        update = f", updates by {one.optimizer}({settings})" if one.optimizer else ""
        parts.append(
            escaped(_said(f"The network is {one.architecture}, the loss {one.loss}{update}."))
        )
    if outcome.isolation is not None:
        parts.append(escaped(_said(outcome.isolation.sentence)))
    parts += [f"- {escaped(_said(sentence))}" for sentence in result.invariants]
    first = result.first_divergence
    if first is not None:
        parts += [
            _heading("The first divergence"),
            escaped(_said(f"In the {check_title(first)}, at {where(first)}:")),
            f"| {_said('expected')} | {_said('found')} |\n|---|---|\n"
            f"| {exact_number(first.expected_there)} "
            f"| {exact_number(first.found_there)} |",
            escaped(f"{_said(distance(first)).capitalize()}."),
        ]
    parts += [escaped(_said(line)) for line in mistake_sentences(outcome)]
    codes = dict.fromkeys(one.diagnosis.code for one in result.checks if one.diagnosis)
    parts += [by_hand for code in codes if (by_hand := _by_hand(code))]
    if result.notes:
        parts += [
            _heading("What else was seen"),
            "\n".join(f"- {escaped(_said(n))}" for n in result.notes),
        ]
    if result.checks:
        parts += [_heading("All comparisons"), _table(result.checks)]
    if scoring is not None and (found := marks(outcome, scoring.weights)):
        parts += [_heading("Points"), _points(found, scoring.points)]
    if source is not None and source.text:
        parts += [_heading("The homework"), _listing(source)]
    return "\n\n".join(parts) + "\n"


def _by_hand(code: str) -> str:
    """What a mistake does on small arrays; empty if there is no example of it."""
    lines = "\n".join(example_lines(code))
    return f"### {_said(f'`{code}` by hand')}\n\n```python\n{lines}\n```" if lines else ""


def _table(checks: tuple[Check, ...]) -> str:
    columns = ("compared", "", "error", "allowed", "mistake")
    lines = [f"| {' | '.join(map(_said, columns))} |", "|---|---|--:|--:|---|"]
    for check in checks:
        word = _said(verdict_word(check))
        word = word if check.in_order else f"**{word}**"
        code = f"`{check.diagnosis.code}`" if check.diagnosis else ""
        lines.append(
            f"| {escaped(_said(check_title(check)))} | {word} | {check.relative_error:.1e} "
            f"| {check.tolerance:.1e} | {code} |"
        )
    return "\n".join(lines)


def _points(found: Sequence[Mark], points: float) -> str:
    """What each check gave, of what it was worth, and from what it follows."""
    whole = sum(mark.weight for mark in found) or 1.0
    columns = ("for", "points", "of", "")
    lines = [f"| {' | '.join(map(_said, columns))} |", "|---|--:|--:|---|"]
    for mark in found:
        worth = points * mark.weight / whole
        why = "there was no answer" if mark.check is None else ""
        if mark.follows is not None and mark.check is not None and not mark.check.accepted:
            why = consequence_sentence(mark.follows)
        lines.append(
            f"| {escaped(_said(mark.title))} | {worth * (1 - mark.lost):.2f} | {worth:.2f} "
            f"| {escaped(_said(why))} |"
        )
    lines.append(f"| **{_said('all')}** | **{points * score(found):.2f}** | **{points:.2f}** | |")
    return "\n".join(lines)


def _listing(source: Source) -> str:
    """The code with the numbers of its lines; of a notebook, with the numbers of its cells."""
    rows = []
    for number, line in enumerate(source.text.split("\n")[:LONGEST_LISTING], 1):
        if source.cells is not None:
            cell, number = source.cells[number - 1]
            rows += ["", f"cell {cell}"] if number == 1 else []
        rows.append(f"{number:4}  {line}")
    numbered = "\n".join(rows)
    fence = "`" * 3
    while fence in numbered:
        fence += "`"
    return f"{fence}\n{numbered}\n{fence}"


def escaped(text: str) -> str:
    """The text on one line, with every character escaped that Markdown would interpret."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|~$^@'\"&" else c for c in line)


def _source(homework: Path) -> Source | None:
    try:
        return read_source(homework)
    except (OSError, NotebookError):
        return None
