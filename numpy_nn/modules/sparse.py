"""Rows of a table, looked up by number."""

from typing import Any

import numpy as np

from ..init import normal_
from ..parameter import Parameter
from .module import Module
from .validation import check_device, check_grad_output, float_dtype

__all__ = ["Embedding"]


class Embedding(Module):
    """A table whose rows are looked up.

    Formula: y = W[x]; dWᵢ is the sum of dy over the places where x is i. There is no gradient
    by x; ``backward`` returns zeros of its shape.

    Convention: W is drawn from N(0, 1) as PyTorch draws it, which is the same to a few ulp and
    not to the bit, and the row of ``padding_idx`` is 0 at first.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: length of a row.
        padding_idx: a row that gets no gradient, counted from the end if negative, or None.
        max_norm: None only: a forward pass changes no parameter here.
        norm_type: that of ``max_norm``; 2 only.
        scale_grad_by_freq: whether the gradient of a row is divided by how often it is in x.
        sparse: False only.
        _weight: W, or None for one that is drawn.
        _freeze: False only: every parameter is trained here.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (*) of int64 or int32; output (*, embedding_dim).

    Attributes:
        weight: W of shape (num_embeddings, embedding_dim).

    Raises:
        IndexError: if there is no such row.
        TypeError: if the input is no array of int64 or int32.
        NotImplementedError: if an argument is given that is not supported.

    Example:
        >>> import numpy
        >>> Embedding(10, 3)(numpy.array([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
        (2, 4, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: np.ndarray | None = None,
        _freeze: bool = False,
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        for name, value, only in (
            ("max_norm", max_norm, None),
            ("norm_type", norm_type, 2.0),
            ("sparse", sparse, False),
            ("_freeze", _freeze, False),
        ):
            if value != only:
                raise NotImplementedError(
                    f"Embedding({name}={value!r}) is not supported: leave it {only}"
                )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"padding_idx must be within num_embeddings={num_embeddings}. "
                f"Received: {padding_idx}"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = Parameter(np.empty(shape, float_dtype(dtype)))
            self.reset_parameters()
        elif _weight.shape != shape:
            raise ValueError(f"_weight must be of shape {shape}. Received: {_weight.shape}")
        else:
            self.weight = Parameter(_weight)

    def reset_parameters(self) -> None:
        """Draw the table again, from the default generator."""
        normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = W[x]."""
        if not isinstance(input, np.ndarray | np.generic):
            raise TypeError(f"Embedding expects a numpy array. Received: {type(input).__name__}")
        if input.dtype not in (np.int64, np.int32):
            raise TypeError(
                f"Embedding expects row numbers of int64 or int32. Received: shape {input.shape}, "
                f"{input.dtype}"
            )
        wrong = (input < 0) | (input >= self.num_embeddings)
        if wrong.any():
            raise IndexError(
                f"Embedding has rows 0 to {self.num_embeddings - 1}. "
                f"Received: {np.asarray(input)[wrong][0]}"
            )
        self._rows = np.array(input)
        return self.weight.data[self._rows]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW to the gradient; return zeros."""
        rows, dtype = self._saved("_rows"), self.weight.dtype
        check_grad_output(self, grad_output, (*rows.shape, self.embedding_dim), dtype)
        dy = grad_output.reshape(rows.size, self.embedding_dim)
        dw = np.zeros_like(self.weight.data)
        np.add.at(dw, rows.ravel(), dy)
        if self.scale_grad_by_freq:
            counts = np.bincount(rows.ravel(), minlength=self.num_embeddings)
            dw /= np.maximum(counts, 1).astype(dtype)[:, None]
        if self.padding_idx is not None:
            dw[self.padding_idx] = 0
        self.weight.accumulate_grad(dw)
        return np.zeros(rows.shape, dtype)

    def extra_repr(self) -> str:
        """The constructor's arguments that are not the default."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text + (", scale_grad_by_freq=True" if self.scale_grad_by_freq else "")
