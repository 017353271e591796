"""Who works when: rounds in which every contender makes one block of steps, in a drawn order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compare.bench.contender import CannotRunError
from compare.bench.host import Host

# Untimed at the beginning of a block: the pools wake, and the caches fill again.
WARM_S = 0.003
# A step as long as this needs no warming.
LONG_S = 0.1
MOST_STEPS = 2000
# A contender whose single step takes longer than its share of time gets at most this many times
# its share, and never fewer rounds than the least.
PATIENCE, LEAST_ROUNDS = 3, 3


@dataclass(frozen=True)
class Schedule:
    """How much is measured.

    Attributes:
        repeats: Rounds.
        seconds: How long the steps of one contender take together, about.
        pause_s: Between blocks of different processes, so that idle thread pools fall asleep.
        seed: Of the order within each round.
    """

    repeats: int = 15
    seconds: float = 1.5
    pause_s: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """How one contender is measured: rounds, and in each its untimed and timed steps."""

    rounds: int
    untimed: int
    steps: int


def plan(step_s: float, schedule: Schedule) -> Plan:
    """The blocks of a contender whose step takes so many seconds."""
    step_s = max(step_s, 1e-6)
    steps = int(schedule.seconds / schedule.repeats / step_s)
    affordable = int(PATIENCE * schedule.seconds / step_s)
    rounds = min(schedule.repeats, max(LEAST_ROUNDS, affordable))
    untimed = 0 if step_s > LONG_S else max(2, int(np.ceil(WARM_S / step_s)))
    return Plan(rounds, min(untimed, MOST_STEPS), min(max(steps, 1), MOST_STEPS))


def measure(
    hosts: Mapping[str, Host], schedule: Schedule
) -> tuple[dict[str, np.ndarray], dict[str, Exception]]:
    """Time every contender in turn.

    Args:
        hosts: Name → host, in which the contender of that name is prepared.
        schedule: How much.

    Returns:
        Name → seconds of shape (rounds, steps, phases); slow contenders have fewer rounds, the
        first of them. And name → what went wrong, for those that failed on the way.
    """
    failures: dict[str, Exception] = {}
    found: dict[str, list[np.ndarray]] = {}

    def block(name: str, untimed: int, steps: int) -> np.ndarray | None:
        time.sleep(schedule.pause_s)
        try:
            return hosts[name].call(name, "block", untimed, steps)
        except (CannotRunError, RuntimeError) as error:
            failures[name] = error
            return None

    plans = {}
    for name in hosts:
        times = block(name, 0, 1)
        if times is not None and times.sum() < LONG_S:
            # The first step also makes what is kept between steps; others are shorter.
            times = block(name, 2, 3)
        if times is not None:
            plans[name] = plan(float(np.median(times.sum(axis=1))), schedule)
            found[name] = []
    random = np.random.default_rng(schedule.seed)
    for number in range(schedule.repeats):
        for name in random.permutation(list(plans)):
            if number < plans[name].rounds and name not in failures:
                times = block(name, plans[name].untimed, plans[name].steps)
                if times is not None:
                    found[name].append(times)
    whole = {name: np.stack(blocks) for name, blocks in found.items() if name not in failures}
    return whole, failures
