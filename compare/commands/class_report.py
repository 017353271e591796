"""``nncompare check FOLDER --report``: one page about all submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import quote

from compare.check.grading import STATUS, Submission, as_csv, grade
from compare.check.result import Check, Outcome, check_title, where
from compare.check.scoring import Scoring, marks, score
from compare.commands.check_report import escaped, new_folder
from compare.records.atomic import write_atomically
from reports.documents import html_document
from reports.figures.scores import draw_scores
from reports.text import pipe_table, plural

TITLE = "A class compared with PyTorch"
# The name of the page, which no page of a student may have.
STEM = "class"


def page_names(submissions: Sequence[Submission]) -> dict[str, str]:
    """Name of each submission → the name of its page without ``.html``, which it has alone.

    It is that of the submission without ``.py``, unless another submission or the page of the
    class is called so.
    """
    stems = Counter([STEM, *(one.name.removesuffix(".py").lower() for one in submissions)])
    return {
        one.name: stem if stems[stem.lower()] == 1 else f"{one.name}-page"
        for one in submissions
        if (stem := one.name.removesuffix(".py"))
    }


def write_class_report(
    outcomes: Sequence[Outcome], pages: Mapping[str, str], folder: Path, scoring: Scoring
) -> list[Path]:
    """Write ``class.html`` and the grade book as ``class.csv``.

    Args:
        outcomes: The outcomes of all submissions.
        pages: Name of each submission that has a page → the page's name without ``.html``.
        folder: Where to write; created if it does not exist.
        scoring: How checks become points.
    """
    new_folder(folder)
    scores = [score(marks(outcome, scoring.weights)) for outcome in outcomes]
    figures = [draw_scores(scores)] if scores else []
    picture = "".join(f'![{f.caption}](figures/{f.name}.svg){{alt="{f.alt}"}}' for f in figures)
    text = class_markdown(outcomes, scores, pages, scoring.points, picture)
    files: dict[Path, bytes | str] = {
        folder / f"{STEM}.html": html_document(text, figures, TITLE),
        folder / f"{STEM}.csv": as_csv([grade(outcome, scoring) for outcome in outcomes]),
    }
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def class_markdown(
    outcomes: Sequence[Outcome],
    scores: Sequence[float],
    pages: Mapping[str, str],
    points: float,
    picture: str = "",
) -> str:
    """The page as Markdown for pandoc.

    Args:
        outcomes: The outcomes of all submissions.
        scores: The score of each, from 0 to 1.
        pages: Name of each submission that has a page → the page's name without ``.html``.
        points: What a submission without a mistake gets.
        picture: The figure of the scores, in Markdown.
    """
    links = {outcome.name: _link(outcome.name, pages) for outcome in outcomes}
    parts = [f"# {TITLE}", _summary(outcomes, scores, points)]
    if picture:
        parts += ["## Scores", picture]
    for accepted, heading in ((False, "## Mistakes"), (True, "## Accepted conventions")):
        if table := _mistakes(outcomes, links, accepted=accepted):
            parts += [heading, table]
    if table := _unnamed(outcomes, links):
        parts += [
            "## First divergences without a name",
            "None of the known mistakes gives exactly these values.",
            table,
        ]
    if errors := [one for one in outcomes if one.result.error is not None]:
        lines = [f"- {links[one.name]}: {escaped(one.result.error or '')}" for one in errors]
        parts += ["## Not checked", "\n".join(lines)]
    if outcomes:
        rows = [
            [links[one.name], STATUS[one.status], f"{part:.4f}", f"{part * points:.2f}",
             escaped(_first_words(one))]
            for one, part in zip(outcomes, scores, strict=True)
        ]  # fmt: skip
        columns = ("submission", "status", "score", "points", "first divergence")
        parts += ["## All submissions", pipe_table(columns, rows, "llrrl")]
    return "\n\n".join(parts) + "\n"


def _summary(outcomes: Sequence[Outcome], scores: Sequence[float], points: float) -> str:
    if not outcomes:
        return "There are no submissions."
    statuses = [outcome.status for outcome in outcomes]
    counts = ", ".join(f"{statuses.count(status)} {word}" for status, word in STATUS.items())
    return (
        f"**{plural(len(outcomes), 'submission')}: {counts}.** The median of the scores is "
        f"{median(scores):.2f}, which is {median(scores) * points:.2f} of {points:g} points."
    )


def _mistakes(outcomes: Sequence[Outcome], links: Mapping[str, str], *, accepted: bool) -> str:
    """Each named mistake, how often it was made and by whom, the most frequent first."""
    found: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        for check in outcome.result.checks:
            if check.diagnosis is not None and check.accepted == accepted:
                found.setdefault(check.diagnosis.code, {})[outcome.name] = None
    rows = [
        [f"`{code}`", str(len(names)), ", ".join(links[name] for name in names)]
        for code, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return pipe_table(("mistake", "times", "by whom"), rows, "lrl")


def _unnamed(outcomes: Sequence[Outcome], links: Mapping[str, str]) -> str:
    """The first divergences that have no name, by quantity, the most frequent first."""
    found: dict[str, list[tuple[str, Check]]] = {}
    for outcome in outcomes:
        first = outcome.result.first_divergence
        if first is not None and first.diagnosis is None:
            found.setdefault(check_title(first), []).append((links[outcome.name], first))
    rows = [
        [escaped(f"{title} ({len(several)})") if number == 0 else "", link, escaped(where(check)),
         f"{check.expected_there:.6g}", f"{check.found_there:.6g}"]
        for title, several in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        for number, (link, check) in enumerate(several)
    ]  # fmt: skip
    columns = ("quantity", "submission", "worst at", "expected", "found")
    return pipe_table(columns, rows, "lllrr")


def _first_words(outcome: Outcome) -> str:
    """The first divergence with the code of its mistake."""
    first = outcome.result.first_divergence
    if first is None:
        return ""
    name = f": {first.diagnosis.code}" if first.diagnosis else ""
    return f"{check_title(first)}{name}"


def _link(name: str, pages: Mapping[str, str]) -> str:
    if name not in pages:
        return escaped(name)
    return f"[{escaped(name)}]({quote(pages[name])}.html)"
