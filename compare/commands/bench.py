"""``nncompare bench``."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import numpy_nn
from compare.backends.environment import usable_cores
from compare.bench.cases import training_steps
from compare.bench.contenders import BACKENDS, CONTENDERS
from compare.bench.measurement import PARTS, run_bench
from compare.bench.records import BenchRecord, CaseRecord, Protocol
from compare.languages import translated
from compare.records.atomic import write_atomically
from experiments.errors import InputError

OPTIMIZERS = [n for n in numpy_nn.optim.__all__ if n not in ("Optimizer", "lr_scheduler")]
# How idle threads wait decides how much they slow others, so it is recorded.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OPENBLAS_THREAD_TIMEOUT")
# For pools of several threads to fall asleep: OpenBLAS's spins for some 26 ms.
PAUSE_S = 0.05
MEBIBYTE = 2**20


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
    _check_names("--contender", contenders, list(CONTENDERS))
    _check_names("--optimizer", optimizers, OPTIMIZERS)
    if json is not None and not json.absolute().parent.is_dir():
        raise InputError(f"--json {json}: there is no folder {json.absolute().parent}.")
    threads = threads or _default_threads()
    # The harness alone takes minutes.
    parts = parts or [part for part in PARTS if part != "harness"]
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
        show = status.update if console.is_terminal else print
        record = run_bench(
            training_steps(architectures, batch_sizes, optimizers),
            [*BACKENDS, *contenders] if contenders else list(CONTENDERS),
            [*parts, "harness"] if harness else parts,
            protocol,
            command=shlex.join(["nncompare", *sys.argv[1:]]),
            progress=lambda line: show(_said(line)),
        )
    show_bench(record, console)
    if json is not None:
        write_atomically(json, record.text())
    if out is not None:
        from reports.bench import write_bench_report

        paths = write_bench_report(record, out)
        print(_said("Report:"), *paths[:4])
    return 0


def _check_names(option: str, given: list[str], known: list[str] | tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{option} expects one of {', '.join(known)}, but got {name!r}.")


def _default_threads() -> int:
    """As many as ``OMP_NUM_THREADS`` says, else a thread a core."""
    variable = os.environ.get("OMP_NUM_THREADS", "")
    return int(variable) if variable.isdigit() and int(variable) > 0 else usable_cores()


def show_bench(record: BenchRecord, console: Console) -> None:
    """Print how it was measured, and the results."""
    protocol = record.protocol
    console.print(
        _said(
            f"{protocol.threads} thread{'s' if protocol.threads > 1 else ''}, each library in its "
            f"own process; {protocol.repeats} rounds. ×: its time over NumPy's, above 1 where "
            "NumPy is faster, with the 95% interval. *: PyTorch's best eager setting."
        )
    )
    if protocol.busy:
        console.print(
            _said(
                f"[bold red]The machine was busy when this began (load {protocol.load:.1f}):[/] "
                "measure again on a quiet one."
            )
        )
    for case in record.cases:
        console.print(case_table(case))
    for cost in record.harness:
        ratio = cost.over_plain
        console.print(
            _said(
                f"Lock step, {cost.title}: {ratio.value:.2f} times the two plain trainings (epochs "
                f"from {ratio.low:.2f} to {ratio.high:.2f}); {cost.steps:,} steps, "
                f"{cost.certified_steps} certified; {cost.threads} threads of each library."
            ),
            soft_wrap=True,
        )


def case_table(case: CaseRecord) -> Table:
    """The contenders of a case; below, those that were not timed and why."""
    table = Table(title=escape(_said(case.title)), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("ms", "middle half", "×", "95%", "peak MiB"):
        table.add_column(_said(column), justify="right", no_wrap=True)
    for contender in case.contenders:
        step, ratio, memory = contender.step, contender.over_numpy, contender.memory_bytes
        if step is None:
            continue
        table.add_row(
            _said(contender.name) + (" *" if contender is case.best_eager else ""),
            milliseconds(step.median_s),
            f"{milliseconds(step.quartile_s)}–{milliseconds(step.upper_quartile_s)}",
            "" if ratio is None else f"{ratio.value:.2f}",
            "" if ratio is None else f"{ratio.low:.2f}–{ratio.high:.2f}",
            "" if memory is None else f"{memory / MEBIBYTE:.1f}",
        )
    absent = [_said(f"{c.name}: {c.reason}.") for c in case.contenders if c.step is None]
    table.caption, table.caption_justify = escape("\n".join(absent)), "left"
    return table


def milliseconds(seconds: float) -> str:
    """Three digits: ``0.00123`` → ``1.23``, ``1.234`` → ``1234``."""
    value = 1e3 * seconds
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
