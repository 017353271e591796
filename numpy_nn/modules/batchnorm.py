"""Batch normalisation."""

import math
from typing import Any

import numpy as np

from .._kernels.reductions import channel_sum
from ..init import ones_, zeros_
from ..parameter import Parameter
from .module import Module
from .validation import check_device, check_grad_output, check_input, float_dtype

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class _BatchNorm(Module):
    """Batch normalisation over the batch and all positions; BatchNorm1d has the formula."""

    _later_keys = ("num_batches_tracked",)

    weight: Parameter | None
    bias: Parameter | None
    # None where no statistics are tracked, which track_running_stats tells.
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any
    _n: int | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device(device)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        empty = np.empty(num_features, float_dtype(dtype))
        for name, present in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter(empty.copy()) if present else None)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, empty.copy() if track_running_stats else None)
        self.register_buffer(
            "num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the count to 0."""
        stats = (self.running_mean, self.running_var, self.num_batches_tracked)
        for buffer, value in zip(stats, (0, 1, 0), strict=True):
            if buffer is not None:
                buffer.fill(value)

    def reset_parameters(self) -> None:
        """Reset the running statistics, and set γ to 1 and β to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = (x − μ) · γ/√(σ² + ε) + β; in training update the running statistics."""
        self._check(input)
        self._shape = input.shape
        x = self._with_channels(input)
        if self.training or self.running_mean is None:
            self._n = n = self._values(x)
            mean = channel_sum(x) / n
            centred = x - self._column(mean)
            var = channel_sum(centred, centred) / n
            if self.training and self.track_running_stats:
                self._update_running_stats(mean, var, n)
        else:
            self._n = None
            centred, var = x - self._column(self.running_mean), self.running_var

        self._centred = centred
        self._invstd = 1 / np.sqrt(var + self.eps)
        if self.weight is None:
            self._scale = self._invstd
        else:
            self._scale = self.weight.data * self._invstd  # γ/√(σ² + ε), to save a pass

        y = centred * self._column(self._scale)
        if self.bias is not None:
            y += self._column(self.bias.data)
        return y.reshape(self._shape)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dγ = Σ dy x̂ and dβ = Σ dy to the gradients; return dx."""
        centred = self._saved("_centred")
        check_grad_output(self, grad_output, self._shape, centred.dtype)
        dy = self._with_channels(grad_output)

        dgamma = channel_sum(dy, centred) * self._invstd
        dbeta = channel_sum(dy)
        if self.weight is not None:
            self.weight.accumulate_grad(dgamma)
        if self.bias is not None:
            self.bias.accumulate_grad(dbeta)

        if self._n is None:
            dx = dy * self._column(self._scale)
        else:  # dx = γ/√(σ² + ε) · (dy − x̂ dγ/n − dβ/n)
            dx = centred * self._column(self._invstd * dgamma / self._n)
            dx += self._column(dbeta / self._n)
            np.subtract(dy, dx, out=dx)
            dx *= self._column(self._scale)
        return dx.reshape(self._shape)

    def _update_running_stats(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        """Move them towards the batch's: r ← (1 − momentum) r + momentum · batch."""
        batches = self.num_batches_tracked
        batches += 1
        if n <= 1:  # of an empty batch; one value is refused
            return
        momentum = 1 / int(batches) if self.momentum is None else self.momentum
        unbiased = var * (n / (n - 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            running *= 1 - momentum
            running += momentum * batch

    def _values(self, x: np.ndarray) -> int:
        """n, how many values each channel has; 1 for an empty batch, whose sums are 0."""
        n = len(x) * math.prod(x.shape[2:])
        if n == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, "
                f"got input size {self._shape}"
            )
        return max(n, 1)

    def _with_channels(self, array: np.ndarray) -> np.ndarray:
        """The array as (N, C), or as (N, C, L) with all positions on one axis."""
        if array.ndim == 2:
            return array
        return array.reshape(*array.shape[:2], math.prod(array.shape[2:]))

    def _column(self, channels: np.ndarray) -> np.ndarray:
        """One number a channel, in a shape that meets that of ``_with_channels``."""
        return channels if len(self._shape) == 2 else channels[:, None]

    def _check(self, input: np.ndarray) -> None:
        held = self.weight if self.weight is not None else self.running_mean
        check_input(self, input, None if held is None else held.dtype)
        self._check_input_dim(input)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} expects num_features={self.num_features} channels on "
                f"axis 1. Received: shape {input.shape}"
            )

    def _check_input_dim(self, input: np.ndarray) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of vectors or sequences.

    Formula, for each channel over its n = N·L values:
        μ = Σx / n, σ² = Σ(x − μ)² / n, x̂ = (x − μ) / √(σ² + ε), y = γ x̂ + β;
        dβ = Σ dy, dγ = Σ dy x̂, dx = γ / √(σ² + ε) · (dy − x̂ dγ / n − dβ / n).
    In evaluation mode μ and σ² are the running statistics, and dx = γ / √(σ² + ε) · dy.

    Convention: the batch is normalised with the biased variance (divided by n), while
    ``running_var`` follows the unbiased one (divided by n − 1); and ``momentum`` is the
    weight of the new value: r ← (1 − momentum) r + momentum · batch. So does PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html); in Keras
    ``momentum`` is the weight of the old value, and the running variance is biased
    (https://keras.io/api/layers/normalization_layers/batch_normalization/).

    Args:
        num_features: C, the number of channels.
        eps: ε.
        momentum: weight of the new value, or None for the plain average over all batches.
        affine: whether there are γ and β.
        track_running_stats: whether running statistics are kept. Without them the batch's
            are used in evaluation mode as well.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.
        bias: whether there is a β beside γ.

    Shape:
        input (N, C) or (N, C, L); the output has the input's.

    Attributes:
        weight, bias: γ and β of shape (C,), 1 and 0 at first, or None.
        running_mean, running_var: of shape (C,), 0 and 1 at first, or None.
        num_batches_tracked: an int64 array of shape (), or None.

    Raises:
        ValueError: if the input's shape does not fit, or if the batch's statistics are asked
            for and there is one value in each channel.
        TypeError: if its dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = BatchNorm1d(2, eps=0, dtype=numpy.float64)
        >>> layer(numpy.array([[1.0, 5.0], [3.0, 9.0]]))
        array([[-1., -1.],
               [ 1.,  1.]])
        >>> layer.running_var
        array([1.1, 1.7])
    """

    def _check_input_dim(self, input: np.ndarray) -> None:
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images.

    Formula: that of ``BatchNorm1d``, for each channel over its n = N·H·W values.

    Convention: that of ``BatchNorm1d``: biased variance in the batch, unbiased in
    ``running_var``, and ``momentum`` the weight of the new value.

    Args:
        num_features: C, the number of channels.
        eps: ε.
        momentum: weight of the new value, or None for the plain average over all batches.
        affine: whether there are γ and β.
        track_running_stats: whether running statistics are kept. Without them the batch's
            are used in evaluation mode as well.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.
        bias: whether there is a β beside γ.

    Shape:
        input (N, C, H, W); the output has the input's.

    Attributes:
        weight, bias: γ and β of shape (C,), 1 and 0 at first, or None.
        running_mean, running_var: of shape (C,), 0 and 1 at first, or None.
        num_batches_tracked: an int64 array of shape (), or None.

    Raises:
        ValueError: if the input's shape does not fit, or if the batch's statistics are asked
            for and there is one value in each channel.
        TypeError: if its dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = BatchNorm2d(1, eps=0, dtype=numpy.float64)
        >>> layer(numpy.array([[[[1.0, 3.0]]]]))
        array([[[[-1.,  1.]]]])
    """

    def _check_input_dim(self, input: np.ndarray) -> None:
        if input.ndim != 4:
            raise ValueError(f"expected 4D input (got {input.ndim}D input)")
