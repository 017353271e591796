"""Measure what a whole run costs beside the plain trainings of both backends.

The run is ``nncompare run``, with its certificates, replicas, explanations, evaluations, records
and report. A plain training makes the same steps from the same weights and the same evaluations,
on one backend, and compares nothing. Run, NumPy and PyTorch take turns, each in a process of its
own.
The table has wall and processor seconds and the largest memory of each process; the parts are
processor seconds inside the run. Where other programs want the cores, wall times say little.

    NNCOMPARE_DATA=data python scripts/run_cost.py mnist_cnn --max-steps 300
    python scripts/run_cost.py mnist_bn_mlp --sample --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

WHOLE, BACKENDS = "run", ("numpy", "torch")

# Part → module and function. What one of them calls is its own; a part in a part counts once.
PARTS = {
    "before the first step": ("compare.training.run", ("excerpts_of", "controls_of", "dry_run")),
    "certificates": ("compare.training.lockstep", ("certify",)),
    "evaluations": ("compare.training.lockstep", ("LockStep._evaluate",)),
    "replicas": ("compare.training.replicas", ("Replicas.follow",)),
    "distances": ("compare.training.drift", ("Distance.follow",)),
    "explanation": ("compare.training.lockstep", ("LockStep._explain",)),
    "checkpoints": ("compare.training.checkpoints", ("Checkpoints.write",)),
    "steps": (
        "compare.backends",
        (
            "numpy_backend.NumpyBackend.train_step",
            "torch_backend.TorchBackend.train_step",
            "numpy_backend.NumpyBackend.record_step",
        ),
    ),
    "tables": ("compare.records.directory", ("RunDirectory.write",)),
    "report": ("reports.report", ("write_report",)),
}


class Cost(NamedTuple):
    """Of a process: wall and processor seconds, the largest memory in bytes, seconds by parts."""

    wall_s: float
    processor_s: float
    memory_bytes: int
    parts_s: dict[str, float]


def main() -> None:
    """Measure what the arguments say and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiment")
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--measure", choices=(WHOLE, *BACKENDS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments)
        return
    found: dict[str, list[Cost]] = {what: [] for what in (WHOLE, *BACKENDS)}
    for number in range(arguments.rounds):
        for what in random.Random(number).sample(list(found), len(found)):
            cost = in_a_process(what)
            found[what].append(cost)
            print(f"{what}: {cost.wall_s:.1f} s, {cost.processor_s:.1f} s", file=sys.stderr)
    print_tables(found)


def in_a_process(what: str) -> Cost:
    """Measure one of them in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", what]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder, "parts.json")
        process = subprocess.Popen([*command], env={**os.environ, "RUN_COST": str(parts)})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{what} ended with status {process.returncode}")
        wall_s = time.perf_counter() - begun
        found = json.loads(parts.read_text())
    # The process gives its own: ru_maxrss would begin with the parent's.
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, found.pop("memory"), found)


def measure(arguments: argparse.Namespace) -> None:
    """In the process that is measured."""
    spent: dict[str, float] = {}
    if arguments.measure == WHOLE:
        whole_run(arguments, spent)
    else:
        plain_trainings(arguments)
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    found = {**spent, "memory": int(peak.split()[1]) * 1024}
    Path(os.environ["RUN_COST"]).write_text(json.dumps(found))


def whole_run(arguments: argparse.Namespace, spent: dict[str, float]) -> None:
    """``nncompare run``, and the time of its parts."""
    import importlib

    running: list[str] = []

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if part in running or (running and part == "steps"):
                return function(*args, **kwargs)
            begun = time.process_time()
            running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                running.remove(part)
                seconds = time.process_time() - begun
                spent[part] = spent.get(part, 0.0) + seconds
                if running:
                    spent[running[-1]] = spent.get(running[-1], 0.0) - seconds

        return call

    for part, (module, names) in PARTS.items():
        for name in names:
            *path, last = name.split(".")
            place: Any = importlib.import_module(module)
            for step in path:
                below = getattr(place, step, None)
                place = below or importlib.import_module(f"{module}.{step}")
            setattr(place, last, timed(part, getattr(place, last)))
    from compare.cli import main as nncompare

    with tempfile.TemporaryDirectory() as folder:
        options = ["--seed", str(arguments.seed), "--out", f"{folder}/run"]
        options += ["--sample"] if arguments.sample else []
        if arguments.max_steps is not None:
            options += ["--max-steps", str(arguments.max_steps)]
        sys.argv = ["nncompare", "run", arguments.experiment, *options]
        try:
            nncompare()
        except SystemExit as end:
            if end.code:
                raise


def plain_trainings(arguments: argparse.Namespace) -> None:
    """Every configuration on one backend."""
    import numpy as np

    import numpy_nn
    from compare.backends.environment import default_threads, set_threads
    from compare.bench.harness import plain_epochs
    from compare.spec.loading import load_experiment
    from compare.spec.model import model_spec
    from compare.training.data import laid_out, load_splits

    _, experiment = load_experiment(arguments.experiment)
    experiment = experiment.for_sample() if arguments.sample else experiment
    splits, _, _ = load_splits(
        experiment.data, sample=arguments.sample, data_dir=None, folder=Path()
    )
    for one in experiment.configurations:
        set_threads(default_threads(model_spec(one.experiment, one.optimizer).model(numpy_nn)))
        rows = laid_out(splits, one.experiment.data.layout)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in plain_epochs(
                one, rows, arguments.measure, arguments.max_steps, arguments.seed
            ):
                pass


def print_tables(found: dict[str, list[Cost]]) -> None:
    """Medians, and ratios of each round over both plain trainings."""

    def median(values: Any) -> float:
        return statistics.median(list(values))

    print("| | wall, s | processor, s | memory, MiB |\n|---|--:|--:|--:|")
    for what, costs in found.items():
        wall, processor = median(c.wall_s for c in costs), median(c.processor_s for c in costs)
        print(f"| {what} | {wall:.1f} | {processor:.1f} | {_mebibytes(costs):.0f} |")
    ratios = {
        name: median(
            getattr(run, name) / (getattr(numpy, name) + getattr(torch, name))
            for run, numpy, torch in zip(*(found[w] for w in (WHOLE, *BACKENDS)), strict=True)
        )
        for name in ("wall_s", "processor_s")
    }
    memory = _mebibytes(found[WHOLE]) / max(_mebibytes(found[name]) for name in BACKENDS)
    print(
        f"| run over plain | {ratios['wall_s']:.2f} | {ratios['processor_s']:.2f} | {memory:.2f} |"
    )
    parts = {part: median(c.parts_s.get(part, 0.0) for c in found[WHOLE]) for part in PARTS}
    rest = median(c.processor_s for c in found[WHOLE]) - sum(parts.values())
    print("\n| part of the run | processor, s |\n|---|--:|")
    for part, seconds in {**parts, "the rest, with imports": rest}.items():
        print(f"| {part} | {seconds:.1f} |")


def _mebibytes(costs: list[Cost]) -> float:
    return statistics.median(cost.memory_bytes for cost in costs) / 2**20


if __name__ == "__main__":
    main()
