"""A trainable array and its gradient."""

from typing import Any

import numpy as np

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Parameter:
    """An array that is trained, with the gradient that layers accumulate into it.

    Convention: as in PyTorch a gradient is *added* to what is there, until ``zero_grad()``
    sets it back to None, and the parameter keeps the array it is given, without a copy.

    Args:
        data: a float32 or float64 array.

    Attributes:
        data: the values. An optimizer may move them into an array of its own and leave a
            view of that here, so ask for ``.data`` when it is needed instead of keeping it.
        grad: None, or an array of the same shape and dtype as ``data``.

    Raises:
        TypeError: if the data is no float32 or float64 array.

    Example:
        >>> import numpy
        >>> p = Parameter(numpy.zeros(2, numpy.float32))
        >>> p.accumulate_grad(numpy.ones(2, numpy.float32))
        >>> p.accumulate_grad(numpy.ones(2, numpy.float32))
        >>> p.grad
        array([2., 2.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_grad", "data")

    data: np.ndarray
    _grad: np.ndarray | None

    def __init__(self, data: np.ndarray) -> None:
        if isinstance(data, Parameter):
            data = data.data
        if not isinstance(data, np.ndarray) or data.dtype not in FLOAT_DTYPES:
            raise TypeError(
                "Parameter expects a numpy array of float32 or float64. Received: "
                f"{data.dtype if isinstance(data, np.ndarray) else type(data).__name__}"
            )
        self.data = data
        self._grad = None

    @property
    def grad(self) -> np.ndarray | None:
        """The accumulated gradient, or None since the last ``zero_grad()``."""
        return self._grad

    @grad.setter
    def grad(self, value: np.ndarray | None) -> None:
        if value is not None:
            self._check_grad(value)
        self._grad = value

    def accumulate_grad(self, value: np.ndarray) -> None:
        """Add ``value`` to the gradient; the first one is kept as it is, not copied.

        Raises:
            ValueError: if its shape or dtype is not that of the parameter.
        """
        self._check_grad(value)
        if self._grad is None:  # the first since zero_grad; others are added to it
            self._grad = value
        else:
            self._grad += value

    def _check_grad(self, value: np.ndarray) -> None:
        data = self.data
        if (
            not isinstance(value, np.ndarray)
            or value.shape != data.shape
            or value.dtype != data.dtype
        ):
            received = (
                f"{value.shape} {value.dtype}"
                if isinstance(value, np.ndarray)
                else type(value).__name__
            )
            raise ValueError(
                f"the gradient of a parameter of shape {data.shape} and {data.dtype} must be an "
                f"array of that shape and dtype. Received: {received}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the values, float32 or float64."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.data.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self.data.size

    def __len__(self) -> int:
        return len(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{self.data!r}"
