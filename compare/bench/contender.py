"""What is asked of everything that is timed."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from compare.bench.workloads import Workload

Arrays = dict[str, np.ndarray]


class CannotRunError(Exception):
    """A contender that does not do this work here; the message says why."""


class Evidence(NamedTuple):
    """What a contender computed from the common start, to be held against NumPy's.

    Attributes:
        values: Numbers of the first steps, in order: losses, or nothing.
        vectors: Name → array: gradients of the first step, or the change of the weights by it.
        kind: What the vectors are: ``gradients`` or ``weights``.
    """

    values: list[float]
    vectors: Arrays
    kind: str


class LayerTime(NamedTuple):
    """One layer alone on the inputs that it gets in the network: seconds of single calls."""

    name: str
    kind: str
    forward_s: np.ndarray
    backward_s: np.ndarray


class Contender(Protocol):
    """One implementation of one workload, ready to be timed.

    ``start`` brings it back to the common start, so that every block of steps does the very same
    arithmetic. ``step`` does the work once and says how long its phases took: (forward, backward,
    update) in seconds, or one number where the phases cannot be told apart.
    """

    dtype: str
    phases: tuple[str, ...]

    def __init__(self, workload: Workload) -> None: ...

    def start(self) -> None:
        """Go back to the common start."""

    def step(self) -> tuple[float, ...]:
        """Work once; return the seconds of each phase."""

    def evidence(self) -> list[Evidence]:
        """What it computes from the common start. Called before anything is timed."""


def block(contender: Contender, untimed: int, steps: int) -> np.ndarray:
    """Seconds of each phase of consecutive steps, of shape (steps, phases).

    Args:
        contender: Who works.
        untimed: Steps before them, while caches and threads warm up.
        steps: How many are timed.
    """
    contender.start()
    with np.errstate(all="ignore"):
        for _ in range(untimed):
            contender.step()
        return np.array([contender.step() for _ in range(steps)])
