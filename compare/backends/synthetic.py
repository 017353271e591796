"""Synthetic data: inputs that fit a network, targets that fit its loss, and steps on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.protocol import Backend, RecordedStep
from compare.spec.model import ModelSpec
from experiments.errors import InputError


def loss_of(architecture: Callable[..., Any], arguments: dict[str, Any] | None = None) -> str:
    """The loss that fits a network's output: probabilities of one class, or logits of several."""
    model = ModelSpec(architecture, arguments or {}).model(numpy_nn)
    modules = [m for m in model.modules() if not any(m.children())]
    return "BCELoss" if type(modules[-1]).__name__ == "Sigmoid" else "CrossEntropyLoss"


def random_targets(loss: str, random: np.random.Generator, rows: int, outputs: int) -> np.ndarray:
    """Random targets that fit a loss of :func:`loss_of`."""
    if loss == "BCELoss":
        return random.integers(0, 2, (rows, outputs)).astype(np.float32)
    return random.integers(0, outputs, rows)


def input_shape(network: Any) -> tuple[int, ...]:
    """The shape of one input row, from the first module that says how many features it takes.

    Args:
        network: A network or a backend: what has ``modules()``.
    """
    for module in network.modules():
        if hasattr(module, "in_features"):
            return (module.in_features,)
        if hasattr(module, "in_channels"):
            return (module.in_channels, 28, 28)
    raise InputError("--architecture: the network has no layer that says what input it takes.")


def synthetic_steps(
    backend: Backend, loss: str, steps: int, batch_size: int, seed: int
) -> Iterator[RecordedStep]:
    """Record the first steps of a training on random inputs and random targets.

    Args:
        backend: The network; it is trained.
        loss: The class of its loss, as :func:`loss_of` names it.
        steps: How many.
        batch_size: Rows in a batch.
        seed: For inputs and targets.
    """
    random = np.random.default_rng(seed)
    shape = input_shape(backend)
    outputs = backend.logits(np.zeros((2, *shape), backend.dtype)).shape[1]
    for _ in range(steps):
        inputs = random.standard_normal((batch_size, *shape)).astype(np.float32)
        targets = random_targets(loss, random, batch_size, outputs)
        rows = backend.rows(inputs, targets)
        yield backend.record_step(backend.batch(rows, np.arange(batch_size)))
