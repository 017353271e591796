"""Filling parameters with their first values, as ``torch.nn.init`` does.

Each function fills a Parameter or an array in place and returns it. Uniform draws equal
PyTorch's bit for bit under the same seed; of normal ones see ``Generator.normal``.
"""

import math
import warnings
from typing import NoReturn, TypeVar

import numpy as np

from .parameter import FLOAT_DTYPES, Parameter
from .random import Generator, default_generator

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", Parameter, np.ndarray)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.init has no {name!r}; what PyTorch has under that name, if anything, is not "
        f"supported here. There are: {', '.join(__all__)}"
    )


LINEAR_NAMES = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)
GAINS = {
    **dict.fromkeys(LINEAR_NAMES, 1),
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}
DEFAULT_NEGATIVE_SLOPE = 0.01


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The recommended gain: what a nonlinearity's shrinking of the signal is made up with.

    Formula: 1 for linear functions and sigmoid, 5/3 for tanh, √2 for relu,
    √(2 / (1 + slope²)) for leaky_relu, 3/4 for selu.

    Args:
        nonlinearity: "linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu", ….
        param: the slope for leaky_relu; 0.01 where it is None.

    Raises:
        ValueError: if the name is unknown, or the slope is no number.

    Example:
        >>> calculate_gain("leaky_relu", 1.0)
        1.0
    """
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, int | float | None):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = DEFAULT_NEGATIVE_SLOPE if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return GAINS[nonlinearity]


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with draws from U(a, b).

    Convention: b is left out, as in PyTorch: a draw that is rounded up to it becomes a.

    Args:
        tensor: a Parameter or an array, filled in place and returned, as in all functions here.
        a: the lower end.
        b: the upper end.
        generator: None for the default one.

    Raises:
        ValueError: if a > b, or b − a is infinite in the dtype.

    Example:
        >>> import numpy
        >>> uniform_(numpy.empty(3, numpy.float32), -1.0, 1.0, Generator(0)).round(4)
        array([-0.0075,  0.5364, -0.823 ], dtype=float32)
    """
    values = _array(tensor)
    if not (a <= b and b - a <= np.finfo(values.dtype).max):
        raise ValueError(
            f"uniform_ expects a <= b with b - a finite in {values.dtype}. Received: a={a}, b={b}"
        )
    draws = (generator or default_generator).uniform(values.size, a, b, values.dtype)
    draws[draws == values.dtype.type(b)] = a
    values[...] = draws.reshape(values.shape)
    return tensor


def normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> T:
    """Fill with draws from N(mean, std²).

    Args:
        tensor: filled in place.
        mean: the mean.
        std: the standard deviation.
        generator: None for the default one.

    Raises:
        ValueError: if std < 0.

    Example:
        >>> import numpy
        >>> normal_(numpy.empty(2), 1.0, 0.1, Generator(0)).round(4)
        array([1.1541, 0.9707])
    """
    if std < 0:
        raise ValueError(f"normal_ expects std >= 0. Received: std={std}")
    values = _array(tensor)
    draws = (generator or default_generator).normal(values.size, mean, std, values.dtype)
    values[...] = draws.reshape(values.shape)
    return tensor


def constant_(tensor: T, val: float) -> T:
    """Fill with one value.

    Args:
        tensor: filled in place.
        val: the value.

    Example:
        >>> import numpy
        >>> constant_(numpy.empty(2), 0.5)
        array([0.5, 0.5])
    """
    _array(tensor).fill(val)
    return tensor


def zeros_(tensor: T) -> T:
    """Fill with 0.

    Example:
        >>> import numpy
        >>> zeros_(numpy.empty(2))
        array([0., 0.])
    """
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Fill with 1.

    Example:
        >>> import numpy
        >>> ones_(numpy.empty(2))
        array([1., 1.])
    """
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with draws from U(−a, a), a = gain · √(6 / (fan_in + fan_out)).

    Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html.

    Args:
        tensor: filled in place, of shape (out, in) or (out, in, kernel…).
        gain: see ``calculate_gain``.
        generator: None for the default one.

    Raises:
        ValueError: if there are fewer than two axes.

    Example:
        >>> import numpy
        >>> w = xavier_uniform_(numpy.empty((3, 5), numpy.float32))
        >>> bool((abs(w) <= (6 / 8) ** 0.5).all())
        True
    """
    a = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with draws from N(0, std²), std = gain · √(2 / (fan_in + fan_out)).

    Arguments and errors are those of ``xavier_uniform_``.

    Example:
        >>> import numpy
        >>> xavier_normal_(numpy.empty((2, 2)), gain=0.0)
        array([[0., 0.],
               [0., 0.]])
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill with draws from U(−bound, bound), bound = gain · √(3 / fan).

    He et al., 2015, https://arxiv.org/abs/1502.01852.

    Args:
        tensor: filled in place, of two or more axes.
        a: negative slope of the rectifier that follows; used with leaky_relu alone.
        mode: "fan_in" keeps the size of the signal going forward, "fan_out" going backward.
        nonlinearity: see ``calculate_gain``.
        generator: None for the default one.

    Raises:
        ValueError: if the mode or the nonlinearity is unknown, or there are fewer axes.

    Example:
        >>> import numpy
        >>> w = kaiming_uniform_(numpy.empty((3, 5), numpy.float32), nonlinearity="relu")
        >>> bool((abs(w) <= (6 / 5) ** 0.5).all())
        True
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill with draws from N(0, std²), std = gain / √fan.

    Arguments and errors are those of ``kaiming_uniform_``.

    Example:
        >>> import numpy
        >>> kaiming_normal_(numpy.empty((2, 2)), mode="fan_out", nonlinearity="relu").shape
        (2, 2)
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


def _array(tensor: Parameter | np.ndarray) -> np.ndarray:
    """The values of a parameter, or the array itself."""
    values = tensor.data if isinstance(tensor, Parameter) else tensor
    if not isinstance(values, np.ndarray) or values.dtype not in FLOAT_DTYPES:
        raise TypeError(
            "expected a Parameter, or an array of float32 or float64. Received: "
            f"{values.dtype if isinstance(values, np.ndarray) else type(values).__name__}"
        )
    return values


def _fans(tensor: Parameter | np.ndarray) -> tuple[int, int]:
    """Inputs of one output, and outputs of one input: of (out, in) or (out, in, kernel…)."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions. "
            f"Received: shape {shape}"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _kaiming_std(tensor: Parameter | np.ndarray, a: float, mode: str, nonlinearity: str) -> float:
    """The standard deviation gain / √fan."""
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(modes)}")
    fan = _fans(tensor)[modes.index(mode.lower())]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _xavier_std(tensor: Parameter | np.ndarray, gain: float) -> float:
    return gain * math.sqrt(2.0 / float(sum(_fans(tensor))))
