"""Long arrays a part at a time, so that several operations in a row find it in the cache."""

from collections.abc import Iterable

import numpy as np

# Values in a part: with more the cache of a core is too small for two float32 arrays,
# with fewer NumPy is called too often.
BLOCK = 1 << 17


def blocks(*arrays: np.ndarray) -> Iterable[tuple[np.ndarray, ...]]:
    """The same parts of each of the arrays, as views that can be written to.

    The arrays are of one shape. They come whole where they are small, or lie in memory in
    different orders or with gaps.

    Example:
        >>> x = np.arange(100_000.0)
        >>> y = np.empty_like(x)
        >>> for part, out in blocks(x, y):
        ...     _ = np.multiply(part, 2, out=out)
        >>> y[-1]
        np.float64(199998.0)
    """
    first = arrays[0]
    if first.size <= BLOCK:
        return (arrays,)
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    lines = [array.transpose(order) for array in arrays]
    if not all(line.flags.c_contiguous for line in lines):
        return (arrays,)
    lines = [line.reshape(-1) for line in lines]
    starts = range(0, first.size, BLOCK)
    return (tuple(line[start : start + BLOCK] for line in lines) for start in starts)


def slabs(array: np.ndarray, axes: int) -> list[tuple[slice, ...]]:
    """Indices of parts of about as many values, along the outermost of the first axes.

    Args:
        array: what is to be cut.
        axes: how many of the first axes may be cut.

    Example:
        >>> slabs(np.empty((100, 3, 500)), 2)
        [(slice(0, 87, None),), (slice(87, 174, None),)]
    """
    axis = max(range(axes), key=lambda axis: array.strides[axis])
    length = array.shape[axis]
    step = max(BLOCK * length // max(array.size, 1), 1)
    before = (slice(None),) * axis
    return [(*before, slice(start, start + step)) for start in range(0, length, step)]
