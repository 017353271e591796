"""What is looked at beside a training, decided before its first step.

By default so many steps are certified that they are estimated to cost at most a fifth of the
training's time; replicas follow it for at most a twentieth of it, and what explains its end (parts
exchanged, steps made once more) takes at most another. The estimate of a certified step counts what
it does: the multiplications of its matrix products, the values that pass through its modules, its
modules and its weights; replicas and steps made once more are counted in plain steps. No clock has
a part in it, so that the same command looks at the same steps again, in whatever process, and a
training that is resumed goes on as it began.
"""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np

from compare.backends.protocol import Referee
from compare.parity.rows import LARGE, ROWS
from compare.records.run import CertifiedPlan, ReplicaPlan
from compare.spec.experiment import ParitySettings

SHARE = 0.2
"""Of the time of a training, what its certified steps may take by default."""

FIRST, MORE = 20, 10
"""By default at most so many of the first steps, and so many spread over the others."""

REPLICA_SHARE = 0.05
"""Of the time of a training, what its replicas may take by default."""

REPLICAS, REPLICA_STEPS = 2, 100
"""By default at most so many replicas, which follow at most so many steps."""

SHORT, LEAST = 10, 3
"""Where two replicas cannot follow this many steps one does; and it follows the least number."""

# A step of the float64 run, and of a replica with its rows in other order, in PyTorch's own.
# Processor times of PyTorch's step in float64 over that in float32: bn_mlp 1.7, cnn 2.4.
REFERENCE, REPLICA = 2.0, 1.1

EXPLAINED_SHARE = 0.05
"""Of the time of a training, what explaining its end may take: parts exchanged, steps once more."""

PARTS_SHARE = 1 / 3
"""Of that, what evaluating the test rows takes; the rest is for making steps once more."""

MOST_TEST_ROWS, LEAST_TEST_ROWS = 1000, 100

# Forward passes of one backend over the test rows, where every part is exchanged; such a pass is
# about a third of a step.
PASSES, PASS = 10, 1 / 3

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


def plan_replicas(settings: ParitySettings, steps: int) -> ReplicaPlan:
    """Decide how many replicas follow a training, and for how many steps.

    What the experiment says of either stays. By default two follow it for at most 100 steps; where
    a twentieth of its time is not enough for ten steps, one does.

    Args:
        settings: Of the experiment.
        steps: Of the training.
    """
    count, followed = settings.replicas, settings.replica_steps
    if followed is None:
        afforded = REPLICA_SHARE / (1 - REPLICA_SHARE) * steps
        if count is None:
            count = REPLICAS if afforded / _replica_steps(REPLICAS) >= SHORT else 1
        followed = min(int(afforded / _replica_steps(count)), REPLICA_STEPS)
        # After ten steps the distances are measured at each tenth: what goes beyond shows nothing.
        followed = max(followed // 10 * 10 if followed > SHORT else followed, LEAST)
    elif count is None:
        count = REPLICAS
    followed = min(followed, steps) if count else 0
    return ReplicaPlan(
        rule="auto" if settings.replica_steps is None and settings.replicas != 0 else "file",
        count=count if followed else 0,
        steps=followed,
        plain_steps=2 * _replica_steps(count) if followed else 0.0,
    )


def _replica_steps(count: int) -> float:
    """What a step of so many replicas and their reference costs, in steps of both backends."""
    return (REFERENCE + REPLICA * count) / 2


class Explanation(NamedTuple):
    """What may be done after a training to explain what lies apart.

    Attributes:
        rows: How many test rows are evaluated.
        replayed: How many steps of both backends may be made once more.
    """

    rows: int
    replayed: float

    def early(self, replayed: float) -> float:
        """How many steps NumPy and the float64 run may make once more, after those of both."""
        return (self.replayed - replayed) / ((1 + REFERENCE) / 2)

    def both(self, early: int) -> float:
        """To how many steps of both backends those of NumPy and the float64 run come."""
        return early * (1 + REFERENCE) / 2

    def handed(self, replayed: float) -> float:
        """How many steps NumPy and PyTorch twice may make once more, after those of both."""
        return (self.replayed - replayed) / 1.5


def plan_explanation(rows: int, steps: int) -> Explanation:
    """Decide how much is done to explain the end of a training.

    Args:
        rows: Of a batch.
        steps: Of the training.
    """
    afforded = EXPLAINED_SHARE / (1 - EXPLAINED_SHARE) * steps
    row = PASSES * PASS / 2 / rows
    looked_at = int(PARTS_SHARE * afforded / row)
    looked_at = max(LEAST_TEST_ROWS, min(looked_at, MOST_TEST_ROWS))
    return Explanation(looked_at, afforded - looked_at * row)
