"""A choice between two values."""

import numpy as np

from .node import Node


class Where(Node):
    """Takes a where a condition holds, and b elsewhere.

    Formula: z = a where the condition holds, else b; da = dz where it holds, else 0; db = dz
    where it does not, else 0. The value that was not taken has no influence, whatever it is.

    Args:
        condition: a boolean array of the inputs' shape; no gradient goes to it.
    """

    def __init__(self, condition: np.ndarray) -> None:
        self.condition = condition

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Choose."""
        return np.where(self.condition, a, b)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Give each element of the gradient to the value that was taken."""
        zero = dz.dtype.type(0)
        return np.where(self.condition, dz, zero), np.where(self.condition, zero, dz)
