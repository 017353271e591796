"""What every layer asks of the arrays that it is given."""

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
