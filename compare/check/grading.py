"""Grading: all submissions in a folder, the grade book, and Gradescope's results.json."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from compare.check.grader import Grader
from compare.check.reading import Options
from compare.check.reference_process import shared_answers
from compare.check.result import (
    NO_NAME,
    Outcome,
    Result,
    as_text,
    check_title,
    distance,
    divergence_sentence,
)
from compare.check.scoring import EQUAL, Mark, Scoring, consequence_sentence, marks, score
from compare.records.atomic import write_atomically
from experiments.errors import InputError

COLUMNS = (
    "submission", "status", "score", "passed", "checks", "first_divergence", "diagnosis",
    "explanation", "points", "accepted", "mistakes", "seed",
)  # fmt: skip
# What a spreadsheet takes for the start of a formula, in the wide forms of East Asia, too.
FORMULAS = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
            "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
# The exit statuses in words.
STATUS = {0: "agrees", 1: "differs", 2: "not checked"}
# What a homework's file ends with, and the file that is checked if a folder holds several.
ENDINGS = (".py", ".ipynb")
MAIN = tuple(
    f"{name}{ending}"
    for name in ("homework", "main", "solution", "submission")
    for ending in ENDINGS
)


class Submission(NamedTuple):
    """One homework in a folder: its name, and its file or why there is none."""

    name: str
    file: Path | None
    problem: str | None = None


def find_submissions(folder: Path, file: str | None = None) -> list[Submission]:
    """The submissions in a folder, in alphabetical order: files, and folders with one.

    A file is a Python file or a notebook; inside a folder, a Python file stands for the notebook
    of its name. If the folder holds folders alone, one without such a file is a submission, too;
    beside files it may be anything and is left out.

    Args:
        folder: Where to look.
        file: The name of the file to check in each folder that holds several.
    """
    found, any_homework = [], False
    paths = [p for p in folder.iterdir() if not p.name.startswith((".", "_"))]
    folders_alone = not any(p.is_file() and p.suffix in ENDINGS for p in paths)
    for path in sorted(paths, key=lambda p: p.name):
        if path.is_file() and path.suffix in ENDINGS:
            found.append(Submission(path.name, path))
            any_homework = True
        elif path.is_dir():
            inside = _homeworks_inside(path)
            main = _main_file(inside, file)
            any_homework |= bool(inside)
            if main is not None:
                found.append(Submission(path.name, main))
            elif inside or file or folders_alone:
                names = ", ".join(str(p.relative_to(path)) for p in inside)
                names = names or "no Python file and no notebook"
                expected = file or "--file NAME, or one file only"
                problem = f"the folder holds {names}; expected {expected}."
                found.append(Submission(path.name, None, problem))
    return _with_names_apart(found) if any_homework else []


def _with_names_apart(found: Sequence[Submission]) -> list[Submission]:
    """The submissions, whose names can be printed and are different from each other.

    A file may have any bytes for a name: escape sequences, halves of characters, new lines.
    """
    taken: set[str] = set()
    named = []
    for one in found:
        name = shown = "".join(
            c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in one.name
        )
        number = 2
        while shown in taken:
            shown, number = f"{name} ({number})", number + 1
        taken.add(shown)
        named.append(one._replace(name=shown))
    return named


def _homeworks_inside(folder: Path) -> list[Path]:
    """The Python files and notebooks in a folder, without the copies that programs keep."""
    found = (p for p in folder.rglob("*") if p.suffix in ENDINGS and p.is_file())
    left_out = {"__pycache__", ".ipynb_checkpoints"}
    return sorted(p for p in found if not left_out & set(p.parts))


def _main_file(inside: Sequence[Path], file: str | None) -> Path | None:
    if file is not None:
        return next((p for p in inside if p.name == file), None)
    inside = [p for p in inside if p.suffix == ".py" or p.with_suffix(".py") not in inside]
    if len(inside) == 1:
        return inside[0]
    return next((p for name in MAIN for p in inside if p.name == name), None)


def check_submissions(
    submissions: Sequence[Submission],
    options: Options,
    on_outcome: Callable[[Submission, Outcome], object],
    jobs: int | None = None,
) -> list[Outcome]:
    """Check submissions, several at once, each apart from the others.

    What is left of them when a submission ends the process that checks it, says
    :class:`compare.check.grader.Grader`.

    Args:
        submissions: What to check.
        options: How to check each.
        on_outcome: Called with each submission and its outcome, in the order given.
        jobs: How many at once; by default as many as there are processors.
    """
    count = min(jobs or os.cpu_count() or 1, len(submissions))
    graders = [Grader(options) for _ in range(count)]
    free: queue.SimpleQueue[Grader] = queue.SimpleQueue()
    for grader in graders:
        free.put(grader)
    if options.golden is None:
        shared_answers()  # PyTorch loads while the graders start
    outcomes = []
    pool = ThreadPoolExecutor(count)
    try:
        futures = [
            pool.submit(_check_submission, one, _others(one, submissions), free)
            for one in submissions
        ]
        for submission, future in zip(submissions, futures, strict=True):
            outcomes.append(future.result())
            on_outcome(submission, outcomes[-1])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for grader in graders:
            grader.close()
    return outcomes


def _others(own: Submission, submissions: Sequence[Submission]) -> tuple[Path, ...]:
    """The files of the other submissions, or their folders where these are not the own one's."""
    if own.file is None:
        return ()
    found: dict[Path, None] = {}
    for other in submissions:
        if other.file is not None and other.file != own.file:
            folder = other.file.parent
            found[other.file if own.file.is_relative_to(folder) else folder] = None
    return tuple(found)


def _check_submission(
    submission: Submission, others: tuple[Path, ...], free: queue.SimpleQueue[Grader]
) -> Outcome:
    """Check one submission with a grader that is free."""
    if submission.file is None:
        return Outcome(submission.name, Result(error=submission.problem))
    grader = free.get()
    try:
        outcome = grader.check(submission.file, others)
    finally:
        free.put(grader)
    return replace(outcome, name=submission.name)


def grade(outcome: Outcome, scoring: Scoring = EQUAL) -> dict[str, object]:
    """The row of the grade book: :data:`COLUMNS` and their values."""
    result = outcome.result
    first = result.first_divergence
    diagnosis = first.diagnosis if first else None
    found = marks(outcome, scoring.weights)
    part = score(found)
    codes = dict.fromkeys(c.diagnosis.code for c in result.checks if c.diagnosis is not None)
    return {
        "submission": outcome.name,
        "status": STATUS[outcome.status],
        "score": f"{part:.4f}",
        "passed": sum(check.in_order for check in result.checks),
        "checks": len(found),
        "first_divergence": check_title(first) if first else "",
        "diagnosis": diagnosis.code if diagnosis else "",
        "explanation": explanation(result),
        "points": f"{part * scoring.points:.2f}",
        "accepted": " ".join(result.accepted),
        "mistakes": " ".join(code for code in codes if code not in result.accepted),
        "seed": "" if outcome.seed is None else outcome.seed,
    }


def explanation(result: Result) -> str:
    """Why a homework could not be checked, or what its first divergence is; else nothing."""
    first = result.first_divergence
    if result.error is not None:
        return result.error
    if first is None:
        return ""
    if first.diagnosis is not None:
        return first.diagnosis.explanation
    return f"{divergence_sentence(first)} {NO_NAME.capitalize()}."


def as_csv(rows: Sequence[dict[str, object]]) -> str:
    """The grade book as CSV, line by line as :class:`GradeBook` writes it."""
    return "".join((csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))), *map(csv_line, rows)))


def csv_line(cells: Mapping[str, object]) -> str:
    """One line of the grade book. A cell that a spreadsheet would compute is quoted as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writerow({column: as_cell(value) for column, value in cells.items()})
    return text.getvalue()


def as_cell(value: object) -> object:
    """The value of a cell, behind an apostrophe if a spreadsheet would take it for a formula."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")  # a return alone ends a line, too
    formula = text.lstrip()[:1] in FORMULAS or text[:1] in ("\t", "\n")
    if formula and text:
        return f"'{text}"
    return text if isinstance(value, str) else value


class GradeBook:
    """The grade book as a file that grows by a line for each submission.

    Whatever happens later, the lines that are there stay.

    Args:
        path: The CSV file, replaced if it exists.

    Raises:
        InputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path} could not be written: {error.strerror}.") from None
        write_atomically(path, as_csv([]))

    def add(self, row: Mapping[str, object]) -> None:
        """Write the line of one submission, or nothing of it.

        Raises:
            InputError: It cannot be written.
        """
        length = None
        try:
            with self._path.open("ab") as file:
                length = file.tell()
                file.write(csv_line(row).encode("utf-8", "replace"))
        except OSError as error:
            if length is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self._path, length)
            raise InputError(f"{self._path} could not be written: {error.strerror}.") from None


def as_gradescope(outcome: Outcome, scoring: Scoring = EQUAL) -> str:
    """The text of Gradescope's ``results.json``: one test per quantity.

    A quantity that the homework should have given and did not counts as failed. The format:
    https://gradescope-autograders.readthedocs.io/en/latest/specs/.
    """
    points = scoring.points
    found = marks(outcome, scoring.weights)
    whole = math.fsum(mark.weight for mark in found)
    tests = [
        _gradescope_test(mark, points * mark.weight / whole if whole else 0.0, outcome.result.error)
        for mark in found
    ]
    tree: dict[str, Any] = {
        "score": round(points * score(found), 6),
        "output": as_text(outcome),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    if not tests:
        tree["tests"] = [
            {
                "name": "could be checked",
                "score": 0.0,
                "max_score": points,
                "status": "failed",
                "output": outcome.result.error,
                "visibility": "visible",
            }
        ]
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _gradescope_test(mark: Mark, worth: float, error: str | None) -> dict[str, Any]:
    check = mark.check
    return {
        "name": mark.title,
        "score": round(worth * (1 - mark.lost), 6),
        "max_score": round(worth, 6),
        "status": "passed" if check is not None and check.in_order else "failed",
        "output": "\n".join(_feedback(mark, error)),
        "visibility": "visible",
    }


def _feedback(mark: Mark, error: str | None) -> Iterator[str]:
    """What is said of one quantity, line by line."""
    check = mark.check
    if check is None:
        yield f"There was no answer: {error or 'it was not asked for.'}"
        return
    yield distance(check) if check.passed else divergence_sentence(check)
    if check.diagnosis is not None:
        word = "Accepted: " if check.accepted else ""
        yield f"{word}{check.diagnosis.code}: {check.diagnosis.explanation}"
    elif not check.passed:
        yield f"{NO_NAME.capitalize()}."
    if mark.follows is not None and not check.in_order:
        yield consequence_sentence(mark.follows)
