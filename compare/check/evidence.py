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

from compare.backends.protocol import Arrays
from compare.mistakes.case import Diagnosis


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
