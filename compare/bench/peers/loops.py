"""A convolution as it is first written: a loop over images, channels, rows and columns."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from compare.bench.contender import Evidence
from compare.bench.workloads import Convolution


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Y of a 3×3 convolution with padding 1; the products under the kernel are NumPy's."""
    images, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((images, len(w), height, width), x.dtype)
    for n in range(images):
        for o in range(len(w)):
            for i in range(height):
                for j in range(width):
                    y[n, o, i, j] = np.sum(padded[n, :, i : i + 3, j : j + 3] * w[o]) + b[o]
    return y


def backward(
    x: np.ndarray, w: np.ndarray, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dw, db) of the same."""
    images, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dpadded, dw, db = np.zeros_like(padded), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for n in range(images):
        for o in range(len(w)):
            for i in range(height):
                for j in range(width):
                    g = dy[n, o, i, j]
                    db[o] += g
                    dw[o] += g * padded[n, :, i : i + 3, j : j + 3]
                    dpadded[n, :, i : i + 3, j : j + 3] += g * w[o]
    return dpadded[:, :, 1:-1, 1:-1], dw, db


class LoopConvolution:
    """These two functions as they stand."""

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward")

    def __init__(self, workload: Convolution) -> None:
        self.arrays = workload.arrays()
        self.forward, self.backward = forward, backward

    def start(self) -> None:
        pass

    def step(self) -> tuple[float, ...]:
        x, w, b, dy = (self.arrays[name] for name in ("x", "w", "b", "dy"))
        begun = perf_counter()
        self.y = self.forward(x, w, b)
        done = perf_counter()
        self.gradients = self.backward(x, w, dy)
        return done - begun, perf_counter() - done

    def evidence(self) -> list[Evidence]:
        self.step()
        dx, dw, db = (np.array(g) for g in self.gradients)
        return [Evidence([], {"y": np.array(self.y), "dx": dx, "dw": dw, "db": db}, "gradients")]
