"""Many homeworks, several at once, a line each."""

from __future__ import annotations

import csv as csv_format
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from compare.check.checking import check_homework
from compare.check.evidence import Result
from compare.check.outcome import Options, Outcome
from compare.check.terminal import STYLES
from compare.check.wording import title, verdict
from compare.records.atomic import write_atomically
from experiments.errors import InputError

COLUMNS = (
    "submission", "status", "score", "passed", "checks", "first_divergence", "diagnosis",
    "explanation",
)  # fmt: skip
STATUS = {0: "agrees", 1: "differs", 2: "not checked"}
# Names of the file in a submission of several.
MAIN = ("homework.py", "main.py", "solution.py", "submission.py")


class Submission(NamedTuple):
    """One homework in the folder: its name, and its file or why there is none."""

    name: str
    file: Path | None
    problem: str | None = None


def check_folder(
    folder: Path,
    options: Options,
    *,
    csv: Path | None,
    report: Callable[[Outcome, Path, str], object] | None,
    jobs: int | None,
    file: str | None,
) -> int:
    """Check every homework in a folder and print a line for each.

    Args:
        folder: Where they are.
        options: How each is to be checked.
        csv: Where to write the grade book.
        report: Is given each outcome, its file and the name of the submission.
        jobs: How many at once; by default as many as there are processors.
        file: The name of the file to check in each folder that holds several.

    Returns:
        The largest of the statuses.
    """
    found = submissions(folder, file)
    if not found:
        raise InputError(f"{folder} holds no Python files and no folders with them.")
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs expects a number of at least 1, but got {jobs}.")
    console = Console(highlight=False)
    rows, statuses = [], []
    with ThreadPoolExecutor(jobs or min(len(found), os.cpu_count() or 1)) as pool:
        futures = [pool.submit(_checked, submission, options) for submission in found]
        try:
            for submission, future in zip(found, futures, strict=True):
                outcome = future.result()
                console.print(Text(verdict(outcome), STYLES[outcome.status]), soft_wrap=True)
                rows.append(row(outcome))
                statuses.append(outcome.status)
                if report is not None and submission.file is not None:
                    report(outcome, submission.file, submission.name)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    counts = ", ".join(f"{statuses.count(s)} {STATUS[s]}" for s in STATUS if s in statuses)
    console.print(f"{len(found)} submissions: {counts}.")
    if csv is not None:
        write_atomically(csv, as_csv(rows))
    return max(statuses)


def submissions(folder: Path, file: str | None = None) -> list[Submission]:
    """The homeworks in a folder, in alphabetical order: Python files, and folders that hold one.

    Where every submission is a folder, one without a Python file is somebody's, too; beside files
    it may hold anything.

    Args:
        folder: Where to look.
        file: The name of the file to check in each folder that holds several.
    """
    found, any_python = [], False
    paths = [p for p in folder.iterdir() if not p.name.startswith((".", "_"))]
    folders_alone = not any(p.is_file() and p.suffix == ".py" for p in paths)
    for path in sorted(paths, key=lambda p: p.name):
        if path.is_file() and path.suffix == ".py":
            found.append(Submission(path.name, path))
            any_python = True
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*.py") if "__pycache__" not in p.parts)
            chosen = _chosen(inside, file)
            any_python |= bool(inside)
            if chosen is not None:
                found.append(Submission(path.name, chosen))
            elif inside or file or folders_alone:
                names = ", ".join(str(p.relative_to(path)) for p in inside) or "no Python file"
                wanted = file or "--file NAME, or one file only"
                found.append(
                    Submission(path.name, None, f"the folder holds {names}; expected {wanted}.")
                )
    return found if any_python else []


def _chosen(inside: Sequence[Path], file: str | None) -> Path | None:
    if file is not None:
        return next((p for p in inside if p.name == file), None)
    if len(inside) == 1:
        return inside[0]
    return next((p for name in MAIN for p in inside if p.name == name), None)


def _checked(submission: Submission, options: Options) -> Outcome:
    if submission.file is None:
        return Outcome(submission.name, Result(error=submission.problem))
    try:
        outcome = check_homework(submission.file, options)
    except Exception as error:  # it costs this submission only
        outcome = Outcome("", Result(error=f"{type(error).__name__}: {error}."))
    return replace(outcome, name=submission.name)


def row(outcome: Outcome) -> dict[str, object]:
    """The line of a grade book."""
    result = outcome.result
    first = result.first_divergence
    diagnosis = first.diagnosis if first else None
    total = max(len(outcome.asked), len(result.checks))
    passed = sum(check.passed for check in result.checks)
    return {
        "submission": outcome.name,
        "status": STATUS[outcome.status],
        "score": f"{passed / total:.4f}" if total else "0.0000",
        "passed": passed,
        "checks": total,
        "first_divergence": title(first) if first else "",
        "diagnosis": diagnosis.code if diagnosis else "",
        "explanation": result.error or (diagnosis.explanation if diagnosis else ""),
    }


def as_csv(rows: Sequence[dict[str, object]]) -> str:
    """The text of the grade book. A cell that a spreadsheet would compute is quoted as text."""
    text = io.StringIO()
    writer = csv_format.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cells in rows:
        writer.writerow({k: f"'{v}" if str(v)[:1] in "=+-@" and v else v for k, v in cells.items()})
    return text.getvalue()
