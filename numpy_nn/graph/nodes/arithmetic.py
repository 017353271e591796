"""Sums, products and powers.

Both inputs of a node have one shape: numbers are repeated by :class:`Broadcast` before.
"""

import numpy as np

from .node import Node


class Add(Node):
    """Formula: z = a + b; da = dz, db = dz."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute a + b."""
        return a + b

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Pass the gradient on to both."""
        return dz, dz


class Sub(Node):
    """Formula: z = a − b; da = dz, db = −dz."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute a − b."""
        return a - b

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Pass the gradient on, to b with the sign turned."""
        return dz, -dz


class Mul(Node):
    """Formula: z = a b; da = dz b, db = dz a."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute a b."""
        self.a, self.b = a, b
        return a * b

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Multiply the gradient by the other factor."""
        return dz * self.b, dz * self.a


class Div(Node):
    """Formula: z = a / b; da = dz / b, db = −dz z / b."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute a / b."""
        self.b, self.z = b, a / b
        return self.z

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Divide the gradient by b, and again for b itself."""
        da = dz / self.b
        return da, -da * self.z


class Power(Node):
    """Formula: z = aᵖ; da = dz p aᵖ⁻¹.

    Convention: a⁰ has gradient 0 everywhere, at a = 0 too, as in PyTorch.

    Args:
        exponent: p, a number; no gradient goes to it.
    """

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Compute aᵖ."""
        self.a = a
        return a**self.exponent

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Multiply the gradient by p aᵖ⁻¹."""
        if self.exponent == 0:
            return (np.zeros_like(dz),)
        return (dz * (self.exponent * self.a ** (self.exponent - 1)),)


class Exp(Node):
    """Formula: z = eᵃ; da = dz z."""

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Compute eᵃ."""
        self.z = np.exp(a)
        return self.z

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Multiply the gradient by the result."""
        return (dz * self.z,)


class Log(Node):
    """Formula: z = ln a; da = dz / a."""

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Compute ln a."""
        self.a = a
        return np.log(a)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Divide the gradient by the input."""
        return (dz / self.a,)


class MatMul(Node):
    """The product of two matrices, or of two stacks of equally many matrices.

    Formula: Z = A B; dA = dZ Bᵀ, dB = Aᵀ dZ. A number aᵢₖ is in row i of Z, there with the
    factors bₖⱼ: daᵢₖ = Σⱼ dzᵢⱼ bₖⱼ.

    Shape:
        A (…, n, k), B (…, k, m); Z (…, n, m).
    """

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute A B."""
        if a.ndim < 2 or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
            raise ValueError(
                f"MatMul expects shapes (…, n, k) and (…, k, m). Received: {a.shape} and {b.shape}"
            )
        self.a, self.b = a, b
        return a @ b

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Multiply the gradient by the other matrix, transposed."""
        return dz @ self.b.swapaxes(-1, -2), self.a.swapaxes(-1, -2) @ dz
