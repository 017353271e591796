"""Checks of arrays and arguments, with errors that say what was expected and what was received."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..parameter import FLOAT_DTYPES


def check_input(layer: object, array: Any, dtype: np.dtype | None = None) -> None:
    """Refuse what is no float array, or has another dtype than the layer's parameters.

    Raises:
        TypeError: naming the layer, and what was expected and received.
    """
    name = type(layer).__name__
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} expects a numpy array. Received: {type(array).__name__}")
    if dtype is None:
        if array.dtype not in FLOAT_DTYPES:
            raise TypeError(
                f"{name} expects float32 or float64. Received: shape {array.shape}, {array.dtype}"
            )
    elif array.dtype != dtype:
        raise TypeError(
            f"{name} has {dtype} parameters and expects a {dtype} array. Received: shape "
            f"{array.shape}, {array.dtype}. Convert one of them, with "
            f"input.astype(numpy.{dtype}) or module.to(numpy.{array.dtype})"
        )


def check_grad_output(
    layer: object, grad_output: Any, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Refuse an output gradient whose shape or dtype is not that of the output.

    Raises:
        TypeError: if it is no array, or its dtype differs.
        ValueError: if its shape differs.
    """
    name = type(layer).__name__
    if not isinstance(grad_output, np.ndarray):
        raise TypeError(
            f"{name}.backward expects a numpy array. Received: {type(grad_output).__name__}"
        )
    if grad_output.shape != shape:
        raise ValueError(
            f"{name}.backward expects a gradient of the output's shape {shape}. "
            f"Received: {grad_output.shape}"
        )
    if grad_output.dtype != dtype:
        raise TypeError(
            f"{name}.backward expects a gradient of the output's dtype {dtype}. "
            f"Received: {grad_output.dtype}"
        )


def check_device(device: object) -> None:
    """Refuse any device but None: NumPy computes on the CPU only.

    Raises:
        ValueError: naming the device.
    """
    if device is not None:
        raise ValueError(
            f"device={device!r} is not supported: numpy_nn computes on the CPU. Leave it None"
        )


def check_not_inplace(layer: object, inplace: bool) -> None:
    """Refuse ``inplace=True``: no layer here modifies its input.

    Raises:
        NotImplementedError: naming the layer.
    """
    if inplace:
        raise NotImplementedError(
            f"{type(layer).__name__}(inplace=True) is not supported: no layer of numpy_nn "
            "modifies its input. Leave inplace=False; the values are the same"
        )


def float_dtype(dtype: Any) -> np.dtype:
    """The dtype a module is made in: float32 for None, else float32 or float64.

    Raises:
        TypeError: for any other.
    """
    if dtype is None:
        return FLOAT_DTYPES[0]
    if (found := np.dtype(dtype)) not in FLOAT_DTYPES:
        raise TypeError(f"dtype must be numpy.float32 or numpy.float64. Received: {dtype!r}")
    return found


def for_each_axis(name: str, value: Any, axes: int) -> tuple[Any, ...]:
    """A number as so many of them, a tuple of so many as it is.

    Raises:
        ValueError: naming the argument, if there are more or fewer.

    Example:
        >>> for_each_axis("stride", 2, 3)
        (2, 2, 2)
    """
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    if len(values) == 1:  # PyTorch takes (2,) for 2
        values *= axes
    if len(values) != axes:
        raise ValueError(
            f"{name} must be a number, or one for each of the axes, which are {axes}. "
            f"Received: {value}"
        )
    return values


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """A number as (number, number), a pair as it is; see ``for_each_axis``."""
    first, second = for_each_axis(name, value, 2)
    return first, second
