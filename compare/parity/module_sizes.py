"""The size of what was summed to make a value, for every value of a stage.

A product of sums such as x Wᵀ + b is accurate to so many roundings of |x| |W|ᵀ + |b|, however
much of it cancels. Errors are measured relative to such sizes. They are computed in float64, for
most modules by running the referee's own module on absolute values.

For smooth activations: where terms of opposite sign meet, as in 1 + erf(x) or α (exp(x) − 1), both
count with their absolute value. An exponential multiplies the relative rounding of its argument
by the argument, so it counts that much more.

A new class of module gets its line in :data:`MODULES`, and one in :data:`KINKS` if its derivative
jumps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.backends.protocol import Arrays, Referee, Stage
from experiments.errors import InputError


@np.errstate(all="ignore")
def module_sizes(
    referee: Referee, name: str, kind: str, state: Arrays, x: np.ndarray, dy: np.ndarray
) -> Stage:
    """Sizes of the output, input gradient, parameter gradients and buffers of one module.

    Args:
        referee: A float64 backend that has the module.
        name: The module's name in it.
        kind: Its class name.
        state: Its parameters and buffers.
        x: Its input.
        dy: The gradient of its output.
    """
    if kind not in MODULES:
        raise InputError(
            f"{name}: parity of the module {kind} cannot be judged yet: expected one of "
            f"{', '.join(MODULES)}."
        )
    if np.issubdtype(x.dtype, np.floating):  # and not the row numbers of an Embedding
        x = x.astype(np.float64)
    return MODULES[kind](referee, name, state, x, dy.astype(np.float64))


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


# The size of the value and the size of the slope at every x.
Sizes = tuple[np.ndarray, np.ndarray]


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def _sigmoid(module: Any, x: np.ndarray) -> Sizes:
    """Value s = 1 / (1 + exp(−x)), slope s (1 − s)."""
    s = _logistic(x)
    return s, s * (1.0 + s)


def _tanh(module: Any, x: np.ndarray) -> Sizes:
    """Value t, slope 1 − t²."""
    t = np.tanh(x)
    return np.abs(t), 1.0 + t**2


def _silu(module: Any, x: np.ndarray) -> Sizes:
    """Value x s, slope s (1 + x (1 − s))."""
    s = _logistic(x)
    return np.abs(x) * s, s * (1.0 + np.abs(x) * (1.0 + s))


def _gelu(module: Any, x: np.ndarray) -> Sizes:
    """Value x (1 + e) / 2, slope (1 + e) / 2 + x φ, with e = erf(x/√2) or the tanh for it."""
    if module.approximate == "tanh":
        e = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        inner = math.sqrt(2 / math.pi) * (1.0 + 3 * 0.044715 * x**2)
        density = (1.0 + e**2) * inner / 2
    else:
        e = np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (1.0 + x**2 / 2)
    probability = (1.0 + np.abs(e)) / 2
    return np.abs(x) * probability, probability + np.abs(x) * density


def _elu(module: Any, x: np.ndarray) -> Sizes:
    """Value α (exp(x) − 1) below 0, slope α exp(x)."""
    alpha, e = abs(module.alpha), np.exp(np.minimum(x, 0.0))
    return np.where(x > 0, x, alpha * (e + 1.0)), np.where(x > 0, 1.0, alpha * e)


def _softplus(module: Any, x: np.ndarray) -> Sizes:
    """Value log(1 + exp(βx)) / β, slope s(βx), both with the argument βx rounded."""
    scaled = module.beta * x
    s = _logistic(scaled)
    value = np.logaddexp(0.0, scaled) / abs(module.beta)
    return value + np.abs(x) * s, s * (1.0 + np.abs(scaled))


def _hardswish(module: Any, x: np.ndarray) -> Sizes:
    """Value x min(max(x + 3, 0), 6) / 6, slope x / 3 + 1/2 between −3 and 3."""
    value = np.abs(x) * np.minimum(np.abs(x) + 3.0, 6.0) / 6.0
    return value, np.where(np.abs(x) < 3, np.abs(x) / 3 + 0.5, 1.0)


SMOOTH: dict[str, Callable[[Any, np.ndarray], Sizes]] = {
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "SiLU": _silu,
    "GELU": _gelu,
    "ELU": _elu,
    "Softplus": _softplus,
    "Hardswish": _hardswish,
}


def _smooth(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """Elementwise functions: what was summed to make the value, and to make the slope."""
    module = referee.module(name)
    value, slope = SMOOTH[type(module).__name__](module, x)
    return Stage(value, np.abs(dy) * slope)


MODULES: dict[str, Callable[..., Stage]] = {
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

# Modules whose derivative jumps: at the jump, rounding decides the side. Class → the inputs at
# which it does; a max-pooling's jumps where two of its inputs are equal.
KINKS: dict[str, tuple[float, ...]] = {
    "ReLU": (0.0,),
    "LeakyReLU": (0.0,),
    "PReLU": (0.0,),
    "ELU": (0.0,),
    "ReLU6": (0.0, 6.0),
    "Hardtanh": (-1.0, 1.0),
    "Hardsigmoid": (-3.0, 3.0),
    "Hardswish": (-3.0, 3.0),
    "MaxPool2d": (),
}

# Those whose only kink is at 0, so that the sign of the input says on which side it lies.
KINKED_AT_ZERO = frozenset(name for name, places in KINKS.items() if places == (0.0,))
