"""How long the commands take from nothing to their end."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from compare.bench.host import thread_variables
from compare.bench.records import StartRecord
from experiments.errors import InputError

# A homework as small as they come: what is left is the time of the command itself.
HOMEWORK = '''"""A softmax_mlp homework."""
import numpy as np

ARCHITECTURE = "softmax_mlp"
PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias",
    "W3": "4.weight.T", "b3": "4.bias",
}


def forward(params, x):
    hidden = np.maximum(0, x @ params["W1"] + params["b1"])
    hidden = np.maximum(0, hidden @ params["W2"] + params["b2"])
    return hidden @ params["W3"] + params["b3"]
'''
COMMANDS = ("--help", "list", "check HOMEWORK.py")


def measure_start(
    repeats: int, threads: int, commands: Sequence[str] = COMMANDS
) -> list[StartRecord]:
    """Run each command in turn so many times, after once for the disk's cache.

    Raises:
        InputError: A command fails.
    """
    seconds: dict[str, list[float]] = {command: [] for command in commands}
    with tempfile.TemporaryDirectory() as folder, thread_variables(threads):
        homework = Path(folder) / "homework.py"
        homework.write_text(HOMEWORK, encoding="utf-8")
        for number in range(repeats + 1):
            for command in commands:
                words = command.replace("HOMEWORK.py", str(homework)).split(" ")
                begun = perf_counter()
                done = subprocess.run(
                    [sys.executable, "-m", "compare", *words], capture_output=True, check=False
                )
                if done.returncode:
                    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                    raise InputError(f"nncompare {command} ended with {done.returncode}: {said}")
                if number:
                    seconds[command].append(perf_counter() - begun)
    return [
        StartRecord(command=f"nncompare {command}", seconds=found, median_s=median(found))
        for command, found in seconds.items()
    ]
