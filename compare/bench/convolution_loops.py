"""A convolution in loops: in Python, as it is first written, and compiled by Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.bench.cases import Convolution
from compare.bench.contenders import Arrays, Contender


class PlainLoops(Contender):
    """Loops over images, channels, rows and columns; the products under the kernel are NumPy's."""

    phases = ("forward", "backward")

    def __init__(self, case: Convolution) -> None:
        arrays = case.arrays()
        self.x, self.w, self.b, self.dy = (arrays[name] for name in ("x", "w", "b", "dy"))

    def forward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        self.y = y = np.zeros_like(self.dy)
        for n in range(len(y)):
            for o in range(y.shape[1]):
                for i in range(y.shape[2]):
                    for j in range(y.shape[3]):
                        products = padded[n, :, i : i + 3, j : j + 3] * self.w[o]
                        y[n, o, i, j] = np.sum(products) + self.b[o]

    def backward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        dpadded, dw, db = (np.zeros_like(array) for array in (padded, self.w, self.b))
        dy = self.dy
        for n in range(len(dy)):
            for o in range(dy.shape[1]):
                for i in range(dy.shape[2]):
                    for j in range(dy.shape[3]):
                        g = dy[n, o, i, j]
                        db[o] += g
                        dw[o] += g * padded[n, :, i : i + 3, j : j + 3]
                        dpadded[n, :, i : i + 3, j : j + 3] += g * self.w[o]
        self.dx, self.dw, self.db = dpadded[:, :, 1:-1, 1:-1], dw, db

    def gradients(self) -> Arrays:
        return {"y": self.y, "dx": self.dx, "weight": self.dw, "bias": self.db}


class NumbaLoops(PlainLoops):
    """Loops over every number, images in parallel.

    They are compiled when their results are compared, before anything is timed.
    """

    def __init__(self, case: Convolution) -> None:
        import numba

        super().__init__(case)
        compiled = numba.njit(parallel=True, fastmath=True)
        prange = numba.prange

        def forward(x: Any, w: Any, b: Any) -> Any:
            images, channels, height, width = x.shape
            y = np.empty((images, len(w), height, width), x.dtype)
            for n in prange(images):
                for o in range(len(w)):
                    y[n, o] = b[o]
                    for c, k, m in np.ndindex(channels, 3, 3):
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                y[n, o, i, j] += w[o, c, k, m] * x[n, c, i + k - 1, j + m - 1]
            return y

        def backward(x: Any, w: Any, dy: Any) -> Any:
            images, channels, height, width = x.shape
            dx = np.zeros_like(x)
            dws = np.zeros((images, len(w), channels, 3, 3), w.dtype)  # one for each image
            for n in prange(images):
                for o in range(len(w)):
                    for c, k, m in np.ndindex(channels, 3, 3):
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                g = dy[n, o, i, j]
                                dws[n, o, c, k, m] += g * x[n, c, i + k - 1, j + m - 1]
                                dx[n, c, i + k - 1, j + m - 1] += w[o, c, k, m] * g
            return dx, dws.sum(axis=0), dy.sum(axis=3).sum(axis=2).sum(axis=0)

        self._forward, self._backward = compiled(forward), compiled(backward)

    def forward(self) -> None:
        self.y = self._forward(self.x, self.w, self.b)

    def backward(self) -> None:
        self.dx, self.dw, self.db = self._backward(self.x, self.w, self.dy)
