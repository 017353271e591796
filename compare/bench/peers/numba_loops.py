"""A convolution in loops over every number, compiled by Numba, images in parallel."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from compare.bench.peers.loops import LoopConvolution
from compare.bench.workloads import Convolution


@numba.njit(parallel=True, fastmath=True, cache=False)
def forward(x: Any, w: Any, b: Any) -> Any:
    """Y of a 3×3 convolution with padding 1."""
    images, channels, height, width = x.shape
    y = np.empty((images, len(w), height, width), x.dtype)
    for n in numba.prange(images):
        for o in range(len(w)):
            y[n, o] = b[o]
            for c in range(channels):
                for k in range(3):
                    for m in range(3):
                        weight = w[o, c, k, m]
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                y[n, o, i, j] += weight * x[n, c, i + k - 1, j + m - 1]
    return y


@numba.njit(parallel=True, fastmath=True, cache=False)
def backward(x: Any, w: Any, dy: Any) -> Any:
    """(dx, dw, db) of the same; every image has a dw of its own, summed at the end."""
    images, channels, height, width = x.shape
    dx = np.zeros_like(x)
    dws = np.zeros((images, len(w), channels, 3, 3), w.dtype)
    for n in numba.prange(images):
        for o in range(len(w)):
            for c in range(channels):
                for k in range(3):
                    for m in range(3):
                        weight = w[o, c, k, m]
                        total = x.dtype.type(0)
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                g = dy[n, o, i, j]
                                total += g * x[n, c, i + k - 1, j + m - 1]
                                dx[n, c, i + k - 1, j + m - 1] += weight * g
                        dws[n, o, c, k, m] = total
    return dx, dws.sum(axis=0), dy.sum(axis=3).sum(axis=2).sum(axis=0)


class NumbaConvolution(LoopConvolution):
    """The same contest, compiled; compiling is not timed, since evidence is asked for first."""

    def __init__(self, workload: Convolution) -> None:
        super().__init__(workload)
        self.forward, self.backward = forward, backward
