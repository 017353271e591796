"""Replicas: the same training but for rounding."""

from __future__ import annotations

import numpy as np
import pytest

from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.spec.model import model_spec
from compare.training.replicas import Replicas

ROWS = 40


@pytest.fixture
def follow(tiny):
    """Train both backends and replicas for some steps; return the rows and the replicas."""

    def run(count=2, steps=25, at_most=100, dtype="float32", label="SGD"):
        form = tiny(f"optimizers.{label}.lr=0.1")
        spec = model_spec(form, label)
        random = np.random.default_rng(0)
        inputs = random.random((ROWS, 784), np.float32)
        targets = random.integers(0, 10, ROWS)
        replicas = Replicas(spec, count, at_most, dtype, seed=3)
        backends = NumpyBackend(spec, dtype, 3), TorchBackend(spec, dtype, 3)
        held = [backend.rows(inputs, targets) for backend in backends]
        replicas.start(backends[1].state(), held[1])
        rows = []
        for step in range(steps):
            indices = random.permutation(ROWS)[:10]
            for backend, data in zip(backends, held, strict=True):
                backend.train_step(backend.batch(data, indices))
            rows += replicas.follow(label, [(step, indices)], [{}], *backends)
        return rows, replicas

    return run


def test_which_steps_are_measured(follow):
    rows, _ = follow()
    assert sorted({r.step for r in rows}) == [*range(1, 11), 20]
    assert [r.run for r in rows[:4]] == ["numpy", "torch", "rows reversed", "rows shuffled 1"]
    assert {(r.label, r.seed) for r in rows} == {("SGD", 3)}


def test_they_are_the_same_training(follow):
    """Distances are those of rounding: far below those of other batches or weights."""
    rows, _ = follow()
    assert all(0 < r.distance < 1e-6 for r in rows)


def test_they_differ_in_rounding(follow):
    rows, _ = follow()
    last = {r.run: r.distance for r in rows}
    assert len(set(last.values())) == 4


def test_in_float64_they_are_nearer(follow):
    rows, _ = follow(dtype="float64")
    assert all(r.distance < 1e-13 for r in rows)


def test_the_reference_is_the_float64_training(follow):
    rows, replicas = follow(steps=5)
    assert replicas.reference.dtype == "float64"
    exact = replicas.reference.weights()
    reversed_ = replicas._replicas[0].weights()
    expected = np.linalg.norm(reversed_ - exact) / np.linalg.norm(exact)
    assert rows[-2].distance == expected


def test_they_stop(follow):
    rows, _ = follow(at_most=5)
    assert {r.step for r in rows} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("settings", [{"count": 0}, {"at_most": 0}])
def test_none(follow, settings):
    rows, replicas = follow(steps=2, **settings)
    assert rows == []
    assert replicas._replicas == []


def test_many(follow):
    rows, _ = follow(count=4, steps=1)
    assert [r.run for r in rows][2:] == [
        "rows reversed", "rows shuffled 1", "rows shuffled 2", "rows shuffled 3",
    ]  # fmt: skip
