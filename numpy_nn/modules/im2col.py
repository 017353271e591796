"""Images to the columns of a matrix and back, piece by piece: what convolutions are made of."""

import math
from collections.abc import Iterator

import numpy as np

from .strip import Piece, Strip


def columns(strip: Strip, x: np.ndarray, groups: int) -> Iterator[tuple[slice, Piece, np.ndarray]]:
    """Which images of (N, C, H, W), which rows of positions, and what the kernel sees there.

    The last is of shape (groups, C / groups · kernel, positions), and is overwritten by the
    next: memory that is given back and asked for again costs more than the copy into it.
    """
    depth = x.shape[1] * math.prod(strip.kernel)
    scratch = np.empty(0, x.dtype)
    seen = np.empty(0, x.dtype)
    for images, piece in strip.walk(len(x), depth * x.itemsize):
        if not scratch.size:
            scratch = strip.scratch(x.shape[1], piece.images, x.dtype)
        if piece.top == 0:
            strip.images(scratch, piece.images)[...] = x[images]
        windows = strip.windows(scratch, piece)
        if math.prod(strip.kernel) > 1:  # otherwise the strip itself will do
            if not seen.size:  # the first piece is the largest
                seen = np.empty(windows.size, x.dtype)
            copy = seen[: windows.size].reshape(windows.shape)
            copy[...] = windows
            windows = copy
        yield images, piece, windows.reshape(groups, depth // groups, -1)


def positions(strip: Strip, y: np.ndarray, images: slice, piece: Piece) -> np.ndarray:
    """The values of (N, O, H', W') at the positions of a piece: (O, positions).

    Zero stands at positions that belong to no output.
    """
    count = piece.images * (piece.bottom - piece.top) * strip.columns
    out = np.zeros((y.shape[1], count), y.dtype)
    strip.outputs(out, piece)[...] = y[images, :, piece.top : piece.bottom]
    return out


class Spread:
    """Adds columns back to the places they came from.

    Args:
        strip: where things stand.
        images: (N, C, H, W), written when the last piece of an image was added.
    """

    def __init__(self, strip: Strip, images: np.ndarray) -> None:
        self.strip, self.to = strip, images

    def add(self, images: slice, piece: Piece, columns: np.ndarray) -> None:
        """Add a piece; they must come in the order of ``columns``."""
        strip = self.strip
        if piece.top == 0:
            self._scratch = strip.scratch(self.to.shape[1], piece.images, self.to.dtype)
        windows = strip.windows(self._scratch, piece)
        columns = columns.reshape(windows.shape)
        for point in np.ndindex(*strip.kernel):  # each is one long run of additions
            windows[:, *point] += columns[:, *point]
        if piece.bottom >= strip.output[0]:
            self.to[images] = strip.images(self._scratch, piece.images)


def channels_first(
    images: int, channels: int, size: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """An empty (N, C, H, W) that has the channels first in memory: one long run for each."""
    return np.empty((channels, images, *size), dtype).swapaxes(0, 1)
