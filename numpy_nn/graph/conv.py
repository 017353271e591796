"""Convolution of images."""

import math

from .. import modules
from ..modules.checks import check_input
from ..modules.padding import sources
from .graph import Value
from .layer import Composed
from .windows import windows


class Conv2d(Composed, modules.Conv2d):
    """The convolution of :class:`numpy_nn.Conv2d`, by picking windows and one matrix product.

    Formula, with the values under the kernel as the columns of a matrix X: y = W X + b; for
    each group of channels on its own.
    """

    def compose(self, x: Value, weight: Value, bias: Value | None) -> Value:
        """Pad, pick the windows, multiply, add."""
        check_input(self, x.data, weight.data.dtype)
        if x.ndim not in (3, 4) or x.shape[-3] != self.in_channels or 0 in x.shape[-2:]:
            raise ValueError(
                f"Conv2d expects (N, C, H, W) or (C, H, W) with C = in_channels = "
                f"{self.in_channels} and images that are not empty. Received: shape {x.shape}"
            )
        batch = x if x.ndim == 4 else x.reshape(1, *x.shape)
        padded = self._pad(batch)
        n, c, *size = padded.shape
        height, width = (
            (length - d * (k - 1) - 1) // s + 1
            for length, k, s, d in zip(
                size, self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        if min(height, width) < 1:
            raise ValueError(
                f"Conv2d: the kernel {self.kernel_size} with dilation {self.dilation} is larger "
                f"than the padded input {tuple(size)}. Received: shape {x.shape}"
            )

        picked = windows(padded, self.kernel_size, self.stride, self.dilation, (height, width))
        depth = c // self.groups * math.prod(self.kernel_size)
        columns = picked.transpose(1, 2, 3, 0, 4, 5).reshape(self.groups, depth, n * height * width)
        y = weight.reshape(self.groups, self.out_channels // self.groups, depth) @ columns
        y = y.reshape(self.out_channels, n, height, width).transpose(1, 0, 2, 3)
        if bias is not None:
            y = y + bias.reshape(-1, 1, 1)
        return y if x.ndim == 4 else y.reshape(*y.shape[1:])

    def _pad(self, x: Value) -> Value:
        """With a border of zeros, or of values picked from the image itself."""
        if self.padding == "valid":
            return x
        if self.padding == "same":
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            rows, columns = ((r // 2, r - r // 2) for r in reach)
        else:
            rows, columns = ((p, p) for p in self.padding)
        if self.padding_mode == "zeros":
            return x.pad((0, 0), (0, 0), rows, columns)
        down, across = (
            sources(self.padding_mode, length, around)
            for length, around in zip(x.shape[2:], (rows, columns), strict=True)
        )
        return x[:, :, down[:, None], across]
