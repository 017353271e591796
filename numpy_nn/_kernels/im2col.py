"""Convolutions as matrix products.

A convolution is a matrix product once the values under the kernel stand in a column for each
position (im2col). The images lie in memory with the batch last, (C, H, W, N): then the values
under one point of the kernel, for a row of positions and all images, are one long run, and
columns are made by few, long copies. The product has the same layout, so that nothing is moved
afterwards. A few positions are done at a time, so that their columns stay in the cache.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .memory import empty, empty_like

# Bytes of the columns that are made at a time: they should stay in the processor's cache.
PIECE_BYTES = 1 << 20
# Before it multiplies, a BLAS copies the kernels into an order of its own, and a sum dW is as large
# as they are: products with fewer columns than these spend their time on that.
FEWEST_COLUMNS = 256
# Up to so many multiplications OpenBLAS with AVX-512 copies nothing at all
# (kernel/x86_64/sgemm_small_kernel_permit_skylakex.c), which saves the first layer of a network a
# third. Shorter pieces would cost another BLAS more than they save this one.
UNCOPIED, LONG = 10**6, 3000


def batch_last(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as (C, H, W, N), one after the other in memory; a copy where it is not so."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0))


def batch_first(images: np.ndarray) -> np.ndarray:
    """(C, H, W, N) as (N, C, H, W): a view, of which ``batch_last`` needs no copy."""
    return images.transpose(3, 0, 1, 2)


class Axis(NamedTuple):
    """The positions of a kernel along one axis of an image.

    Attributes:
        size: how many values there are.
        kernel: how many points the kernel has.
        stride: the step from one position to the next.
        dilation: the step from one point of the kernel to the next.
        before: zeros before the first value; below 0, how many values are left out.
        positions: how many positions there are.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    positions: int

    @property
    def reach(self) -> int:
        """How many places the positions reach over, zeros included."""
        return (self.positions - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def seen(self) -> slice:
        """Which values are among these places."""
        start = min(max(-self.before, 0), self.size)
        return slice(start, max(min(self.size, self.reach - self.before), start))

    @property
    def places(self) -> slice:
        """Where among these places they stand."""
        return slice(self.seen.start + self.before, self.seen.stop + self.before)


class Piece(NamedTuple):
    """Some whole rows of positions, or a part of one row.

    Attributes:
        rows: which along the height.
        columns: which along the width.
        run: which of all H'·W'·N positions these are.
    """

    rows: slice
    columns: slice
    run: slice


class Windows:
    """The windows of a kernel on images: the columns of what is under it, and their products.

    Images are of shape (C, H, W, N), a matrix W of the kernels is (groups, O, C / groups · kernel)
    with the output channels O of one group.

    Args:
        down: the positions along the height.
        across: the positions along the width.

    Attributes:
        output: H' and W', how many positions there are along both axes.

    Example:
        >>> axis = Axis(size=3, kernel=2, stride=1, dilation=1, before=0, positions=2)
        >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
        >>> for piece, columns in Windows(axis, axis).see(image, np.ones((1, 1, 4))):
        ...     piece.run, columns[:, 1].tolist()  # at the second position
        (slice(0, 4, None), [1.0, 2.0, 4.0, 5.0])
    """

    def __init__(self, down: Axis, across: Axis) -> None:
        self.down, self.across = down, across
        self.output = down.positions, across.positions
        self._points = down.kernel * across.kernel

    def convolve(self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
        """y = W X + b, with the columns X of x."""
        groups, outputs, _ = w.shape
        y = empty((groups * outputs, *self.output, x.shape[3]), x.dtype)
        for piece, columns in self.see(x, w):
            part = _by_group(y, groups)[:, :, piece.run]
            np.matmul(w, _by_group(columns, groups), out=part)
            if b is not None:
                part += b.reshape(groups, -1, 1)
        return y

    def convolve_backward(
        self, x: np.ndarray, w: np.ndarray, dy: np.ndarray, input_too: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """dW = dy Xᵀ, and dx, to which the columns dX = Wᵀ dy are added where they came from.

        Args:
            x: the images.
            w: W.
            dy: the gradient by y.
            input_too: whether dx is wanted; None stands for it otherwise.
        """
        if self.down.stride == self.across.stride == 1 and len(dy) <= 2 * len(x):
            return self._convolve_back(x, w, dy, input_too)
        groups, w_transposed = len(w), w.swapaxes(1, 2)
        dw = np.zeros_like(w_transposed, order="C")  # faster with the long side first
        padded = self.zeros(len(x), x.shape[3], x.dtype) if input_too else None
        for piece, columns in self.see(x, w):
            part = _by_group(dy, groups)[:, :, piece.run]
            dw += _by_group(columns, groups) @ part.swapaxes(1, 2)
            if padded is not None:
                self.add(padded, piece, w_transposed @ part)
        return dw.swapaxes(1, 2), None if padded is None else self.crop(padded)

    def _convolve_back(
        self, x: np.ndarray, w: np.ndarray, dy: np.ndarray, input_too: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The same with stride 1: dx is the convolution of dy with the kernel turned by 180°.

        Then the columns are dy's and serve both gradients: with Y for them and W′ for the turned
        kernel, dx = W′ Y and dW′ = x Yᵀ. Nothing has to be added back to its place.
        """
        groups, outputs, _ = w.shape
        shape = (groups, outputs, len(x) // groups, self.down.kernel, self.across.kernel)
        turned = _turn(w.reshape(shape))
        w = turned.reshape(groups, len(x) // groups, -1)
        dw = np.zeros_like(w.swapaxes(1, 2), order="C")
        dx = empty_like(x) if input_too else None
        for piece, columns in self._windows_of_gradient().see(dy, w):
            seen = _by_group(columns, groups)
            if dx is not None:
                np.matmul(w, seen, out=_by_group(dx, groups)[:, :, piece.run])
            dw += seen @ _by_group(x, groups)[:, :, piece.run].swapaxes(1, 2)
        return _turn(dw.swapaxes(1, 2).reshape(turned.shape)), dx

    def _windows_of_gradient(self) -> "Windows":
        """Those of the turned kernel on dy: a position for each value of x."""
        return Windows(
            *(
                axis._replace(
                    size=axis.positions,
                    before=axis.dilation * (axis.kernel - 1) - axis.before,
                    positions=axis.size,
                )
                for axis in (self.down, self.across)
            )
        )

    def transpose(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Images with the columns Wᵀ x added where they belong: the transpose of a convolution."""
        groups, _, columns = w.shape
        channels = groups * columns // self._points
        padded = self.zeros(channels, x.shape[3], x.dtype)
        for piece in self.pieces(w.swapaxes(1, 2), channels, x.shape[3]):
            part = _by_group(x, groups)[:, :, piece.run]
            self.add(padded, piece, w.swapaxes(1, 2) @ part)
        return self.crop(padded)

    def transpose_backward(
        self, x: np.ndarray, w: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """dW = x Yᵀ and dx = W Y, with the columns Y of dy."""
        groups = len(w)
        dx, dw = np.empty_like(x), np.zeros_like(w)
        for piece, columns in self.see(dy, w):
            seen = _by_group(columns, groups)
            np.matmul(w, seen, out=_by_group(dx, groups)[:, :, piece.run])
            dw += _by_group(x, groups)[:, :, piece.run] @ seen.swapaxes(1, 2)
        return dw, dx

    def see(self, images: np.ndarray, w: np.ndarray) -> Iterator[tuple[Piece, np.ndarray]]:
        """Piece by piece the columns (C · kernel, positions) of (C, H, W, N), for products with W.

        They are overwritten by the next ones: memory that is given back and asked for again
        costs more than the copy into it.
        """
        windows = self._on(self.pad(images))
        room = np.empty(0, images.dtype)
        for piece in self.pieces(w, len(images), images.shape[3]):
            columns = windows[:, :, :, piece.rows, piece.columns]
            if self._points > 1:  # otherwise the images themselves will do
                if room.size < columns.size:  # the first piece is the largest
                    room = empty((columns.size,), images.dtype)
                copy = room[: columns.size].reshape(columns.shape)
                copy[...] = columns
                columns = copy
            yield piece, columns.reshape(len(images) * self._points, -1)

    def add(self, padded: np.ndarray, piece: Piece, columns: np.ndarray) -> None:
        """Add the columns of a piece to padded images, each value where it was seen."""
        windows = self._on(padded)[:, :, :, piece.rows, piece.columns]
        columns = columns.reshape(windows.shape)
        for point in np.ndindex(*windows.shape[1:3]):
            windows[:, *point] += columns[:, *point]

    def pad(self, images: np.ndarray) -> np.ndarray:
        """Of (C, H, W, N) all that is seen, with zeros where no image is."""
        down, across = self.down, self.across
        if (images.shape[1], images.shape[2]) == (down.reach, across.reach) and not (
            down.before or across.before
        ):
            return images
        padded = self.zeros(len(images), images.shape[3], images.dtype)
        padded[:, down.places, across.places] = images[:, down.seen, across.seen]
        return padded

    def crop(self, padded: np.ndarray) -> np.ndarray:
        """The images (C, H, W, N) of padded ones; 0 where nothing is seen."""
        down, across = self.down, self.across
        images = empty((len(padded), down.size, across.size, padded.shape[3]), padded.dtype)
        images.fill(0)
        images[:, down.seen, across.seen] = padded[:, down.places, across.places]
        return images

    def zeros(self, channels: int, batch: int, dtype: np.dtype) -> np.ndarray:
        """Padded images of zeros."""
        padded = empty((channels, self.down.reach, self.across.reach, batch), dtype)
        padded.fill(0)
        return padded

    def pieces(self, w: np.ndarray, channels: int, batch: int) -> Iterator[Piece]:
        """The pieces in which images are done, as large as the cache allows, or W asks for."""
        height, width = self.output
        run = PIECE_BYTES // max(channels * self._points * w.itemsize, 1)
        run = max(run, FEWEST_COLUMNS)
        if (uncopied := UNCOPIED // max(w[0].size, 1)) >= LONG:
            run = min(run, uncopied)
        count = max(run // max(batch, 1), 1)
        rows, columns = max(count // width, 1), min(count, width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            for left in range(0, width, columns):
                right = min(left + columns, width)
                first, last = top * width + left, (bottom - 1) * width + right
                yield Piece(
                    slice(top, bottom), slice(left, right), slice(first * batch, last * batch)
                )

    def _on(self, padded: np.ndarray) -> np.ndarray:
        """What stands under the kernel, as a view: (C, kernel height, width, H', W', N)."""
        channel, row, column, image = padded.strides
        down, across = self.down, self.across
        return np.ndarray(
            (len(padded), down.kernel, across.kernel, *self.output, padded.shape[3]),
            padded.dtype,
            padded,
            strides=(
                channel,
                row * down.dilation,
                column * across.dilation,
                row * down.stride,
                column * across.stride,
                image,
            ),
        )


def _by_group(array: np.ndarray, groups: int) -> np.ndarray:
    """(channels, …) as (groups, channels / groups, positions), a view."""
    return array.reshape(groups, len(array) // groups, math.prod(array.shape[1:]))


def _turn(w: np.ndarray) -> np.ndarray:
    """Kernels (groups, to, from, height, width) turned by 180°, from and to exchanged: a copy."""
    return np.ascontiguousarray(w[..., ::-1, ::-1].swapaxes(1, 2))
