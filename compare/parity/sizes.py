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

from compare.backends.protocol import Arrays, Referee, Stage, State
from compare.parity import tolerances
from experiments.errors import InputError


@np.errstate(all="ignore")
def module_sizes(
    referee: Referee,
    name: str,
    kind: str,
    state: Arrays,
    x: np.ndarray,
    dy: np.ndarray,
    input_too: bool = True,
) -> Stage:
    """Sizes of the output, input gradient, parameter gradients and buffers of one module.

    Args:
        referee: A float64 backend that has the module.
        name: The module's name in it.
        kind: Its class name.
        state: Its parameters and buffers.
        x: Its input.
        dy: The gradient of its output.
        input_too: Whether the size of the input gradient is wanted, where it takes a product.
    """
    if kind not in MODULES:
        raise InputError(
            f"{name}: parity of the module {kind} cannot be judged yet: expected one of "
            f"{', '.join(MODULES)}."
        )
    if np.issubdtype(x.dtype, np.floating):  # and not the row numbers of an Embedding
        x = x.astype(np.float64)
    if sums_products(kind):
        return _multilinear(referee, name, state, x, dy.astype(np.float64), input_too)
    return MODULES[kind](referee, name, state, x, dy.astype(np.float64))


def _multilinear(
    referee: Referee,
    name: str,
    state: Arrays,
    x: np.ndarray,
    dy: np.ndarray,
    input_too: bool = True,
) -> Stage:
    """Sums of products, as in Linear: the same sums of the absolute values.

    Averages are such sums too; where ``divisor_override`` is negative their sign is not.
    """
    absolute = {key: np.abs(value) for key, value in state.items()}
    stage = referee.stage(name, absolute, np.abs(x), np.abs(dy), input_too)
    return Stage(np.abs(stage.output), np.abs(stage.grad_input), stage.gradients, stage.buffers)


def sums_products(kind: str) -> bool:
    """Whether a module of this class sums products, so that absolute values give the sizes."""
    return MODULES.get(kind) is _multilinear


def _selection(referee: Referee, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray) -> Stage:
    """Values that are passed on or scaled, as in ReLU: their own absolute values.

    Where windows of a max-pooling overlap, gradients that meet in one place are summed; they are
    here as well, as absolute values.
    """
    return sizes_of_passed(referee.stage(name, state, x, np.abs(dy)))


def passed_on(module: Any) -> bool:
    """Whether a module passes values on, or scales them, and sums nothing, gradients neither.

    The sizes of its values are then their own absolute values: nothing is run to find them.
    """
    kind = type(module).__name__
    if kind == "MaxPool2d":
        windows = zip(_pair(module.kernel_size), _pair(module.stride), strict=True)
        return _pair(module.dilation) == (1, 1) and all(size <= step for size, step in windows)
    return MODULES.get(kind) is _selection


def unrounded(module: Any) -> bool:
    """Whether it passes values on as they are, so that they are the same in every precision."""
    return passed_on(module) and type(module).__name__ not in ("Dropout", "LeakyReLU")


def sizes_of_passed(stage: Stage) -> Stage:
    """The sizes of a stage whose module passes values on."""
    return Stage(np.abs(stage.output), np.abs(stage.grad_input))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


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


# ---- Losses, with their default settings
#
# The input of a loss is exact here: it comes from the run that is judged. So a difference such as
# x − t has one rounding, of its own size, and sizes are those of the terms added after it. A new
# loss gets its line in LOSSES.

# PyTorch's bounds for the logarithm of a probability and for p (1 − p).
LEAST_LOG = -100.0
LEAST_VARIANCE = 1e-12

# Default parameters of the losses.
BETA = DELTA = 1.0


def _mean(terms: np.ndarray, slopes: np.ndarray, dy: float) -> Stage:
    """The mean of all values: terms and slopes are not negative."""
    return Stage(np.mean(terms), np.abs(dy) * slopes / terms.size)


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


@np.errstate(all="ignore")
def nll_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """The log-probabilities at the targets are added up; the gradient is −1/N there."""
    taken = np.expand_dims(t, 1).astype(np.int64)
    terms = np.abs(np.take_along_axis(x.astype(np.float64), taken, axis=1))
    gradient = np.zeros(x.shape)
    np.put_along_axis(gradient, taken, np.abs(dy) / terms.size, axis=1)
    return Stage(np.asarray(np.mean(terms)), gradient)


@np.errstate(all="ignore")
def mse_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """Squares are added up, and nothing cancels."""
    d = np.abs(x.astype(np.float64) - t)
    return _mean(d**2, 2 * d, dy)


@np.errstate(all="ignore")
def l1_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """Distances are added up; the gradient is a sign, and exact."""
    d = np.abs(x.astype(np.float64) - t)
    return _mean(d, np.ones_like(d), dy)


@np.errstate(all="ignore")
def smooth_l1_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """On the lines β/2 is taken from the distance, which counts with both."""
    d = np.abs(x.astype(np.float64) - t)
    terms = np.where(d < BETA, d**2 / (2 * BETA), d + BETA / 2)
    return _mean(terms, np.minimum(d / BETA, 1.0), dy)


@np.errstate(all="ignore")
def huber_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """On the lines δ/2 is taken from the distance, which counts with both."""
    d = np.abs(x.astype(np.float64) - t)
    terms = np.where(d <= DELTA, d**2 / 2, DELTA * (d + DELTA / 2))
    return _mean(terms, np.minimum(d, DELTA), dy)


@np.errstate(all="ignore")
def bce_sizes(p: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """The two logarithms of a value are added; the gradient is a quotient of differences."""
    p, t = p.astype(np.float64), t.astype(np.float64)
    log_p, log_rest = np.maximum(np.log(p), LEAST_LOG), np.maximum(np.log1p(-p), LEAST_LOG)
    slopes = np.abs(p - t) / np.maximum(p * (1 - p), LEAST_VARIANCE)
    return _mean(np.abs(t * log_p) + np.abs((1 - t) * log_rest), slopes, dy)


@np.errstate(all="ignore")
def bce_with_logits_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """(1 − t) x and − log p are added; in the gradient p and t are, which may cancel."""
    x, t = x.astype(np.float64), t.astype(np.float64)
    small = np.exp(-np.abs(x))
    p = np.where(x >= 0, 1.0, small) / (1.0 + small)
    terms = np.abs((1 - t) * x) + np.log1p(small) + np.maximum(-x, 0.0)
    return _mean(terms, p + np.abs(t), dy)


@np.errstate(all="ignore")
def kl_div_sizes(x: np.ndarray, t: np.ndarray, dy: float) -> Stage:
    """t log t and t x are subtracted; the gradient is −t."""
    x, t = x.astype(np.float64), t.astype(np.float64)
    t_log_t = np.where(t == 0, 0.0, t * np.log(t))
    return _mean(np.abs(t_log_t) + np.abs(t * x), np.abs(t), dy)


LOSSES: dict[str, Callable[..., Stage]] = {
    "CrossEntropyLoss": cross_entropy_sizes,
    "NLLLoss": nll_sizes,
    "MSELoss": mse_sizes,
    "L1Loss": l1_sizes,
    "SmoothL1Loss": smooth_l1_sizes,
    "HuberLoss": huber_sizes,
    "BCELoss": bce_sizes,
    "BCEWithLogitsLoss": bce_with_logits_sizes,
    "KLDivLoss": kl_div_sizes,
}


# ---- The step of an optimizer


@np.errstate(all="ignore")
def update_sizes(referee: Referee, state: State, gradients: Arrays, maximize: bool) -> State:
    """Sizes of the updated parameters and of the optimizer's state.

    The referee's optimizer makes the step on absolute values, so that nothing cancels; a
    parameter then counts with itself and with the length of that step.

    Args:
        referee: A float64 backend.
        state: Before the step.
        gradients: Of the step.
        maximize: Whether the optimizer goes up the gradient.
    """
    absolute = state.map(np.abs)
    sign = -1.0 if maximize else 1.0
    stepped = referee.update_stage(absolute, {k: sign * np.abs(g) for k, g in gradients.items()})
    if any("grad_avg" in slot for slot in stepped.optimizer.values()):
        return _centered_sizes(referee, state, gradients, absolute, stepped, sign)
    lengths = {k: np.abs(stepped.model[k] - absolute.model[k]) for k in gradients}
    return State(
        {k: absolute.model[k] + lengths[k] for k in gradients},
        {p: {k: np.abs(v) for k, v in slot.items()} for p, slot in stepped.optimizer.items()},
    )


def _centered_sizes(
    referee: Referee, state: State, gradients: Arrays, absolute: State, stepped: State, sign: float
) -> State:
    """Sizes of a centered RMSprop step, which divides by √(v − a²), a difference that may cancel.

    v is the average of the squared gradients and a that of the gradients. Where the gradients
    hardly change, v − a² is small beside v and a², and its relative error larger than theirs by
    the factor (v + a²) / (v − a²). A step counts with its length times that.

    Args:
        referee: A float64 backend.
        state: Before the step.
        gradients: Of the step.
        absolute: The absolute values of the state.
        stepped: The referee's step from there, with the absolute values of the gradients.
        sign: −1 where the loss is maximized, otherwise 1.
    """
    exact = referee.update_stage(state, gradients)
    # With the average of the gradients at 0 nothing cancels: v − ((1 − α)g)² ≥ αv.
    open_state = State(
        absolute.model,
        {
            name: {k: np.zeros_like(v) if k == "grad_avg" else v for k, v in slot.items()}
            for name, slot in absolute.optimizer.items()
        },
    )
    wide = referee.update_stage(open_state, {k: sign * np.abs(g) for k, g in gradients.items()})
    eps = referee.optimizer.param_groups[0]["eps"]
    model, optimizer = {}, {}
    for name in gradients:
        sizes = {key: np.abs(value) for key, value in stepped.optimizer[name].items()}
        spread = _spread(exact.optimizer[name])
        summed = sizes["square_avg"] + sizes["grad_avg"] ** 2
        factor = np.where(summed == 0, 1.0, summed / spread)
        factor = np.where(factor <= tolerances.LARGEST_CANCELLATION, 1.0 + factor, np.inf)
        narrower = (np.sqrt(_spread(wide.optimizer[name])) + eps) / (np.sqrt(spread) + eps)
        factor = factor * np.fmax(narrower, 1.0)
        length = np.abs(wide.model[name] - absolute.model[name])
        model[name] = absolute.model[name] + _scaled(length, factor)
        if "momentum_buffer" in sizes:
            buffer = np.abs(wide.optimizer[name]["momentum_buffer"])
            sizes["momentum_buffer"] = _scaled(buffer, factor)
        optimizer[name] = sizes
    return State(model, optimizer)


def _spread(slot: Arrays) -> np.ndarray:
    return slot["square_avg"] - slot["grad_avg"] ** 2


def _scaled(size: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(factor), size * factor, np.inf)
