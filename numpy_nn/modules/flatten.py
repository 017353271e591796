"""Merging axes."""

import math

import numpy as np

from .module import Module
from .validation import check_grad_output, check_input

__all__ = ["Flatten"]


class Flatten(Module):
    """Merges a range of axes into one.

    Formula: y has the values of x in their order, and dx those of dy.

    Args:
        start_dim: the first axis to merge; 1 keeps the batch axis.
        end_dim: the last axis to merge.

    Shape:
        input (*, S_start, …, S_end, *); output (*, S_start · … · S_end, *).

    Raises:
        IndexError: if the input has no such axis.
        ValueError: if start_dim comes after end_dim.

    Example:
        >>> import numpy
        >>> Flatten()(numpy.zeros((32, 1, 5, 5))).shape
        (32, 25)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim
        self._shape: tuple[int, ...] | None = None

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Return the input with the axes merged, as a view where its layout allows."""
        check_input(self, input)
        # A scalar counts as one axis, as in PyTorch.
        shape = input.shape or (1,)
        start, end = (self._axis(dim, len(shape)) for dim in (self.start_dim, self.end_dim))
        if start > end:
            raise ValueError(
                f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim}) on shape "
                f"{input.shape}: start_dim cannot come after end_dim"
            )
        self._shape = input.shape
        self._dtype = input.dtype
        merged = math.prod(shape[start : end + 1])
        self._flat_shape = (*shape[:start], merged, *shape[end + 1 :])
        return input.reshape(self._flat_shape)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return the gradient in the input's shape."""
        shape = self._saved("_shape")
        check_grad_output(self, grad_output, self._flat_shape, self._dtype)
        return grad_output.reshape(shape)

    def _axis(self, dim: int, ndim: int) -> int:
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim}): dimension out of "
                f"range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})"
            )
        return dim % ndim

    def extra_repr(self) -> str:
        """The two axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
