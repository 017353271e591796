"""The Gaussian error linear unit."""

import math

import numpy as np

from .checks import check_grad_output, check_input
from .erf import erf
from .module import Module

APPROXIMATIONS = ("none", "tanh")
# Of the approximation by tanh: D. Hendrycks and K. Gimpel, https://arxiv.org/abs/1606.08415.
CUBIC = 0.044715
TANH_SCALE = math.sqrt(2 / math.pi)


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
