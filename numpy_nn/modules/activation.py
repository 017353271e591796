"""Activation functions, elementwise."""

import numpy as np

from ..memory import empty_like
from .bits import choose, keep
from .blocks import blocks
from .checks import check_grad_output, check_input, check_not_inplace
from .module import Module


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
        """Compute y = x where x > 0, else 0."""
        check_input(self, input)
        self._dtype = input.dtype
        output = empty_like(input)
        self._positive = empty_like(input, bool)  # a quarter of the input's memory
        for x, positive, y in blocks(input, self._positive, output):
            y.fill(0)
            np.maximum(x, y, out=y)  # of two arrays: with a number it takes four times as long
            np.less_equal(x, 0, out=positive)
            np.logical_not(positive, out=positive)  # NaN counts as positive
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else 0."""
        saved = self._saved("_positive")
        check_grad_output(self, grad_output, saved.shape, self._dtype)
        grad_input = empty_like(saved, self._dtype)
        for positive, dy, dx in blocks(saved, grad_output, grad_input):
            keep(positive, dy, out=dx)
        return grad_input


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
        output = empty_like(input)
        self._positive = empty_like(input, bool)  # a quarter of the input's memory
        for x, positive, y in blocks(input, self._positive, output):
            np.greater(x, 0, out=positive)
            if 0 < self.negative_slope <= 1:
                np.multiply(x, self.negative_slope, out=y)
                np.maximum(x, y, out=y)  # x where it is positive, else s x
            else:
                np.multiply(x, self._slope(positive), out=y)
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = s(x) · dy."""
        saved = self._saved("_positive")
        check_grad_output(self, grad_output, saved.shape, self._dtype)
        grad_input = empty_like(saved, self._dtype)
        for positive, dy, dx in blocks(saved, grad_output, grad_input):
            np.multiply(dy, self._slope(positive), out=dx)
        return grad_input

    def _slope(self, positive: np.ndarray) -> np.ndarray:
        """s(x)."""
        return choose(positive, 1, self.negative_slope, self._dtype)

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
        slope = keep(below, np.asarray(self.alpha * np.exp(np.minimum(x, 0)))) + ~below
        return np.asarray(grad_output * slope)

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"alpha={self.alpha}"


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
        return np.asarray(grad_output * (keep(between, np.asarray(x / 3 + 0.5)) + above))
