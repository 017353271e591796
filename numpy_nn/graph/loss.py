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
        if target.dtype.kind == "f" and target.dtype != x.data.dtype:
            raise TypeError(
                f"CrossEntropyLoss of numpy_nn.graph expects class probabilities of the input's "
                f"dtype {x.data.dtype}. Received: {target.dtype}"
            )
        shape = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
        rows = _classes_last(x)
        shifted = rows - rows.max(axis=1, keepdims=True)
        minus_log_p = shifted.exp().sum(axis=1, keepdims=True).log() - shifted

        if target.dtype.kind == "f":
            distribution = _classes_last(x.graph.value(target)).data
            losses = (self._weighted(distribution) * minus_log_p).sum(axis=1)
            size: Any = rows.shape[0]
        else:
            losses, size = self._of_classes(minus_log_p, target.ravel())

        if self.reduction == "none":
            return losses.reshape(*shape)
        return losses.sum() if self.reduction == "sum" else losses.sum() / size

    def _of_classes(self, minus_log_p: Value, classes: np.ndarray) -> tuple[Value, Any]:
        """The losses for class indices, and what their mean divides by."""
        samples, count = minus_log_p.shape
        counted = classes != self.ignore_index
        classes = np.where(counted, classes, 0)
        wrong = (classes < 0) | (classes >= count)
        if wrong.any():
            raise IndexError(
                f"Target {classes[wrong][0]} is out of bounds: there are {count} classes"
            )
        weight = np.ones(count, minus_log_p.data.dtype) if self.weight is None else self.weight
        if self.label_smoothing == 0:
            losses = minus_log_p[np.arange(samples), classes] * weight[classes]
        else:
            one_hot = np.eye(count, dtype=minus_log_p.data.dtype)[classes]
            losses = (self._weighted(one_hot) * minus_log_p).sum(axis=1)
        return losses.where(counted, 0.0), weight[classes][counted].sum()

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


def _classes_last(x: Value) -> Value:
    """(C,), (N, C) or (N, C, d₁, …) as (samples, C)."""
    if x.ndim == 1:
        return x.reshape(1, -1)
    moved = x.transpose(0, *range(2, x.ndim), 1)
    return moved.reshape(math.prod(moved.shape[:-1]), x.shape[1])
