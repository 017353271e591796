"""Mistakes in Linear layers and activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from compare.mistakes.mistake import Catalogue, Mistake

Array = np.ndarray


def _linear_forward(self: Any, x: Array) -> Array:
    self._for_backward = x
    y = x @ self.weight.data.T
    return y if self.bias is None else y + self.bias.data


def linear_mistake(
    code: str,
    explanation: str,
    weight: Callable[[Array, Array], Array] = lambda dy, x: dy.T @ x,
    bias: Callable[[Array, Array], Array] = lambda dy, x: dy.sum(axis=0),
    grad_input: Callable[[Array, Array], Array] = lambda dy, w: dy @ w,
    forward: Callable[..., Array] = _linear_forward,
) -> Mistake:
    """A wrong Linear from its three gradients: dW of (dy, x), db of (dy, x), dx of (dy, W)."""

    def backward(self: Any, dy: Array) -> Array:
        self.weight.grad = weight(dy, self._for_backward)
        if self.bias is not None:
            self.bias.grad = np.array(bias(dy, self._for_backward))
        return grad_input(dy, self.weight.data)

    return Mistake(code, explanation, {"forward": forward, "backward": backward})


def linear(layer: Any) -> Iterator[Mistake]:
    """Mistakes in y = x Wᵀ + b."""
    signs = "the gradient of the {} has the wrong sign"
    yield linear_mistake("sign-flip", signs.format("weight"), weight=lambda dy, x: -(dy.T @ x))
    yield linear_mistake("sign-flip", signs.format("bias"), bias=lambda dy, x: -dy.sum(axis=0))
    yield linear_mistake("sign-flip", signs.format("input"), grad_input=lambda dy, w: -(dy @ w))
    yield linear_mistake(
        "sign-flip",
        "the gradients of weight and bias have the wrong sign",
        weight=lambda dy, x: -(dy.T @ x),
        bias=lambda dy, x: -dy.sum(axis=0),
    )
    for words, wrong in (
        ("is zero", lambda dy, x: np.zeros(dy.shape[1])),
        ("is the sum over everything", lambda dy, x: np.full(dy.shape[1], dy.sum())),
        ("is that of the first sample", lambda dy, x: dy[0]),
        ("is that of the last sample", lambda dy, x: dy[-1]),
        ("is summed over the units of each sample", lambda dy, x: dy.sum(axis=1)),
    ):
        yield linear_mistake(
            "missing-bias-gradient",
            f"the bias gradient {words}; it is the sum of dy over the samples: dy.sum(axis=0)",
            bias=wrong,
        )
    yield linear_mistake(
        "divided-twice",
        "the bias gradient is a mean over the samples; it is their sum, dy.sum(axis=0)",
        bias=lambda dy, x: dy.mean(axis=0),
    )
    yield linear_mistake(
        "divided-twice",
        "the weight gradient is divided by N once too often: dW = dyᵀ x",
        weight=lambda dy, x: dy.T @ x / len(x),
    )
    yield linear_mistake(
        "divided-twice",
        "the gradients of weight and bias are divided by N once too often: dW = dyᵀ x, db = Σ dy",
        weight=lambda dy, x: dy.T @ x / len(x),
        bias=lambda dy, x: dy.mean(axis=0),
    )
    yield linear_mistake(
        "sum-not-mean",
        "the gradients of weight and bias are N times too large: the loss is a mean",
        weight=lambda dy, x: len(x) * (dy.T @ x),
        bias=lambda dy, x: len(x) * dy.sum(axis=0),
    )
    if layer.bias is not None:
        yield linear_mistake("missing-bias", MISSING_BIAS, forward=_forward_without_bias)
    if layer.in_features == layer.out_features:
        yield from _transposed()


MISSING_BIAS = "the bias is not added: y = x Wᵀ + b"


def _forward_without_bias(self: Any, x: Array) -> Array:
    self._for_backward = x
    return x @ self.weight.data.T


def _transposed() -> Iterator[Mistake]:
    """A square weight fits both ways round."""
    words = "the weight is square and {}: y = x Wᵀ + b, dW = dyᵀ x, dx = dy W"

    def forward(self: Any, x: Array) -> Array:
        self._for_backward = x
        y = x @ self.weight.data
        return y if self.bias is None else y + self.bias.data

    yield linear_mistake(
        "transposed",
        words.format("its gradient is returned transposed"),
        weight=lambda dy, x: x.T @ dy,
    )
    yield linear_mistake(
        "transposed", words.format("dx uses it transposed"), grad_input=lambda dy, w: dy @ w.T
    )
    yield linear_mistake(
        "transposed",
        words.format("is used transposed"),
        weight=lambda dy, x: x.T @ dy,
        grad_input=lambda dy, w: dy @ w.T,
        forward=forward,
    )
    yield linear_mistake(
        "transposed", words.format("is used transposed in the forward direction"), forward=forward
    )


SLOPES = (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0)


def leaky(layer: Any) -> Iterator[Mistake]:
    """Other slopes, in one direction or both."""
    right = getattr(layer, "negative_slope", 0.0)
    for slope in SLOPES:
        # Without any slope on the negative side (ReLU), a slope of 1 backwards is no slope but a
        # forgotten mask, which is another mistake.
        if slope == right or (slope == 1 and right == 0):
            continue
        words = f"{{}} the slope is {slope:g} where {right:g} is specified"
        yield _slopes(slope, slope, words.format("in both directions"))
        yield _slopes(slope, right, words.format("in the forward direction"))
        yield _slopes(right, slope, words.format("in the backward direction"))
    yield Mistake(
        "sign-flip",
        "the derivative has its sides the wrong way round: it is 1 where x > 0",
        _activation(right, right, above=True),
    )


def relu(layer: Any) -> Iterator[Mistake]:
    """Those of a slope, and derivatives from something else than the sign of the input."""
    yield from leaky(layer)
    for words, gradient in (
        ("lets everything through", lambda dy, x: dy),
        ("is taken where dy > 0", lambda dy, x: np.where(dy > 0, dy, 0)),
        ("multiplies by x", lambda dy, x: dy * x),
        ("multiplies by max(x, 0)", lambda dy, x: dy * np.maximum(x, 0)),
        ("is 1 where x > 0 and does not multiply dy", lambda dy, x: (x > 0).astype(dy.dtype)),
    ):
        yield Mistake(
            "relu-derivative",
            f"the derivative of ReLU {words}: dx is dy where x > 0, and 0 elsewhere",
            _relu_with(gradient),
        )


def _relu_with(gradient: Callable[[Array, Array], Array]) -> dict[str, Callable]:
    def forward(self: Any, x: Array) -> Array:
        self._for_backward = x
        return np.maximum(x, 0)

    def backward(self: Any, dy: Array) -> Array:
        return gradient(dy, self._for_backward)

    return {"forward": forward, "backward": backward}


def _slopes(forward: float, backward: float, words: str) -> Mistake:
    return Mistake("wrong-slope", words, _activation(forward, backward))


def _activation(forward: float, backward: float, above: bool = False) -> dict[str, Callable]:
    def wrong_forward(self: Any, x: Array) -> Array:
        self._for_backward = x
        return np.where(x > 0, x, forward * x)

    def wrong_backward(self: Any, dy: Array) -> Array:
        inside = self._for_backward <= 0 if above else self._for_backward > 0
        return np.where(inside, dy, backward * dy)

    return {"forward": wrong_forward, "backward": wrong_backward}


LAYERS: Catalogue = {"Linear": linear, "ReLU": relu, "LeakyReLU": leaky}
