"""``nncompare check``."""

from __future__ import annotations

import math
import secrets
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from compare.check.checking import check_homework
from compare.check.foreign_modules import checked_names
from compare.check.isolation import STANDARD, find_isolation
from compare.check.option_values import (
    Course,
    checked_codes,
    checked_functions,
    checked_loss,
    checked_targets,
)
from compare.check.presets import find_preset
from compare.check.reading import Options
from compare.check.result import Outcome, as_json
from compare.check.sandbox import TIMEOUT_S
from compare.check.scoring import POINTS, Scoring, checked_weights, unused_weights
from compare.languages import translated
from compare.records.atomic import write_atomically
from experiments.errors import InputError

# The memory that Python and NumPy need.
LEAST_MB = 512
# Seeds that are drawn are numbers that a person can type; others may be given.
MOST_DRAWN, LARGEST_SEED = 10**9, 2**32 - 1
# How often --watch looks at the files.
POLL_S = 0.3


def check_command(
    homework: Path,
    *,
    architecture: str | None,
    loss: str | None,
    targets: str | None,
    optimizer: str | None,
    settings: list[str],
    golden: Path | None,
    mapping: Path | None,
    preset: str | None,
    require: str | None,
    timeout: float | None,
    memory: int,
    json: Path | None,
    report: Path | None,
    gradescope: Path | None,
    points: float | None,
    weights: list[str],
    accept: list[str],
    course: Path | None,
    watch: bool,
    csv: Path | None,
    jobs: int | None,
    file: str | None,
    prints: bool,
    definitions_only: bool,
    isolation: str,
    allow_import: list[str],
    seed: int | None = None,
) -> int:
    """Check a homework, or every homework in a folder.

    Questions are drawn anew for each grading, so that no answers can be known before it; all of a
    folder get the same ones, and a seed asks them again.

    Returns:
        0 when it agrees, 1 when it differs, 2 when it could not be checked; for a folder the
        largest of these.
    """
    if mapping is not None and preset is not None:
        raise InputError(
            f"--preset {preset} and --mapping {mapping} both say how the homework is read: "
            "expected one of them."
        )
    common = _course(course)
    # What the file says of the settings is about its own optimizer.
    same_optimizer = optimizer in (None, common.optimizer)
    own_settings = optimizer_settings(optimizer or common.optimizer, settings)
    options = Options(
        architecture=architecture or common.architecture,
        loss=checked_loss(loss, "--loss") or common.loss,
        targets=checked_targets(targets, "--targets") or common.targets,
        optimizer=optimizer or common.optimizer,
        settings=own_settings or (dict(common.settings) if same_optimizer else {}),
        golden=_golden(golden),
        mapping=mapping,
        preset=None if mapping else find_preset(preset or common.preset, "--preset"),
        required=checked_functions(_names([require or ""]), "--require") or tuple(common.require),
        timeout_s=_positive("--timeout", timeout) or common.timeout or TIMEOUT_S,
        memory_mb=_memory(memory),
        accept=checked_codes(_names(accept), "--accept") or tuple(common.accept),
        definitions_only=definitions_only,
        isolation=isolation or common.isolation or STANDARD,
        allow_import=checked_names(_names(allow_import), "--allow-import")
        or tuple(common.allow_import),
        others=tuple(one for one in (golden, course, json, csv, gradescope) if one is not None),
        seed=_seed(seed, golden),
    )
    find_isolation(options.isolation)
    scoring = Scoring(
        weights_of_pairs(weights) or common.weights,
        _positive("--points", points) or common.points or POINTS,
    )
    if homework.is_dir():
        single = {"--json": json, "--gradescope": gradescope, "--watch": watch or None}
        for name, given in single.items():
            if given is not None:
                raise InputError(f"{name} is for one homework, but {homework} is a folder.")
        return _check_folder(homework, options, scoring, csv, report, jobs, file)
    for name, value in (("--csv", csv), ("--jobs", jobs), ("--file", file)):
        if value is not None:
            raise InputError(f"{name} is for a folder of homeworks, but {homework} is none.")

    from compare.console.check import show_outcome, show_unused_weights  # while others load

    def once() -> int:
        outcome = check_homework(homework, options)
        show_outcome(outcome, prints=prints)
        show_unused_weights(unused_weights([outcome], scoring.weights))
        _write(outcome, homework, json, report, gradescope, scoring)
        return outcome.status

    if watch:
        return run_again_when_saved(once, [f for f in (homework, mapping) if f is not None])
    return once()


def _write(
    outcome: Outcome,
    homework: Path,
    json: Path | None,
    report: Path | None,
    gradescope: Path | None,
    scoring: Scoring,
) -> None:
    if json is not None:
        write_atomically(json, as_json(outcome.result, outcome.seed, outcome.isolation))
    if gradescope is not None:
        from compare.check.grading import as_gradescope

        write_atomically(gradescope, as_gradescope(outcome, scoring))
    if report is not None:
        from compare.commands.check_report import write_check_report

        write_check_report(outcome, homework, report)


def _check_folder(
    folder: Path,
    options: Options,
    scoring: Scoring,
    csv: Path | None,
    report: Path | None,
    jobs: int | None,
    file: str | None,
) -> int:
    """Check every submission in a folder, print a line for each, write the grade book.

    Returns:
        The largest of the statuses.
    """
    from rich.console import Console

    from compare.check.grading import (
        GradeBook,
        Submission,
        check_submissions,
        find_submissions,
        grade,
    )
    from compare.console.check import (
        show_counts,
        show_isolation,
        show_seed,
        show_unused_weights,
        show_verdict,
    )

    submissions = find_submissions(folder, file)
    if not submissions:
        raise InputError(f"{folder} holds no Python files or notebooks and no folders with them.")
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs expects a number of at least 1, but got {jobs}.")
    console = Console(highlight=False)
    pages: dict[str, str] = {}
    if report is not None:
        from compare.commands.class_report import page_names

        pages = page_names([one for one in submissions if one.file is not None])

    book = GradeBook(csv) if csv is not None else None

    def show(submission: Submission, outcome: Outcome) -> None:
        if book is not None:  # before all that could fail
            book.add(grade(outcome, scoring))
        show_verdict(outcome, console)
        if report is None or submission.file is None:
            return
        from compare.commands.check_report import write_check_report

        try:
            write_check_report(outcome, submission.file, report, pages[submission.name], scoring)
        except Exception as error:  # a page is not worth the pages of all others
            del pages[submission.name]
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
            note = f"Note: the page of {submission.name} could not be written: {problem}."
            console.print(note, markup=False, soft_wrap=True)

    outcomes = check_submissions(submissions, options, show, jobs)
    show_counts(outcomes, console)
    show_isolation(outcomes, console)
    if options.seed is not None:
        show_seed(options.seed, console)
    show_unused_weights(unused_weights(outcomes, scoring.weights), console)
    if report is not None:
        from compare.commands.class_report import write_class_report

        write_class_report(outcomes, pages, report, scoring)
    return max(outcome.status for outcome in outcomes)


def run_again_when_saved(once: Callable[[], int], files: Sequence[Path]) -> int:
    """Run, and run again whenever one of the files or a Python file beside it changes.

    Ctrl-C ends it with a KeyboardInterrupt.
    """
    while True:
        before = file_stamps(files)
        once()
        said = translated(f"Watching {files[0]}; Ctrl-C ends this.", "terminal")
        print(f"\n{said}", flush=True)
        while file_stamps(files) == before:
            time.sleep(POLL_S)
        print("\n" + "─" * 40, flush=True)


def file_stamps(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """When each file, and each Python file beside it, was last changed, and its size."""
    found = {}
    for path in {*files, *(p for file in files for p in file.parent.glob("*.py"))}:
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_mtime_ns, state.st_size)
    return found


def optimizer_settings(optimizer: str | None, pairs: Iterable[str]) -> dict[str, Any]:
    """The optimizer's keyword arguments from pairs such as ``lr=0.1``.

    Raises:
        InputError: A pair has another form, or there is no optimizer.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"--set expects name=value, such as lr=0.1, but got {pair!r}.")
        try:
            found[key.strip()] = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            raise InputError(
                f"--set {pair}: the value should be a number, true, false or a list."
            ) from None
    if found and optimizer is None:
        raise InputError("--set gives settings of an optimizer: name it with --optimizer.")
    return found


def weights_of_pairs(pairs: Iterable[str]) -> dict[str, float]:
    """The weights from pairs such as ``gradient=5``.

    Raises:
        InputError: A pair has another form, or there is no such quantity.
    """
    found: dict[str, float] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        try:
            found[key.strip()] = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"--weight expects KIND=NUMBER, such as gradient=5, but got {pair!r}.")
    return checked_weights(found, "--weight")


def _names(lists: Iterable[str]) -> list[str]:
    """The names in texts that hold one or several, separated by commas."""
    return [name.strip() for text in lists for name in text.split(",") if name.strip()]


def new_seed() -> int:
    """A seed that nobody knows before."""
    return secrets.randbelow(MOST_DRAWN)


def _seed(seed: int | None, golden: Path | None) -> int | None:
    """The seed of a grading; None with a golden file, whose questions are in it."""
    if golden is not None:
        if seed is not None:
            raise InputError(f"--seed {seed}: the questions are those of {golden}; leave it out.")
        return None
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed expects a number from 0 to {LARGEST_SEED}, but got {seed}.")
    return new_seed() if seed is None else seed


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{name} expects a number above 0, but got {value:g}.")
    return value


def _memory(megabytes: int) -> int:
    if megabytes < LEAST_MB:
        raise InputError(
            f"--memory expects at least {LEAST_MB}: Python and NumPy need that; got {megabytes}."
        )
    return megabytes


def _course(path: Path | None) -> Course:
    if path is None:
        return Course()
    from compare.check.course import read_course

    return read_course(path)


def _golden(path: Path | None) -> Any:
    if path is None:
        return None
    from compare.check.golden import read_golden

    return read_golden(path)
