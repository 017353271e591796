"""What convolutions have in common: arguments, parameters, and shapes as images."""

import math
from typing import Any

import numpy as np

from .. import init
from ..parameter import Parameter
from .checks import check_device, check_input, float_dtype
from .module import Module
from .padding import PADDING_MODES
from .pairs import for_each_axis

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
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in > 0:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

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

    def _by_group(self, array: np.ndarray) -> np.ndarray:
        """(channels, …) as (groups, channels / groups, positions), a view."""
        return array.reshape(self.groups, len(array) // self.groups, math.prod(array.shape[1:]))

    def _as_images(self, array: np.ndarray) -> np.ndarray:
        """(N, C, H, W) of any of the shapes that are taken."""
        batch = array if array.ndim == self._axes + 2 else array[None]
        return batch if self._axes == 2 else batch[:, :, None]

    def _as_given(self, images: np.ndarray) -> np.ndarray:
        """The reverse, with as many axes as the input had."""
        batch = images if self._axes == 2 else images[:, :, 0]
        return batch if len(self._given) == self._axes + 2 else batch[0]

    def _shape_as_given(self, shape: tuple[int, ...]) -> tuple[int, ...]:
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
