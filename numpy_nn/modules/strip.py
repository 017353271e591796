"""Images one below the other in one long strip, and the windows of a kernel as its columns.

A convolution is a matrix product once the values under the kernel stand in a column for each
position (im2col). With padding between the rows, and the rows of all images in one line, the
values under one point of the kernel are, for all positions together, one run of that line: a
single long copy. A few positions between the rows belong to no output; they are left out when
the product is copied to its place.

What is padding to the right of one row is padding to the left of the next one, so there is one
margin of zeros between rows, and one between images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Bytes of the columns that are made at a time: they should stay in the processor's cache.
PIECE_BYTES = 1 << 20

Pair = tuple[int, int]


class Piece(NamedTuple):
    """Rows ``top`` to ``bottom`` of the positions in each of so many images."""

    images: int
    top: int
    bottom: int


class Strip:
    """Where things stand in a strip of images of one shape under one kernel.

    Args:
        size: height and width of an image.
        kernel, stride, dilation: along both axes.
        padding: zeros (before, after) along both axes.
        output: how many positions there are along both axes, or None for as many as fit.

    Attributes:
        output: height and width of the output; below 1 where the kernel does not fit.

    Example:
        >>> strip = Strip((3, 3), (2, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))
        >>> scratch = strip.scratch(1, 1, np.dtype(float))
        >>> strip.images(scratch, 1)[...] = np.arange(9.0).reshape(1, 1, 3, 3)
        >>> columns = strip.windows(scratch, Piece(1, 0, 2))
        >>> columns.shape, columns[0, :, :, 0, 1].tolist()  # under the second position
        ((1, 2, 2, 2, 3), [[1.0, 2.0], [4.0, 5.0]])
    """

    def __init__(
        self,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        dilation: Pair,
        padding: tuple[Pair, Pair],
        output: Pair | None = None,
    ) -> None:
        self.size, self.kernel, self.stride, self.dilation = size, kernel, stride, dilation
        self.padding = padding
        self.start = padding[0][0], padding[1][0]
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        height, width = (
            (n + sum(pad) - r - 1) // s + 1
            for n, pad, r, s in zip(size, padding, reach, stride, strict=True)
        )
        self.output: Pair = output or (height, width)
        # A row and the margin after it; an image and the margin below it, in whole strides.
        width = max(size[1] + max(padding[1]), self.output[1] * stride[1])
        height = max(size[0] + max(padding[0]), self.output[0] * stride[0])
        self.pitch = width
        self.rows = -(-height // stride[0])  # of positions, for an image
        self.columns = width // stride[1]  # of positions, in a row
        self.length = self.rows * stride[0] * width
        self.reach = reach[0] * width + reach[1]

    def scratch(self, channels: int, images: int, dtype: np.dtype) -> np.ndarray:
        """Zeros for a strip of so many images: (channels, all their rows)."""
        return np.zeros((channels, images * self.length + self.reach), dtype)

    def images(self, strip: np.ndarray, images: int) -> np.ndarray:
        """The images in a strip, without the margins: (N, C, H, W), a view."""
        step = strip.itemsize
        shape = (images, len(strip), *self.size)
        strides = (self.length * step, strip.strides[0], self.pitch * step, step)
        offset = (self.start[0] * self.pitch + self.start[1]) * step
        return np.ndarray(shape, strip.dtype, strip, offset, strides)

    def windows(self, strip: np.ndarray, piece: Piece) -> np.ndarray:
        """The values under the kernel: (C, kernel height, width, rows, columns), a view."""
        step, (stride_y, stride_x) = strip.itemsize, self.stride
        rows = piece.images * (piece.bottom - piece.top)
        shape = (len(strip), *self.kernel, rows, self.columns)
        strides = (
            strip.strides[0],
            self.dilation[0] * self.pitch * step,
            self.dilation[1] * step,
            stride_y * self.pitch * step,
            stride_x * step,
        )
        offset = piece.top * stride_y * self.pitch * step
        return np.ndarray(shape, strip.dtype, strip, offset, strides)

    def outputs(self, positions: np.ndarray, piece: Piece) -> np.ndarray:
        """Of values at all positions of a piece, those of the output: (N, C, rows, W), a view."""
        rows = piece.bottom - piece.top
        split = positions.reshape(-1, piece.images, rows, self.columns)
        return split[:, :, : self.output[0] - piece.top, : self.output[1]].swapaxes(0, 1)

    def walk(self, images: int, column_bytes: int) -> Iterator[tuple[slice, Piece]]:
        """Piece by piece through so many images, where a column has so many bytes."""
        group = PIECE_BYTES // max(column_bytes * self.rows * self.columns, 1)
        if group > 1:
            for start in range(0, images, group):
                stop = min(start + group, images)
                yield slice(start, stop), Piece(stop - start, 0, self.rows)
            return
        height = max(PIECE_BYTES // max(column_bytes * self.columns, 1), 1)
        for image in range(images):
            for top in range(0, self.output[0], height):
                bottom = min(top + height, self.output[0])
                yield slice(image, image + 1), Piece(1, top, bottom)
