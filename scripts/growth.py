"""Measure how time and memory of a run's records grow with its steps and its trainings.

Nothing is trained but one short run, which is the pattern. Records of the sizes asked for are made
of synthetic rows, and written, taken up again and read, each in a process of its own. The table has
seconds and the growth of the process's memory above that of the imports; its last line fits
y = a·nᵇ through them (b is 1 where twice the rows cost twice as much). A line is fitted through the
logarithms, so the smallest sizes should be so large that constant costs are small.

    python scripts/growth.py --steps 10000 100000 1000000
    python scripts/growth.py --trainings 100 1000 10000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARTS = ("write", "resume", "read")
STEPS, TRAININGS = "steps", "trainings"
STEPS_EACH = 20
"""Of each training, where trainings are counted."""


def main() -> None:
    """Measure what the arguments say and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[])
    parser.add_argument("--trainings", type=int, nargs="+", default=[])
    parser.add_argument("--measure", nargs=4, metavar=("PART", "KIND", "SIZE", "FOLDER"))
    arguments = parser.parse_args()
    if arguments.measure:
        part, kind, size, folder = arguments.measure
        print(json.dumps(measured(part, kind, int(size), Path(folder))))
        return
    for kind, sizes in ((STEPS, arguments.steps), (TRAININGS, arguments.trainings)):
        if sizes:
            with tempfile.TemporaryDirectory() as folder:
                print(table(kind, sorted(sizes), Path(folder)))


def table(kind: str, sizes: Sequence[int], folder: Path) -> str:
    """A Markdown table: a line for each size, and the fitted exponents."""
    make_pattern(folder / "pattern")
    found: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    for size in sizes:
        for part in PARTS:
            words = ["--measure", part, kind, str(size), str(folder)]
            done = subprocess.run(
                [sys.executable, __file__, *words], capture_output=True, text=True, check=True
            )
            found[part].append(json.loads(done.stdout))
    lines = [
        f"| {kind} | " + " | ".join(f"{part}, s | {part}, MiB" for part in PARTS) + " |",
        "|--:|" + "--:|" * 2 * len(PARTS),
    ]
    for place, size in enumerate(sizes):
        cells = [found[part][place] for part in PARTS]
        lines.append(
            f"| {size:,} | " + " | ".join(f"{c['s']:.2f} | {c['mib']:.1f}" for c in cells) + " |"
        )
    fits = [
        f"{exponent(sizes, [one[key] for one in found[part]]):.2f}"
        for part in PARTS
        for key in ("s", "mib")
    ]
    return "\n".join([*lines, f"| exponent | {' | '.join(fits)} |"])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """b of a·nᵇ by least squares through the logarithms; NaN of fewer than two values above 0."""
    pairs = [(math.log(n), math.log(v)) for n, v in zip(sizes, values, strict=True) if v > 0]
    if len(pairs) < 2:
        return math.nan
    mean_x, mean_y = (sum(axis) / len(pairs) for axis in zip(*pairs, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    below = sum((x - mean_x) ** 2 for x, _ in pairs)
    return above / below if below else math.nan


def make_pattern(folder: Path) -> None:
    """A run of one step, whose record the large ones are copies of."""
    words = ["run", "mnist_softmax", "--sample", "--max-steps", "1", "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "compare", *words], check=True, stdout=subprocess.DEVNULL)


def measured(part: str, kind: str, size: int, folder: Path) -> dict[str, float]:
    """Seconds and MiB of one part, here; the parts follow one another in the same folder."""
    from compare.records.directory import RunDirectory
    from compare.records.run import read_run, read_run_record

    pattern, out = read_run_record(folder / "pattern"), folder / f"{kind}-{size}"
    before, began = peak_mib(), time.perf_counter()
    if part == "write":
        directory = RunDirectory(out)
        write(directory, pattern, *((size, 1) if kind == STEPS else (STEPS_EACH, size)))
        directory.close()
    elif part == "resume":
        directory = RunDirectory(out, resume=True)
        directory.close()
    else:
        read_run(out)
    return {"s": time.perf_counter() - began, "mib": peak_mib() - before}


def write(directory: Any, pattern: Any, steps: int, trainings: int) -> None:
    """Record trainings one after another, as a run does, without training."""
    from compare.records.tables import MOST_ROWS, HistoryRow, TimingRow, TrainingLog

    seeds = list(range(trainings))
    training = pattern.experiment.training.model_copy(update={"seeds": seeds})
    experiment = pattern.experiment.model_copy(update={"training": training})
    (first, *_) = pattern.trainings
    update = {"experiment": experiment, "trainings": [], "status": "incomplete"}
    record = pattern.model_copy(update=update)
    for seed in seeds:
        log = TrainingLog(first.label, seed, MOST_ROWS)
        directory.take(log)
        made = {"seed": seed, "steps": steps, "parity_rows": 0, "finished": False, "kinks": []}
        record.trainings.append(first.model_copy(update=made))
        for step in range(steps):
            loss = 2.0 / (1 + step)
            log.add(
                "history",
                *(
                    HistoryRow(name, first.label, seed, 1, step, "step", "train", "loss", loss)
                    for name in ("numpy", "torch")
                ),
            )
            log.add("timing", TimingRow(first.label, seed, step, 1e-3, 1e-3))
            if step % 1000 == 999:
                directory.checkpoint(record)
        log.drop_rows()
        record.trainings[-1] = record.trainings[-1].model_copy(update={"finished": True})
        directory.checkpoint(record)
    directory.write(record)


def peak_mib() -> float:
    """The most memory that this process has had."""
    status = Path(f"/proc/{os.getpid()}/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
