"""Loss functions: modules of an input and a target."""

import math
from typing import Any

import numpy as np

from .checks import check_grad_output, check_input
from .module import Module

REDUCTIONS = ("none", "mean", "sum")


class _Loss(Module):
    """A module called with (input, target), whose backward needs no argument."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        for name, value in (("size_average", size_average), ("reduce", reduce)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r} is not supported: PyTorch deprecates it. Use reduction"
                )
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{reduction} is not a valid value for reduction. There are: {REDUCTIONS}"
            )
        self.reduction = reduction

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return the gradient by the input, times ``grad_output``, that by the loss."""
        raise NotImplementedError

    def _reduce(self, losses: np.ndarray, size: Any) -> Any:
        """The losses as they are, their sum, or their sum over ``size``."""
        self._losses_shape, self._size = losses.shape, size
        if self.reduction == "none":
            return losses
        total = losses.sum()
        return total if self.reduction == "sum" else _over(total, size)

    def _grad_losses(self, grad_output: Any, dtype: np.dtype) -> Any:
        """The gradient by each of the losses: an array of their shape, or one number."""
        if self.reduction == "none":
            if np.ndim(grad_output) == 0 and grad_output == 1.0:
                return np.ones(self._losses_shape, dtype)
            check_grad_output(self, grad_output, self._losses_shape, dtype)
            return grad_output
        if np.ndim(grad_output) != 0:
            raise ValueError(
                f"{type(self).__name__}.backward expects a number as the gradient by the loss. "
                f"Received: shape {np.shape(grad_output)}"
            )
        grad = dtype.type(grad_output)
        return grad if self.reduction == "sum" else _over(grad, self._size)


def _over(total: Any, size: Any) -> Any:
    """total / size; nan where there is nothing to average over, as in PyTorch."""
    return total / total.dtype.type(size) if size != 0 else total.dtype.type(np.nan)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of a softmax over the classes.

    Formula, with p = softmax(x), the target as a distribution q over the C classes (1 at the
    target's class, or given; with label smoothing (1 − s) q + s / C), and v = w q:
        lₙ = − Σ꜀ v꜀ log p꜀;  dx꜀ = (p꜀ Σₖ vₖ − v꜀) dlₙ.
    The mean is Σ lₙ over Σ w[yₙ] of the samples that are not ignored; where targets are
    probabilities it is Σ lₙ / N.

    Convention: the weighted mean divides by the sum of the weights, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html). Without
    a sample to average over it is nan.

    Args:
        weight: w of shape (C,), of the input's dtype, or None for ones.
        size_average: None only; PyTorch deprecates it.
        ignore_index: a class index whose samples count nothing.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".
        label_smoothing: s, in [0, 1].

    Shape:
        input (C,), (N, C) or (N, C, d₁, …); target the same without C and of int64 (class
        indices), or as the input and of its dtype (class probabilities). The loss is a
        number, or has the input's shape without C with reduction "none".

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if a dtype does not.
        IndexError: if a class index is not in [0, C).

    Example:
        >>> import numpy
        >>> loss = CrossEntropyLoss()
        >>> loss(numpy.zeros((2, 4)), numpy.array([0, 3])).round(4)  # ln 4
        np.float64(1.3863)
        >>> loss.backward()
        array([[-0.375,  0.125,  0.125,  0.125],
               [ 0.125,  0.125,  0.125, -0.375]])
    """

    weight: np.ndarray | None

    def __init__(
        self,
        weight: np.ndarray | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"label_smoothing must be between 0.0 and 1.0. Received: {label_smoothing}"
            )
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar of the input's dtype, or an array."""
        target = self._check(input, target)
        self._shape = input.shape
        x = _classes_first(input)
        shifted = x - x.max(axis=0)  # so that no exp overflows
        self._exp = np.exp(shifted)
        self._sum = self._exp.sum(axis=0)
        log_sum = np.log(self._sum)

        self._spread = self._ignored = None
        if target.dtype.kind == "f":
            self._spread = self._probabilities(_classes_first(target))
            size = x.shape[1]
        else:
            self._at, self._weight_at = self._indices(target.ravel(), x)
            size = self._weight_at.sum()
            if self.label_smoothing > 0:
                self._spread = self._smooth_indices(x)
        if self._spread is None:
            losses = self._weight_at * (log_sum - shifted[self._at])
        else:
            losses = (self._spread * (log_sum - shifted)).sum(axis=0)
        if self._ignored is not None:
            losses[self._ignored] = 0
        return self._reduce(losses.reshape(_without_classes(input.shape)), size)

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx = (p Σ v − v) dl."""
        p = self._saved("_exp") / self._sum
        grad = np.ravel(self._grad_losses(grad_output, p.dtype))
        if self._spread is None:  # v is the weight at the target, and 0 elsewhere
            v = self._weight_at * grad
            dx = p * v
            dx[self._at] -= v
        else:
            v = self._spread
            dx = (p * v.sum(axis=0) - v) * grad
        if self._ignored is not None:
            dx[:, self._ignored] = 0
        return _classes_back(dx, self._shape)

    def _probabilities(self, q: np.ndarray) -> np.ndarray:
        """v for given probabilities: smoothed, and weighted."""
        s = self.label_smoothing
        v = q * q.dtype.type(1 - s) + q.dtype.type(s / len(q))
        return v if self.weight is None else v * self.weight[:, None]

    def _indices(self, target: np.ndarray, x: np.ndarray) -> tuple[tuple[Any, Any], np.ndarray]:
        """Where in ``x`` the targets' classes stand, and their weights: 0 where ignored."""
        ignored = target == self.ignore_index
        if ignored.any():
            self._ignored = ignored
            target = np.where(ignored, 0, target)
            wrong = ((target < 0) | (target >= len(x))) & ~ignored
        else:
            wrong = (target < 0) | (target >= len(x))
        if wrong.any():
            raise IndexError(
                f"Target {target[wrong][0]} is out of bounds: there are {len(x)} classes"
            )
        weight = np.ones(len(target), x.dtype) if self.weight is None else self.weight[target]
        if self._ignored is not None:
            weight[ignored] = 0
        return (target, np.arange(len(target))), weight

    def _smooth_indices(self, x: np.ndarray) -> np.ndarray:
        """v for class indices with label smoothing."""
        s = self.label_smoothing
        weight = np.ones(len(x), x.dtype) if self.weight is None else self.weight
        v = np.repeat(weight[:, None] * x.dtype.type(s / len(x)), x.shape[1], axis=1)
        v[self._at] += self._weight_at * x.dtype.type(1 - s)
        return v

    def _check(self, input: np.ndarray, target: Any) -> np.ndarray:
        check_input(self, input)
        if input.ndim == 0:
            raise ValueError("CrossEntropyLoss expects at least one axis. Received: shape ()")
        if not isinstance(target, np.ndarray | np.generic):
            raise TypeError(
                "CrossEntropyLoss expects the target as a numpy array. "
                f"Received: {type(target).__name__}"
            )
        target = np.asarray(target)
        shape, classes = _without_classes(input.shape), input.shape[0 if input.ndim == 1 else 1]
        if self.weight is not None and (
            self.weight.shape != (classes,) or self.weight.dtype != input.dtype
        ):
            raise ValueError(
                f"weight must have shape ({classes},), one value a class, and the input's dtype "
                f"{input.dtype}. Received: {self.weight.shape} {self.weight.dtype}"
            )
        if target.dtype.kind == "f":
            if target.shape != input.shape or target.dtype != input.dtype:
                raise ValueError(
                    "CrossEntropyLoss expects class probabilities of the input's shape and dtype, "
                    f"{input.shape} {input.dtype}. Received: {target.shape} {target.dtype}"
                )
            if self.ignore_index >= 0:
                raise ValueError("ignore_index is not supported for floating point target")
        elif target.dtype not in (np.int64, np.uint8):
            raise TypeError(
                f"CrossEntropyLoss expects class indices of int64. Received: {target.dtype}. "
                "Convert them with target.astype(numpy.int64)"
            )
        elif target.shape != shape:
            raise ValueError(
                f"CrossEntropyLoss expects class indices of shape {shape} for an input of shape "
                f"{input.shape}. Received: {target.shape}"
            )
        return target


# The work is done with classes on the first axis and samples on the second: reductions over a
# short last axis are slow, over the first one they are additions of rows.


def _classes_first(array: np.ndarray) -> np.ndarray:
    """(C,), (N, C) or (N, C, d₁, …) as (C, samples)."""
    classes = array.shape[0 if array.ndim == 1 else 1]
    moved = array if array.ndim == 1 else array.swapaxes(0, 1)
    samples = math.prod(_without_classes(array.shape))
    return np.ascontiguousarray(moved).reshape(classes, samples)


def _classes_back(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, samples) in the shape it came from."""
    if len(shape) == 1:
        return array.reshape(shape)
    swapped = array.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    return np.ascontiguousarray(swapped)


def _without_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return () if len(shape) == 1 else shape[:1] + shape[2:]
