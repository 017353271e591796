"""What normalisation layers hold: γ and β, and the running statistics."""

from typing import Any

import numpy as np

from ..init import ones_, zeros_
from ..parameter import Parameter
from .checks import check_device, check_input, float_dtype
from .module import Module


class _NormBase(Module):
    """The constructor of batch normalisation, and what it asks of its input."""

    _later_keys = ("num_batches_tracked",)

    weight: Parameter | None
    bias: Parameter | None
    # None where no statistics are tracked, which track_running_stats tells.
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

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
