"""Pooling of images: the largest, or the average, of the values in each window."""

import math
from typing import Any

import numpy as np

from .._kernels import pooling
from .module import Module
from .validation import check_grad_output, check_input, pair

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d"]


class _Pool2d(Module):
    """The windows of a pooling layer; they slide along both axes as in MaxPool2d."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any = 1
    ceil_mode: bool

    def _set_window(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None or stride == () else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self._kernel = pair("kernel_size", self.kernel_size)
        self._stride = pair("stride", self.stride)
        self._padding = pair("padding", padding)
        self._dilation = pair("dilation", self.dilation)
        for name in ("kernel_size", "stride", "dilation"):
            if min(pair(name, value := getattr(self, name))) < 1:
                raise ValueError(f"{name} must be positive. Received: {value}")
        for k, p in zip(self._kernel, self._padding, strict=True):
            if not 0 <= p <= k // 2:
                raise ValueError(
                    f"padding must be at least 0 and at most half of kernel_size={kernel_size}. "
                    f"Received: {padding}"
                )

    def _output_size(self, input: np.ndarray) -> tuple[int, int]:
        """Height and width of the output, of an input that is checked."""
        check_input(self, input)
        if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
            raise ValueError(
                f"{type(self).__name__} expects (N, C, H, W) or (C, H, W), none but N of them 0. "
                f"Received: shape {input.shape}"
            )
        sizes = []
        for axis, size in enumerate(input.shape[-2:]):
            stride, padding = self._stride[axis], self._padding[axis]
            room = size + 2 * padding - self._dilation[axis] * (self._kernel[axis] - 1) - 1
            output = (-(-room // stride) if self.ceil_mode else room // stride) + 1
            # A window that would begin behind the image and its padding is left out.
            if self.ceil_mode and (output - 1) * stride >= size + padding:
                output -= 1
            sizes.append(output)
        if min(sizes) < 1:
            raise ValueError(
                f"{type(self).__name__}: kernel_size={self.kernel_size} is too large. "
                f"Received: shape {input.shape}, for which the output would be "
                f"{sizes[0]} by {sizes[1]}"
            )
        return sizes[0], sizes[1]

    def _spans(self, size: int, output: int, axis: int) -> list[pooling.Span]:
        """For each point of the window: which places of the axis it meets, in which windows."""
        kernel, stride, padding = self._kernel[axis], self._stride[axis], self._padding[axis]
        return pooling.spans(kernel, stride, padding, self._dilation[axis], size, output)


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
        self._shape, self._dtype = input.shape, input.dtype
        self._points = pooling.points(
            self._spans(input.shape[-2], height, 0), self._spans(input.shape[-1], width, 1)
        )
        y, self._grew = pooling.maxima(input, (height, width), self._points)
        if not np.isfinite(y).all():
            firsts = self._first_points(height, width)
            for point, (places, windows) in enumerate(self._points):
                self._grew[point] |= np.isnan(input[places])
                self._grew[point] |= (firsts == point)[windows[1:]]  # even if it is −∞
        self._output_shape = y.shape
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx: dy where the maxima came from, the last point at which they grew."""
        grew = self._saved("_grew")
        check_grad_output(self, grad_output, self._output_shape, self._dtype)
        return pooling.maxima_backward(grad_output, self._shape, self._points, grew, self._disjoint)

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
        """Compute y = Σ x / m."""
        size = height, width = self._output_size(input)
        self._shape = input.shape
        self._rows = self._spans(input.shape[-2], height, 0)
        self._columns = self._spans(input.shape[-1], width, 1)
        self._divisor = self._counts(height, width).astype(input.dtype)
        y = pooling.sums(input, size, self._rows, self._columns)
        y /= self._divisor
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx: dy / m, added to each place of the window."""
        m, shape = self._saved("_divisor"), self._shape
        check_grad_output(self, grad_output, (*shape[:-2], *m.shape), m.dtype)
        return pooling.sums_backward(grad_output / m, shape, self._rows, self._columns)

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


class AdaptiveAvgPool2d(Module):
    """The average of each window, of a given number of windows.

    Formula: window i of m along an axis of n places goes from ⌊i n / m⌋ up to, and without,
    ⌈(i + 1) n / m⌉; y is the average of the window, dx has dy / size added at its places.

    Args:
        output_size: windows along both axes; one number or (height, width). None stands for
            as many as there are places.

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, C, H', W') or (C, H', W').

    Raises:
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> AdaptiveAvgPool2d((1, 2))(numpy.arange(9.0).reshape(1, 3, 3))
        array([[[3.5, 4.5]]])
    """

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_size
        sizes = output_size if isinstance(output_size, tuple | list) else (output_size,) * 2
        if len(sizes) != 2 or any(size is not None and size < 0 for size in sizes):
            raise ValueError(
                "output_size must be a number that is not negative, or two of them, or None. "
                f"Received: {output_size}"
            )
        self._sizes = sizes

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute the averages: over the rows of the windows, and then over their columns."""
        check_input(self, input)
        if input.ndim not in (3, 4) or 0 in input.shape[-2:]:
            raise ValueError(
                "AdaptiveAvgPool2d expects (N, C, H, W) or (C, H, W), neither H nor W 0. "
                f"Received: shape {input.shape}"
            )
        self._shape, self._dtype = input.shape, input.dtype
        self._rows, self._columns = (
            _adaptive_windows(size, size if wanted is None else wanted)
            for size, wanted in zip(input.shape[-2:], self._sizes, strict=True)
        )
        over_rows = np.empty_like(
            input, shape=(*input.shape[:-2], len(self._rows), input.shape[-1])
        )
        for row, window in enumerate(self._rows):
            over_rows[..., row, :] = input[..., window, :].mean(axis=-2)
        y = np.empty_like(input, shape=(*over_rows.shape[:-1], len(self._columns)))
        for column, window in enumerate(self._columns):
            y[..., column] = over_rows[..., window].mean(axis=-1)
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return dx: dy / size, added to each place of the window."""
        shape = self._saved("_shape")
        output = (*shape[:-2], len(self._rows), len(self._columns))
        check_grad_output(self, grad_output, output, self._dtype)
        across = np.zeros_like(grad_output, shape=(*output[:-1], shape[-1]))
        for column, window in enumerate(self._columns):
            across[..., window] += _share(grad_output[..., column, None], window)
        dx = np.zeros_like(grad_output, shape=shape)
        for row, window in enumerate(self._rows):
            dx[..., window, :] += _share(across[..., row, None, :], window)
        return dx

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"output_size={self.output_size}"


def _adaptive_windows(size: int, windows: int) -> list[slice]:
    return [slice(i * size // windows, math.ceil((i + 1) * size / windows)) for i in range(windows)]


def _share(grad: np.ndarray, window: slice) -> np.ndarray:
    """The gradient by each value of a mean over the window."""
    return grad / grad.dtype.type(window.stop - window.start)
