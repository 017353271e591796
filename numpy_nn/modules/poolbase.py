"""The windows of a pooling layer."""

from typing import Any

import numpy as np

from .checks import check_input
from .module import Module
from .pairs import pair

Span = tuple[slice, slice]


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

    def _spans(self, size: int, output: int, axis: int) -> list[Span]:
        """For each point of the kernel: which places of the axis it meets, in which windows."""
        stride, spans = self._stride[axis], []
        for point in range(self._kernel[axis]):
            offset = point * self._dilation[axis] - self._padding[axis]
            first = max(-(offset // stride), 0)
            last = min((size - 1 - offset) // stride, output - 1)
            if last < first:  # it meets padding in every window
                spans.append((slice(0, 0), slice(0, 0)))
                continue
            places = slice(first * stride + offset, last * stride + offset + 1, stride)
            spans.append((places, slice(first, last + 1)))
        return spans
