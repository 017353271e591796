"""What a homework was asked and what it answered, in the reference's own words.

A quantity is named by a key: ``logits``, ``loss``, ``gradient/0.weight``, ``update/0.weight`` or,
for a homework made of layer classes, ``activation/1`` and ``buffer/1.running_mean``. Arrays are
float64 in the reference's layout: the conventions of the homework (transposed weights, batches in
columns, one-hot labels, own names) have been undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One batch, from one set of parameters, and what PyTorch makes of it in float64.

    Attributes:
        parameters: ``state_dict`` of the network, buffers included.
        inputs: (N, …).
        targets: (N,) class indices, or what the loss takes.
        expected: Quantity → value.
        sizes: Quantity → the size of what was summed to make the value; its shape is the
            value's, or () for one size of them all.
        update_gradients: The gradients (by state_dict key) of each step that the update is asked
            for, from ``parameters`` on; ``update/…`` is what the last step leaves.
        expected32: Quantity → what PyTorch makes of it in float32; the yardstick of a homework
            that computes in float32 inside.
        given: What single layers are given, for a homework made of layer classes: ``input/1``
            and ``grad_output/1``. Then ``activation/1``, ``buffer/1.…``, ``gradient/1.…`` and
            ``gradient/1.input`` (the gradient of the layer's input) are what the layer alone makes
            of these, and ``gradient/logits`` is the loss's own, at the logits of ``inputs``.
            ``mask/1`` is what a Dropout of the homework has kept.
        evaluation: The logits in evaluation mode, where that differs from training mode.
        tolerances: Quantity → how far it may be away, where that is not the usual.
    """

    parameters: Arrays
    inputs: np.ndarray
    targets: np.ndarray
    expected: Arrays
    sizes: Arrays
    update_gradients: tuple[Arrays, ...] = ()
    expected32: Arrays = field(default_factory=dict)
    given: Arrays = field(default_factory=dict)
    evaluation: np.ndarray | None = None
    tolerances: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """What a homework is to compute.

    Attributes:
        architecture: The name of the network, for people.
        build: Makes the network from a namespace.
        loss: ``cross_entropy``, ``mse``, ``bce`` or ``bce_with_logits``.
        optimizer: Its class, or None where no update is asked for.
        settings: The optimizer's keyword arguments.
    """

    architecture: str
    build: Callable[[Any], Any]
    loss: str = "cross_entropy"
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Answer:
    """What the homework made of one case.

    Attributes:
        values: Quantity → value, in the order in which they were asked for.
        problem: Why there are no more values: one sentence, or None.
        notes: Sentences about what else was seen: an input changed, another answer the second
            time.
        single: Whether the homework computes in float32 inside.
    """

    values: Arrays = field(default_factory=dict)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    single: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A named mistake: a code of the list in docs/mistakes.md, and a sentence with numbers."""

    code: str
    explanation: str


@dataclass(frozen=True)
class Check:
    """One quantity compared over all cases; errors and tolerance are relative to its size.

    ``worst`` is the index of the worst element in the worst case; ``found_there`` and
    ``expected_there`` are the values at it.
    """

    quantity: str
    name: str
    passed: bool
    relative_error: float
    tolerance: float
    worst: tuple[int, ...] = ()
    found_there: float = float("nan")
    expected_there: float = float("nan")
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of checking one homework.

    Attributes:
        checks: In the order of execution: forwards, loss, gradients from the last layer to the
            first, updates.
        invariants: Sentences that need no reference, such as rows that do not sum to 1.
        notes: What else was seen.
        error: Why it could not be checked, or None.
    """

    checks: tuple[Check, ...] = ()
    invariants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it could be checked and every check passed."""
        return self.error is None and bool(self.checks) and all(c.passed for c in self.checks)

    @property
    def first_divergence(self) -> Check | None:
        """The first check that failed."""
        return next((check for check in self.checks if not check.passed), None)
