"""Convolution of images and of sequences."""

from typing import Any

import numpy as np

from ..memory import empty, empty_like
from .checks import check_grad_output
from .convbase import Pair, _ConvBase
from .im2col import Axis, Windows, batch_first, batch_last
from .padding import pad, pad_backward, sources


class _Conv(_ConvBase):
    """A convolution along one or two axes; a sequence is an image of one row."""

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = W X + b."""
        self._input = x = batch_last(self._padded(self._images(input)))
        w, windows = self._weight_by_group(), self._windows
        y = empty((self.out_channels, *windows.output, x.shape[3]), x.dtype)
        for piece, columns in windows.see(x):
            part = self._by_group(y)[:, :, piece.run]
            np.matmul(w, self._by_group(columns), out=part)
            if self.bias is not None:
                part += self.bias.data.reshape(self.groups, -1, 1)
        return self._as_given(batch_first(y))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients; return dx, from dX = Wᵀ dy."""
        x, dy = self._saved("_input"), self._checked(grad_output)
        if self._turns():
            dx = empty_like(x)
            self._convolve_back(dy, dx)
        else:
            padded = self._windows.zeros(len(x), x.shape[3], x.dtype)
            self._sum_gradients(dy, padded)
            dx = self._windows.crop(padded)
        dx = batch_first(dx)
        if self._sources is not None:
            dx = pad_backward(dx, *self._sources)
        return self._as_given(dx)

    def backward_parameters(self, grad_output: np.ndarray) -> None:
        """Add dW = dy Xᵀ and db = Σ dy to the gradients."""
        dy = self._checked(grad_output)
        self._convolve_back(dy, None) if self._turns() else self._sum_gradients(dy, None)

    def _checked(self, grad_output: np.ndarray) -> np.ndarray:
        x = self._saved("_input")
        shape = self._shape_as_given((x.shape[3], self.out_channels, *self._windows.output))
        check_grad_output(self, grad_output, shape, x.dtype)
        return batch_last(self._as_images(grad_output))

    def _sum_gradients(self, dy: np.ndarray, padded: np.ndarray | None) -> None:
        """Add to the gradients, and to the padded dx where it is wanted."""
        x, w = self._saved("_input"), self._weight_by_group()
        dw = np.zeros_like(
            w.swapaxes(1, 2), order="C"
        )  # transposed: faster with the long side first
        for piece, columns in self._windows.see(x):
            part = self._by_group(dy)[:, :, piece.run]
            dw += self._by_group(columns) @ part.swapaxes(1, 2)
            if padded is not None:
                self._windows.add(padded, piece, w.swapaxes(1, 2) @ part)
        self._accumulate(dw.swapaxes(1, 2), dy)

    def _turns(self) -> bool:
        """Whether ``_convolve_back`` is possible, and not slower."""
        return self._stride == (1, 1) and self.out_channels <= 2 * self.in_channels

    def _convolve_back(self, dy: np.ndarray, dx: np.ndarray | None) -> None:
        """With stride 1, dx is the convolution of dy with the kernel turned by 180°.

        Then the columns are dy's and serve both gradients: with Y for them and W′ for the turned
        kernel, dx = W′ Y and dW′ = x Yᵀ. Nothing has to be added back to its place.
        """
        x, groups = self._saved("_input"), self.groups
        shape = (groups, self.out_channels // groups, -1, *self._kernel)
        turned = _turn(self.weight.data.reshape(shape))
        w = turned.reshape(groups, self.in_channels // groups, -1)
        dw = np.zeros_like(w.swapaxes(1, 2), order="C")
        for piece, columns in self._windows_of_gradient().see(dy):
            seen = self._by_group(columns)
            if dx is not None:
                np.matmul(w, seen, out=self._by_group(dx)[:, :, piece.run])
            dw += seen @ self._by_group(x)[:, :, piece.run].swapaxes(1, 2)
        self._accumulate(_turn(dw.swapaxes(1, 2).reshape(turned.shape)), dy)

    def _windows_of_gradient(self) -> Windows:
        """Those of the turned kernel on dy: a position for each value of x."""
        return Windows(
            *(
                axis._replace(
                    size=axis.positions,
                    before=axis.dilation * (axis.kernel - 1) - axis.before,
                    positions=axis.size,
                )
                for axis in (self._windows.down, self._windows.across)
            )
        )

    def _accumulate(self, dw: np.ndarray, dy: np.ndarray) -> None:
        self.weight.accumulate_grad(dw.reshape(self.weight.shape))
        if self.bias is not None:
            self.bias.accumulate_grad(dy.reshape(len(dy), -1).sum(axis=1))

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


def _turn(w: np.ndarray) -> np.ndarray:
    """Kernels (groups, to, from, height, width) turned by 180°, from and to exchanged: a copy."""
    return np.ascontiguousarray(w[..., ::-1, ::-1].swapaxes(1, 2))


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
