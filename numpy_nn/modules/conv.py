"""Convolution of images."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import init
from ..parameter import Parameter
from .checks import check_device, check_grad_output, check_input, float_dtype
from .module import Module
from .padding import PADDING_MODES, pad, pad_backward, sources
from .pairs import pair
from .strip import Piece, Strip

PADDING_STRINGS = ("same", "valid")


class Conv2d(Module):
    """A convolution (a cross-correlation, as everywhere in this field) of images.

    Formula, with x̃ the padded input, stride s, dilation d:
        yₙₒᵢⱼ = bₒ + Σ꜀ₖₗ Wₒ꜀ₖₗ x̃ₙ,꜀,ₛᵢ₊dₖ,ₛⱼ₊dₗ;
        dWₒ꜀ₖₗ = Σₙᵢⱼ dyₙₒᵢⱼ x̃ₙ,꜀,ₛᵢ₊dₖ,ₛⱼ₊dₗ,  dbₒ = Σₙᵢⱼ dyₙₒᵢⱼ,
        dx̃ₙ꜀ has Σₒ Wₒ꜀ₖₗ dyₙₒᵢⱼ added at (si + dk, sj + dl), for every i, j, k, l.
    With ``groups`` the channels fall into so many parts, and each output channel sees the
    input channels of its own part alone.

    As computed: with the values under the kernel as the columns of a matrix X (see
    ``strip``), y = W X + b, dW = dy Xᵀ and dX = Wᵀ dy, some images at a time.

    Convention: with padding "same" and an odd number of zeros to add, the greater half comes
    after the image, as in PyTorch.

    Args:
        in_channels: C, the channels of the input.
        out_channels: O, the channels of the output.
        kernel_size: of both axes, or (height, width).
        stride: the step from one position to the next; one number or two.
        padding: what is added on every side; one number or two, or "valid" for none, or
            "same" for as much as gives the output the input's size (with stride 1 alone).
        dilation: the step from one point of the kernel to the next; one number or two.
        groups: into how many parts the channels fall.
        bias: whether there is a b.
        padding_mode: "zeros", "reflect" (mirrored without the edge), "replicate" (the edge
            again) or "circular" (the other side).
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (N, C, H, W) or one image (C, H, W); output (N, O, H', W') or (O, H', W') with
        H' = ⌊(H + 2 padding − dilation (kernel_size − 1) − 1) / stride⌋ + 1. N may be 0.

    Attributes:
        weight: W of shape (O, C / groups, height, width), drawn from U(−k, k) with
            k = 1/√(C / groups · height · width), as PyTorch draws it.
        bias: b of shape (O,), from the same distribution, or None.

    Raises:
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input's dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = Conv2d(1, 16, 3, padding=1)
        >>> layer(numpy.ones((32, 1, 28, 28), numpy.float32)).shape
        (32, 16, 28, 28)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        dtype = float_dtype(dtype)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = padding if isinstance(padding, str) else pair("padding", padding)
        self.dilation = pair("dilation", dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check_arguments()
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.empty(shape, dtype))
        if bias:
            self.bias = Parameter(np.empty(out_channels, dtype))
        else:
            self.register_parameter("bias", None)
        self._input: np.ndarray | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again, from the default generator."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in > 0:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = W X + b."""
        x = self._padded(input)
        self._input, self._shape = x, input.shape
        strip, w = self._strip, self._weight_by_group()
        b = x.dtype.type(0) if self.bias is None else self.bias.data[:, None, None]
        y = _channels_first(len(x), self.out_channels, strip.output, x.dtype)
        for images, piece, columns in self._columns(x):
            part = strip.outputs(w @ columns, piece)
            np.add(part, b, out=y[images, :, piece.top : piece.bottom])
        return y if input.ndim == 4 else y[0]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients; return dx, from dX = Wᵀ dy."""
        x = self._saved("_input")
        dx = _channels_first(len(x), self.in_channels, x.shape[2:], x.dtype)
        self._backward(grad_output, dx)
        if self._sources is not None:
            dx = pad_backward(dx, *self._sources, size=self._shape[-2:])
        return dx if len(self._shape) == 4 else dx[0]

    def backward_parameters(self, grad_output: np.ndarray) -> None:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients."""
        self._backward(grad_output, None)

    def _backward(self, grad_output: np.ndarray, dx: np.ndarray | None) -> None:
        """Add to the gradients, and write dx where it is wanted."""
        x, strip = self._saved("_input"), self._strip
        output = (len(x), self.out_channels, *strip.output)
        check_grad_output(self, grad_output, output[4 - len(self._shape) :], x.dtype)
        grads = grad_output if grad_output.ndim == 4 else grad_output[None]
        w = self._weight_by_group()
        dw, db = np.zeros_like(w), np.zeros(self.out_channels, x.dtype)
        for images, piece, columns in self._columns(x):
            dy = np.zeros((self.out_channels, columns.shape[2]), x.dtype)
            strip.outputs(dy, piece)[...] = grads[images, :, piece.top : piece.bottom]
            db += dy.sum(axis=1)
            dy = dy.reshape(self.groups, -1, columns.shape[2])
            dw += dy @ columns.swapaxes(1, 2)
            if dx is not None:
                if piece.top == 0:
                    scratch = strip.scratch(self.in_channels, piece.images, x.dtype)
                windows = strip.windows(scratch, piece)
                dcolumns = (w.swapaxes(1, 2) @ dy).reshape(windows.shape)
                for at in np.ndindex(*self.kernel_size):
                    windows[:, *at] += dcolumns[:, *at]
                if piece.bottom >= strip.output[0]:
                    dx[images] = strip.images(scratch, piece.images)
        self.weight.accumulate_grad(dw.reshape(self.weight.shape))
        if self.bias is not None:
            self.bias.accumulate_grad(db)

    def _columns(self, x: np.ndarray) -> Iterator[tuple[slice, Piece, np.ndarray]]:
        """Which images, which of their rows, and X for them: (groups, C / groups · k², …)."""
        strip, depth = self._strip, math.prod(self.weight.shape[1:])
        column_bytes = self.groups * depth * x.itemsize
        group = min(strip.group(column_bytes), len(x)) or 1
        scratch = strip.scratch(self.in_channels, group, x.dtype)
        for start in range(0, len(x), group):
            images = slice(start, min(start + group, len(x)))
            strip.images(scratch, images.stop - start)[...] = x[images]
            for piece in strip.pieces(images.stop - start, column_bytes):
                columns = strip.windows(scratch, piece)
                yield images, piece, columns.reshape(self.groups, depth, -1)

    def _weight_by_group(self) -> np.ndarray:
        return self.weight.data.reshape(self.groups, self.out_channels // self.groups, -1)

    def _padded(self, input: np.ndarray) -> np.ndarray:
        """The input, checked, as a batch, and padded unless it is by zeros."""
        check_input(self, input, self.weight.dtype)
        if input.ndim not in (3, 4) or input.shape[-3] != self.in_channels:
            raise ValueError(
                f"Conv2d expects (N, C, H, W) or (C, H, W) with C = in_channels = "
                f"{self.in_channels}. Received: shape {input.shape}"
            )
        if 0 in input.shape[-2:]:
            raise ValueError(f"Conv2d expects images that are not empty. Received: {input.shape}")
        x = input if input.ndim == 4 else input[None]
        padding = self._padding()
        self._sources: tuple[np.ndarray, np.ndarray] | None = None
        if self.padding_mode != "zeros":
            rows, columns = (
                sources(self.padding_mode, size, around)
                for size, around in zip(x.shape[2:], padding, strict=True)
            )
            self._sources = rows, columns
            x = pad(x, *self._sources)
            padding = (0, 0), (0, 0)
        self._strip = Strip(x.shape[2:], self.kernel_size, self.stride, self.dilation, padding)
        if min(self._strip.output) < 1:
            full = [n + sum(around) for n, around in zip(x.shape[2:], padding, strict=True)]
            raise ValueError(
                f"Conv2d: the kernel {self.kernel_size} with dilation {self.dilation} is larger "
                f"than the padded input {tuple(full)}. Received: shape {input.shape}"
            )
        return x

    def _padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What is added before and after, along both axes."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "same":
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            before, after = [r // 2 for r in reach], [r - r // 2 for r in reach]
            return (before[0], after[0]), (before[1], after[1])
        rows, columns = pair("padding", self.padding)
        return (rows, rows), (columns, columns)

    def _check_arguments(self) -> None:
        if self.groups < 1:
            raise ValueError(f"groups must be a positive integer. Received: {self.groups}")
        for name in ("in_channels", "out_channels"):
            if (channels := getattr(self, name)) % self.groups:
                raise ValueError(
                    f"{name} must be divisible by groups. Received: {channels} and {self.groups}"
                )
        for name in ("kernel_size", "stride", "dilation"):
            if min(numbers := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be positive. Received: {numbers}")
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {PADDING_MODES}. Received: {self.padding_mode!r}"
            )
        if not isinstance(self.padding, str):
            if min(self.padding) < 0:
                raise ValueError(f"padding must not be negative. Received: {self.padding}")
        elif self.padding not in PADDING_STRINGS:
            raise ValueError(
                f"padding must be one of {PADDING_STRINGS}, or numbers. Received: {self.padding!r}"
            )
        elif self.padding == "same" and self.stride != (1, 1):
            raise ValueError(
                f"padding='same' is not supported for strided convolutions. Received: stride "
                f"{self.stride}"
            )

    def extra_repr(self) -> str:
        """The constructor's arguments that are not the default."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, default in (
            ("padding", (0, 0)),
            ("dilation", (1, 1)),
            ("groups", 1),
        ):
            if (value := getattr(self, name)) != default:
                text += f", {name}={value}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


def _channels_first(
    images: int, channels: int, size: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """An array (N, C, H, W) that has the channels first in memory: one long run for each."""
    return np.empty((channels, images, *size), dtype).swapaxes(0, 1)
