"""Which steps of a training are certified, decided before its first step.

By default so many that they are estimated to cost at most a fifth of the training's time. The
estimate counts what a step does: the multiplications of its matrix products, the values that pass
through its modules, its modules and its weights. No clock has a part in it, so that the same
command certifies the same steps again, in whatever process, and a training that is resumed goes on
as it began.
"""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np

from compare.backends.protocol import Referee
from compare.parity.rows import LARGE, ROWS
from compare.records.run import CertifiedPlan
from compare.spec.experiment import ParitySettings

SHARE = 0.2
"""Of the time of a training, what its certified steps may take by default."""

FIRST, MORE = 20, 10
"""By default at most so many of the first steps, and so many spread over the others."""

# Seconds of one core for a multiplication of a product in float32; and for the two kinds of step
# how many of these, and seconds for a value of an activation, a call of a module and a weight.
# Processor times, measured at 128 rows, of a plain step on both backends and of certifying one, in
# milliseconds: bn_mlp 6.9 and 112 (estimated 10.8 and 172), softmax_mlp 3.4 and 50 (5.0 and 72),
# cnn 79 and 599 (99 and 800), simple_convnet 64 and 501 (93 and 756). The ratio is what counts.
MULTIPLICATION_S = 3e-11
PLAIN = (3.0, 6e-9, 5e-5, 1e-9)
CERTIFIED = (2.0, 1e-7, 8e-3, 5e-8)
# Products that a certified step makes of all rows, and of the chosen ones: compare.parity.rows.
ALL_ROWS, FEW_ROWS = 13.0, 21.0


class Work(NamedTuple):
    """What one row asks of a network, and what a step asks of it whatever its rows.

    Attributes:
        multiplications: Of the matrix products of a forward pass, for a row.
        values: That go into its modules, for a row.
        modules: How many are called.
        weights: How many values are trained.
    """

    multiplications: float
    values: float
    modules: int
    weights: int

    def plain_s(self, rows: int) -> float:
        """The estimated time of a step on both backends."""
        products, value, module, weight = PLAIN
        one = products * rows * self.multiplications * MULTIPLICATION_S
        return 2 * (
            one + rows * self.values * value + self.modules * module + self.weights * weight
        )

    def certified_s(self, rows: int) -> float:
        """The estimated time of certifying a step."""
        factor, value, module, weight = CERTIFIED
        few = ROWS if rows >= LARGE else rows
        products = (ALL_ROWS * rows + FEW_ROWS * few) * self.multiplications
        return (
            factor * products * MULTIPLICATION_S
            + rows * self.values * value
            + self.modules * module
            + self.weights * weight
        )


def work_of(referee: Referee, inputs: np.ndarray) -> Work:
    """Count what a network does with a row.

    Args:
        referee: A backend that has it; its running statistics may change.
        inputs: Some rows.
    """
    batch = referee.batch(referee.rows(inputs, np.zeros(len(inputs))), np.arange(len(inputs)))
    given = referee.module_inputs(batch)
    multiplications = sum(
        _multiplications(referee.module(name), x) / len(inputs) for name, x in given.items()
    )
    values = sum(x.size for x in given.values()) / len(inputs)
    return Work(multiplications, values, len(given), len(referee.weights()))


def _multiplications(module: Any, x: np.ndarray) -> float:
    """Of the forward product of a module, about: a convolution as if it were padded."""
    weight = getattr(module, "weight", None)
    kind = type(module).__name__
    if weight is None or weight.ndim < 2 or kind == "Embedding":
        return 0.0
    size = float(math.prod(weight.shape))
    if kind == "Linear":
        return size * x.size / x.shape[-1]
    strides = 1 if kind.startswith("ConvTranspose") else math.prod(module.stride)
    return size * len(x) * math.prod(x.shape[2:]) / strides


def affordable_steps(work: Work, rows: int, steps: int) -> int:
    """How many certified steps take at most :data:`SHARE` of the training's time; at least one."""
    plain = steps * work.plain_s(rows)
    return max(1, int(SHARE / (1 - SHARE) * plain / work.certified_s(rows)))


def spread(number: int, steps: int) -> list[int]:
    """So many steps: two thirds of them the first, the others spread to the last."""
    number = min(number, steps)
    first = math.ceil(2 * number / 3)
    others, rest = number - first, steps - first
    return [*range(first), *(first + place * rest // others - 1 for place in range(1, others + 1))]


class Plan(NamedTuple):
    """The steps that are certified, and what is recorded of the decision."""

    steps: Container[int]
    record: CertifiedPlan


def plan_steps(settings: ParitySettings, work: Work, rows: int, steps: int) -> Plan:
    """Decide which steps of a training are certified.

    Args:
        settings: Of the experiment.
        work: Of its network.
        rows: Of a batch.
        steps: Of the training.
    """
    cost = 2 * work.certified_s(rows) / work.plain_s(rows)
    few = ROWS if rows >= LARGE else None
    chosen, certify = settings.chosen, settings.certify
    if chosen == "all":
        record = CertifiedPlan(rule="all", planned=steps, plain_steps=cost, few_rows=few)
        return Plan(range(steps), record)
    if chosen == "file":
        first, every = settings.first_steps or FIRST, settings.every or max(1, steps // MORE)
        found = sorted({*range(min(first, steps)), *range(0, steps, every)})
    elif chosen == "auto":
        number = affordable_steps(work, rows, steps)
        if number >= FIRST + MORE:
            found = sorted({*range(min(FIRST, steps)), *range(0, steps, max(1, steps // MORE))})
        else:
            found = spread(number, steps)
    else:
        assert isinstance(certify, int)
        found = spread(certify, steps)
    record = CertifiedPlan(
        rule=chosen, planned=len(found), plain_steps=cost, few_rows=few, steps=found
    )
    return Plan(frozenset(found), record)
