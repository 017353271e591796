"""Activation functions, elementwise."""

import numpy as np

from .bits import choose, keep
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
        self._positive = ~np.asarray(input <= 0)  # NaN counts as positive
        return keep(self._positive, input)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else 0."""
        positive = self._saved("_positive")
        check_grad_output(self, grad_output, positive.shape, self._dtype)
        return keep(positive, grad_output)


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
        self._slope = choose(np.asarray(input > 0), 1, self.negative_slope, input.dtype)
        return input * self._slope

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = s(x) · dy."""
        slope = self._saved("_slope")
        check_grad_output(self, grad_output, slope.shape, slope.dtype)
        return grad_output * slope

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"
