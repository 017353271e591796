"""A convolution alone in PyTorch."""

from __future__ import annotations

from time import perf_counter

import torch

import torch_nn
from compare.bench.contender import Evidence
from compare.bench.workloads import Convolution


class TorchConvolution:
    """``torch.nn.Conv2d``, forwards and backwards.

    Args:
        workload: Which convolution.
        channels_last: Images and kernels with their channels last in memory.
    """

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward")

    def __init__(self, workload: Convolution, *, channels_last: bool = False) -> None:
        arrays = {name: torch.tensor(value) for name, value in workload.arrays().items()}
        self.layer = torch_nn.Conv2d(workload.in_channels, workload.out_channels, 3, padding=1)
        self.layer.load_state_dict({"weight": arrays["w"], "bias": arrays["b"]})
        if channels_last:
            self.layer = self.layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            arrays["x"] = arrays["x"].to(memory_format=torch.channels_last)
            arrays["dy"] = arrays["dy"].to(memory_format=torch.channels_last)
        self.x, self.dy = arrays["x"].requires_grad_(), arrays["dy"]

    def start(self) -> None:
        self._forget()

    def step(self) -> tuple[float, ...]:
        self._forget()
        begun = perf_counter()
        self.y = self.layer(self.x)
        forward = perf_counter()
        self.y.backward(self.dy)
        backward = perf_counter()
        return forward - begun, backward - forward

    def evidence(self) -> list[Evidence]:
        self.start()
        self.step()
        found = {
            "y": self.y.detach(),
            "dx": self.x.grad,
            "dw": self.layer.weight.grad,
            "db": self.layer.get_parameter("bias").grad,
        }
        return [
            Evidence([], {name: value.numpy().copy() for name, value in found.items()}, "gradients")
        ]

    def _forget(self) -> None:
        self.x.grad = None
        self.layer.zero_grad()
