"""Convolutions of images and of sequences, and the transposed convolution of images."""

import math
from typing import Any

import numpy as np

from .._kernels.im2col import Axis, Windows, batch_first, batch_last
from ..init import kaiming_uniform_, uniform_
from ..parameter import Parameter
from .module import Module
from .padding import PADDING_MODES, pad, pad_backward, sources
from .validation import (
    check_device,
    check_grad_output,
    check_input,
    float_dtype,
    for_each_axis,
    pair,
)

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]

PADDING_STRINGS = ("same", "valid")
Pair = tuple[int, int]
LAYOUTS = {1: ("(N, C, L)", "(C, L)"), 2: ("(N, C, H, W)", "(C, H, W)")}


class _ConvBase(Module):
    """Arguments for one axis or two are held for two, the first of which may be of one row.

    Attributes:
        transposed: as PyTorch has it, False; True in the transposed convolution.
        output_padding: as PyTorch has it, zeros.
    """

    weight: Parameter
    bias: Parameter | None
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    transposed = False

    def __init__(
        self,
        axes: int,
        in_channels: int,
        out_channels: int,
        groups: int,
        padding_mode: str,
        device: None,
    ) -> None:
        super().__init__()
        check_device(device)
        if groups < 1:
            raise ValueError(f"groups must be a positive integer. Received: {groups}")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(
                    f"{name} must be divisible by groups. Received: {channels} and {groups}"
                )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {PADDING_MODES}. Received: {padding_mode!r}"
            )
        self._axes = axes
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.padding_mode = padding_mode
        self.output_padding = (0,) * axes
        self._input: np.ndarray | None = None

    def _set_window(self, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> None:
        """Check these arguments, and hold them as PyTorch does and for two axes."""
        self.kernel_size = for_each_axis("kernel_size", kernel_size, self._axes)
        self.stride = for_each_axis("stride", stride, self._axes)
        self.dilation = for_each_axis("dilation", dilation, self._axes)
        for name in ("kernel_size", "stride", "dilation"):
            if min(numbers := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be positive. Received: {numbers}")
        self._kernel = self._for_image(self.kernel_size, 1)
        self._stride = self._for_image(self.stride, 1)
        self._dilation = self._for_image(self.dilation, 1)
        if isinstance(padding, str):
            self.padding = padding
            self._padding = self._padding_by_name(padding)
            return
        self.padding = for_each_axis("padding", padding, self._axes)
        if min(self.padding) < 0:
            raise ValueError(f"padding must not be negative. Received: {self.padding}")
        rows, columns = self._for_image(self.padding, 0)
        self._padding = (rows, rows), (columns, columns)

    def _padding_by_name(self, padding: str) -> tuple[Pair, Pair]:
        """What "same" and "valid" add, before and after, along both axes."""
        if padding not in PADDING_STRINGS:
            raise ValueError(
                f"padding must be one of {PADDING_STRINGS}, or numbers. Received: {padding!r}"
            )
        if padding == "valid":
            return (0, 0), (0, 0)
        if max(self.stride) > 1:
            raise ValueError(
                "padding='same' is not supported for strided convolutions. Received: stride "
                f"{self.stride}"
            )
        rows, columns = (d * (k - 1) for d, k in zip(self._dilation, self._kernel, strict=True))
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)

    def _for_image(self, numbers: tuple[int, ...], first: int) -> Pair:
        return (first, numbers[0]) if self._axes == 1 else (numbers[0], numbers[1])

    def _make_parameters(self, channels: Pair, bias: bool, dtype: Any) -> None:
        dtype = float_dtype(dtype)
        self.weight = Parameter(np.empty((*channels, *self.kernel_size), dtype))
        if bias:
            self.bias = Parameter(np.zeros(self.out_channels, dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again, from the default generator."""
        kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in > 0:
            bound = 1 / math.sqrt(fan_in)
            uniform_(self.bias, -bound, bound)

    def _images(self, input: np.ndarray) -> np.ndarray:
        """The input, checked, as a batch of images."""
        check_input(self, input, self.weight.dtype)
        axes, name = self._axes, type(self).__name__
        if input.ndim not in (axes + 1, axes + 2) or input.shape[-axes - 1] != self.in_channels:
            raise ValueError(
                f"{name} expects {' or '.join(LAYOUTS[axes])} with C = in_channels = "
                f"{self.in_channels}. Received: shape {input.shape}"
            )
        if 0 in input.shape[-axes:]:
            raise ValueError(f"{name} expects no empty images. Received: shape {input.shape}")
        self._given = input.shape
        return self._as_images(input)

    def _accumulate(self, dw: np.ndarray, dy: np.ndarray) -> None:
        """Add dW and db = Σ dy to the gradients, of dy as (O, H, W, N)."""
        self.weight.accumulate_grad(dw.reshape(self.weight.shape))
        if self.bias is not None:
            self.bias.accumulate_grad(dy.reshape(len(dy), -1).sum(axis=1))

    def _as_images(self, array: np.ndarray) -> np.ndarray:
        """(N, C, H, W) of any of the shapes that are taken."""
        batch = array if array.ndim == self._axes + 2 else array[None]
        return batch if self._axes == 2 else batch[:, :, None]

    def _as_given(self, images: np.ndarray) -> np.ndarray:
        """The reverse, with as many axes as the input had."""
        batch = images if self._axes == 2 else images[:, :, 0]
        return batch if len(self._given) == self._axes + 2 else batch[0]

    def _shape_as_given(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what was given, with as many axes as it had."""
        shape = shape if self._axes == 2 else shape[:2] + shape[3:]
        return shape if len(self._given) == self._axes + 2 else shape[1:]

    def extra_repr(self) -> str:
        """The constructor's arguments that are not the default."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, default in (
            ("padding", (0,) * self._axes),
            ("dilation", (1,) * self._axes),
            ("output_padding", (0,) * self._axes),
            ("groups", 1),
        ):
            if (value := getattr(self, name)) != default:
                text += f", {name}={value}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvBase):
    """A convolution along one or two axes; a sequence is an image of one row."""

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = W X + b."""
        self._input = x = batch_last(self._padded(self._images(input)))
        b = None if self.bias is None else self.bias.data
        return self._as_given(batch_first(self._windows.convolve(x, self._weight_by_group(), b)))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients; return dx, from dX = Wᵀ dy."""
        dx = batch_first(self._backward(grad_output))
        if self._sources is not None:
            dx = pad_backward(dx, *self._sources)
        return self._as_given(dx)

    def backward_parameters(self, grad_output: np.ndarray) -> None:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients."""
        self._backward(grad_output, input_too=False)

    def _backward(self, grad_output: np.ndarray, input_too: bool = True) -> Any:
        x, w, windows = self._saved("_input"), self._weight_by_group(), self._windows
        shape = self._shape_as_given((x.shape[3], self.out_channels, *windows.output))
        check_grad_output(self, grad_output, shape, x.dtype)
        dy = batch_last(self._as_images(grad_output))
        dw, dx = windows.convolve_backward(x, w, dy, input_too)
        self._accumulate(dw, dy)
        return dx

    def _weight_by_group(self) -> np.ndarray:
        """W of shape (groups, O / groups, C / groups · kernel)."""
        return self.weight.data.reshape(self.groups, self.out_channels // self.groups, -1)

    def _padded(self, x: np.ndarray) -> np.ndarray:
        """Images padded, unless it is by zeros, for which the windows hang over the edges."""
        size, padding = (x.shape[2], x.shape[3]), self._padding
        self._sources: tuple[np.ndarray, np.ndarray, tuple[int, int]] | None = None
        if self.padding_mode != "zeros":
            rows, columns = (
                sources(self.padding_mode, n, around)
                for n, around in zip(size, padding, strict=True)
            )
            self._sources = rows, columns, size
            x = pad(x, rows, columns)
            size, padding = (len(rows), len(columns)), ((0, 0), (0, 0))
        down, across = (
            Axis(n, k, s, d, before, (n + before + after - d * (k - 1) - 1) // s + 1)
            for n, k, s, d, (before, after) in zip(
                size, self._kernel, self._stride, self._dilation, padding, strict=True
            )
        )
        self._windows = Windows(down, across)
        if min(self._windows.output) < 1:
            full = [n + sum(around) for n, around in zip(size, padding, strict=True)]
            raise ValueError(
                f"{type(self).__name__}: the kernel {self.kernel_size} with dilation "
                f"{self.dilation} is larger than the padded input {tuple(full[2 - self._axes :])}. "
                f"Received: shape {self._given}"
            )
        return x


class Conv2d(_Conv):
    """A convolution (a cross-correlation, as everywhere in this field) of images.

    Formula, with x̃ the padded input, stride s, dilation d:
        yₙₒᵢⱼ = bₒ + Σ꜀ₖₗ Wₒ꜀ₖₗ x̃ₙ,꜀,ₛᵢ₊dₖ,ₛⱼ₊dₗ;
        dWₒ꜀ₖₗ = Σₙᵢⱼ dyₙₒᵢⱼ x̃ₙ,꜀,ₛᵢ₊dₖ,ₛⱼ₊dₗ,  dbₒ = Σₙᵢⱼ dyₙₒᵢⱼ,
        dx̃ₙ꜀ has Σₒ Wₒ꜀ₖₗ dyₙₒᵢⱼ added at (si + dk, sj + dl), for every i, j, k, l.
    With ``groups`` the channels fall into so many parts, and each output channel sees the
    input channels of its own part alone.

    As computed: with the values under the kernel as the columns of a matrix X (see
    ``im2col``), y = W X + b, dW = dy Xᵀ and dX = Wᵀ dy, some positions at a time;
    with stride 1, dx is a convolution itself.

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

    kernel_size: Pair
    stride: Pair
    padding: Any
    dilation: Pair

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
        super().__init__(2, in_channels, out_channels, groups, padding_mode, device)
        self._set_window(kernel_size, stride, padding, dilation)
        self._make_parameters((out_channels, in_channels // groups), bias, dtype)


class Conv1d(_Conv):
    """A convolution of sequences.

    Formula, with x̃ the padded input, stride s, dilation d: yₙₒᵢ = bₒ + Σ꜀ₖ Wₒ꜀ₖ x̃ₙ,꜀,ₛᵢ₊dₖ.
    It is computed as that of images of one row; see ``Conv2d``.

    Args:
        in_channels: C, the channels of the input.
        out_channels: O, the channels of the output.
        kernel_size: how long the kernel is.
        stride: the step from one position to the next.
        padding: what is added on both sides: a number, or "valid" for none, or "same" for as
            much as gives the output the input's length (with stride 1 alone).
        dilation: the step from one point of the kernel to the next.
        groups: into how many parts the channels fall.
        bias: whether there is a b.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (N, C, L) or one sequence (C, L); output (N, O, L') or (O, L') with
        L' = ⌊(L + 2 padding − dilation (kernel_size − 1) − 1) / stride⌋ + 1.

    Attributes:
        weight: W of shape (O, C / groups, kernel_size), drawn from U(−k, k) with
            k = 1/√(C / groups · kernel_size), as PyTorch draws it.
        bias: b of shape (O,), from the same distribution, or None.

    Raises:
        ValueError: if an argument or the input's shape does not fit.
        TypeError: if the input's dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = Conv1d(4, 8, 3, stride=2)
        >>> layer(numpy.ones((32, 4, 11), numpy.float32)).shape
        (32, 8, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(1, in_channels, out_channels, groups, padding_mode, device)
        self._set_window(kernel_size, stride, padding, dilation)
        self._make_parameters((out_channels, in_channels // groups), bias, dtype)


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
        self._windows = self._windows_of((images.shape[2], images.shape[3]))
        self._input = x = batch_last(images)
        y = self._windows.transpose(x, self._weight_by_group())
        if self.bias is not None:
            y += self.bias.data[:, None, None, None]
        return self._as_given(batch_first(y))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW = x Yᵀ and db = Σ dy to the gradients; return dx = W Y."""
        x, windows = self._saved("_input"), self._windows
        size = windows.down.size, windows.across.size
        shape = self._shape_as_given((x.shape[3], self.out_channels, *size))
        check_grad_output(self, grad_output, shape, x.dtype)
        dy = batch_last(self._as_images(grad_output))
        dw, dx = windows.transpose_backward(x, self._weight_by_group(), dy)
        self._accumulate(dw, dy)
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
