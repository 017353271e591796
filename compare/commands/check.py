"""``nncompare check``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from compare.check.as_json import as_json
from compare.check.checking import check_homework
from compare.check.contract import LOSSES
from compare.check.outcome import Options, Outcome
from compare.check.returned import SIGNATURES
from compare.records.atomic import write_atomically
from experiments.errors import InputError

LEAST_MB = 512


def check_command(
    homework: Path,
    *,
    architecture: str | None,
    loss: str | None,
    optimizer: str | None,
    settings: list[str],
    golden: Path | None,
    mapping: Path | None,
    require: str | None,
    timeout: float,
    memory: int,
    json: Path | None,
    report: Path | None,
    gradescope: Path | None,
    points: float,
    watch: bool,
    csv: Path | None,
    jobs: int | None,
    file: str | None,
    prints: bool,
) -> int:
    """Check a homework, or every homework in a folder.

    Returns:
        0 when it agrees, 1 when it differs, 2 when it could not be checked; for a folder the
        largest of these.
    """
    options = Options(
        architecture,
        _loss(loss),
        optimizer,
        optimizer_settings(optimizer, settings),
        _golden(golden),
        mapping,
        _required(require),
        _positive("--timeout", timeout),
        _memory(memory),
    )
    if homework.is_dir():
        single = {"--json": json, "--gradescope": gradescope, "--watch": watch or None}
        for name, given in single.items():
            if given is not None:
                raise InputError(f"{name} is for one homework, but {homework} is a folder.")
        from compare.check.folder import check_folder

        return check_folder(
            homework, options, csv=csv, report=_reporter(report), jobs=jobs, file=file
        )
    for name, value in (("--csv", csv), ("--jobs", jobs), ("--file", file)):
        if value is not None:
            raise InputError(f"{name} is for a folder of homeworks, but {homework} is none.")

    def once() -> int:
        outcome = check_homework(homework, options)
        from compare.check.terminal import show

        show(outcome, prints=prints)
        _write(outcome, homework, json, report, gradescope, points)
        return outcome.status

    if watch:
        from compare.check.watch import run_again_when_saved

        return run_again_when_saved(once, [f for f in (homework, mapping) if f is not None])
    return once()


def _write(
    outcome: Outcome,
    homework: Path,
    json: Path | None,
    report: Path | None,
    gradescope: Path | None,
    points: float,
) -> None:
    if json is not None:
        write_atomically(json, as_json(outcome.result))
    if gradescope is not None:
        from compare.check.gradescope import gradescope_json

        write_atomically(gradescope, gradescope_json(outcome, points))
    if report is not None:
        from compare.commands.check_report import write_check_report

        write_check_report(outcome, homework, report)


def _reporter(folder: Path | None) -> Callable[[Outcome, Path, str], object] | None:
    """Writes the reports of a folder's submissions; None where none are wanted."""
    if folder is None:
        return None
    from compare.commands.check_report import write_check_report

    return lambda outcome, file, name: write_check_report(outcome, file, folder, name)


def optimizer_settings(optimizer: str | None, pairs: Iterable[str]) -> dict[str, Any]:
    """The optimizer's keyword arguments from ``lr=0.1`` and the like.

    Raises:
        InputError: A pair is none, or there is no optimizer that they could belong to.
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


def _loss(loss: str | None) -> str | None:
    if loss is not None and loss not in LOSSES:
        raise InputError(f"--loss expects one of {', '.join(LOSSES)}, but got {loss!r}.")
    return loss


def _required(names: str | None) -> tuple[str, ...]:
    found = tuple(name.strip() for name in (names or "").split(",") if name.strip())
    for name in found:
        if name not in (*SIGNATURES, "network"):
            expected = ", ".join((*SIGNATURES, "network"))
            raise InputError(f"--require expects some of {expected}, but got {name!r}.")
    return found


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise InputError(f"{name} expects a number above 0, but got {value:g}.")
    return value


def _memory(megabytes: int) -> int:
    if megabytes < LEAST_MB:
        raise InputError(
            f"--memory expects at least {LEAST_MB}: Python and NumPy need that; got {megabytes}."
        )
    return megabytes


def _golden(path: Path | None) -> Any:
    if path is None:
        return None
    from compare.check.golden import read_golden

    return read_golden(path)
