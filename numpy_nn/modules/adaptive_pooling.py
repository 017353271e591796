"""Pooling over as many windows as are asked for."""

import math

import numpy as np

from .checks import check_grad_output, check_input
from .module import Module


class AdaptiveAvgPool2d(Module):
    """Averages over as many windows as are asked for.

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
