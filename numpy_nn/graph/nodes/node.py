"""What every node is."""

from typing import Any

import numpy as np


class Node:
    """One operation on arrays, which knows its own derivative and nothing else.

    ``forward`` computes z from the inputs a, b, … and keeps what ``backward`` needs;
    ``backward`` takes dz, the gradient of some number L by z, and returns the gradients
    da, db, … of L by each input. That is the chain rule for one operation:
    da = dz · ∂z/∂a. What came before, and what comes after, is the graph's business.

    A node is used once: a second operation is a second node. It changes neither its inputs nor
    dz.

    Example:
        >>> from numpy_nn.graph.nodes import Mul
        >>> node = Mul()
        >>> node.forward(np.array(3.0), np.array(4.0))
        np.float64(12.0)
        >>> node.backward(np.array(1.0))
        (np.float64(4.0), np.float64(3.0))
    """

    def forward(self, *inputs: Any, **_: Any) -> np.ndarray:
        """Compute the result, and keep what ``backward`` needs."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the gradient by each input, in their order."""
        raise NotImplementedError(f"{type(self).__name__} defines no backward")
