"""Mistakes in a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from compare.mistakes.mistake import Catalogue, Mistake

Array = np.ndarray

# What is added to a probability, or held against it, before the logarithm.
OFFSETS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)


def softmax(z: Array) -> Array:
    """Probabilities, each row on its own."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_of_all(z: Array) -> Array:
    """Probabilities that sum to 1 over the whole batch."""
    e = np.exp(z - z.max())
    return e / e.sum()


def softmax_over_rows(z: Array) -> Array:
    """Probabilities that sum to 1 over each column."""
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def mean_log(p: Array, t: Array) -> Any:
    """The mean of −log p of the right class."""
    return -np.mean(np.log((p * t).sum(axis=1)))


def difference(p: Array, t: Array) -> Array:
    """(p − t) / N, the gradient of the mean cross-entropy of a softmax."""
    return (p - t) / len(p)


def value_of(probabilities: Callable[[Array], Array]) -> Callable[[Array, Array], Any]:
    """The mean cross-entropy of other probabilities than the softmax's."""
    return lambda z, t: mean_log(probabilities(z), t)


def gradient_of(probabilities: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    """p − t with those."""
    return lambda z, t: difference(probabilities(z), t)


def scaled(
    factor: Callable[[Array], float], function: Callable[[Array, Array], Any]
) -> Callable[[Array, Array], Any]:
    """A function times a factor that depends on the shape of its first argument."""
    return lambda z, t: factor(z) * function(z, t)


def _through_softmax(z: Array, t: Array) -> Array:
    """The right gradient of a cross-entropy whose softmax is taken of a softmax."""
    p = softmax(z)
    g = difference(softmax(p), t)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


def cross_entropy_mistake(
    code: str,
    explanation: str,
    value: Callable[[Array, Array], Any] | None = None,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> Mistake:
    """A wrong cross-entropy from functions of (logits, one-hot rows); None stands for right."""
    value = value or (lambda z, t: mean_log(softmax(z), t))
    gradient = gradient or (lambda z, t: difference(softmax(z), t))

    def forward(self: Any, z: Array, target: Array) -> Any:
        self._for_backward = z, np.eye(z.shape[1])[target] if target.ndim == 1 else target
        return value(*self._for_backward)

    def backward(self: Any, grad_output: Any = 1.0) -> Array:
        return gradient(*self._for_backward) * grad_output

    return Mistake(code, explanation, {"forward": forward, "backward": backward})


def cross_entropy(_: Any) -> Iterator[Mistake]:
    """Mistakes in a softmax cross-entropy."""
    for wrong, words in (
        (softmax_of_all, "over the whole batch"),
        (softmax_over_rows, "over the samples instead of the classes"),
    ):
        explanation = (
            f"the softmax is normalised {words}; each row must sum to 1: take the maximum and "
            "the sum along the class axis, with keepdims=True"
        )
        code = "softmax-without-axis"
        yield cross_entropy_mistake(
            code,
            explanation,
            value_of(wrong),
            gradient_of(wrong),
        )
        yield cross_entropy_mistake(code, explanation, gradient=gradient_of(wrong))
        yield cross_entropy_mistake(code, explanation, value=value_of(wrong))
        for offset in OFFSETS:
            yield cross_entropy_mistake(
                code,
                f"{explanation}; besides, {offset:g} is added to p before the logarithm",
                _added_value(wrong, offset),
                gradient_of(wrong),
            )
    for offset in OFFSETS:
        gradient = _offset_gradient(offset)
        for words, shifted in (
            (f"log(p + {offset:g})", _added(offset)),
            (f"log(max(p, {offset:g}))", _at_least(offset)),
        ):
            yield cross_entropy_mistake(
                "log-offset-mismatch",
                f"the loss is the mean of −{words} and not of −log p: the two differ for "
                "confidently wrong rows; take log p as z − max z − log Σ exp(z − max z), which "
                "needs no offset",
                value=value_of(shifted),
            )
        words = f"the gradient is that of −log(p + {offset:g})"
        yield cross_entropy_mistake(
            "log-offset-mismatch",
            f"loss and gradient are those of −log(p + {offset:g}), not of −log p: drop the offset",
            value=value_of(_added(offset)),
            gradient=gradient,
        )
        yield cross_entropy_mistake(
            "log-offset-mismatch",
            f"{words} and not of −log p: drop the offset",
            gradient=gradient,
        )
    yield from _scaled(cross_entropy_mistake, mean_log_of_logits, difference_of_logits)
    for words, wrong_gradient in (
        ("the derivative of the softmax", _derivative_again),
        ("p (1 − p)", _slope_again),
    ):
        yield cross_entropy_mistake(
            "softmax-derivative-twice",
            f"(p − t)/N is multiplied by {words} once more: it is the gradient by the logits "
            "already",
            gradient=wrong_gradient,
        )
    twice = "softmax is applied before a cross-entropy that applies it again: pass the logits"
    yield cross_entropy_mistake(
        "double-softmax",
        twice,
        lambda z, t: mean_log(softmax(softmax(z)), t),
        _through_softmax,
    )
    yield cross_entropy_mistake(
        "double-softmax",
        twice,
        lambda z, t: mean_log(softmax(softmax(z)), t),
        lambda z, t: difference(softmax(softmax(z)), t),
    )
    yield cross_entropy_mistake(
        "double-softmax", twice, gradient=lambda z, t: difference(softmax(softmax(z)), t)
    )
    yield cross_entropy_mistake(
        "double-softmax", twice, value=lambda z, t: mean_log(softmax(softmax(z)), t)
    )


def _derivative_again(z: Array, t: Array) -> Array:
    """The derivative of a softmax applied to p − t."""
    p = softmax(z)
    g = difference(p, t)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


def _slope_again(z: Array, t: Array) -> Array:
    """The derivative of a sigmoid applied to p − t."""
    p = softmax(z)
    return difference(p, t) * p * (1 - p)


def _added_value(
    probabilities: Callable[[Array], Array], offset: float
) -> Callable[[Array, Array], Any]:
    """The mean of −log(p + offset) of other probabilities than the softmax's."""
    return lambda z, t: mean_log(probabilities(z) + offset, t)


def _added(offset: float) -> Callable[[Array], Array]:
    return lambda z: softmax(z) + offset


def _at_least(offset: float) -> Callable[[Array], Array]:
    return lambda z: np.maximum(softmax(z), offset)


def _offset_gradient(offset: float) -> Callable[[Array, Array], Array]:
    """The derivative of −log(p + offset)."""

    def gradient(z: Array, t: Array) -> Array:
        p = softmax(z)
        g = -t / (p + offset) / len(p)
        return p * (g - (g * p).sum(axis=1, keepdims=True))

    return gradient


def mean_log_of_logits(z: Array, t: Array) -> Any:
    """The right value."""
    return mean_log(softmax(z), t)


def difference_of_logits(z: Array, t: Array) -> Array:
    """The right gradient."""
    return difference(softmax(z), t)


def _scaled(
    make: Callable[..., Mistake],
    value: Callable[[Array, Array], Any],
    gradient: Callable[[Array, Array], Array],
) -> Iterator[Mistake]:
    """Wrong divisors and a wrong sign, in the gradient alone or in both directions."""
    cases: tuple[tuple[str, str, Callable[[Array], float]], ...] = (
        (
            "sum-not-mean",
            "is not divided by the batch size N: the loss is a mean, divide by N",
            lambda z: len(z),
        ),
        (
            "divided-twice",
            "is divided by the batch size N twice: divide once, in the loss or in each layer",
            lambda z: 1 / len(z),
        ),
        (
            "divided-by-classes",
            "is a mean over N·C elements: a cross-entropy is a mean over the N samples",
            lambda z: 1 / z.shape[1],
        ),
    )
    for code, words, factor in cases:
        yield make(
            code,
            f"the gradient {words}",
            gradient=scaled(factor, gradient),
        )
        yield make(
            code,
            f"the loss {words}",
            scaled(factor, value),
            scaled(factor, gradient),
        )
        yield make(code, f"the loss {words}", scaled(factor, value))
    yield make(
        "sign-flip",
        "the gradient of the loss has the wrong sign: it is p − t, not t − p",
        gradient=lambda z, t: -gradient(z, t),
    )
    yield make(
        "sign-flip",
        "the loss has the wrong sign: it is the mean of −log p",
        value=lambda z, t: -value(z, t),
    )


def squared_error_mistake(
    code: str,
    explanation: str,
    value: Callable[[Array, Array], Any] | None = None,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> Mistake:
    """A wrong mean squared error; None stands for right."""
    value = value or _squares
    gradient = gradient or _twice_the_difference

    def forward(self: Any, y: Array, target: Array) -> Any:
        self._for_backward = y, target
        return value(y, target)

    def backward(self: Any, grad_output: Any = 1.0) -> Array:
        return gradient(*self._for_backward) * grad_output

    return Mistake(code, explanation, {"forward": forward, "backward": backward})


def _squares(y: Array, t: Array) -> Any:
    return np.mean((y - t) ** 2)


def _twice_the_difference(y: Array, t: Array) -> Array:
    return 2 * (y - t) / y.size


def squared_error(_: Any) -> Iterator[Mistake]:
    """Mistakes in a mean squared error."""
    yield squared_error_mistake(
        "half-mismatch",
        "the gradient lacks the factor 2: the derivative of the mean of (y − t)² is 2 (y − t)/n",
        gradient=lambda y, t: _twice_the_difference(y, t) / 2,
    )
    yield squared_error_mistake(
        "half-mismatch",
        "the loss has a factor ½: it is the mean of (y − t)² without it",
        value=lambda y, t: _squares(y, t) / 2,
    )
    for words, factor in SQUARED_ERRORS:
        yield squared_error_mistake(
            "loss-convention",
            f"loss and gradient are those of {words}, and belong together; PyTorch's loss is the "
            "mean of (y − t)² over all elements",
            scaled(factor, _squares),
            scaled(factor, _twice_the_difference),
        )
    yield squared_error_mistake(
        "half-mismatch",
        "the gradient is twice that of the mean of (y − t)²",
        gradient=lambda y, t: _twice_the_difference(y, t) * 2,
    )
    yield from _scaled_squares()


# Other squared errors than PyTorch's that are right in themselves, and what they are times it.
SQUARED_ERRORS: tuple[tuple[str, Callable[[Array], float]], ...] = (
    ("½ the mean of (y − t)²", lambda y: 0.5),
    ("the mean over the rows of Σ (y − t)²", lambda y: y.size / len(y)),
    ("the mean over the rows of ½ Σ (y − t)²", lambda y: y.size / len(y) / 2),
    ("½ the sum of (y − t)²", lambda y: y.size / 2),
)


def _scaled_squares() -> Iterator[Mistake]:
    cases: tuple[tuple[str, str, Callable[[Array], float]], ...] = (
        ("sum-not-mean", "is a sum over all elements, not their mean: divide", lambda y: y.size),
        (
            "sum-not-mean",
            "is not divided by the batch size N: the loss is a mean, divide by N",
            lambda y: len(y),
        ),
        ("divided-twice", "is divided by the batch size N twice", lambda y: 1 / len(y)),
    )
    for code, words, factor in cases:
        yield squared_error_mistake(
            code,
            f"the gradient {words}",
            gradient=scaled(factor, _twice_the_difference),
        )
        yield squared_error_mistake(
            code,
            f"the loss {words}",
            scaled(factor, _squares),
            scaled(factor, _twice_the_difference),
        )
    yield squared_error_mistake(
        "sign-flip",
        "the gradient of the loss has the wrong sign: it is 2 (y − t)/n, not 2 (t − y)/n",
        gradient=lambda y, t: -_twice_the_difference(y, t),
    )


def binary_mistake(
    code: str,
    explanation: str,
    value: Callable[[Array, Array], Any] | None = None,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> Mistake:
    """A wrong binary cross-entropy from functions of (probabilities, targets); None is right."""
    value = value or _mean_of_logs
    gradient = gradient or _quotient

    def forward(self: Any, p: Array, target: Array) -> Any:
        self._for_backward = p, target
        return value(p, target)

    def backward(self: Any, grad_output: Any = 1.0) -> Array:
        return gradient(*self._for_backward) * grad_output

    return Mistake(code, explanation, {"forward": forward, "backward": backward})


def _mean_of_logs(p: Array, t: Array, rest: Array | None = None) -> Any:
    """−mean(t log p + (1 − t) log(1 − p)); another value may stand for 1 − p."""
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p if rest is None else rest))


def _quotient(p: Array, t: Array) -> Array:
    return (p - t) / (p * (1 - p)) / p.size


def binary_cross_entropy(_: Any) -> Iterator[Mistake]:
    """Mistakes in a binary cross-entropy of probabilities."""
    for offset in OFFSETS:
        yield from _binary_offset(offset)
    for code, words, factor in (
        ("sum-not-mean", "is a sum over all elements, not their mean: divide", lambda p: p.size),
        (
            "sum-not-mean",
            "is not divided by the batch size N: the loss is a mean, divide by N",
            lambda p: len(p),
        ),
        ("divided-twice", "is divided by the batch size N twice", lambda p: 1 / len(p)),
    ):
        changed = scaled(factor, _mean_of_logs), scaled(factor, _quotient)
        yield binary_mistake(code, f"the gradient {words}", gradient=changed[1])
        yield binary_mistake(code, f"the loss {words}", *changed)
        yield binary_mistake(code, f"the loss {words}", changed[0])
    yield binary_mistake(
        "sign-flip",
        "the gradient of the loss has the wrong sign: with a sigmoid it is p − t by the logits",
        gradient=lambda p, t: -_quotient(p, t),
    )


def _binary_offset(offset: float) -> Iterator[Mistake]:
    """A constant added to p and 1 − p, or both held between it and 1 less it."""
    code = "log-offset-mismatch"

    def added(p: Array, t: Array) -> Any:
        return _mean_of_logs(p + offset, t, 1 - p + offset)

    def added_gradient(p: Array, t: Array) -> Array:
        return ((1 - t) / (1 - p + offset) - t / (p + offset)) / p.size

    def clipped(p: Array, t: Array) -> Any:
        return _mean_of_logs(np.clip(p, offset, 1 - offset), t)

    def clipped_gradient(p: Array, t: Array) -> Array:
        kept = np.clip(p, offset, 1 - offset)
        return (kept - t) / (kept * (1 - kept)) / p.size

    for words, value, gradient in (
        (f"{offset:g} is added to p and 1 − p", added, added_gradient),
        (f"p is held between {offset:g} and 1 − {offset:g}", clipped, clipped_gradient),
    ):
        yield binary_mistake(code, f"{words} before the logarithm of the loss", value)
        yield binary_mistake(code, f"{words}, in the loss and in its gradient", value, gradient)
        yield binary_mistake(code, f"{words} in the gradient", gradient=gradient)


LOSSES: Catalogue = {
    "CrossEntropyLoss": cross_entropy,
    "MSELoss": squared_error,
    "BCELoss": binary_cross_entropy,
}
