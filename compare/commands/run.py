"""``nncompare run``."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from compare.languages import known, translated, translated_error
from compare.spec.demos import ActivationHistograms
from compare.spec.experiment import Experiment
from compare.spec.loading import load_experiment, load_settings, parse_seeds
from experiments.errors import EXTRA_OF, InputError, missing_extra

if TYPE_CHECKING:
    from compare.records.directory import RunDirectory
    from compare.records.run import RunRecord

MANY = 500
"""So many trainings are started without a word; our own experiments make at most 400."""


def run_command(
    experiment: str,
    *,
    sample: bool,
    max_steps: int | None,
    threads: int | None = None,
    changes: list[str],
    seed: int | None,
    data_dir: Path | None,
    out: Path | None,
    resume: bool,
    seeds: str | None = None,
    certify: str | None = None,
    jobs: int | None = None,
    dask: str | None = None,
    checkpoint_every: float | None = None,
    command: str | None = None,
    author: str = "",
    language: str = "",
    yes: bool = False,
) -> int:
    """Run an experiment, show its progress and its table, and write its report.

    The arguments are the command's options; ``command`` is what the record says was typed, by
    default the words that this program was called with. More than :data:`MANY` trainings are
    started with ``yes`` alone.

    Returns:
        0 when every training was finished and every comparison passed, else 1.
    """
    command = command or shlex.join(["nncompare", *map(_typed, sys.argv[1:])])
    author = _typed(author)
    if language:
        known(language)
    for option, value in (("--max-steps", max_steps), ("--threads", threads), ("--jobs", jobs)):
        if value is not None and value < 1:
            raise InputError(f"{option} expects a number of at least 1, but got {value}.")
    if checkpoint_every is not None and not checkpoint_every >= 0:
        raise InputError(
            f"--checkpoint-every expects seconds, at least 0, but got {checkpoint_every}."
        )
    if seed is not None and not 0 <= seed < 2**32:
        raise InputError(f"--seed expects a number from 0 to {2**32 - 1}, but got {seed}.")
    if seed is not None and seeds is not None:
        raise InputError("--seed and --seeds exclude each other.")
    if jobs is not None and dask is not None:
        raise InputError("--jobs and --dask exclude each other: on a cluster, its workers count.")
    if certify is not None and not _certified(certify):
        raise InputError(
            f"--certify expects all, auto or a number of steps of at least 1, but got {certify!r}."
        )
    chosen = parse_seeds(seeds) if seeds is not None else None if seed is None else [seed]
    if not isinstance(load_settings(experiment)[1], Experiment):
        if dask is not None or jobs not in (None, 1):
            raise InputError(
                f"--{'dask' if jobs is None else 'jobs'}: {experiment} trains no network and takes "
                "seconds: it is run in this process alone."
            )
        if certify is not None:
            raise InputError(
                f"--certify: {experiment} trains no network: it is certified wherever it can be."
            )
        return _run_demo(
            experiment, max_steps=max_steps, threads=threads, changes=changes, seeds=chosen,
            data_dir=data_dir, out=out, resume=resume, command=command, author=author,
        )  # fmt: skip
    if chosen is not None:
        changes = [*changes, f"training.seeds={chosen}"]
    if certify is not None:
        changes = [*changes, f"parity.certify={_certified(certify)}"]
    if author:
        changes = [*changes, f"report.author={json.dumps(author, ensure_ascii=False)}"]
    name, settings = load_experiment(experiment, changes)
    if resume and out is None:
        raise InputError("--resume needs --out DIR: the folder of the run to go on with.")
    if len(settings.trainings) > MANY and not (yes or resume):
        raise InputError(_how_long(experiment, settings, jobs or 1))

    from compare.console.progress import observer, show_paths, waiting

    with _early_processes(min(jobs or 1, len(settings.trainings))):
        with waiting(translated("Loading PyTorch", "terminal")):
            from compare.console.summary import show_summary
            from compare.records.directory import RunDirectory, new_folder
            from compare.records.run import read_run
            from compare.training.run import run_experiment

        directory = RunDirectory(out or new_folder(name), resume=resume)
        try:
            with observer(
                settings, elsewhere=dask is not None or jobs not in (None, 1)
            ) as watching:
                record = run_experiment(
                    name,
                    settings,
                    directory,
                    watching,
                    folder=Path(experiment).parent,
                    data_dir=data_dir,
                    sample=sample,
                    max_steps=max_steps,
                    threads=threads,
                    jobs=jobs or 1,
                    dask=dask,
                    checkpoint_every=checkpoint_every,
                    command=command,
                )
        except KeyboardInterrupt:
            if (directory.path / "run.json").exists():
                print(
                    "nncompare:",
                    _said(
                        f"what was recorded is kept in {directory.path} and marked incomplete; the "
                        f"same command with {_resume(directory)} goes on with it"
                    ),
                    file=sys.stderr,
                )
            raise
    passed = False
    if record.trainings:
        paths = _report(directory.path, language=language)
        passed = show_summary(read_run(directory.path))
        show_paths(paths)
    if record.failures:
        _show_failures(record, directory)
    return 0 if passed and record.status == "complete" else 1


def _early_processes(count: int) -> AbstractContextManager[None]:
    """Have the process that others are forked from load PyTorch while this one does."""
    if count < 2:
        return nullcontext()
    from compare.training.fork_server import early_start

    return early_start()


def _certified(text: str) -> str:
    """What ``--certify`` says, as a value of a TOML file; empty where that is nothing."""
    if text in ("all", "auto"):
        return json.dumps(text)
    return str(int(text)) if text.isascii() and text.isdigit() and int(text) else ""


def _how_long(experiment: str, settings: Experiment, jobs: int) -> str:
    """How many trainings there are and how long they may take, as a sentence.

    Where the experiment's file says its minutes, a training takes its share of them; else from a
    second to a minute, as most of a small network on a small data set do.
    """
    several, seeds = len(settings.trainings), len(settings.training.seeds)
    own = load_experiment(experiment)[1]
    if own.minutes is not None:
        share = 60 * own.minutes / len(own.trainings)
        likely = f"about {_duration(several * share / jobs)} as {experiment} says of its own"
    else:
        likely = (
            f"{_duration(several / jobs)} at a second each and {_duration(60 * several / jobs)} at "
            "a minute each"
        )
    return (
        f"{experiment} makes {several:,} trainings ({len(settings.configurations):,} combinations "
        f"from {seeds:,} seed{'s' if seeds > 1 else ''}), {likely}: expected at most {MANY:,}, or "
        "--yes to start them all."
    )


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length):,} {unit}s"
    return f"{round(seconds):,} seconds"


def _run_demo(
    experiment: str,
    *,
    max_steps: int | None,
    threads: int | None,
    changes: list[str],
    seeds: list[int] | None,
    data_dir: Path | None,
    out: Path | None,
    resume: bool,
    command: str,
    author: str = "",
) -> int:
    """The same for a demonstration, which has no data to make small and takes seconds.

    ``--sample`` changes nothing, nor does ``--max-steps`` where nothing is trained, or ``--seed``
    and ``--seeds`` where nothing is drawn.
    """
    name, settings = load_settings(experiment)
    if resume:
        raise InputError(
            f"--resume: a run of {name} takes seconds and is not resumed: run it anew."
        )
    if data_dir is not None:
        raise InputError(
            f"--data-dir: {name} uses no data set: expected no data folder, found {data_dir}."
        )
    if seeds is not None and isinstance(settings, ActivationHistograms):
        changes = [*changes, f"seeds={seeds}"]
    _, settings = load_settings(experiment, changes)
    assert not isinstance(settings, Experiment)

    from compare.console.demos import show_demo
    from compare.console.progress import show_paths
    from compare.demos.run import run_demo
    from compare.records.directory import RunDirectory, new_folder
    from compare.records.run import read_run

    directory = RunDirectory(out or new_folder(name))
    run_demo(
        name, settings, directory, max_steps=max_steps, threads=threads, command=command,
        progress=lambda line: print(_said(line)),
    )  # fmt: skip
    paths = _report(directory.path, author)
    passed = show_demo(read_run(directory.path))
    show_paths(paths)
    return 0 if passed else 1


def _typed(argument: str) -> str:
    """An argument as it was typed: the C locale reads characters beyond ASCII as single bytes."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _report(folder: Path, author: str = "", language: str = "") -> list[Path]:
    """Write the report of a run; without what makes documents, say how to get it."""
    from compare.console.progress import waiting

    try:
        from reports.report import write_report
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get(error.name or "")
        if extra is None:
            raise
        print(
            _said("No report is written:"),
            translated_error(missing_extra(error.name or "", extra)),
            _said("Then:"),
            f"nncompare report {shlex.quote(str(folder))}",
            file=sys.stderr,
        )
        return []
    chosen = {"author": author, "language": language}
    with waiting(_said("Writing the report")):
        return write_report(folder, **{key: value for key, value in chosen.items() if value})


def _resume(directory: RunDirectory) -> str:
    return f"--out {shlex.quote(str(directory.path))} --resume"


def _show_failures(record: RunRecord, directory: RunDirectory) -> None:
    """Say which trainings are missing and why, with the first traceback in full."""
    first = next((failure for failure in record.failures if failure.traceback), None)
    if first is not None:
        print(f"{first.label}, seed {first.seed}:\n{first.traceback}", file=sys.stderr)
    for failure in record.failures:
        training = translated(f"{failure.label}, seed {failure.seed}")
        print(f"{training}: {_said(f'failed: {failure.error}')}", file=sys.stderr)
    failed, every = len(record.failures), len(record.failures) + len(record.trainings)
    print(
        "nncompare:",
        _said(
            f"{failed} of {every} trainings failed; "
            f"{f'the others are kept in {directory.path}, and ' if record.trainings else ''}"
            f"the same command with {_resume(directory)} makes "
            f"{'that one' if failed == 1 else 'those'} again"
        ),
        file=sys.stderr,
    )


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
