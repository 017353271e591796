"""The size of what was summed to make a value, for every value of a stage.

A product of sums such as x Wᵀ + b is accurate to so many roundings of |x| |W|ᵀ + |b|, however
much of it cancels. Such sizes are the yardstick of every error here. They are computed in
float64, for most modules by running the referee's own module on absolute values.

A new kind of module gets its line in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compare.backends.protocol import Arrays, Referee, Stage, State
from compare.parity import centered_sizes as centered
from compare.parity import loss_sizes
from compare.parity.smooth_sizes import SMOOTH
from experiments.errors import InputError


@np.errstate(all="ignore")
def module_sizes(
    referee: Referee, name: str, kind: str, state: Arrays, x: np.ndarray, dy: np.ndarray
) -> Stage:
    """Sizes of the output, input gradient, parameter gradients and buffers of one module.

    Args:
        referee: A float64 side that has the module.
        name: The module's name on that side.
        kind: Its class name.
        state: Its parameters and buffers.
        x: Its input.
        dy: The gradient of its output.
    """
    if kind not in KINDS:
        raise InputError(
            f"{name}: parity of the module {kind} cannot be judged yet: expected one of "
            f"{', '.join(KINDS)}."
        )
    if np.issubdtype(x.dtype, np.floating):  # and not the row numbers of an Embedding
        x = x.astype(np.float64)
    return KINDS[kind](referee, name, state, x, dy.astype(np.float64))


def _multilinear(
    referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray
) -> Stage:
    """Sums of products, as in Linear: the same sums of the absolute values.

    Averages are such sums too; where ``divisor_override`` is negative their sign is not.
    """
    absolute = {key: np.abs(value) for key, value in state.items()}
    stage = referee.stage(name, absolute, np.abs(x), np.abs(dy))
    return Stage(np.abs(stage.output), np.abs(stage.grad_input), stage.gradients, stage.buffers)


def _selection(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """Values that are passed on or scaled, as in ReLU: their own absolute values.

    Where windows of a max-pooling overlap, gradients that meet in one place are summed; they are
    here as well, as absolute values.
    """
    stage = referee.stage(name, state, x, np.abs(dy))
    return Stage(np.abs(stage.output), np.abs(stage.grad_input))


def _batch_norm(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """BatchNorm in training mode: every difference x − μ counts with |x| + mean |x|.

    Not with |μ|: where the values of a channel cancel, their mean is only as exact as they are.
    """
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    shape = (1, -1) + (1,) * (x.ndim - 2)
    module = referee.module(name)
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True)
    inverse = 1.0 / np.sqrt(variance + module.eps)
    terms = np.abs(x) + np.abs(x).mean(axes, keepdims=True)
    normalised = terms * inverse
    gamma = np.abs(state["weight"]).reshape(shape) if "weight" in state else np.ones(shape)
    beta = np.abs(state["bias"]).reshape(shape) if "bias" in state else np.zeros(shape)
    dy = np.abs(dy)
    projections = (dy * normalised).mean(axes, keepdims=True)
    grad_input = gamma * inverse * (dy + dy.mean(axes, keepdims=True) + normalised * projections)
    gradients = {}
    if "weight" in state:
        gradients = {"weight": (dy * normalised).sum(axes), "bias": dy.sum(axes)}
    buffers: Arrays = {}
    if "running_mean" in state:
        updates = float(state["num_batches_tracked"]) + 1.0
        momentum = 1.0 / updates if module.momentum is None else module.momentum
        spread = (np.abs(x - mean) * terms).mean(axes) * count / max(count - 1, 1)
        buffers = {
            "running_mean": (1 - momentum) * np.abs(state["running_mean"])
            + momentum * np.abs(x).mean(axes),
            "running_var": (1 - momentum) * np.abs(state["running_var"]) + momentum * spread,
            "num_batches_tracked": np.ones(()),
        }
    return Stage(gamma * normalised + beta, grad_input, gradients, buffers)


def _row_norm(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """LayerNorm and GroupNorm: as BatchNorm in training mode, over the values of one row."""
    module = referee.module(name)
    if hasattr(module, "num_groups"):
        rows, each = (len(x) * module.num_groups, -1), (1, -1) + (1,) * (x.ndim - 2)
        others = (0, *range(2, x.ndim))
    else:
        last = tuple(module.normalized_shape)
        rows, each = (-1, int(np.prod(last))), last
        others = tuple(range(x.ndim - len(last)))
    flat = x.reshape(rows)
    inverse = 1.0 / np.sqrt(flat.var(axis=1, keepdims=True) + module.eps)
    terms = np.abs(flat) + np.abs(flat).mean(axis=1, keepdims=True)
    normalised = (terms * inverse).reshape(x.shape)
    gamma = np.abs(state["weight"]).reshape(each) if "weight" in state else 1.0
    beta = np.abs(state["bias"]).reshape(each) if "bias" in state else 0.0
    dy = np.abs(dy)
    flat, grad = normalised.reshape(flat.shape), (dy * gamma).reshape(flat.shape)
    projections = (grad * flat).mean(axis=1, keepdims=True)
    grad_input = inverse * (grad + grad.mean(axis=1, keepdims=True) + flat * projections)
    gradients = {"weight": (dy * normalised).sum(others), "bias": dy.sum(others)}
    return Stage(
        gamma * normalised + beta,
        grad_input.reshape(x.shape),
        {key: value for key, value in gradients.items() if key in state},
    )


def _smooth(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """Elementwise functions: what was summed to make the value, and to make the slope."""
    module = referee.module(name)
    value, slope = SMOOTH[type(module).__name__](module, x)
    return Stage(value, np.abs(dy) * slope)


def _along_axis(x: np.ndarray, dim: int | None) -> tuple[int, np.ndarray, np.ndarray]:
    """The axis of a softmax, exp(x − max x), and |x| + |max x|, which x − max x was made of."""
    axis = dim if dim is not None else (0 if x.ndim in (0, 1, 3) else 1)
    top = x.max(axis=axis, keepdims=True)
    return axis, np.exp(x - top), np.abs(x) + np.abs(top)


def _softmax(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """Softmax: an exponential of a difference, over the sum of all of them.

    The terms of the difference are the relative error of its exponential; of the sum, that is
    their mean.
    """
    axis, e, terms = _along_axis(x, referee.module(name).dim)
    y = e / e.sum(axis=axis, keepdims=True)
    y = y * (1.0 + terms + (y * terms).sum(axis=axis, keepdims=True))
    dy = np.abs(dy)
    return Stage(y, y * (dy + (dy * y).sum(axis=axis, keepdims=True)))


def _log_softmax(
    referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray
) -> Stage:
    """LogSoftmax: |x| + |max x| + log Σ exp(x − max x), as in the cross-entropy."""
    axis, e, terms = _along_axis(x, referee.module(name).dim)
    total = e.sum(axis=axis, keepdims=True)
    terms = terms + np.log(total)
    dy = np.abs(dy)
    return Stage(terms, dy + e / total * (1.0 + terms) * dy.sum(axis=axis, keepdims=True))


KINDS: dict[str, Callable[..., Stage]] = {
    "Linear": _multilinear,
    "Conv1d": _multilinear,
    "Conv2d": _multilinear,
    "ConvTranspose2d": _multilinear,
    "AvgPool2d": _multilinear,
    "AdaptiveAvgPool2d": _multilinear,
    "Flatten": _selection,
    "Identity": _selection,
    "Dropout": _selection,
    "MaxPool2d": _selection,
    "ReLU": _selection,
    "LeakyReLU": _selection,
    **dict.fromkeys(SMOOTH, _smooth),
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _row_norm,
    "GroupNorm": _row_norm,
    "Embedding": _multilinear,
}

# Modules whose derivative jumps: at the jump, rounding decides the side.
KINKED = frozenset({"ReLU", "LeakyReLU", "ELU", "Hardswish", "MaxPool2d"})

# Those whose only kink is at 0, so that the sign of the input says on which side it lies.
KINKED_AT_ZERO = frozenset({"ReLU", "LeakyReLU", "ELU"})


@np.errstate(all="ignore")
def cross_entropy_sizes(logits: np.ndarray, targets: np.ndarray, dy: float) -> Stage:
    """Sizes of the mean softmax cross-entropy and of its gradient.

    The logarithm of a probability is z − max z − log Σ exp(z − max z); its terms are what is
    summed, and as the argument of exp they are the relative error of the probability.
    """
    z = logits.astype(np.float64)
    rows = np.arange(len(z))
    top = z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    terms = np.abs(z) + np.abs(top) + log_sum
    gradient = np.exp(z - top - log_sum) * (1.0 + terms)
    gradient[rows, targets] += 1.0
    return Stage(np.mean(terms[rows, targets]), np.abs(dy) * gradient / len(z))


LOSSES: dict[str, Callable[..., Stage]] = {
    "CrossEntropyLoss": cross_entropy_sizes,
    **loss_sizes.SIZES,
}


@np.errstate(all="ignore")
def update_sizes(referee: Referee, state: State, gradients: Arrays, maximize: bool) -> State:
    """Sizes of the updated parameters and of the optimizer's state.

    The referee's optimizer makes the step on absolute values, so that nothing cancels; a
    parameter then counts with itself and with the length of that step.
    """
    absolute = state.map(np.abs)
    sign = -1.0 if maximize else 1.0
    stepped = referee.update_stage(absolute, {k: sign * np.abs(g) for k, g in gradients.items()})
    if centered.is_centered(stepped):
        return centered.centered_sizes(referee, state, gradients, absolute, stepped, sign)
    lengths = {k: np.abs(stepped.model[k] - absolute.model[k]) for k in gradients}
    return State(
        {k: absolute.model[k] + lengths[k] for k in gradients},
        {p: {k: np.abs(v) for k, v in slot.items()} for p, slot in stepped.optimizer.items()},
    )
