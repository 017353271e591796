"""Dropout."""

import numpy as np

from ..random import default_generator
from .module import Module
from .validation import check_grad_output, check_input, check_not_inplace

__all__ = ["Dropout"]


class Dropout(Module):
    """Sets each value to zero with probability p while training, and scales the others.

    Formula: y = x m / (1 − p), dx = dy m / (1 − p), with m = 1 where a uniform draw is below
    1 − p, else 0. In evaluation mode, and with p = 0, y = x and dx = dy.

    Convention: the scaling is done in training ("inverted"), so that evaluation is the
    identity, as in PyTorch. The draws are PyTorch's from the same seed: one of 53 bits from
    the default generator for each value, in C order whatever the array's layout. (PyTorch's
    builds draw otherwise on Intel processors; there, give both one ``mask``.)

    Args:
        p: probability of a zero.
        inplace: False only.

    Shape:
        any; the output has the input's.

    Attributes:
        mask: None, or a boolean array of the input's shape, True where values are kept, for
            the next forward in training to use in the place of draws; it is None again after
            that. PyTorch has no such thing.
        last_mask: what the last forward in training used, or None where nothing was drawn.
            PyTorch has no such thing.

    Raises:
        ValueError: if p is not in [0, 1], or ``mask`` has another shape than the input.
        NotImplementedError: if inplace is True.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> layer = Dropout(0.5)
        >>> layer.mask = numpy.array([True, False, True])
        >>> layer(numpy.ones(3))
        array([2., 0., 2.])
        >>> layer.eval()(numpy.ones(3))
        array([1., 1., 1.])
    """

    mask: np.ndarray | None
    last_mask: np.ndarray | None

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_not_inplace(self, inplace)
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace
        self.mask = self.last_mask = None

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x m / (1 − p)."""
        check_input(self, input)
        self._shape, self._dtype = input.shape, input.dtype
        if not self.training:
            self._noise = None
            return input
        self.last_mask, self.mask = self._draw(input.shape), None
        self._noise = None if self.last_mask is None else self._scaled(self.last_mask)
        return input if self._noise is None else input * self._noise

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx = dy m / (1 − p)."""
        check_grad_output(self, grad_output, self._saved("_shape"), self._dtype)
        return grad_output if self._noise is None else grad_output * self._noise

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """m, or None where all is kept."""
        if self.mask is not None:
            mask = np.array(self.mask, bool)
            if mask.shape != shape:
                raise ValueError(
                    f"Dropout.mask must have the input's shape {shape}. Received: {mask.shape}"
                )
            return mask
        if self.p == 0:
            return None
        mask = np.zeros(shape, bool)
        if self.p < 1:
            draws = default_generator.uniform(mask.size, dtype=np.float64)
            np.less(draws.reshape(shape), 1 - self.p, out=mask)
        return mask

    def _scaled(self, mask: np.ndarray) -> np.ndarray:
        """m / (1 − p), which is 0 for p = 1."""
        one = self._dtype.type(1)
        return mask * (one if self.p == 1 else one / self._dtype.type(1 - self.p))

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"p={self.p}, inplace={self.inplace}"
