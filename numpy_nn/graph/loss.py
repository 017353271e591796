"""Softmax cross-entropy."""

import math
from typing import Any

import numpy as np

from .. import modules
from .graph import Value
from .layer import Composed


class CrossEntropyLoss(Composed, modules.CrossEntropyLoss):
    """The loss of :class:`numpy_nn.CrossEntropyLoss`, by a stable log Σ exp.

    Formula, with v the weight of each class in the target:
        t = x − max x, l = Σ꜀ v꜀ (log Σₖ exp tₖ − t꜀).

    Without the maximum exp would overflow; with it the sum lies between 1 and C. The gradient
    through the maximum is 0, and here it comes out as such but for rounding: what reaches it
    from t and from log Σ exp cancels.
    """

    def compose(self, x: Value, target: Any) -> Value:
        """Compute the loss of each sample, and their sum or mean."""
        target = self._check(x.data, target)
        shape = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
        rows = _classes_last(x)
        samples = rows.shape[0]

        shifted = rows - rows.max(axis=1, keepdims=True)
        minus_log_p = shifted.exp().sum(axis=1, keepdims=True).log() - shifted

        size: Any = samples
        if target.dtype.kind == "f":
            given = _classes_last(x.graph.value(target)).data
            losses = (self._weighted(given) * minus_log_p).sum(axis=1)
        else:
            classes = target.ravel()
            counted = classes != self.ignore_index
            classes = self._checked(np.where(counted, classes, 0), rows.shape[1])
            weight = np.ones(rows.shape[1], x.data.dtype) if self.weight is None else self.weight
            size = weight[classes][counted].sum()
            if self.label_smoothing == 0:
                losses = minus_log_p[np.arange(samples), classes] * weight[classes]
            else:
                one_hot = np.eye(rows.shape[1], dtype=x.data.dtype)[classes]
                losses = (self._weighted(one_hot) * minus_log_p).sum(axis=1)
            losses = losses.where(counted, 0.0)

        if self.reduction == "none":
            return losses.reshape(*shape)
        return losses.sum() if self.reduction == "sum" else losses.sum() / size

    def forward(self, input: np.ndarray, target: Any) -> Any:
        """Run the nodes; a loss is a NumPy scalar, or an array with reduction "none"."""
        loss = super().forward(input, target)
        return loss if self.reduction == "none" else loss[()]

    def backward(self, grad_output: Any = 1.0) -> Any:
        """Run the nodes' backward; return the gradient by the input."""
        loss = self._saved("_y").data
        if np.ndim(grad_output) == 0 and (loss.ndim == 0 or grad_output == 1.0):
            grad_output = np.full_like(loss, grad_output)
        return super().backward(grad_output)

    def _weighted(self, distribution: np.ndarray) -> np.ndarray:
        """v = w · ((1 − s) q + s / C) for a target q in each row."""
        s = self.label_smoothing
        smoothed = distribution * (1 - s) + s / distribution.shape[1]
        return smoothed if self.weight is None else smoothed * self.weight

    def _checked(self, classes: np.ndarray, count: int) -> np.ndarray:
        wrong = (classes < 0) | (classes >= count)
        if wrong.any():
            raise IndexError(
                f"Target {classes[wrong][0]} is out of bounds: there are {count} classes"
            )
        return classes


def _classes_last(x: Value) -> Value:
    """(C,), (N, C) or (N, C, d₁, …) as (samples, C)."""
    if x.ndim == 1:
        return x.reshape(1, -1)
    moved = x.transpose(0, *range(2, x.ndim), 1)
    return moved.reshape(math.prod(moved.shape[:-1]), x.shape[1])
