"""The logistic function and its relatives."""

from typing import Any

import numpy as np

from .bits import keep
from .checks import check_grad_output, check_input, check_not_inplace
from .module import Module


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)); where the exponential overflows, that is 0.

    Example:
        >>> logistic(np.array([0.0, -1e4]))
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
        self._output = logistic(input)
        return self._output.copy()

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy y (1 − y)."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, y.shape, y.dtype)
        return np.asarray(grad_output * ((1 - y) * y))


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
        self._input, self._logistic = input, logistic(input)
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
            slope = keep(~self._linear, np.asarray(z / (1 + z))) + self._linear
        return np.asarray(grad_output * slope)

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


def _refuse_arguments(layer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args or kwargs:
        raise TypeError(f"{type(layer).__name__} takes no arguments. Received: {args} {kwargs}")
