"""Maxima and sums over the windows of a pooling layer, one point of the window after the other.

For each point of a window there is one slice of the places that it meets on the images, and one of
the windows in which it does: the work is a few operations on large parts of the arrays, and none
on single windows.
"""

from typing import Any

import numpy as np

from .elementwise import slabs, take_where
from .memory import empty_like

# Along one axis: the places that a point of the window meets, and in which windows.
Span = tuple[slice, slice]
# The same along both axes, as indices of images (…, H, W) and of the output (…, H', W').
Point = tuple[tuple[Any, ...], tuple[Any, ...]]


def spans(
    kernel: int, stride: int, padding: int, dilation: int, size: int, output: int
) -> list[Span]:
    """What each point of the window meets along an axis of ``size`` places.

    Args:
        kernel: points of the window.
        stride: from one window to the next.
        padding: places before the first one.
        dilation: from one point of the window to the next.
        size: places of the axis.
        output: windows along the axis.

    Example:
        >>> spans(2, 2, 1, 1, 3, 2)
        [(slice(1, 2, 2), slice(1, 2, None)), (slice(0, 3, 2), slice(0, 2, None))]
    """
    found = []
    for point in range(kernel):
        offset = point * dilation - padding
        first = max(-(offset // stride), 0)
        last = min((size - 1 - offset) // stride, output - 1)
        if last < first:  # it meets padding in every window
            found.append((slice(0, 0), slice(0, 0)))
            continue
        places = slice(first * stride + offset, last * stride + offset + 1, stride)
        found.append((places, slice(first, last + 1)))
    return found


def points(rows: list[Span], columns: list[Span]) -> list[Point]:
    """The points of a window in the order of reading."""
    return [
        ((..., places_y, places_x), (..., windows_y, windows_x))
        for places_y, windows_y in rows
        for places_x, windows_x in columns
    ]


def maxima(
    x: np.ndarray, size: tuple[int, int], points: list[Point]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The largest value of each window; and for each point, in which windows it raised it."""
    y = empty_like(x, shape=(*x.shape[:-2], *size))
    y.fill(-np.inf)
    raised = [empty_like(y[windows], dtype=bool) for _, windows in points]
    for slab in slabs(x, x.ndim - 2):
        for grew, (places, windows) in zip(raised, points, strict=True):
            # A copy, after which both operations have their values side by side.
            values, best = np.array(x[slab][places]), y[slab][windows]
            np.greater(values, best, out=grew[slab])
            np.maximum(best, values, out=best)
    return y, raised


def maxima_backward(
    dy: np.ndarray,
    shape: tuple[int, ...],
    points: list[Point],
    raised: list[np.ndarray],
    disjoint: bool,
) -> np.ndarray:
    """dx: dy of each window at the last point that raised its maximum.

    Args:
        dy: the gradient by the maxima.
        shape: that of the images.
        points: see ``points``.
        raised: see ``maxima``.
        disjoint: whether no place lies in two windows.
    """
    rest = empty_like(raised[0], shape=dy.shape, dtype=dy.dtype)
    rest[...] = dy
    dx = empty_like(rest, shape=shape)
    if not (disjoint and sum(grew.size for grew in raised) == dx.size):
        dx.fill(0)  # otherwise each place is met just once
    for slab in slabs(dx, dx.ndim - 2):
        for grew, (places, windows) in zip(raised[::-1], points[::-1], strict=True):
            taken = take_where(grew[slab], rest[slab][windows])
            if disjoint:
                dx[slab][places] = taken
            else:
                dx[slab][places] += taken
    return dx


def sums(x: np.ndarray, size: tuple[int, int], rows: list[Span], columns: list[Span]) -> np.ndarray:
    """The sum of each window: over its rows, and then over its columns."""
    over_rows = np.zeros_like(x, shape=(*x.shape[:-2], size[0], x.shape[-1]))
    for places, windows in rows:
        over_rows[..., windows, :] += x[..., places, :]
    y = np.zeros_like(x, shape=(*x.shape[:-2], *size))
    for places, windows in columns:
        y[..., windows] += over_rows[..., places]
    return y


def sums_backward(
    dy: np.ndarray, shape: tuple[int, ...], rows: list[Span], columns: list[Span]
) -> np.ndarray:
    """dx: dy of each window, added to each of its places."""
    across = np.zeros_like(dy, shape=(*dy.shape[:-1], shape[-1]))
    for places, windows in columns:
        across[..., places] += dy[..., windows]
    dx = np.zeros_like(dy, shape=shape)
    for places, windows in rows:
        dx[..., places, :] += across[..., windows, :]
    return dx
