"""Max-pooling of images."""

import numpy as np

from .. import modules
from .graph import Value
from .layer import Composed
from .windows import windows


class MaxPool2d(Composed, modules.MaxPool2d):
    """The pooling of :class:`numpy_nn.MaxPool2d`, by picking windows and one maximum.

    Formula: y = max over each window of x, which −∞ surrounds.

    Convention: of equal values the first in the window gets the gradient. Two things are not
    PyTorch's: of several nan the first gets it too, not the last; and where a window has
    nothing but −∞, the padding may.
    """

    def compose(self, x: Value) -> Value:
        """Pad, pick the windows, find the largest."""
        output = self._output_size(x.data)
        around = [(0, 0) for _ in x.shape[:-2]]
        for axis, size in enumerate(x.shape[-2:]):
            before = self._padding[axis]
            reach = self._dilation[axis] * (self._kernel[axis] - 1)
            last = self._stride[axis] * (output[axis] - 1) + reach - before
            around.append((before, max(last + 1 - size, 0)))
        batch = x.pad(*around, value=-np.inf)
        if x.ndim == 3:
            batch = batch.reshape(1, *batch.shape)
        picked = windows(batch, self._kernel, self._stride, self._dilation, output)
        y = picked.max(axis=(2, 3))
        return y if x.ndim == 4 else y.reshape(*y.shape[1:])
