"""Sums over the batch, fast and with an error that hardly grows with it; and the axis of classes.

A sum over the first axis is a product with ones, which BLAS does at the speed of memory. Added
up one after the other, n float32 terms lose up to n roundings. So rows are summed in blocks, the
blocks' sums in blocks again, and so on: each term meets few additions, as in PyTorch's own sum.

Losses of classes compute with the classes on the first axis: reductions over a short last axis
are slow, over the first one they are additions of rows.
"""

import math

import numpy as np

BLOCK = 32
# Rows that are taken at a time, so that the product of two arrays needs little memory.
PORTION = 2048
# Values in a row that is long enough for NumPy to be fast.
WIDTH = 4096
_ONES = {np.dtype(dtype): np.ones(BLOCK, dtype) for dtype in (np.float32, np.float64)}


def batch_sum(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Σₙ xₙ, or Σₙ xₙ yₙ, of arrays of shape (N, C).

    Example:
        >>> batch_sum(np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([4., 6.])
    """
    if len(x) > PORTION:
        starts = range(0, len(x), PORTION)
        portions = [slice(start, start + PORTION) for start in starts]
        return batch_sum(np.array([batch_sum(x[p], None if y is None else y[p]) for p in portions]))
    rows = x if y is None else x * y
    ones = _ONES[rows.dtype]
    while len(rows) > BLOCK:
        whole = len(rows) // BLOCK * BLOCK
        sums = ones @ rows[:whole].reshape(-1, BLOCK, rows.shape[1])
        rows = sums if whole == len(rows) else np.concatenate([sums, rows[whole:]])
    return ones[: len(rows)] @ rows


def add_to_rows(array: np.ndarray, row: np.ndarray) -> None:
    """Add a row of values to each row of a contiguous array (*, C), in place.

    Short rows are taken many at a time: NumPy is slow where its innermost loop is short.

    Example:
        >>> array = np.zeros((2, 3))
        >>> add_to_rows(array, np.array([1.0, 2.0, 3.0]))
        >>> array[1]
        array([1., 2., 3.])
    """
    together = WIDTH // max(len(row), 1)
    if array.size < 4 * WIDTH or together < 2:
        array += row
        return
    rows = array.reshape(-1, len(row))
    whole = len(rows) // together * together
    wide = rows[:whole].reshape(-1, together * len(row))
    wide += np.tile(row, together)
    rows[whole:] += row


def channel_sum(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Σ x, or Σ x y, for every channel of (N, C) or (N, C, L): over rows and positions.

    NumPy adds up in pairs, with the small error of that, only along what lies side by side in
    memory: the positions, or the batch where a convolution has put it last.
    """
    if x.ndim == 2:
        return batch_sum(x, y)
    if y is not None and _batch_is_last(x) != _batch_is_last(y):
        x, y = x * y, None
    if _batch_is_last(x):
        x = x.transpose(1, 2, 0)  # (C, L, N)
        if y is None:
            return x.reshape(len(x), -1).sum(axis=1)
        return np.einsum("cln,cln->cl", x, y.transpose(1, 2, 0)).sum(axis=1)
    if y is None:
        return batch_sum(x.sum(axis=2))
    return batch_sum(np.einsum("ncl,ncl->nc", x, y))


def _batch_is_last(x: np.ndarray) -> bool:
    """Whether the rows of the batch lie side by side, and not the positions."""
    return x.strides[0] < x.strides[2]


def number_of_classes(shape: tuple[int, ...]) -> int:
    """C of (C,), (N, C) or (N, C, d₁, …)."""
    return shape[0 if len(shape) == 1 else 1]


def without_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(), (N,) or (N, d₁, …) of (C,), (N, C) or (N, C, d₁, …)."""
    return () if len(shape) == 1 else shape[:1] + shape[2:]


def classes_first(array: np.ndarray) -> np.ndarray:
    """(C,), (N, C) or (N, C, d₁, …) as (C, samples)."""
    moved = array if array.ndim == 1 else array.swapaxes(0, 1)
    samples = math.prod(without_classes(array.shape))
    return np.ascontiguousarray(moved).reshape(number_of_classes(array.shape), samples)


def classes_back(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, samples) in the shape it came from."""
    if len(shape) == 1:
        return array.reshape(shape)
    swapped = array.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    return np.ascontiguousarray(swapped)
