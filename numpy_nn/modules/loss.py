"""Loss functions: modules of an input and a target."""

from typing import Any

import numpy as np

from .checks import check_grad_output, check_input
from .module import Module

REDUCTIONS = ("none", "mean", "sum")


class _Loss(Module):
    """A module called with (input, target), whose backward needs no argument."""

    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean"):
        super().__init__()
        for name, value in (("size_average", size_average), ("reduce", reduce)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r} is not supported: PyTorch deprecates it. Use reduction"
                )
        if reduction not in REDUCTIONS:
            raise ValueError(f"{reduction!r} is not a valid value for reduction: {REDUCTIONS}")
        self.reduction = reduction

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return the gradient by the input, times the gradient by the loss."""
        raise NotImplementedError

    def _loss_gradient(self, grad_output: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """The gradient by the loss: a number where the loss is one, else an array like it."""
        if shape == () and not isinstance(grad_output, np.ndarray):
            return dtype.type(grad_output)
        if shape and np.isscalar(grad_output) and grad_output == 1.0:
            return np.ones(shape, dtype)
        check_grad_output(self, grad_output, shape, dtype)
        return grad_output


class CrossEntropyLoss(_Loss):
    """Cross-entropy of a softmax over the classes.

    Formula, with p = softmax(x) and the target as a distribution q over the C classes (1 at
    the target's class; with label smoothing (1 − s) q + s / C):
        lₙ = − Σ꜀ w꜀ q꜀ log p꜀; dxₙ꜀ = p꜀ Σₖ wₖ qₖ − w꜀ q꜀.
    The mean is Σ lₙ / Σ w[yₙ] over the samples that are not ignored; where targets are
    probabilities it is Σ lₙ / N.

    Convention: the weighted mean divides by the sum of the weights, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html).

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
        number, or has the shape of the indices with reduction "none".

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if a dtype does not.
        IndexError: if a class index is not below C.

    Example:
        >>> import numpy
        >>> loss = CrossEntropyLoss()
        >>> float(loss(numpy.zeros((2, 4)), numpy.array([0, 3])))  # ln 4
        1.3862943611198906
        >>> loss.backward()
        array([[-0.375,  0.125,  0.125,  0.125],
               [ 0.125,  0.125,  0.125, -0.375]])
    """

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
        self._probabilities: np.ndarray | None = None

    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar of the input's dtype, or an array."""
        check_input(self, input)
        if input.ndim == 0:
            raise ValueError("CrossEntropyLoss expects at least one axis. Received: shape ()")
        if not isinstance(target, np.ndarray):
            if not isinstance(target, np.generic):
                raise TypeError(
                    "CrossEntropyLoss expects the target as a numpy array. "
                    f"Received: {type(target).__name__}"
                )
            target = np.asarray(target)
        axis = 0 if input.ndim == 1 else 1
        classes = input.shape[axis]
        weight = self._class_weight(classes, input)
        # The classes on the last axis, one row a sample.
        x = np.moveaxis(input, axis, -1)
        shifted = x - x.max(axis=-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

        if target.dtype.kind == "f":
            q, size = self._from_probabilities(input, target, axis)
        else:
            q, size = self._from_indices(input, target, axis, weight)
        if weight is not None:
            q *= weight
        losses = -(q * log_p).sum(axis=-1)
        self._probabilities = np.exp(log_p)
        self._target = q
        self._axis, self._size = axis, size
        if self.reduction == "none":
            return losses
        total = losses.sum()
        if self.reduction == "sum":
            return total
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / size  # nothing to average over: nan, as in PyTorch

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx = (p Σ wq − wq), over the mean's divisor, times ``grad_output``."""
        p, wq = self._saved("_probabilities"), self._target
        shape = p.shape[:-1] if self.reduction == "none" else ()
        g = self._loss_gradient(grad_output, shape, p.dtype)
        if shape:
            g = g[..., None]
        elif self.reduction == "mean":
            with np.errstate(invalid="ignore", divide="ignore"):
                g = g / self._size
        dx = (p * wq.sum(axis=-1, keepdims=True) - wq) * g
        return np.moveaxis(dx, -1, self._axis)

    def _class_weight(self, classes: int, input: np.ndarray) -> np.ndarray | None:
        weight = self.weight
        if weight is None:
            return None
        if weight.shape != (classes,):
            raise ValueError(
                f"weight must have one value a class, shape ({classes},). Received: {weight.shape}"
            )
        if weight.dtype != input.dtype:
            raise TypeError(
                f"weight must have the input's dtype {input.dtype}. Received: {weight.dtype}"
            )
        return weight

    def _from_probabilities(
        self, input: np.ndarray, target: np.ndarray, axis: int
    ) -> tuple[np.ndarray, Any]:
        """The target distribution, smoothed, and what the mean divides by."""
        if target.shape != input.shape or target.dtype != input.dtype:
            raise ValueError(
                "CrossEntropyLoss expects class probabilities of the input's shape "
                f"{input.shape} and {input.dtype}. Received: {target.shape} {target.dtype}"
            )
        if self.ignore_index >= 0:
            raise ValueError("ignore_index is not supported where targets are probabilities")
        q = np.moveaxis(target, axis, -1) * input.dtype.type(1 - self.label_smoothing)
        q += self.label_smoothing / max(input.shape[axis], 1)
        return q, input.dtype.type(input.size // max(input.shape[axis], 1))

    def _from_indices(
        self, input: np.ndarray, target: np.ndarray, axis: int, weight: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        """The target distribution, smoothed, zero where ignored; and the mean's divisor."""
        shape = input.shape[:axis] + input.shape[axis + 1 :]
        if target.shape != shape:
            raise ValueError(
                f"CrossEntropyLoss expects class indices of shape {shape} for an input of shape "
                f"{input.shape}. Received: {target.shape}"
            )
        if target.dtype not in (np.int64, np.uint8):
            raise TypeError(
                "CrossEntropyLoss expects class indices of numpy.int64. "
                f"Received: {target.dtype}. Convert them with target.astype(numpy.int64)"
            )
        classes = input.shape[axis]
        kept = target != self.ignore_index
        index = np.where(kept, target, 0)
        wrong = (index < 0) | (index >= classes)
        if np.any(wrong & kept):
            raise IndexError(
                f"Target {np.asarray(target)[wrong & kept].flat[0]} is out of bounds: "
                f"there are {classes} classes"
            )
        smoothing = self.label_smoothing
        q = np.full((*shape, classes), smoothing / max(classes, 1), input.dtype)
        np.put_along_axis(
            q, index[..., None], np.take_along_axis(q, index[..., None], -1) + (1 - smoothing), -1
        )
        q *= kept[..., None]
        if weight is None:
            return q, input.dtype.type(np.count_nonzero(kept))
        return q, (weight[index] * kept).sum(dtype=input.dtype)

    def extra_repr(self) -> str:
        """Nothing, as PyTorch prints it."""
        return ""
