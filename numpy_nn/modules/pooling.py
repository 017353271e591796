"""Pooling of images: the largest, or the average, of the values in each window."""

from typing import Any

import numpy as np

from ..memory import empty_like
from .bits import take_out
from .blocks import slabs
from .checks import check_grad_output
from .poolbase import _Pool2d


class MaxPool2d(_Pool2d):
    """The largest value of each window.

    Formula, with stride s and dilation d, over the points k, l of the window that lie within
    the image:
        y꜀ᵢⱼ = max x꜀,ₛᵢ₊dₖ₋ₚ,ₛⱼ₊dₗ₋ₚ; dx is dy added at the place where the maximum stands.

    Convention: of equal values the first in the order of reading (row by row) gets the
    gradient, and NaN is larger than any number, the last one counting, as in PyTorch.

    Args:
        kernel_size: of the window; one number or (height, width).
        stride: from one window to the next; ``kernel_size`` where it is None.
        padding: places on every side in which nothing stands; at most half the window.
        dilation: from one point of the window to the next.
        return_indices: False only.
        ceil_mode: whether windows may hang over the end, instead of being left out.

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, C, H', W') or (C, H', W') with
        H' = ⌊(H + 2 padding − dilation (kernel_size − 1) − 1) / stride⌋ + 1, or ⌈…⌉ + 1.

    Raises:
        NotImplementedError: if return_indices is True.
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> MaxPool2d(2)(numpy.arange(16.0).reshape(1, 4, 4))
        array([[[ 5.,  7.],
                [13., 15.]]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if return_indices:
            raise NotImplementedError(
                "MaxPool2d(return_indices=True) is not supported: a layer of numpy_nn returns one "
                "array. Leave return_indices=False"
            )
        self.dilation = dilation
        self.return_indices = return_indices
        self._set_window(kernel_size, stride, padding, ceil_mode)
        self._disjoint = all(
            s >= d * (k - 1) + 1
            for k, s, d in zip(self._kernel, self._stride, self._dilation, strict=True)
        )

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute the maxima, point by point of the window, and remember where they grew."""
        height, width = self._output_size(input)
        self._shape = input.shape
        self._points = self._points_of(input.shape, (height, width))
        y = empty_like(input, shape=(*input.shape[:-2], height, width))
        y.fill(-np.inf)
        self._grew = [empty_like(y[windows], dtype=bool) for _, windows in self._points]
        for slab in slabs(input, input.ndim - 2):
            for grew, (places, windows) in zip(self._grew, self._points, strict=True):
                # A copy, after which both operations have their values side by side.
                x, best = np.array(input[slab][places]), y[slab][windows]
                np.greater(x, best, out=grew[slab])
                np.maximum(best, x, out=best)
        if not np.isfinite(y).all():
            firsts = self._first_points(height, width)
            for point, (places, windows) in enumerate(self._points):
                self._grew[point] |= np.isnan(input[places])
                self._grew[point] |= (firsts == point)[windows[1:]]  # even if it is −∞
        self._output_shape, self._dtype = y.shape, y.dtype
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx: dy where the maxima came from, the last point at which they grew."""
        found = self._saved("_grew")
        check_grad_output(self, grad_output, self._output_shape, self._dtype)
        rest = empty_like(found[0], shape=self._output_shape, dtype=self._dtype)
        rest[...] = grad_output
        dx = empty_like(rest, shape=self._shape)
        if not (self._disjoint and sum(grew.size for grew in found) == dx.size):
            dx.fill(0)  # otherwise each place is met just once
        for slab in slabs(dx, dx.ndim - 2):
            for grew, (places, windows) in zip(found[::-1], self._points[::-1], strict=True):
                taken = take_out(grew[slab], rest[slab][windows])
                if self._disjoint:
                    dx[slab][places] = taken
                else:
                    dx[slab][places] += taken
        return dx

    def _points_of(self, shape: tuple[int, ...], output: tuple[int, int]) -> list[Any]:
        """For each point of the window, in the order of reading, what it meets and where."""
        rows, columns = (self._spans(shape[axis - 2], output[axis], axis) for axis in (0, 1))
        return [
            ((..., places_y, places_x), (..., windows_y, windows_x))
            for places_y, windows_y in rows
            for places_x, windows_x in columns
        ]

    def _first_points(self, height: int, width: int) -> np.ndarray:
        """For each window, its first point that is not padding."""
        firsts = []
        for axis, windows in enumerate((height, width)):
            missing = self._padding[axis] - self._stride[axis] * np.arange(windows)
            firsts.append(-(-missing.clip(0) // self._dilation[axis]))
        return firsts[0][:, None] * self._kernel[1] + firsts[1]

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(_Pool2d):
    """The average of each window.

    Formula, with stride s, over the points k, l of the window that lie within the image:
        y꜀ᵢⱼ = Σₖₗ x꜀,ₛᵢ₊ₖ₋ₚ,ₛⱼ₊ₗ₋ₚ / m; dx has dy꜀ᵢⱼ / m added at each of these places.

    Convention: m counts the places in the padding unless ``count_include_pad`` is False, and
    never those behind the padding, into which ``ceil_mode`` lets a window hang; as in PyTorch.

    Args:
        kernel_size: of the window; one number or (height, width).
        stride: from one window to the next; ``kernel_size`` where it is None.
        padding: zeros on every side; at most half the window.
        ceil_mode: whether windows may hang over the end, instead of being left out.
        count_include_pad: whether the zeros count.
        divisor_override: m, whatever the window, or None.

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, C, H', W') or (C, H', W') with
        H' = ⌊(H + 2 padding − kernel_size) / stride⌋ + 1, or ⌈…⌉ + 1.

    Raises:
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> AvgPool2d(2)(numpy.arange(16.0).reshape(1, 4, 4))
        array([[[ 2.5,  4.5],
                [10.5, 12.5]]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        if divisor_override == 0:
            raise ValueError("divisor_override must not be 0")
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self._set_window(kernel_size, stride, padding, ceil_mode)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute the averages: sums over the rows of the windows, and then over their columns."""
        height, width = self._output_size(input)
        self._shape = input.shape
        self._rows = self._spans(input.shape[-2], height, 0)
        self._columns = self._spans(input.shape[-1], width, 1)
        self._divisor = self._counts(height, width).astype(input.dtype)
        over_rows = np.zeros_like(input, shape=(*input.shape[:-2], height, input.shape[-1]))
        for places, windows in self._rows:
            over_rows[..., windows, :] += input[..., places, :]
        y = np.zeros_like(input, shape=(*input.shape[:-2], height, width))
        for places, windows in self._columns:
            y[..., windows] += over_rows[..., places]
        y /= self._divisor
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx: dy / m, added to each place of the window."""
        divisor = self._saved("_divisor")
        shape = self._shape
        check_grad_output(self, grad_output, (*shape[:-2], *divisor.shape), divisor.dtype)
        dy = grad_output / divisor
        across = np.zeros_like(dy, shape=(*dy.shape[:-1], shape[-1]))
        for places, windows in self._columns:
            across[..., places] += dy[..., windows]
        dx = np.zeros_like(dy, shape=shape)
        for places, windows in self._rows:
            dx[..., places, :] += across[..., windows, :]
        return dx

    def _counts(self, height: int, width: int) -> np.ndarray:
        """m for each window."""
        if self.divisor_override is not None:
            return np.full((height, width), self.divisor_override)
        counts = []
        for axis, windows in enumerate((height, width)):
            size, padding = self._shape[axis - 2], self._padding[axis]
            start = self._stride[axis] * np.arange(windows) - padding
            end = np.minimum(start + self._kernel[axis], size + padding)
            if not self.count_include_pad:
                start, end = start.clip(0), end.clip(max=size)
            counts.append(end - start)
        return counts[0][:, None] * counts[1]

    def extra_repr(self) -> str:
        """The constructor's arguments, as PyTorch prints them."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
