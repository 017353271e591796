"""An L2 penalty in a recorded step: in the loss and not in the gradients, or the reverse.

Of one number, the loss, any penalty could be the reason. So the loss is asked again with other
weights, which it must follow as ½λΣW² does; of a gradient, every element has to be off by λW.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compare.backends import Stage, State, Step
from compare.backends.protocol import Arrays
from compare.mistakes.case import Diagnosis
from compare.mistakes.penalty import Penalty
from compare.parity.comparison import Judges
from compare.parity.tolerances import FLOAT64, whole_error

# Fewer elements than this could be λW by chance.
LEAST = 4
# λ is known to this, relative to the larger of two.
SAME = 1e-6


def penalty_in_loss(step: Step, judges: Judges) -> Diagnosis | None:
    """A penalty that the loss of the NumPy side adds and its gradients have not to that measure.

    Args:
        step: The recorded step.
        judges: The sides that were consulted.
    """
    for weights_only in (True, False):
        names = [
            name for name in step.gradients if step.before.model[name].ndim > 1 or not weights_only
        ]
        in_loss = _in_loss(step, judges, names)
        if in_loss is None:
            continue
        in_gradients = [_in_gradient(step, judges, name) for name in names]
        first = in_gradients[0]
        if first is None or any(g is None or not _same(g, first) for g in in_gradients):
            return None
        if _same(in_loss, first):
            return None  # it is in both directions: another loss, and no mistake of this kind
        penalty = Penalty(in_loss, first, weights_only)
        return Diagnosis(penalty.code, penalty.explanation)
    return None


def penalty_in_gradient(name: str, state: Arrays, found: Arrays, right: Arrays) -> Diagnosis | None:
    """λW in the weight gradient of a module, and nothing else that is different.

    Args:
        name: Of the module.
        state: Its parameters.
        found: The parts of its stage on the NumPy side.
        right: The same on PyTorch's.
    """
    state = {key: array.astype(np.float64) for key, array in state.items()}  # λW in float64
    weight = state.get("weight")
    if weight is None or weight.ndim < 2 or any(found[k].shape != right[k].shape for k in right):
        return None
    factor = _factor(found["gradient/weight"] - right["gradient/weight"], weight)
    if factor == 0:
        return None
    for part, value in right.items():
        own = state.get(part.removeprefix("gradient/"), np.zeros(()))
        penalised = [value + factor * own] if part.startswith("gradient/") else [value]
        if part == "gradient/bias":
            penalised.append(value)
        if not any(_equal(found[part], v) for v in penalised):
            return None
    return Diagnosis(
        "l2-missing-in-gradient",
        f"the gradient of {name}.weight has {factor:.6g} · W that the loss does not have: λW is "
        "the derivative of ½λΣW², which belongs into both or, as weight_decay, into the optimizer",
    )


def _in_loss(step: Step, judges: Judges, names: list[str]) -> float | None:
    """λ, if the loss has ½λΣW² too much whatever the weights are."""
    random = np.random.default_rng(0)
    drawn = {name: 3 * random.standard_normal(step.before.model[name].shape) for name in names}
    measured = []
    for other in ({}, drawn):
        model = {**step.before.model, **other}
        judges.numpy64.load(State(model, step.before.optimizer))
        found, right = _losses(step, judges)
        if not _equal(found.grad_input, right.grad_input):
            return None
        squares = float(sum(np.sum(model[name].astype(np.float64) ** 2) for name in names))
        excess = float(found.output - right.output)
        if not squares or abs(excess) <= 1e3 * FLOAT64 * abs(float(right.output)):
            return None
        measured.append(2 * excess / squares)
    judges.numpy64.load(step.before)
    return measured[1] if _same(*measured) else None


def _losses(step: Step, judges: Judges) -> Iterator[Stage]:
    call = next(call for call in step.calls if call.name == "loss")
    x = call.input.astype(np.float64)
    return (side.loss_stage(x, step.targets, 1.0) for side in (judges.numpy64, judges.torch64))


def _in_gradient(step: Step, judges: Judges, name: str) -> float | None:
    """λ, if a gradient is off by λW; 0 if it is right, None if it is otherwise wrong."""
    module, _, key = name.rpartition(".")
    call = next(call for call in step.calls if call.name == module)
    state = step.before.of_module(module)
    x = call.input.astype(np.float64)
    dy = np.random.default_rng(0).standard_normal(call.output.shape)
    found, right = (
        side.stage(module, state, x, dy).gradients[key] for side in (judges.numpy64, judges.torch64)
    )
    weight = state[key].astype(np.float64)
    factor = _factor(found - right, weight) if found.shape == right.shape else 0.0
    return factor if _equal(found, right + factor * weight) else None


def _factor(excess: np.ndarray, weight: np.ndarray) -> float:
    """λ of excess = λW, by least squares; 0 where it is nothing or could be chance."""
    squares = float(np.sum(weight**2))
    if weight.size < LEAST or not squares:
        return 0.0
    factor = float(np.sum(excess * weight)) / squares
    return factor if abs(factor) * np.sqrt(squares) > 1e-9 else 0.0


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * max(abs(a), abs(b))


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return whole_error(a, b, float(np.max(np.abs(b), initial=1e-30))) <= 100 * FLOAT64
