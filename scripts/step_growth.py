"""Measure how time and memory of a training step grow with rows, width and depth.

An MLP of Linear and ReLU with SGD; one of the three grows, the others stay. The last line fits
y = a·nᵇ by least squares through the logarithms and gives b with its standard error: 1 where
twice as much costs twice as much, less where something constant is in it. Time is processor time
of one thread, NumPy and PyTorch in turns (see processor_time); memory the peak of three steps
above that of a step on two rows, each in a process of its own.

    python scripts/step_growth.py
    python scripts/step_growth.py --kinds depth --rounds 15
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from processor_time import Contender, Process, Timed, in_rounds

BACKENDS = {"numpy": "NumPy", "torch": "PyTorch"}
STANDARD = {"rows": 128, "width": 256, "depth": 4}
SIZES = {
    "rows": (32, 64, 128, 256, 512, 1024, 2048, 4096),
    "width": (64, 128, 256, 512, 1024),
    "depth": (2, 4, 8, 16),
}


def main() -> None:
    """Measure what the arguments say and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block-s", type=float, default=0.03)
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        times = measured_times(kind, arguments.rounds, arguments.block_s)
        memory = {
            backend: [peak_mib(backend, kind, size) for size in SIZES[kind]] for backend in BACKENDS
        }
        print(table(kind, times, memory), flush=True)


def measured_times(kind: str, rounds: int, block_s: float) -> dict[str, list[float]]:
    """Backend → milliseconds of a step at each size, medians over rounds; all take turns."""
    processes = {backend: Process() for backend in BACKENDS}
    try:
        found = in_rounds(
            {
                (backend, size): Contender(
                    process, "step_growth:training_step", (backend, kind, size)
                )
                for backend, process in processes.items()
                for size in SIZES[kind]
            },
            rounds,
            block_s,
        )
    finally:
        for process in processes.values():
            process.close()
    return {
        backend: [float(np.median(found[backend, size]["step"])) * 1e3 for size in SIZES[kind]]
        for backend in BACKENDS
    }


def peak_mib(backend: str, kind: str, size: int) -> float:
    """MiB that a step takes, in a process that does nothing else."""
    process = Process()
    try:
        return process.call("step_growth:peak_bytes", backend, kind, size) / 2**20
    finally:
        process.close()


def table(kind: str, times: dict[str, list[float]], memory: dict[str, list[float]]) -> str:
    """A Markdown table: a line for each size, and the fitted exponents."""
    heads = [f"{name}, ms" for name in BACKENDS.values()]
    heads += [f"{name}, MiB" for name in BACKENDS.values()]
    columns = [*(times[b] for b in BACKENDS), *(memory[b] for b in BACKENDS)]
    lines = [f"| {kind} | {' | '.join(heads)} |", "|--:|" + "--:|" * len(columns)]
    for size, *values in zip(SIZES[kind], *columns, strict=True):
        lines.append(f"| {size:,} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    fits = ["{:.2f} ± {:.2f}".format(*exponent(SIZES[kind], column)) for column in columns]
    return "\n".join([*lines, f"| exponent | {' | '.join(fits)} |", ""])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """b of a·nᵇ by least squares through the logarithms, and its standard error.

    Values that are not above 0 are left out; NaN where fewer than three are left.
    """
    kept = [(n, v) for n, v in zip(sizes, values, strict=True) if v > 0]
    if len(kept) < 3:
        return float("nan"), float("nan")
    x, y = np.log(np.array(kept)).T
    x = x - x.mean()
    b = (x @ y) / (x @ x)
    residuals = y - y.mean() - b * x
    return float(b), float(np.sqrt(residuals @ residuals / (len(x) - 2) / (x @ x)))


def case(kind: str, size: int) -> Any:
    """The step at one size: ``depth`` Linear layers of ``width``, and one to 10 classes."""
    from compare.bench.cases import TrainingStep

    sizes = {**STANDARD, kind: size}
    widths = (sizes["width"],) * (sizes["depth"] + 1)
    return TrainingStep("mlp", sizes["rows"], "SGD", {"sizes": (*widths, 10)})


def training_step(backend: str, kind: str, size: int) -> Timed:
    """Forward, backward and update, as ``nncompare bench`` times them."""
    from compare.bench.contenders import make

    contender: Any = make(backend, case(kind, size))
    contender.start()
    phases = {name: getattr(contender, name) for name in contender.phases}
    return Timed(phases, contender.finish)


def peak_bytes(backend: str, kind: str, size: int) -> int:
    """What ``nncompare bench --part memory`` reads."""
    from compare.bench.workers import peak_memory

    return peak_memory(backend, case(kind, size))


if __name__ == "__main__":
    main()
