"""Batch normalisation."""

from typing import Any

import numpy as np

from .. import init
from ..parameter import Parameter
from .checks import check_device, check_grad_output, check_input, float_dtype
from .module import Module


class _BatchNorm(Module):
    """Normalises each channel over the batch and all positions, then scales and shifts it."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: np.ndarray | None
    running_var: np.ndarray | None
    num_batches_tracked: np.ndarray | None

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
        dtype = float_dtype(dtype)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, present in (("weight", affine), ("bias", affine and bias)):
            parameter = Parameter(np.empty(num_features, dtype)) if present else None
            self.register_parameter(name, parameter)
        tracked = track_running_stats
        self.register_buffer("running_mean", np.zeros(num_features, dtype) if tracked else None)
        self.register_buffer("running_var", np.ones(num_features, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)
        self._dtype = dtype
        self._normalised: np.ndarray | None = None
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running statistics back to mean 0 and variance 1."""
        if self.running_mean is not None:
            self.running_mean.fill(0)
            self.running_var.fill(1)
            self.num_batches_tracked.fill(0)

    def reset_parameters(self) -> None:
        """Reset the running statistics, γ to 1 and β to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = γ x̂ + β, and update the running statistics in training mode."""
        check_input(self, input, self._parameter_dtype())
        self._check_input_dim(input)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} expects num_features={self.num_features} channels on "
                f"axis 1. Received: shape {input.shape}"
            )
        x = input.reshape(*input.shape[:2], -1) if input.ndim > 2 else input
        m = x.size // max(self.num_features, 1)  # values in each channel

        self._uses_batch = self.training or self.running_mean is None
        if self._uses_batch:
            if m == 1:
                raise ValueError(
                    "Expected more than 1 value per channel when training, "
                    f"got input shape {input.shape}"
                )
            mean = _sum(x) / max(m, 1)
            x_hat = x - _column(mean, x)
            var = _sum(x_hat, x_hat) / max(m, 1)
            if self.training and self.running_mean is not None:
                self._update_running_stats(mean, var, m)
        else:
            mean, var = self.running_mean, self.running_var
            x_hat = x - _column(mean, x)
        invstd = 1 / np.sqrt(var + self.eps)
        x_hat *= _column(invstd, x)
        self._x_hat, self._invstd, self._shape = x_hat, invstd, input.shape

        if self.weight is None:
            return x_hat.reshape(input.shape).copy()
        y = x_hat * _column(self.weight.data, x)
        if self.bias is not None:
            y += _column(self.bias.data, x)
        return y.reshape(input.shape)

    def _update_running_stats(self, mean: np.ndarray, var: np.ndarray, m: int) -> None:
        """Move the running statistics towards the batch's: r += momentum · (batch − r)."""
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # the plain average over all batches so far
            momentum = 1 / int(self.num_batches_tracked)
        unbiased = var * (m / max(m - 1, 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            running *= 1 - momentum
            running += momentum * batch

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dγ and dβ to the gradients; return dx."""
        x_hat = self._saved("_x_hat")
        check_grad_output(self, grad_output, self._shape, x_hat.dtype)
        dy = grad_output.reshape(x_hat.shape)
        m = x_hat.size // max(self.num_features, 1)

        sum_dy = _sum(dy)
        sum_dy_x_hat = _sum(dy, x_hat)
        scale = self._invstd
        if self.weight is not None:
            self.weight.accumulate_grad(sum_dy_x_hat)
            scale = scale * self.weight.data
        if self.bias is not None:
            self.bias.accumulate_grad(sum_dy)

        dx = dy * _column(scale, dy)
        if self._uses_batch:
            dx -= x_hat * _column(scale * sum_dy_x_hat / max(m, 1), dy)
            dx -= _column(scale * sum_dy / max(m, 1), dy)
        return dx.reshape(self._shape)

    def _check_input_dim(self, input: np.ndarray) -> None:
        raise NotImplementedError

    def _parameter_dtype(self) -> np.dtype | None:
        """Dtype of whatever this layer holds, or None where it holds nothing."""
        for array in (self.weight, self.running_mean):
            if array is not None:
                return array.dtype
        return None

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


def _sum(*arrays: np.ndarray) -> np.ndarray:
    """Sum over all axes but the channels: of one array, or of the product of two."""
    axes = "ncl"[: arrays[0].ndim]
    return np.einsum(",".join([axes] * len(arrays)) + "->c", *arrays)


def _column(channels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """One value a channel in a shape that meets (N, C) or (N, C, L)."""
    return channels if like.ndim == 2 else channels[:, None]


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of vectors or sequences.

    Formula, for each channel over its m = N·L values:
        μ = Σx / m, σ² = Σ(x − μ)² / m, x̂ = (x − μ) / √(σ² + ε), y = γ x̂ + β;
        dβ = Σ dy, dγ = Σ dy x̂, dx = γ / √(σ² + ε) · (dy − dβ / m − x̂ dγ / m).
    In evaluation mode μ and σ² are the running statistics, and dx = γ / √(σ² + ε) · dy.

    Convention: the batch is normalised with the biased variance (divided by m), while
    ``running_var`` follows the unbiased one (divided by m − 1); and ``momentum`` is the
    weight of the new value: r ← (1 − momentum) r + momentum · batch. Both as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html); TensorFlow
    and the paper's Algorithm 2 (https://arxiv.org/abs/1502.03167) differ.

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
        weight: γ of shape (C,), 1 at first, or None.
        bias: β of shape (C,), 0 at first, or None.
        running_mean: of shape (C,), 0 at first, or None.
        running_var: of shape (C,), 1 at first, or None.
        num_batches_tracked: an int64 scalar array, or None.

    Raises:
        ValueError: if the input's shape does not fit, or if the batch's statistics are asked
            for and there is one value in each channel.
        TypeError: if its dtype is not that of the parameters.

    Example:
        >>> import numpy
        >>> layer = BatchNorm1d(3)
        >>> layer(numpy.eye(3, dtype=numpy.float32)).sum(axis=0).round(5) + 0
        array([0., 0., 0.], dtype=float32)
    """

    def _check_input_dim(self, input: np.ndarray) -> None:
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
