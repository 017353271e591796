"""Transposed convolution of images."""

from typing import Any

import numpy as np

from .checks import check_grad_output
from .convbase import _ConvBase
from .im2col import Axis, Windows, batch_first, batch_last
from .pairs import pair


class ConvTranspose2d(_ConvBase):
    """The transpose of a convolution: its output is as a convolution's input gradient.

    Formula, with stride s, dilation d, before the padding is taken off:
        yₙₒ is bₒ, with Σ꜀ W꜀ₒₖₗ xₙ꜀ᵢⱼ added at (si + dk, sj + dl), for every i, j, k, l;
        dW꜀ₒₖₗ = Σₙᵢⱼ xₙ꜀ᵢⱼ dyₙ,ₒ,ₛᵢ₊dₖ,ₛⱼ₊dₗ,  dbₒ = Σₙᵢⱼ dyₙₒᵢⱼ,
        dxₙ꜀ᵢⱼ = Σₒₖₗ W꜀ₒₖₗ dyₙ,ₒ,ₛᵢ₊dₖ,ₛⱼ₊dₗ.

    As computed: with the values of dy under the kernel as the columns of a matrix Y (see
    ``im2col``), those of y come from Wᵀ x, dW = x Yᵀ and dx = W Y.

    Args:
        in_channels: C, the channels of the input.
        out_channels: O, the channels of the output.
        kernel_size: of both axes, or (height, width).
        stride: the step between the places where two neighbours are added.
        padding: what is taken off on every side.
        output_padding: what is added below and to the right; less than stride or dilation.
        groups: into how many parts the channels fall.
        bias: whether there is a b.
        dilation: the step from one point of the kernel to the next.
        padding_mode: "zeros" only, as in PyTorch.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (N, C, H, W) or one image (C, H, W); output (N, O, H', W') or (O, H', W') with
        H' = (H − 1) stride − 2 padding + dilation (kernel_size − 1) + output_padding + 1.

    Attributes:
        weight: W of shape (C, O / groups, height, width), drawn from U(−k, k) with
            k = 1/√(O / groups · height · width), as PyTorch draws it.
        bias: b of shape (O,), from the same distribution, or None.

    Raises:
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input's dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = ConvTranspose2d(16, 8, 2, stride=2)
        >>> layer(numpy.ones((32, 16, 7, 7), numpy.float32)).shape
        (32, 8, 14, 14)
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, in_channels, out_channels, groups, padding_mode, device)
        if padding_mode != "zeros":
            raise ValueError(
                "Only 'zeros' padding mode is supported for ConvTranspose2d. "
                f"Received: {padding_mode!r}"
            )
        if isinstance(padding, str):
            raise TypeError(f"padding must be one number or two. Received: {padding!r}")
        self._set_window(kernel_size, stride, padding, dilation)
        self.output_padding = self._extra = pair("output_padding", output_padding)
        for extra, step, dilated in zip(self._extra, self._stride, self._dilation, strict=True):
            if not 0 <= extra < max(step, dilated):
                raise ValueError(
                    "output_padding must not be negative, and smaller than stride or dilation. "
                    f"Received: {self.output_padding} with {self.stride} and {self.dilation}"
                )
        self._make_parameters((in_channels, out_channels // groups), bias, dtype)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y, from Wᵀ x."""
        images = self._images(input)
        self._windows = windows = self._windows_of((images.shape[2], images.shape[3]))
        self._input = x = batch_last(images)
        padded = windows.zeros(self.out_channels, x.shape[3], x.dtype)
        for piece in windows.pieces(self.out_channels, x.shape[3], x.itemsize):
            part = self._by_group(x)[:, :, piece.run]
            windows.add(padded, piece, self._weight_by_group().swapaxes(1, 2) @ part)
        y = windows.crop(padded)
        if self.bias is not None:
            y += self.bias.data[:, None, None, None]
        return self._as_given(batch_first(y))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW = x Yᵀ and db = Σ dy to the gradients; return dx = W Y."""
        x, windows, w = self._saved("_input"), self._windows, self._weight_by_group()
        size = windows.down.size, windows.across.size
        shape = self._shape_as_given((x.shape[3], self.out_channels, *size))
        check_grad_output(self, grad_output, shape, x.dtype)
        dy = batch_last(self._as_images(grad_output))
        dx, dw = np.empty_like(x), np.zeros_like(w)
        for piece, columns in windows.see(dy):
            seen = self._by_group(columns)
            np.matmul(w, seen, out=self._by_group(dx)[:, :, piece.run])
            dw += self._by_group(x)[:, :, piece.run] @ seen.swapaxes(1, 2)
        self.weight.accumulate_grad(dw.reshape(self.weight.shape))
        if self.bias is not None:
            self.bias.accumulate_grad(dy.reshape(len(dy), -1).sum(axis=1))
        return self._as_given(batch_first(dx))

    def _weight_by_group(self) -> np.ndarray:
        """W of shape (groups, C / groups, O / groups · kernel)."""
        return self.weight.data.reshape(self.groups, self.in_channels // self.groups, -1)

    def _windows_of(self, size: tuple[int, int]) -> Windows:
        """The windows on the output: a position for each value of an input of this size."""
        axes = [
            Axis((n - 1) * s - sum(pad) + d * (k - 1) + extra + 1, k, s, d, pad[0], n)
            for n, s, pad, d, k, extra in zip(
                size,
                self._stride,
                self._padding,
                self._dilation,
                self._kernel,
                self._extra,
                strict=True,
            )
        ]
        if min(axis.size for axis in axes) < 1:
            raise ValueError(
                f"ConvTranspose2d: padding {self.padding} leaves an output of {axes[0].size} by "
                f"{axes[1].size}. Received: shape {self._given}"
            )
        return Windows(*axes)
