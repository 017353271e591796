"""Activation functions: of each value on its own, and the softmax along an axis."""

import math
import warnings
from typing import Any

import numpy as np

from .._kernels.elementwise import (
    erf,
    keep_where,
    maximum_zero,
    maximum_zero_and_where,
    scale_negative,
    scale_negative_and_where,
    scale_where,
)
from .module import Module
from .validation import check_grad_output, check_input, check_not_inplace

__all__ = [
    "ELU",
    "GELU",
    "Hardswish",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]

APPROXIMATIONS = ("none", "tanh")
# Of GELU's approximation by tanh: D. Hendrycks and K. Gimpel, https://arxiv.org/abs/1606.08415.
CUBIC = 0.044715
TANH_SCALE = math.sqrt(2 / math.pi)


class ReLU(Module):
    """The rectifier.

    Formula: y = x where x > 0, else 0; dx = dy where x > 0, else 0.

    Convention: the slope at 0 is 0, and NaN stays NaN, as in PyTorch.

    Args:
        inplace: False only.

    Shape:
        any; the output has the input's.

    Raises:
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> ReLU()(numpy.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.inplace = inplace

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = max(x, 0)."""
        check_input(self, input)
        self._dtype = input.dtype
        if self.training:
            output, self._positive = maximum_zero_and_where(input)
        else:  # a backward pass seldom comes, and can tell from the output
            output = self._positive = maximum_zero(input)
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else 0."""
        positive = self._saved("_positive")
        check_grad_output(self, grad_output, positive.shape, self._dtype)
        if positive.dtype != bool:
            positive = ~(positive <= 0)
        return keep_where(positive, grad_output)


class LeakyReLU(Module):
    """The rectifier with a slope on the negative side.

    Formula: y = s(x) · x, dx = s(x) · dy with s = 1 where x > 0, else negative_slope.

    Convention: the slope at 0 is ``negative_slope``, as in PyTorch.

    Args:
        negative_slope: the slope for x ≤ 0.
        inplace: False only.

    Shape:
        any; the output has the input's.

    Raises:
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> LeakyReLU(0.1)(numpy.array([-1.0, 0.0, 2.0]))
        array([-0.1,  0. ,  2. ])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = s(x) · x."""
        check_input(self, input)
        self._dtype = input.dtype
        if self.training or not 0 < self.negative_slope <= 1:
            output, self._positive = scale_negative_and_where(input, self.negative_slope)
        else:  # a backward pass seldom comes, and can tell from the output
            output = self._positive = scale_negative(input, self.negative_slope)
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = s(x) · dy."""
        positive = self._saved("_positive")
        check_grad_output(self, grad_output, positive.shape, self._dtype)
        if positive.dtype != bool:
            positive = positive > 0
        return scale_where(positive, 1, self.negative_slope, grad_output)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """The exponential linear unit.

    Formula: y = x where x > 0, else α (exp(x) − 1); dx = dy where x > 0, else dy α exp(x).

    Convention: the slope at 0 is α, as in PyTorch.

    Args:
        alpha: α.
        inplace: False only.

    Shape:
        any; the output has the input's.

    Raises:
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> ELU()(numpy.array([-100.0, 0.0, 2.0]))
        array([-1.,  0.,  2.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x where x > 0, else α (exp(x) − 1)."""
        check_input(self, input)
        self._input = input
        return np.asarray(np.maximum(input, 0) + self.alpha * np.expm1(np.minimum(input, 0)))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else dy α exp(x)."""
        x = self._saved("_input")
        check_grad_output(self, grad_output, x.shape, x.dtype)
        below = np.asarray(x <= 0)
        slope = keep_where(below, np.asarray(self.alpha * np.exp(np.minimum(x, 0)))) + ~below
        return np.asarray(grad_output * slope)

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"alpha={self.alpha}"


class GELU(Module):
    """The input, times the probability that a standard normal value is below it.

    Formula: y = x Φ(x), dx = dy (Φ(x) + x φ(x)) with Φ(x) = (1 + erf(x/√2)) / 2 and
    φ(x) = exp(−x²/2) / √(2π). With approximate="tanh", Φ(x) is (1 + tanh u) / 2 with
    u = √(2/π) (x + 0.044715 x³), and φ(x) its derivative (1 − tanh² u) u′ / 2.

    Args:
        approximate: "none" or "tanh".

    Shape:
        any; the output has the input's.

    Raises:
        ValueError: if approximate is neither.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> GELU()(numpy.array([-1.0, 0.0, 1.0])).round(4)
        array([-0.1587,  0.    ,  0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in APPROXIMATIONS:
            raise ValueError(
                f"approximate must be one of {APPROXIMATIONS}. Received: {approximate!r}"
            )
        self.approximate = approximate

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x Φ(x)."""
        check_input(self, input)
        self._input = input
        x = np.asarray(input)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.approximate == "tanh":
                self._tanh = np.asarray(np.tanh(TANH_SCALE * (x + CUBIC * (x * x * x))))
                self._probability = np.asarray((1 + self._tanh) / 2)
            else:
                self._probability = np.asarray((1 + erf(x * math.sqrt(0.5))) / 2)
            return np.asarray(x * self._probability)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy (Φ(x) + x φ(x))."""
        x, probability = self._saved("_input"), self._probability
        check_grad_output(self, grad_output, x.shape, x.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.approximate == "tanh":
                inner = TANH_SCALE * (1 + 3 * CUBIC * (x * x))
                density = (1 - self._tanh * self._tanh) * inner / 2
            else:
                density = np.exp(x * x * -0.5) / math.sqrt(2 * math.pi)
            return np.asarray(grad_output * (probability + x * density))

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"approximate={self.approximate!r}"


class Hardswish(Module):
    """A swish of straight lines.

    Formula: y = x min(max(x + 3, 0), 6) / 6; dx = dy (2x + 3) / 6 between −3 and 3, 0 below
    and dy above.

    Convention: the slope at −3 is 0 and at 3 it is 1, as in PyTorch.

    Args:
        inplace: False only.

    Shape:
        any; the output has the input's.

    Raises:
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> Hardswish()(numpy.array([-4.0, 1.5, 4.0])) + 0.0
        array([0.   , 1.125, 4.   ])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.inplace = inplace

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x min(max(x + 3, 0), 6) / 6."""
        check_input(self, input)
        self._input = input
        with np.errstate(over="ignore", invalid="ignore"):  # −∞ times 0
            return np.asarray(input * np.minimum(np.maximum(input + 3, 0), 6) / 6)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy (2x + 3) / 6 between −3 and 3, 0 below and dy above."""
        x = self._saved("_input")
        check_grad_output(self, grad_output, x.shape, x.dtype)
        above, between = np.asarray(x >= 3), np.asarray(~((x <= -3) | (x >= 3)))
        return np.asarray(grad_output * (keep_where(between, np.asarray(x / 3 + 0.5)) + above))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)); where the exponential overflows, that is 0.

    Example:
        >>> _sigmoid(np.array([0.0, -1e4]))
        array([0.5, 0. ])
    """
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


class Sigmoid(Module):
    """The logistic function.

    Formula: y = 1 / (1 + exp(−x)), dx = dy y (1 − y).

    Args:
        args: none; PyTorch's layer has a constructor that takes any.
        kwargs: none.

    Shape:
        any; the output has the input's.

    Raises:
        TypeError: if there is an argument, or the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> Sigmoid()(numpy.array([0.0, 100.0]))
        array([0.5, 1. ])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        _refuse_arguments(self, args, kwargs)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = 1 / (1 + exp(−x))."""
        check_input(self, input)
        self._output = _sigmoid(input)
        return self._output.copy()

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy y (1 − y)."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, y.shape, y.dtype)
        return np.asarray(grad_output * ((1 - y) * y))


class SiLU(Module):
    """The sigmoid linear unit, also called swish.

    Formula, with s = 1 / (1 + exp(−x)): y = x s, dx = dy s (1 + x (1 − s)).

    Args:
        inplace: False only.

    Shape:
        any; the output has the input's.

    Raises:
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> SiLU()(numpy.array([-100.0, 0.0, 100.0])).round(6) + 0.0
        array([  0.,   0., 100.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.inplace = inplace

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x s."""
        check_input(self, input)
        self._input, self._logistic = input, _sigmoid(input)
        with np.errstate(invalid="ignore"):  # −∞ times 0
            return np.asarray(input * self._logistic)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy s (1 + x (1 − s))."""
        x, s = self._saved("_input"), self._logistic
        check_grad_output(self, grad_output, x.shape, x.dtype)
        with np.errstate(invalid="ignore"):  # ∞ times 0
            return np.asarray(grad_output * (s * (1 + x * (1 - s))))


class Softplus(Module):
    """A smooth rectifier.

    Formula, with z = exp(βx): y = log(1 + z) / β, dx = dy z / (1 + z); y = x and dx = dy
    where βx is above the threshold, so that nothing overflows.

    Args:
        beta: β.
        threshold: of βx.

    Shape:
        any; the output has the input's.

    Raises:
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> Softplus()(numpy.array([-1e3, 0.0, 1e3])).round(4)
        array([0.000e+00, 6.931e-01, 1.000e+03])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = log(1 + z) / β."""
        check_input(self, input)
        scaled = np.asarray(input * self.beta)
        self._linear = np.asarray(scaled > self.threshold)
        with np.errstate(over="ignore"):
            self._exp = np.asarray(np.exp(scaled))
            return np.asarray(np.where(self._linear, input, np.log1p(self._exp) / self.beta))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy z / (1 + z)."""
        z = self._saved("_exp")
        check_grad_output(self, grad_output, z.shape, z.dtype)
        with np.errstate(invalid="ignore"):  # ∞ / ∞
            slope = keep_where(~self._linear, np.asarray(z / (1 + z))) + self._linear
        return np.asarray(grad_output * slope)

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Tanh(Module):
    """The hyperbolic tangent.

    Formula: y = tanh x, dx = dy (1 − y²).

    Args:
        args: none; PyTorch's layer has a constructor that takes any.
        kwargs: none.

    Shape:
        any; the output has the input's.

    Raises:
        TypeError: if there is an argument, or the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> Tanh()(numpy.array([0.0, 100.0]))
        array([0., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        _refuse_arguments(self, args, kwargs)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = tanh x."""
        check_input(self, input)
        self._output = np.asarray(np.tanh(input))
        return self._output.copy()

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy (1 − y²)."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, y.shape, y.dtype)
        return np.asarray(grad_output * (1 - y * y))


class _AlongAxis(Module):
    """Base class of both: the axis, and the shift of the input that keeps exponentials finite."""

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


def _refuse_arguments(layer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args or kwargs:
        raise TypeError(f"{type(layer).__name__} takes no arguments. Received: {args} {kwargs}")
