"""Batch normalisation."""

import math

from .. import modules
from ..modules import batchnorm
from .graph import Value
from .layer import Composed


class _BatchNorm(Composed, batchnorm._BatchNorm):
    """Batch normalisation, step by step.

    Formula, for each channel over its m values:
        μ = Σx / m, c = x − μ, σ² = Σ c c / m, y = γ · c / (σ² + ε)^½ + β.

    The closed formula of its input gradient, dx = γ / √(σ² + ε) · (dy − x̂ dγ / m − dβ / m),
    stands nowhere here. It comes about: x goes into μ and into c, c goes into σ² twice and into
    y, and what comes back along all these ways adds up.
    """

    def compose(self, x: Value, weight: Value | None, bias: Value | None) -> Value:
        """Normalise with the batch's statistics, or with the running ones."""
        self._check(x.data)
        axes = (0, *range(2, x.ndim))
        column = (1, -1, *(1 for _ in axes[1:]))  # one number a channel, beside x
        if self.training or self.running_mean is None:
            m = math.prod(x.shape[axis] for axis in axes)
            if m == 1:
                raise ValueError(
                    "Expected more than 1 value per channel when training, "
                    f"got input size {x.shape}"
                )
            mean = x.sum(axes, keepdims=True) / max(m, 1)
            centred = x - mean
            var = (centred * centred).sum(axes, keepdims=True) / max(m, 1)
            if self.training and self.track_running_stats:
                self._update_running_stats(mean.data.ravel(), var.data.ravel(), m)
        else:
            centred = x - self.running_mean.reshape(column)
            var = x.graph.value(self.running_var.reshape(column))
        y = centred / (var + self.eps) ** 0.5
        if weight is not None:
            y = y * weight.reshape(*column)
        if bias is not None:
            y = y + bias.reshape(*column)
        return y


class BatchNorm1d(_BatchNorm, modules.BatchNorm1d):
    """The normalisation of :class:`numpy_nn.BatchNorm1d`, of vectors or sequences.

    Formula, for each channel over its m = N·L values:
        μ = Σx / m, c = x − μ, σ² = Σ c c / m, y = γ · c / (σ² + ε)^½ + β.
    """


class BatchNorm2d(_BatchNorm, modules.BatchNorm2d):
    """The normalisation of :class:`numpy_nn.BatchNorm2d`, of images: the same, m = N·H·W."""
