"""Normalisation of each sample: over its last axes, or over groups of its channels."""

import math
from typing import Any

import numpy as np

from .._kernels.reductions import batch_sum, channel_sum
from ..init import ones_, zeros_
from ..parameter import Parameter
from .module import Module
from .validation import check_device, check_grad_output, check_input, float_dtype

__all__ = ["GroupNorm", "LayerNorm"]


class _RowNorm(Module):
    """Normalises rows, as LayerNorm has it; what is a row, and what γ and β meet, is left open."""

    weight: Parameter | None
    bias: Parameter | None
    eps: float

    def _make_parameters(
        self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any
    ) -> None:
        empty = np.empty(shape, float_dtype(dtype))
        for name, present in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter(empty.copy()) if present else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to 1 and β to 0."""
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)

    def _normalise(self, rows: np.ndarray) -> np.ndarray:
        """x̂ = (x − μ) / √(σ² + ε) of each of (R, M) rows."""
        m = max(rows.shape[1], 1)
        centred = rows - rows.sum(axis=1, keepdims=True) / rows.dtype.type(m)
        var = np.einsum("rm,rm->r", centred, centred)[:, None] / rows.dtype.type(m)
        self._invstd = 1 / np.sqrt(var + self.eps)
        centred *= self._invstd
        self._normalised = centred
        return centred

    def _normalise_backward(self, grad: np.ndarray) -> np.ndarray:
        """(g − mean g − x̂ mean(g x̂)) / √(σ² + ε) of (R, M) gradients g of x̂."""
        normalised = self._normalised
        m = grad.dtype.type(max(grad.shape[1], 1))
        projection = np.einsum("rm,rm->r", grad, normalised)[:, None] / m
        dx = grad - grad.sum(axis=1, keepdims=True) / m
        dx -= normalised * projection
        dx *= self._invstd
        return dx


class LayerNorm(_RowNorm):
    """Normalisation of each sample over its last axes.

    Formula, over the M values of those axes:
        μ = Σx / M, σ² = Σ(x − μ)² / M, x̂ = (x − μ) / √(σ² + ε), y = γ x̂ + β;
        dβ = Σₙ dy, dγ = Σₙ dy x̂, and with g = γ dy
        dx = (g − Σg / M − x̂ Σ(g x̂) / M) / √(σ² + ε).

    Convention: the variance is the biased one (divided by M), as in PyTorch.

    Args:
        normalized_shape: the lengths of those axes, or the length of the last one.
        eps: ε.
        elementwise_affine: whether there are γ and β.
        bias: whether there is a β beside γ.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (*, *normalized_shape); the output has the input's.

    Attributes:
        weight, bias: γ and β of the shape ``normalized_shape``, 1 and 0 at first, or None.

    Raises:
        ValueError: if the input's shape does not fit.
        TypeError: if its dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> LayerNorm(2, eps=0, dtype=numpy.float64)(numpy.array([[1.0, 3.0], [9.0, 5.0]]))
        array([[-1.,  1.],
               [ 1., -1.]])
    """

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        shape = normalized_shape
        self.normalized_shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if not self.normalized_shape:
            raise ValueError("normalized_shape must have at least one axis. Received: ()")
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_parameters(self.normalized_shape, elementwise_affine, bias, dtype)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = γ x̂ + β."""
        check_input(self, input, None if self.weight is None else self.weight.dtype)
        last = self.normalized_shape
        if input.shape[-len(last) :] != last:
            raise ValueError(
                f"LayerNorm expects last axes of normalized_shape={last}. "
                f"Received: shape {input.shape}"
            )
        self._shape = input.shape
        lead = math.prod(input.shape[: -len(last)])
        y = self._normalise(input.reshape(lead, math.prod(last)))
        if self.weight is None:
            return y.reshape(self._shape).copy()
        y = y * self.weight.data.ravel()
        if self.bias is not None:
            y += self.bias.data.ravel()
        return y.reshape(self._shape)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dγ = Σ dy x̂ and dβ = Σ dy to the gradients; return dx."""
        normalised = self._saved("_normalised")
        check_grad_output(self, grad_output, self._shape, normalised.dtype)
        grad = grad_output.reshape(normalised.shape)
        if self.bias is not None:
            self.bias.accumulate_grad(batch_sum(grad).reshape(self.normalized_shape))
        if self.weight is not None:
            dgamma = batch_sum(grad, normalised)
            self.weight.accumulate_grad(dgamma.reshape(self.normalized_shape))
            grad = grad * self.weight.data.ravel()
        return self._normalise_backward(grad).reshape(self._shape)

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(_RowNorm):
    """Normalisation of each sample over groups of its channels.

    Formula: that of ``LayerNorm`` over the values of each group of channels, all positions
    included; γ and β are the channels'.

    Convention: the variance is the biased one, as in PyTorch.

    Args:
        num_groups: into how many groups the channels fall.
        num_channels: C, the number of channels.
        eps: ε.
        affine: whether there are γ and β.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.
        bias: whether there is a β beside γ.

    Shape:
        input (N, C, *); the output has the input's.

    Attributes:
        weight, bias: γ and β of shape (C,), 1 and 0 at first, or None.

    Raises:
        ValueError: if the groups are not of one size, or the input's shape does not fit.
        TypeError: if its dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> GroupNorm(2, 4, eps=0, dtype=numpy.float64)(numpy.array([[1.0, 3.0, 9.0, 5.0]]))
        array([[-1.,  1.,  1., -1.]])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device(device)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make_parameters((num_channels,), affine, bias, dtype)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = γ x̂ + β."""
        check_input(self, input, None if self.weight is None else self.weight.dtype)
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ValueError(
                f"GroupNorm expects (N, C, …) with C = num_channels = {self.num_channels}. "
                f"Received: shape {input.shape}"
            )
        self._shape = input.shape
        if input.size == self.num_groups:  # one value in each group of the one sample
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size "
                f"{input.shape}"
            )
        each = self.num_channels // self.num_groups * math.prod(input.shape[2:])
        y = self._by_channel(self._normalise(input.reshape(len(input) * self.num_groups, each)))
        if self.weight is None:
            return y.reshape(self._shape).copy()
        y = y * self.weight.data[:, None]
        if self.bias is not None:
            y += self.bias.data[:, None]
        return y.reshape(self._shape)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dγ = Σ dy x̂ and dβ = Σ dy to the gradients; return dx."""
        normalised = self._saved("_normalised")
        check_grad_output(self, grad_output, self._shape, normalised.dtype)
        grad = self._by_channel(grad_output)
        if self.bias is not None:
            self.bias.accumulate_grad(channel_sum(grad))
        if self.weight is not None:
            self.weight.accumulate_grad(channel_sum(grad, self._by_channel(normalised)))
            grad = grad * self.weight.data[:, None]
        return self._normalise_backward(grad.reshape(normalised.shape)).reshape(self._shape)

    def _by_channel(self, array: np.ndarray) -> np.ndarray:
        """As (N, C, positions)."""
        return array.reshape(*self._shape[:2], math.prod(self._shape[2:]))

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
