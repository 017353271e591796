"""Activation functions."""

from .. import modules
from .graph import Value
from .layer import Composed


class ReLU(Composed, modules.ReLU):
    """The rectifier of :class:`numpy_nn.ReLU`, by a choice.

    Formula: y = x, or 0 where x ≤ 0.
    """

    def compose(self, x: Value) -> Value:
        """Choose between x and 0."""
        return x.where(~(x.data <= 0), 0.0)  # so that nan stays nan


class LeakyReLU(Composed, modules.LeakyReLU):
    """The rectifier of :class:`numpy_nn.LeakyReLU`, by a product and a choice.

    Formula: y = x where x > 0, else slope · x.
    """

    def compose(self, x: Value) -> Value:
        """Choose between x and slope · x."""
        return x.where(x.data > 0, self.negative_slope * x)
