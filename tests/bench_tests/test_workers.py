"""Functions in a process of their own, and the memory of one."""

from __future__ import annotations

import os

import pytest

from compare.bench.cases import TrainingStep
from compare.bench.contenders import CannotRunError
from compare.bench.workers import Worker, peak_memory
from experiments.errors import InputError


def test_a_process_answers_fails_and_is_replaced(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    worker = Worker(3)
    try:
        process = worker.call(os.getpid)
        assert process not in (os.getpid(), None)
        assert worker.call(os.getenv, "MKL_NUM_THREADS") == "3"
        with pytest.raises(CannotRunError, match="ZeroDivisionError: integer"):
            worker.call(divmod, 1, 0)
        wrong = TrainingStep("softmax_mlp", 4, "SGD", {"sizes": ("x", 3)})
        with pytest.raises(InputError, match="could not be built"):
            worker.call(wrong.model)
        assert worker.call(os.getpid) == process
        with pytest.raises(CannotRunError, match="its process ended with status 1"):
            worker.call(os._exit, 1)
        assert worker.call(os.getpid) != process
    finally:
        worker.close()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_more_rows_take_more_memory():
    """16,384 rows of 784 float32 numbers are 49 MiB, what the first layer makes of them 8 MiB."""
    worker = Worker(1)
    try:
        small = worker.call(peak_memory, "numpy", TrainingStep("softmax_mlp", 32, "SGD"))
        large = worker.call(peak_memory, "numpy", TrainingStep("softmax_mlp", 16_384, "SGD"))
    finally:
        worker.close()
    assert large - small > 16_000 * (784 + 128) * 4
    assert small < 30 * 2**20
