"""The same numbers in another place: nothing is computed, only the gradient finds its way back."""

from typing import Any

import numpy as np

from .node import Node
from .reduction import sum_over


class Reshape(Node):
    """Formula: z has the elements of a, in their order; da those of dz.

    Args:
        shape: the new shape.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Give the array its new shape."""
        self.old = a.shape
        return a.reshape(self.shape)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Give the gradient the old shape."""
        return (dz.reshape(self.old),)


class Transpose(Node):
    """Formula: axis i of z is axis axes[i] of a; da is dz with its axes put back.

    Args:
        axes: the axes of a in their new order.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Put the axes in the new order."""
        return a.transpose(self.axes)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Put the axes back."""
        return (dz.transpose(np.argsort(self.axes)),)


class Broadcast(Node):
    """Repeats an array along axes that it lacks, or along which it has length 1.

    Formula: every copy is z = a; da = Σ dz over the copies.

    Args:
        shape: the shape to reach by NumPy's rules of broadcasting.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Repeat."""
        self.old = a.shape
        return np.broadcast_to(a, self.shape)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Add up what came to the copies."""
        padded = (1,) * (dz.ndim - len(self.old)) + self.old
        new = len(padded) - len(self.old)
        copied = tuple(
            i for i, n in enumerate(padded) if i < new or (n == 1 and self.shape[i] != 1)
        )
        return (sum_over(dz, copied).reshape(self.old),)


class Index(Node):
    """Picks elements, by anything that NumPy takes between square brackets.

    Formula: zⱼ = a[iⱼ]; da is 0 with every dzⱼ added at iⱼ, so that an element that was picked
    several times gets the sum. With the positions of all windows of an image as indices this is
    im2col, and its backward is col2im.

    Args:
        index: integers, slices, arrays of integers, or a tuple of them.
    """

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Pick."""
        self.shape = a.shape
        return a[self.index]

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Add each element of the gradient where its value was picked."""
        da = np.zeros(self.shape, dz.dtype)
        np.add.at(da, self.index, dz)
        return (da,)


class Pad(Node):
    """Puts a border of one number around an array.

    Formula: z = a inside, the number outside; da is dz inside.

    Args:
        widths: for each axis how many to put before and after.
        value: the number.
    """

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> None:
        self.widths, self.value = widths, value

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Put the border on."""
        self.inside = tuple(
            slice(before, before + n) for (before, _), n in zip(self.widths, a.shape, strict=True)
        )
        return np.pad(a, self.widths, constant_values=self.value)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Take the border off."""
        return (dz[self.inside],)
