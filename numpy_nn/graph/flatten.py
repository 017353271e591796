"""Merging axes."""

from .. import modules
from .graph import Value
from .layer import Composed


class Flatten(Composed, modules.Flatten):
    """The merging of axes of :class:`numpy_nn.Flatten`, by one reshape."""

    def compose(self, x: Value) -> Value:
        """Give the array the shape that the layer of NumPy gives it."""
        return x.reshape(*modules.Flatten.forward(self, x.data).shape)
