"""Who works when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compare.bench.contender import CannotRunError
from compare.bench.schedule import LONG_S, MOST_STEPS, Configuration, Schedule, measure, plan


class Clockwork:
    """A host of contenders whose steps take just so long, and who may break down."""

    def __init__(self, seconds: dict[str, float], breaks: dict[str, int] | None = None) -> None:
        self.seconds, self.breaks = seconds, breaks or {}
        self.calls: list[tuple[str, int, int]] = []

    def call(self, name: str, method: str, untimed: int, steps: int) -> np.ndarray:
        assert method == "block"
        self.calls.append((name, untimed, steps))
        made = sum(called == name for called, _, _ in self.calls)
        if made > self.breaks.get(name, 10**9):
            raise CannotRunError("it broke")
        return np.full((steps, 2), self.seconds[name] / 2)


def measured(host: Any, schedule: Schedule) -> tuple[dict, dict]:
    return measure(dict.fromkeys(host.seconds, host), schedule)


def test_blocks_are_as_long_as_asked_for():
    assert plan(1e-3, Schedule(10, 1.0)) == Configuration(10, 3, 100)
    assert plan(0.05, Schedule(10, 1.0)) == Configuration(10, 2, 2)


def test_slow_steps_have_fewer_rounds_and_are_not_warmed():
    assert plan(1.0, Schedule(10, 1.0)) == Configuration(3, 0, 1)
    assert plan(0.5, Schedule(10, 1.0)) == Configuration(6, 0, 1)
    assert plan(LONG_S * 0.99, Schedule(10, 1.0)).untimed > 0


def test_a_step_of_no_time_does_not_go_on_for_ever():
    assert plan(0.0, Schedule(10, 100.0)).steps == MOST_STEPS


def test_everybody_works_in_every_round():
    host = Clockwork({"a": 0.01, "b": 0.02, "slow": 1.0})
    found, failures = measured(host, Schedule(8, 0.4, 0.0))
    assert failures == {}
    assert found["a"].shape == (8, 5, 2)
    assert found["b"].shape == (8, 2, 2)
    assert found["slow"].shape == (3, 1, 2)
    rounds = [name for name, _, steps in host.calls if (name, steps) in (("a", 5), ("b", 2))]
    pairs = [tuple(rounds[place : place + 2]) for place in range(0, 16, 2)]
    assert all(set(pair) == {"a", "b"} for pair in pairs)
    assert len(set(pairs)) == 2  # either goes first sometimes


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_who_breaks_down_is_reported_and_the_others_go_on(calls):
    host = Clockwork({"a": 0.01, "b": 0.01}, {"b": calls})
    found, failures = measured(host, Schedule(5, 0.1, 0.0))
    assert set(found) == {"a"}
    assert len(found["a"]) == 5
    assert str(failures["b"]) == "it broke"
