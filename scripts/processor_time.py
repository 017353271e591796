"""Processor seconds of one thread, of contenders in processes of their own that take turns.

On a machine with other work the clock on the wall says little. What one thread takes of its
processor says more; what is left of the noise (caches and memory shared with the other work) meets
contenders alike that take turns in short blocks, and hardly moves the median of their ratios. Every
process has one thread for each library, and environment variables of its own: so NumPy can be given
another BLAS (``LD_PRELOAD``, ``PYTHONPATH``) or other kernels of the same one
(``OPENBLAS_CORETYPE``).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MOST_STEPS = 1000
"""In a block."""
LONG_S = 0.5
"""A step as long as this needs no untimed one before it."""


class Timed(NamedTuple):
    """What is timed: the phases of a step by name, and what is called between steps, untimed."""

    phases: dict[str, Callable[[], Any]]
    between: Callable[[], Any] = lambda: None


class Contender(NamedTuple):
    """``function(*arguments)``, given as ``module:function``, makes a Timed in the process."""

    process: Process
    function: str
    arguments: tuple[Any, ...]


class Spread(NamedTuple):
    """Quartiles over rounds."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


class Process:
    """A Python of one thread, with further environment variables, that calls functions.

    PYTHONPATH among the variables stands before what the environment has; the others replace.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
        for name, value in (variables or {}).items():
            paths = [value, environment[name]] if environment.get(name) else [value]
            environment[name] = os.pathsep.join(paths) if name == "PYTHONPATH" else value
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def call(self, function: str, *arguments: Any) -> Any:
        """The result of a function given as ``module:function``.

        Raises:
            RuntimeError: The function failed, with what it said; or the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((function, arguments), self._process.stdin)
            self._process.stdin.flush()
            fine, result = pickle.load(self._process.stdout)
        except (EOFError, OSError):
            status = self._process.wait()
            raise RuntimeError(f"{function}: its process ended with status {status}") from None
        if not fine:
            raise RuntimeError(f"{function}: {result}")
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def in_rounds(
    contenders: Mapping[Any, Contender], rounds: int, block_s: float
) -> dict[Any, dict[str, np.ndarray]]:
    """Processor seconds of a step, the median of a block, for each contender and round.

    Args:
        contenders: By name. They are ready at the same time, so their arrays must fit together.
        rounds: In each of them every contender makes one block, in an order drawn anew.
        block_s: Processor seconds of a block; it has at least one step, and untimed ones before it
            where they are short.

    Returns:
        Name → phase → an array of one value for each round; the phase "step" is their sum.
    """
    from compare.bench.measurement import Blocks, time_in_rounds

    blocks: dict[Any, Blocks] = {}
    places = {str(place): name for place, name in enumerate(contenders)}
    for place, name in places.items():
        process, function, arguments = contenders[name]
        step_s = max(process.call("processor_time:prepare", place, function, arguments), 1e-6)
        steps = min(max(round(block_s / step_s), 1), MOST_STEPS)
        untimed = 0 if step_s > LONG_S else 1 if steps < 5 else 2
        blocks[place] = Blocks(rounds, untimed, steps)

    def block(place: str, untimed: int, steps: int) -> np.ndarray:
        process = contenders[places[place]].process
        return np.array(process.call("processor_time:block", place, untimed, steps))

    times = time_in_rounds(blocks, block)
    found = {}
    for place, name in places.items():
        process = contenders[name].process
        phases = process.call("processor_time:forget", place)
        medians = np.median(times[place], axis=1)
        found[name] = dict(zip(phases, medians.T, strict=True))
        found[name]["step"] = np.median(times[place].sum(axis=2), axis=1)
    return found


def ratio(ours: np.ndarray, theirs: np.ndarray) -> Spread:
    """Quartiles of the ratio in each round."""
    return Spread(*(float(q) for q in np.quantile(ours / theirs, (0.25, 0.5, 0.75))))


# What follows runs in the process.
_timed: dict[str, Timed] = {}


def prepare(place: str, function: str, arguments: tuple[Any, ...]) -> float:
    """Make what is timed; processor seconds of its second step."""
    _timed[place] = named(function)(*arguments)
    return sum(block(place, 1, 1)[0])


def block(place: str, untimed: int, steps: int) -> list[list[float]]:
    """Processor seconds of each phase, of steps in a row."""
    phases, between = _timed[place]
    functions = list(phases.values())
    found = []
    with np.errstate(all="ignore"):
        for _ in range(untimed + steps):
            stamps = [time.process_time()]
            for function in functions:
                function()
                stamps.append(time.process_time())
            found.append([after - before for before, after in pairwise(stamps)])
            between()
    return found[untimed:]


def forget(place: str) -> list[str]:
    """Drop what was timed; the names of its phases."""
    return list(_timed.pop(place).phases)


def named(function: str) -> Any:
    """The function that ``module:function`` names."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def serve() -> None:
    """Call functions until the other end is closed; what they print goes to standard error."""
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            function, arguments = pickle.load(asked)
        except EOFError:
            return
        try:
            answer = True, named(function)(*arguments)
        except Exception as error:
            answer = False, f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    # Under its own name: functions of this file are called by it, and share what is held.
    sys.modules["processor_time"] = sys.modules["__main__"]
    serve()
