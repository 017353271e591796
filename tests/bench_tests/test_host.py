"""Contenders in processes of their own."""

from __future__ import annotations

import os

import pytest

from compare.bench.contender import CannotRunError
from compare.bench.host import THREAD_VARIABLES, Apart, Here, thread_variables
from compare.bench.memory import measure_memory
from compare.bench.workloads import TrainingStep
from experiments.errors import InputError

STEP = TrainingStep("softmax_mlp", 4, "SGD", {"sizes": (12, 7, 3)})


def test_a_process_answers_as_this_one_does():
    apart, here = Apart(1), Here(1)
    try:
        assert apart.prepare("numpy", STEP) == here.prepare("numpy", STEP)
        (found, _), (expected, _) = (h.call("numpy", "evidence") for h in (apart, here))
        assert found.values == expected.values
        assert apart.call("numpy", "block", 1, 5).shape == (5, 3)
        with pytest.raises(RuntimeError, match="AttributeError"):
            apart.call("numpy", "nothing")
        wrong = TrainingStep("softmax_mlp", 4, "SGD", {"sizes": ("x", 3)})
        with pytest.raises(InputError, match="could not be built"):
            apart.prepare("numpy", wrong)
        apart.drop("numpy")
    finally:
        apart.close()


def test_a_process_that_dies_is_replaced():
    apart = Apart(1)
    try:
        apart.prepare("numpy", STEP)
        apart._process.kill()
        with pytest.raises(CannotRunError, match="its process ended with status -9"):
            apart.call("numpy", "evidence")
        assert apart.prepare("numpy", STEP)["dtype"] == "float32"
    finally:
        apart.close()


def test_threads_are_set_while_a_process_starts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with thread_variables(3):
        assert {os.environ[name] for name in THREAD_VARIABLES} == {"3"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_more_rows_take_more_memory():
    """16,384 rows of 784 float32 numbers are 49 MiB, what the first layer makes of them 8 MiB."""
    small = measure_memory("numpy", TrainingStep("softmax_mlp", 32, "SGD"), 1)
    large = measure_memory("numpy", TrainingStep("softmax_mlp", 16_384, "SGD"), 1)
    assert large.used_bytes - small.used_bytes > 16_000 * (784 + 128) * 4
    assert small.used_bytes < 30 * 2**20
    assert large.process_bytes > large.used_bytes


def test_memory_of_what_cannot_run():
    with pytest.raises(CannotRunError):
        measure_memory("scikit-learn", TrainingStep("cnn", 4, "SGD"), 1)
