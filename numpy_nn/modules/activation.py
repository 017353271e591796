"""Activation functions, elementwise."""

import numpy as np

from .checks import check_grad_output, check_input, check_not_inplace
from .module import Module


class ReLU(Module):
    """The rectifier.

    Formula: y = max(x, 0); dx = dy where x > 0, else 0.

    Convention: the slope at 0 is 0, and NaN stays NaN, as in PyTorch.

    Args:
        inplace: False only.

    Shape:
        any; the output has the input's.

    Example:
        >>> import numpy
        >>> ReLU()(numpy.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        self.inplace = inplace
        self._output: np.ndarray | None = None

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = max(x, 0)."""
        check_input(self, input)
        output = np.asarray(np.maximum(input, 0))
        self._output = output
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else 0."""
        y = self._saved("_output")
        check_grad_output(self, grad_output, y.shape, y.dtype)
        return np.where(y <= 0, np.zeros((), y.dtype), grad_output)


class LeakyReLU(Module):
    """The rectifier with a slope on the negative side.

    Formula: y = x where x > 0, else slope · x; dx = dy where x > 0, else slope · dy.

    Convention: the slope at 0 is ``negative_slope``, as in PyTorch.

    Args:
        negative_slope: the slope for x ≤ 0.
        inplace: False only.

    Shape:
        any; the output has the input's.

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
        self._positive: np.ndarray | None = None

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x where x > 0, else slope · x."""
        check_input(self, input)
        self._positive = np.asarray(input > 0)
        self._dtype = input.dtype
        return self._slope_where_negative(input)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy where x > 0, else slope · dy."""
        check_grad_output(self, grad_output, self._saved("_positive").shape, self._dtype)
        return self._slope_where_negative(grad_output)

    def _slope_where_negative(self, array: np.ndarray) -> np.ndarray:
        return np.where(self._positive, array, array * array.dtype.type(self.negative_slope))

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"
