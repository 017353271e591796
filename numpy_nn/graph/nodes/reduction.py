"""Many numbers into one."""

import math

import numpy as np

from .node import Node

Axes = int | tuple[int, ...] | None


class Sum(Node):
    """Formula: z = Σ aᵢ; daᵢ = dz: each term has the gradient of the sum.

    Args:
        axis: one or more axes to sum over; None for all.
        keepdims: whether they stay, with length 1.
    """

    def __init__(self, axis: Axes = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Add up."""
        self.shape, self.axes = a.shape, positive_axes(self.axis, a.ndim)
        return sum_over(a, self.axes, self.keepdims)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Repeat the gradient for every term."""
        return (np.broadcast_to(dz.reshape(kept_shape(self.shape, self.axes)), self.shape),)


class Max(Node):
    """Formula: z = max aᵢ; daᵢ = dz for the largest, 0 for all others.

    Convention: of equal values the first one gets all of the gradient, in row-major order over
    the axes. So do ``torch.max(a, dim)`` and ``torch.nn.MaxPool2d``; ``torch.amax`` divides it
    among them. A nan is larger than any number.

    Args:
        axis: one or more axes to look over; None for all.
        keepdims: whether they stay, with length 1.
    """

    def __init__(self, axis: Axes = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, a: np.ndarray) -> np.ndarray:
        """Find the largest."""
        self.shape, self.axes = a.shape, positive_axes(self.axis, a.ndim)
        rows = rows_over(a, self.axes)
        self.first = rows.argmax(axis=1)
        z = rows[np.arange(len(rows)), self.first]
        return z.reshape(kept_shape(self.shape, self.axes, self.keepdims))

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Put the gradient where the maximum was."""
        kept = tuple(n for i, n in enumerate(self.shape) if i not in self.axes)
        reduced = tuple(self.shape[i] for i in self.axes)
        rows = np.zeros((math.prod(kept), math.prod(reduced)), dz.dtype)
        rows[np.arange(len(rows)), self.first] = dz.ravel()
        da = rows.reshape(kept + reduced)
        return (np.moveaxis(da, range(len(kept), da.ndim), self.axes),)


def sum_over(a: np.ndarray, axes: tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    """Σ over some axes.

    They are laid out in a row first, for there NumPy adds in pairs, of pairs, …: of n float32
    terms log₂ n roundings meet in one number. Along another axis it adds one after the other,
    and n roundings do (https://numpy.org/doc/stable/reference/generated/numpy.sum.html).
    """
    return rows_over(a, axes).sum(axis=1).reshape(kept_shape(a.shape, axes, keepdims))


def rows_over(a: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """A matrix with what is to be reduced in each row."""
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = math.prod(a.shape[i] for i in kept), math.prod(a.shape[i] for i in axes)
    return np.ascontiguousarray(a.transpose(*kept, *axes)).reshape(lengths)


def positive_axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    """The axes from the front, in ascending order; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(i % ndim for i in axes))


def kept_shape(
    shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool = True
) -> tuple[int, ...]:
    """The shape after a reduction."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)
