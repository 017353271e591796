"""Who is timed when, and what becomes of those that do other work, fail or are missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.bench import measurement, workers
from compare.bench.backends import TorchStep
from compare.bench.cases import Convolution, TrainingStep
from compare.bench.contenders import CannotRunError
from compare.bench.measurement import (
    LONG_S,
    MOST_STEPS,
    Blocks,
    blocks_of,
    run_bench,
    run_case,
    time_in_rounds,
)
from compare.bench.records import Protocol

SMALL = TrainingStep("softmax_mlp", 6, "SGD", {"sizes": (12, 7, 3)})
QUICK = Protocol(repeats=3, seconds=0.003)
IN_PROCESS = SimpleNamespace(call=workers.call, close=lambda: None)


def here(name: str) -> Any:
    """A worker that is this process."""
    return IN_PROCESS


class Clockwork:
    """Contenders whose steps take so many seconds, and some of which fail after some blocks."""

    def __init__(self, seconds: dict[str, float], fails: dict[str, int] | None = None) -> None:
        self.seconds, self.fails = seconds, fails or {}
        self.blocks: list[tuple[str, int]] = []

    def block(self, name: str, untimed: int, steps: int) -> np.ndarray | None:
        self.blocks.append((name, steps))
        if sum(called == name for called, _ in self.blocks) > self.fails.get(name, 10**9):
            return None
        return np.full((steps, 2), self.seconds[name] / 2)

    def time(self, protocol: Protocol) -> dict[str, np.ndarray]:
        blocks = {name: blocks_of(step_s, protocol) for name, step_s in self.seconds.items()}
        return time_in_rounds(blocks, self.block)


def test_blocks_last_as_long_as_was_said():
    assert blocks_of(1e-3, Protocol(repeats=10, seconds=1.0)) == Blocks(10, 3, 100)
    assert blocks_of(0.05, Protocol(repeats=10, seconds=1.0)) == Blocks(10, 2, 2)
    # Slow steps have fewer rounds and are not warmed.
    assert blocks_of(1.0, Protocol(repeats=10, seconds=1.0)) == Blocks(3, 0, 1)
    assert blocks_of(0.5, Protocol(repeats=10, seconds=1.0)) == Blocks(6, 0, 1)
    assert blocks_of(LONG_S * 0.99, Protocol(repeats=10, seconds=1.0)).untimed > 0
    assert blocks_of(0.0, Protocol(repeats=10, seconds=100.0)).steps == MOST_STEPS


def test_the_rounds_are_interleaved_in_a_drawn_order():
    clockwork = Clockwork({"a": 0.01, "b": 0.02, "slow": 1.0})
    found = clockwork.time(Protocol(repeats=8, seconds=0.4))
    assert found["a"].shape == (8, 5, 2)
    assert found["b"].shape == (8, 2, 2)
    assert found["slow"].shape == (3, 1, 2)
    rounds = [name for name, _ in clockwork.blocks if name != "slow"]
    pairs = [tuple(rounds[place : place + 2]) for place in range(0, 16, 2)]
    assert all(set(pair) == {"a", "b"} for pair in pairs)
    assert len(set(pairs)) == 2  # either goes first sometimes


@pytest.mark.parametrize("blocks", [0, 1, 4])
def test_a_contender_that_fails_costs_only_itself(blocks):
    clockwork = Clockwork({"a": 0.01, "b": 0.01}, {"b": blocks})
    found = clockwork.time(Protocol(repeats=5, seconds=0.1))
    assert set(found) == {"a"}
    assert len(found["a"]) == 5
    assert sum(name == "b" for name, _ in clockwork.blocks) == blocks + 1


@pytest.mark.parametrize("failing", ["_prepare", "_block"])
def test_a_process_that_ends_is_said_in_the_record(failing):
    def call(function: Any, name: str, *args: Any) -> Any:
        if function.__name__ == failing:
            raise CannotRunError("its process ended with status -9")
        return function(name, *args)

    ending = SimpleNamespace(call=call)
    case = run_case(
        SMALL, ("numpy", "torch", "floor"), lambda n: ending if n == "floor" else IN_PROCESS, QUICK
    )
    assert [c.step is None for c in case.contenders] == [False, False, True]
    assert case.contenders[2].reason == "its process ended with status -9"
    with pytest.raises(CannotRunError, match="its process ended"):  # nothing is left to compare
        run_case(SMALL, ("numpy", "torch"), lambda n: ending if n == "torch" else IN_PROCESS, QUICK)


def test_a_package_that_is_missing_is_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    case = run_case(SMALL, ("numpy", "torch", "scikit-learn"), here, QUICK)
    assert [c.step is None for c in case.contenders] == [False, False, True]
    assert case.contenders[2].reason.startswith("ModuleNotFoundError: import of sklearn")


def test_a_contender_that_does_other_work_is_not_timed(monkeypatch):
    """A planted mistake: PyTorch's fused setting with twice the learning rate."""
    honest = TorchStep.__init__

    def cheating(self, step, **options):
        honest(self, step, **options)
        if options:
            for group in self.optimizer.param_groups:
                group["lr"] *= 2
            self._optimizer_state = self.optimizer.state_dict()

    monkeypatch.setattr(TorchStep, "__init__", cheating)
    case = run_case(SMALL, ("numpy", "torch", "torch-fused"), here, QUICK)
    assert [c.step is None for c in case.contenders] == [False, False, True]
    assert "differ from NumPy's" in case.contenders[2].reason
    assert case.best_eager is case.contenders[1]


def test_a_case_is_filled_in():
    names = ("numpy", "torch", "torch-fused", "floor")
    case = run_case(SMALL, names, here, QUICK)
    assert [c.name for c in case.contenders] == list(names)
    numpy, *others, floor = case.contenders
    for contender in case.contenders:
        step = contender.step
        assert step is not None
        assert step.low_s <= step.median_s <= step.high_s
    for contender in others:
        ratio = contender.over_numpy
        assert ratio is not None
        assert ratio.low <= ratio.value <= ratio.high
        assert contender.gradient_error < 1e-5
    assert numpy.over_numpy is numpy.gradient_error is floor.gradient_error is None
    assert list(numpy.phases_s) == ["forward", "backward", "update"]
    assert list(floor.phases_s) == ["forward", "backward"]
    assert case.best_eager in others


def test_parts_are_measured_alone(monkeypatch):
    monkeypatch.setattr(measurement, "CONVOLUTIONS", (Convolution(2, 2, 4, 2),))
    lines: list[str] = []

    def run(*parts: str) -> Any:
        names = ("numpy", "torch", "loops")
        return run_bench(
            (SMALL,), names, parts, QUICK, progress=lines.append, worker=lambda n: IN_PROCESS
        )

    assert [case.kind for case in run("steps").cases] == ["step"]
    record = run("convolutions", "memory")
    assert [case.kind for case in record.cases] == ["convolution"]
    assert [c.name for c in record.cases[0].contenders] == ["numpy", "torch", "loops"]
    assert record.cases[0].timed("numpy").memory_bytes is None
    assert run().cases == record.harness == []
    assert lines == ["softmax_mlp, SGD, batch 6", "convolution 2→2 on 4×4, batch 2"]
    assert record.environment.numpy_threads == 1


def test_memory_that_cannot_be_measured_costs_no_times(monkeypatch):
    def fails(name: str, case: Any) -> int:
        raise MemoryError("too many rows")

    monkeypatch.setattr(measurement, "peak_memory", fails)
    record = run_bench(
        (SMALL,), ("numpy",), ("steps", "memory"), QUICK, worker=lambda threads: IN_PROCESS
    )
    numpy = record.cases[0].timed("numpy")
    assert (numpy.memory_bytes, numpy.reason) == (None, "memory: MemoryError: too many rows")


def test_pytorch_that_fails_is_no_comparison(monkeypatch):
    def broken(self):
        raise RuntimeError("out of order")

    monkeypatch.setattr(TorchStep, "gradients", broken)
    with pytest.raises(CannotRunError, match="RuntimeError: out of order"):
        run_case(SMALL, ("numpy", "torch"), here, QUICK)
