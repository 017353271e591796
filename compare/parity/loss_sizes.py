"""Sizes of what was summed to make a loss, with its default settings, and its gradient.

The input of a loss is exact here: it comes from the run that is judged. So a difference such as
x − t has one rounding, of its own size, and sizes are those of the terms added after it.

A new loss gets its line in :data:`LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compare.backends.protocol import Stage

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
