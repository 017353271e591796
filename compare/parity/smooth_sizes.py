"""The size of what was summed by smooth activations, of their value and of their slope.

Where terms of opposite sign meet, as in 1 + erf(x) or α (exp(x) − 1), both count with their
absolute value. An exponential multiplies the relative rounding of its argument by the argument,
so it counts that much more. Everything is elementwise, in float64, of a torch module's settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

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
