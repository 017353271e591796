"""A convolution alone in ``numpy_nn``."""

from __future__ import annotations

from time import perf_counter

import numpy as np

import numpy_nn
from compare.bench.contender import Evidence
from compare.bench.workloads import Convolution


class NumpyConvolution:
    """``numpy_nn.Conv2d``, forwards and backwards."""

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward")

    def __init__(self, workload: Convolution) -> None:
        self.arrays = workload.arrays()
        self.layer = numpy_nn.Conv2d(workload.in_channels, workload.out_channels, 3, padding=1)
        self.layer.load_state_dict({"weight": self.arrays["w"], "bias": self.arrays["b"]})

    def start(self) -> None:
        self.layer.zero_grad()

    def step(self) -> tuple[float, ...]:
        self.layer.zero_grad()
        begun = perf_counter()
        self.y = self.layer(self.arrays["x"])
        forward = perf_counter()
        self.dx = self.layer.backward(self.arrays["dy"])
        backward = perf_counter()
        return forward - begun, backward - forward

    def evidence(self) -> list[Evidence]:
        self.start()
        self.step()
        found = {
            "y": np.array(self.y),
            "dx": np.array(self.dx),
            "dw": np.array(self.layer.weight.grad),
            "db": np.array(dict(self.layer.named_parameters())["bias"].grad),
        }
        return [Evidence([], found, "gradients")]
