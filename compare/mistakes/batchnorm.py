"""Mistakes in batch normalisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from compare.mistakes.mistake import Catalogue, Mistake

Array = np.ndarray
EPSILONS = (0.0, 1e-3, 1e-4, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)
TERMS = (
    "dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂ mean(dy x̂)): mean and variance depend on x, so their "
    "derivatives belong to it"
)


def wrong_batch_norm(
    layer: Any,
    eps: float | None = None,
    outside: bool = False,
    backward_right: bool = False,
    ddof: int = 0,
    mean_term: bool = True,
    variance_term: bool = True,
    momentum: Callable[[float], float] = lambda m: m,
    running_ddof: int = 1,
) -> dict[str, Callable]:
    """Batch normalisation in training mode, as ``layer`` specifies, with any part changed."""

    def forward(self: Any, x: Array) -> Array:
        axes = (0, *range(2, x.ndim))
        e = layer.eps if eps is None else eps
        mean = x.mean(axes, keepdims=True)
        variance = x.var(axes, keepdims=True, ddof=ddof)
        scale = 1 / (np.sqrt(variance) + e) if outside else 1 / np.sqrt(variance + e)
        x_hat = (x - mean) * scale
        self._for_backward = axes, x_hat, scale
        if backward_right:
            right = 1 / np.sqrt(variance + layer.eps)
            self._for_backward = axes, (x - mean) * right, right
        if self.running_mean is not None:
            # Without a momentum the running statistics are the means of all batches so far.
            batches = 1 + int(self.num_batches_tracked)
            m = momentum(1 / batches if layer.momentum is None else layer.momentum)
            new = x.var(axes, ddof=running_ddof)
            self.running_mean[...] = (1 - m) * self.running_mean + m * mean.ravel()
            self.running_var[...] = (1 - m) * self.running_var + m * new
            self.num_batches_tracked[...] += 1
        shape = mean.shape
        y = x_hat * self.weight.data.reshape(shape)
        return y + self.bias.data.reshape(shape)

    def backward(self: Any, dy: Array) -> Array:
        axes, x_hat, scale = self._for_backward
        self.weight.grad = (dy * x_hat).sum(axes)
        self.bias.grad = dy.sum(axes)
        inner = dy
        if mean_term:
            inner = inner - dy.mean(axes, keepdims=True)
        if variance_term:
            inner = inner - x_hat * (dy * x_hat).mean(axes, keepdims=True)
        return self.weight.data.reshape(scale.shape) * scale * inner

    return {"forward": forward, "backward": backward}


def batch_norm(layer: Any) -> Iterator[Mistake]:
    """Mistakes in a batch normalisation."""
    if layer.weight is None:
        return
    inside = "x̂ = (x − μ)/√(σ² + ε)"
    for eps in EPSILONS:
        if eps != layer.eps:
            yield Mistake(
                "eps-outside-sqrt",
                f"ε is {eps:g} where {layer.eps:g} is specified: {inside}",
                wrong_batch_norm(layer, eps),
            )
    for eps in (layer.eps, *EPSILONS):
        for backward_right in (False, True):
            yield Mistake(
                "eps-outside-sqrt",
                f"ε = {eps:g} stands outside the root, (x − μ)/(σ + ε); it is {inside}",
                wrong_batch_norm(layer, eps, outside=True, backward_right=backward_right),
            )
    for words, mean_term, variance_term in (
        ("mean and variance", False, False),
        ("the mean", False, True),
        ("the variance", True, False),
    ):
        yield Mistake(
            "batchnorm-missing-terms",
            f"the backward pass treats {words} as constant; {TERMS}",
            wrong_batch_norm(layer, mean_term=mean_term, variance_term=variance_term),
        )
    yield from _pairs(layer)
    yield Mistake(
        "biased-variance",
        "running_var follows the biased variance, (N−1)/N of the expected; the running estimate "
        "divides by N − 1, the normalisation by N",
        wrong_batch_norm(layer, running_ddof=0),
    )
    yield Mistake(
        "biased-variance",
        "the batch is normalised with the unbiased variance; the normalisation divides by N",
        wrong_batch_norm(layer, ddof=1),
    )
    if layer.momentum is not None:
        yield Mistake(
            "momentum-reversed",
            f"the running statistics keep {layer.momentum:g} of the old value where momentum "
            f"{layer.momentum:g} is the weight of the new one: r ← (1 − m) r + m · batch",
            wrong_batch_norm(layer, momentum=lambda m: 1 - m),
        )


def _pairs(layer: Any) -> Iterator[Mistake]:
    """Several of them at once: each is common, and so are they together."""
    biased = "running_var follows the biased variance"
    cases: list[tuple[str, dict[str, Any]]] = [(biased, {"running_ddof": 0})]
    if layer.momentum is not None:
        kept = (
            f"the running statistics keep {layer.momentum:g} of the old value and not of the new "
            "one"
        )
        turned: dict[str, Any] = {"momentum": lambda m: 1 - m}
        cases += [(kept, turned), (f"{biased}, and {kept}", {"running_ddof": 0, **turned})]
        yield Mistake(
            "momentum-reversed",
            f"{kept}: r ← (1 − m) r + m · batch; besides, {biased}",
            wrong_batch_norm(layer, running_ddof=0, **turned),
        )
    for eps in EPSILONS:
        if eps == layer.eps:
            continue
        words = f"ε is {eps:g} where {layer.eps:g} is specified; besides, "
        for more, parts in cases:
            yield Mistake("eps-outside-sqrt", words + more, wrong_batch_norm(layer, eps, **parts))


BATCHNORM: Catalogue = {"BatchNorm1d": batch_norm, "BatchNorm2d": batch_norm}
