"""Softmax and its logarithm."""

import warnings

import numpy as np

from .checks import check_grad_output, check_input
from .module import Module


class _AlongAxis(Module):
    """What both have: the axis."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _axis(self, input: np.ndarray) -> int:
        """The axis, from 0, of an array of one axis at least."""
        ndim = max(input.ndim, 1)
        dim = self.dim
        if dim is None:
            warnings.warn(
                f"Implicit dimension choice for {type(self).__name__} is deprecated, as in "
                "PyTorch. Give it a dim",
                UserWarning,
                stacklevel=4,
            )
            return 0 if input.ndim in (0, 1, 3) else 1
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"{type(self).__name__}(dim={dim}): dimension out of range (expected to be in "
                f"range of [{-ndim}, {ndim - 1}]). Received: shape {input.shape}"
            )
        return dim % ndim

    def _shifted(self, input: np.ndarray) -> np.ndarray:
        """x − max x, so that no exponential overflows; the axis is remembered."""
        check_input(self, input)
        self._along, self._shape = self._axis(input), input.shape
        x = np.atleast_1d(input)
        largest = x.max(axis=self._along, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            return x - largest.astype(x.dtype, copy=False)

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """Exponentials, scaled so that they sum to 1.

    Formula: yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ), dxᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ).

    Convention: dim None stands for 0 with zero, one or three axes, and for 1 otherwise, and
    warns, as in PyTorch.

    Args:
        dim: the axis that is summed over.

    Shape:
        any; the output has the input's.

    Raises:
        IndexError: if the input has no such axis.
        TypeError: if it is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> Softmax(dim=1)(numpy.zeros((1, 4)))
        array([[0.25, 0.25, 0.25, 0.25]])
    """

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = exp(x) / Σ exp(x)."""
        y = np.exp(self._shifted(input))
        y /= y.sum(axis=self._along, keepdims=True)
        self._output = y
        return y.reshape(self._shape).copy()

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = y (dy − Σ dy y)."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, self._shape, y.dtype)
        dy = grad_output.reshape(y.shape)
        dx = y * (dy - (dy * y).sum(axis=self._along, keepdims=True))
        return dx.reshape(self._shape)


class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax.

    Formula: yᵢ = xᵢ − log Σⱼ exp(xⱼ), dxᵢ = dyᵢ − exp(yᵢ) Σⱼ dyⱼ.

    Convention: dim None stands for 0 with zero, one or three axes, and for 1 otherwise, and
    warns, as in PyTorch.

    Args:
        dim: the axis that is summed over.

    Shape:
        any; the output has the input's.

    Raises:
        IndexError: if the input has no such axis.
        TypeError: if it is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> LogSoftmax(dim=0)(numpy.array([0.0, 1e4]))
        array([-10000.,      0.])
    """

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x − log Σ exp(x)."""
        y = self._shifted(input)
        with np.errstate(divide="ignore"):  # of an axis of no values
            y -= np.log(np.exp(y).sum(axis=self._along, keepdims=True))
        self._output = y
        return y.reshape(self._shape).copy()

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy − exp(y) Σ dy."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, self._shape, y.dtype)
        dy = grad_output.reshape(y.shape)
        dx = dy - np.exp(y) * dy.sum(axis=self._along, keepdims=True)
        return dx.reshape(self._shape)
