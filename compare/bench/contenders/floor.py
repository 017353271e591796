"""The floor: the matrix products of a training step, and nothing else.

Whatever NumPy does on top of them is what code can save; the products themselves are its BLAS's.
A Linear layer takes y = x Wᵀ forwards and dW = dyᵀ x, dx = dy W backwards. A convolution takes the
same three with the values under the kernel as the columns of x; the columns are not made here. The
first layer's dx is not needed and not counted.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from compare.bench.contender import CannotRunError, Evidence
from compare.bench.contenders.numpy_steps import NumpySteps, layer_inputs
from compare.bench.workloads import TrainingStep


class Floor:
    """The products of a workload's network, with results in arrays that are there already."""

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward")

    def __init__(self, workload: TrainingStep) -> None:
        random = np.random.default_rng(0)
        self.forward: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.backward: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def array(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32)

        steps = NumpySteps(workload)
        for _, module, x in layer_inputs(steps.model, steps.inputs):
            if hasattr(module, "in_features"):
                rows, fan_in, fan_out = len(x), module.in_features, module.out_features
            elif hasattr(module, "in_channels") and getattr(module, "groups", 1) == 1:
                out = module(x)
                rows = out.size // out.shape[1]
                fan_out, fan_in = module.weight.data.reshape(module.out_channels, -1).shape
            else:
                continue
            w, values, dy = array(fan_out, fan_in), array(rows, fan_in), array(rows, fan_out)
            y, dw, dx = array(rows, fan_out), array(fan_out, fan_in), array(rows, fan_in)
            if self.forward:
                self.backward.insert(0, (dy, w, dx))
            self.backward.insert(0, (dy.T, values, dw))
            self.forward.append((values, w.T, y))
        if not self.forward:
            raise CannotRunError("the network has no layer that is a matrix product")

    def start(self) -> None:
        pass

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        for a, b, out in self.forward:
            np.matmul(a, b, out=out)
        done = perf_counter()
        for a, b, out in self.backward:
            np.matmul(a, b, out=out)
        return done - begun, perf_counter() - done

    def evidence(self) -> list[Evidence]:
        return []
