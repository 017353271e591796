"""``nncompare run``."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from pathlib import Path

from compare.experiment import Experiment
from compare.loading import load_experiment, load_form
from experiments.errors import InputError


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
) -> int:
    """Run an experiment, show its progress and its table, and write its report.

    Returns:
        0 when every comparison passed, 1 when one did not.
    """
    for option, value in (("--max-steps", max_steps), ("--threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{option} expects a number of at least 1, but got {value}.")
    if seed is not None and not 0 <= seed < 2**32:
        raise InputError(f"--seed expects a number from 0 to {2**32 - 1}, but got {seed}.")
    if not isinstance(load_form(experiment)[1], Experiment):
        from compare.commands.run_kind import run_kind_command

        return run_kind_command(
            experiment, max_steps=max_steps, threads=threads, changes=changes, seed=seed,
            data_dir=data_dir, out=out, resume=resume,
        )  # fmt: skip
    if seed is not None:
        changes = [*changes, f"training.seeds=[{seed}]"]
    name, form = load_experiment(experiment, changes)
    if resume and out is None:
        raise InputError("--resume needs --out DIR: the folder of the run to go on with.")

    from compare.progress import observer
    from compare.records import read_run
    from compare.run import run_experiment
    from compare.run_directory import RunDirectory
    from compare.summary import show_summary
    from reports.report import write_report

    directory = RunDirectory(out or new_folder(name), resume=resume)
    try:
        with observer(form) as watching:
            record = run_experiment(
                name,
                form,
                directory,
                watching,
                folder=Path(experiment).parent,
                data_dir=data_dir,
                sample=sample,
                max_steps=max_steps,
                threads=threads,
                command=shlex.join(["nncompare", *sys.argv[1:]]),
            )
    except KeyboardInterrupt:
        if (directory.path / "run.json").exists():
            print(
                f"nncompare: what was recorded is kept in {directory.path} and marked incomplete; "
                f"the same command with --out {shlex.quote(str(directory.path))} --resume goes on "
                "with it",
                file=sys.stderr,
            )
        raise
    paths = write_report(directory.path)
    passed = show_summary(read_run(directory.path))
    print(f"Report: {' '.join(str(path) for path in paths[:3])}")
    return 0 if passed and record.status == "complete" else 1


def new_folder(name: str) -> Path:
    """A folder under ``runs/`` that does not exist yet."""
    first = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 1000)))
    return next(path for path in candidates if not path.exists())
