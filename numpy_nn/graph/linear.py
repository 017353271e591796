"""The affine layer."""

from .. import modules
from ..modules.checks import check_input
from .graph import Value
from .layer import Composed


class Linear(Composed, modules.Linear):
    """The affine map of :class:`numpy_nn.Linear`, by a matrix product and an addition.

    Formula: y = x Wᵀ + b.
    """

    def compose(self, x: Value, weight: Value, bias: Value | None) -> Value:
        """Compute y = x Wᵀ + b."""
        check_input(self, x.data, weight.data.dtype)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear expects a last axis of in_features={self.in_features}. "
                f"Received: shape {x.shape}"
            )
        y = x.reshape(-1, self.in_features) @ weight.transpose(1, 0)
        if bias is not None:
            y = y + bias
        return y.reshape(*x.shape[:-1], self.out_features)
