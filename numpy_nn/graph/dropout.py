"""Dropout."""

import numpy as np

from .. import modules
from .graph import Value
from .layer import Composed


class Dropout(Composed, modules.Dropout):
    """The dropout of :class:`numpy_nn.Dropout`, by a product with the noise.

    Formula: y = x · r, with r = m / (1 − p): what the layer of NumPy makes of ones.
    """

    def compose(self, x: Value) -> Value:
        """Draw the noise and multiply."""
        return x * modules.Dropout.forward(self, np.ones_like(x.data))
