"""What all losses have in common: a reduction, and a backward that starts the chain rule."""

from typing import Any

import numpy as np

from .checks import check_grad_output, check_input
from .module import Module

# A decorator: infinite and NaN values pass through a loss in silence, as in PyTorch.
quiet = np.errstate(all="ignore")


class Loss(Module):
    """A module called with (input, target), whose backward needs no argument.

    Formula, for the loss l of each sample or value, L = l ("none"), Σ l ("sum") or
    Σ l / size ("mean"): dl = dL, dL or dL / size.

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: if the reduction is unknown, or a deprecated argument is given.
    """

    reductions: tuple[str, ...] = ("none", "mean", "sum")

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        for name, value in (("size_average", size_average), ("reduce", reduce)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r} is not supported: PyTorch deprecates it. Use reduction"
                )
        self.reduction = reduction
        self._check_reduction()

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return the gradient by the input, times ``grad_output``, that by the loss."""
        raise NotImplementedError

    def _check_reduction(self) -> None:
        if self.reduction not in self.reductions:
            raise ValueError(
                f"{self.reduction} is not a valid value for reduction. There are: {self.reductions}"
            )

    def _reduce(self, losses: np.ndarray, size: Any) -> Any:
        """The losses as they are, their sum, or their sum over ``size``."""
        self._check_reduction()
        self._losses_shape, self._losses_dtype, self._size = losses.shape, losses.dtype, size
        if self.reduction == "none":
            return losses
        total = losses.sum()
        return total if self.reduction == "sum" else total / size

    def _grad_losses(self, grad_output: Any) -> Any:
        """The gradient by each of the losses: an array of their shape, or one number."""
        dtype = self._losses_dtype
        if self.reduction == "none" and self._losses_shape != ():
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
        return grad if self.reduction in ("none", "sum") else grad / self._size


class PointwiseLoss(Loss):
    """A loss of every value of the input and the value of the target beside it.

    A subclass gives the losses (``_losses``) and their derivative by the input (``_slopes``).
    """

    @quiet
    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar, or an array with reduction "none"."""
        check_input(self, input)
        check_target(self, target)
        x, t = self._pair(input, target)
        self._input, self._x, self._t = input, x, t
        losses = self._losses(x, t)
        return self._reduce(losses, self._count(losses))

    @quiet
    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx, the derivative of each loss times the gradient by that loss."""
        x = self._saved("_x")
        dx = np.asarray(self._slopes(x, self._t) * self._grad_losses(grad_output))
        return _summed_to(dx, self._input.shape).astype(self._input.dtype, copy=False)

    def _pair(self, input: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Input and target in one shape and dtype."""
        raise NotImplementedError

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _count(self, losses: np.ndarray) -> int:
        """What the mean divides by."""
        return losses.size


def check_target(loss: Loss, target: Any) -> None:
    """Refuse a target that is no array.

    Raises:
        TypeError: naming the loss, and what was received.
    """
    if not isinstance(target, np.ndarray | np.generic):
        raise TypeError(
            f"{type(loss).__name__} expects the target as a numpy array. "
            f"Received: {type(target).__name__}"
        )


def check_same_shape(loss: Loss, input: np.ndarray, target: np.ndarray) -> None:
    """Refuse a target of another shape than the input's.

    Raises:
        ValueError: naming both shapes.
    """
    if target.shape != input.shape:
        raise ValueError(
            f"{type(loss).__name__} expects a target of the input's shape {input.shape}. "
            f"Received: {target.shape}"
        )


def _summed_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient by what was broadcast from ``shape``: summed over every repetition."""
    if array.shape == shape:
        return array
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and array.shape[i] != 1)
    return array.sum(axis=repeated, keepdims=True)
