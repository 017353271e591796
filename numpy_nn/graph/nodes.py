"""The nodes, each one operation with its own forward and backward.

Both inputs of a node that has two are of one shape: ``Broadcast`` nodes repeat numbers before.
"""

import math
from typing import Any

import numpy as np

__all__ = [
    "Add",
    "Broadcast",
    "Div",
    "Exp",
    "Index",
    "Log",
    "MatMul",
    "Max",
    "Mul",
    "Node",
    "Pad",
    "Power",
    "Reshape",
    "Sub",
    "Sum",
    "Transpose",
    "Where",
]

Axes = int | tuple[int, ...] | None


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


# ---- sums, products and powers


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


# ---- a choice


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


# ---- many numbers into one


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
        self.shape, self.axes = a.shape, _positive_axes(self.axis, a.ndim)
        return _sum_over(a, self.axes, self.keepdims)

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Repeat the gradient for every term."""
        return (np.broadcast_to(dz.reshape(_kept_shape(self.shape, self.axes)), self.shape),)


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
        self.shape, self.axes = a.shape, _positive_axes(self.axis, a.ndim)
        rows = _rows_over(a, self.axes)
        self.first = rows.argmax(axis=1)
        z = rows[np.arange(len(rows)), self.first]
        return z.reshape(_kept_shape(self.shape, self.axes, self.keepdims))

    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        """Put the gradient where the maximum was."""
        kept = tuple(n for i, n in enumerate(self.shape) if i not in self.axes)
        reduced = tuple(self.shape[i] for i in self.axes)
        rows = np.zeros((math.prod(kept), math.prod(reduced)), dz.dtype)
        rows[np.arange(len(rows)), self.first] = dz.ravel()
        da = rows.reshape(kept + reduced)
        return (np.moveaxis(da, range(len(kept), da.ndim), self.axes),)


# ---- the same numbers in another place


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
        return (_sum_over(dz, copied).reshape(self.old),)


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


def _sum_over(a: np.ndarray, axes: tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    """Σ over some axes.

    They are laid out in a row first, for there NumPy adds in pairs, of pairs, …: of n float32
    terms log₂ n roundings meet in one number. Along another axis it adds one after the other,
    and n roundings do (https://numpy.org/doc/stable/reference/generated/numpy.sum.html).
    """
    return _rows_over(a, axes).sum(axis=1).reshape(_kept_shape(a.shape, axes, keepdims))


def _rows_over(a: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """A matrix with what is to be reduced in each row."""
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = math.prod(a.shape[i] for i in kept), math.prod(a.shape[i] for i in axes)
    return np.ascontiguousarray(a.transpose(*kept, *axes)).reshape(lengths)


def _positive_axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    """The axes from the front, in ascending order; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(i % ndim for i in axes))


def _kept_shape(
    shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool = True
) -> tuple[int, ...]:
    """The shape after a reduction."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)
