"""``nncompare bench``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

import numpy_nn
from compare.backends.environment import usable_cores
from compare.bench.catalogue import CONTENDERS
from compare.bench.measurement import DEFAULT_PARTS, PARTS, Asked, run_bench
from compare.bench.schedule import Schedule
from compare.bench.terminal import show_bench
from compare.bench.workloads import (
    COVERTYPE_ROWS,
    DEFAULT_ARCHITECTURES,
    DEFAULT_BATCHES,
    TrainingStep,
)
from compare.records.atomic import write_atomically
from compare.spec.model import find_architecture
from experiments.errors import InputError

PROTOCOLS = ("processes", "one-process")
# Of a network that no default names.
DEFAULT_OPTIMIZER = "Adam"
# For pools of several threads to fall asleep: OpenBLAS's spin for some 26 ms.
PAUSE_S = 0.05


def bench_command(
    *,
    architectures: list[str],
    batch_sizes: list[int],
    optimizers: list[str],
    contenders: list[str],
    parts: list[str],
    harness: bool,
    threads: int | None,
    repeats: int,
    seconds: float,
    pause: float | None,
    protocol: str,
    json: Path | None,
    out: Path | None,
) -> int:
    """Measure, print the tables, and write what was asked for.

    Returns:
        0.
    """
    _known("--part", parts, PARTS)
    steppers = [name for name, entry in CONTENDERS.items() if not entry.training]
    _known("--contender", contenders, steppers)
    _known("--protocol", [protocol], PROTOCOLS)
    _known("--optimizer", optimizers, _optimizers())
    for option, value, least in (
        *(("--batch-size", size, 2) for size in batch_sizes),
        ("--threads", threads, 1),
        ("--repeats", repeats, 3),
    ):
        if value is not None and value < least:
            raise InputError(f"{option} expects a number of at least {least}, but got {value}.")
    for option, number in (("--seconds", seconds), ("--pause", pause)):
        if number is not None and not 0 <= number < 3600:
            raise InputError(f"{option} expects seconds from 0 to 3600, but got {number}.")
    _writable(json, out)
    count = threads or _default_threads()
    if pause is None:
        pause = PAUSE_S if count > 1 else 0.0
    chosen = tuple(parts) or DEFAULT_PARTS
    if harness and "harness" not in chosen:
        chosen = (*chosen, "harness")
    names = dict.fromkeys(["numpy", "torch", *contenders] if contenders else steppers)
    asked = Asked(
        steps=_steps(architectures, batch_sizes, optimizers),
        parts=chosen,
        names=tuple(names),
        threads=count,
        schedule=Schedule(repeats, seconds, pause),
        apart=protocol == "processes",
        command=shlex.join(["nncompare", *sys.argv[1:]]),
    )
    console = Console(highlight=False)
    with console.status("…") as status:

        def progress(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, markup=False)

        record = run_bench(asked, progress)
    show_bench(record, console)
    if json is not None:
        write_atomically(json, record.text())
    if out is not None:
        from reports.bench import write_bench_report

        paths = write_bench_report(record, out)
        print(f"Report: {' '.join(str(path) for path in paths[:4])}")
    return 0


def _steps(
    architectures: list[str], batch_sizes: list[int], optimizers: list[str]
) -> tuple[TrainingStep, ...]:
    found = []
    for name in dict.fromkeys(architectures) or DEFAULT_ARCHITECTURES:
        find_architecture(name)
        sizes = list(dict.fromkeys(batch_sizes)) or list(DEFAULT_BATCHES)
        if name == "covertype_dnn" and not batch_sizes:
            sizes.append(COVERTYPE_ROWS)
        for algorithm in optimizers or DEFAULT_ARCHITECTURES.get(name, (DEFAULT_OPTIMIZER,)):
            found += [TrainingStep(name, size, algorithm) for size in sizes]
    return tuple(found)


def _known(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{option} expects one of {', '.join(known)}, but got {name!r}.")


def _optimizers() -> list[str]:
    found = vars(numpy_nn.optim).items()
    base = numpy_nn.optim.Optimizer
    return [n for n, v in found if isinstance(v, type) and issubclass(v, base) and v is not base]


def _default_threads() -> int:
    """As many as ``OMP_NUM_THREADS`` says, else a thread a core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else usable_cores()


def _writable(json: Path | None, out: Path | None) -> None:
    """Say before minutes of measuring what would fail after them."""
    if json is not None and not json.absolute().parent.is_dir():
        raise InputError(f"--json {json}: there is no folder {json.absolute().parent}.")
    if json is not None and json.is_dir():
        raise InputError(f"--json {json} is a folder: expected a file.")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: expected a folder.")
