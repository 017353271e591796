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
from compare.bench.cases import training_steps
from compare.bench.contenders import BACKENDS, CONTENDERS
from compare.bench.measurement import PARTS, run_bench
from compare.bench.records import Protocol
from compare.console.bench import show_bench
from compare.records.atomic import write_atomically
from experiments.errors import InputError

# How idle threads wait decides how much they slow others, so it is recorded.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OPENBLAS_THREAD_TIMEOUT")
# For pools of several threads to fall asleep: OpenBLAS's spins for some 26 ms.
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
    json: Path | None,
    out: Path | None,
) -> int:
    """Measure, print the tables, and write ``json`` and the report.

    Returns:
        0.
    """
    _check_names("--part", parts, PARTS)
    if "memory" in parts and "steps" not in parts:
        raise InputError("--part memory is measured at the steps: give --part steps, too.")
    _check_names("--contender", contenders, CONTENDERS)
    _check_names("--optimizer", optimizers, _optimizer_names())
    for size in batch_sizes:
        _check_least("--batch-size", size, 2)
    _check_least("--threads", 1 if threads is None else threads, 1)
    _check_least("--repeats", repeats, 3)
    if not 0 <= seconds < 3600:
        raise InputError(f"--seconds expects seconds from 0 to 3600, but got {seconds}.")
    _check_writable(json, out)
    threads = threads or _default_threads()
    # The harness alone takes minutes.
    chosen = parts or [part for part in PARTS if part != "harness"]
    protocol = Protocol(
        threads=threads,
        repeats=repeats,
        seconds=seconds,
        pause_s=PAUSE_S if threads > 1 else 0.0,
        variables={name: os.environ[name] for name in WAITING if name in os.environ},
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )
    console = Console(highlight=False)
    with console.status("…") as status:

        def progress(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line, markup=False)

        record = run_bench(
            training_steps(architectures, batch_sizes, optimizers),
            [*BACKENDS, *contenders] if contenders else list(CONTENDERS),
            [*chosen, "harness"] if harness else chosen,
            protocol,
            command=shlex.join(["nncompare", *sys.argv[1:]]),
            progress=progress,
        )
    show_bench(record, console)
    if json is not None:
        write_atomically(json, record.text())
    if out is not None:
        from reports.bench import write_bench_report

        paths = write_bench_report(record, out)
        print(f"Report: {' '.join(str(path) for path in paths[:4])}")
    return 0


def _check_names(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{option} expects one of {', '.join(known)}, but got {name!r}.")


def _check_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{option} expects a number of at least {least}, but got {value}.")


def _optimizer_names() -> list[str]:
    found = vars(numpy_nn.optim).items()
    base = numpy_nn.optim.Optimizer
    return [n for n, v in found if isinstance(v, type) and issubclass(v, base) and v is not base]


def _default_threads() -> int:
    """As many as ``OMP_NUM_THREADS`` says, else a thread a core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else usable_cores()


def _check_writable(json: Path | None, out: Path | None) -> None:
    """Say before minutes of measuring what would fail after them."""
    if json is not None and not json.absolute().parent.is_dir():
        raise InputError(f"--json {json}: there is no folder {json.absolute().parent}.")
    if json is not None and json.is_dir():
        raise InputError(f"--json {json} is a folder: expected a file.")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: expected a folder.")
