"""PyTorch at a training step, eager or compiled, and at a convolution alone."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from typing import Any

import torch

import torch_nn
from compare.bench.cases import Convolution, TrainingStep
from compare.bench.contenders import Arrays, CannotRunError, Contender
from experiments.errors import InputError

# Compilers that torch.compile looks for, after what the variable CXX names.
COMPILERS = ("g++", "clang++", "cl")


def gradients_of(module: Any) -> Arrays:
    """Name → a copy of the gradient of each parameter."""
    return {name: p.grad.numpy().copy() for name, p in module.named_parameters()}


class TorchStep(Contender):
    """Network, loss and optimizer of ``torch.nn``.

    Args:
        case: What to do.
        optimizer: Arguments of the optimizer that say how it computes: ``foreach`` or ``fused``.
        channels_last: Images and kernels with their channels last in memory.
        compiled: Network and loss through ``torch.compile``.

    Raises:
        CannotRunError: The optimizer has no such setting, or there is no compiler.
    """

    def __init__(
        self,
        case: TrainingStep,
        optimizer: dict[str, bool] | None = None,
        *,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        blueprint = case.blueprint(**(optimizer or {}))
        self.model = blueprint.model(torch_nn)
        self.inputs, self.targets = (torch.tensor(array) for array in case.batch())
        self.seed, self.criterion = case.seed, blueprint.criterion(torch_nn)
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.inputs = self.inputs.to(memory_format=torch.channels_last)
        try:
            self.optimizer = blueprint.optimizer(torch_nn, self.model)
        except (InputError, RuntimeError):
            setting = " and ".join(f"{name}={value}" for name, value in (optimizer or {}).items())
            raise CannotRunError(f"PyTorch's {case.algorithm} has no {setting} here") from None
        _, initial = case.initial()
        self._initial = {name: torch.tensor(value) for name, value in initial.items()}
        self._fresh = copy.deepcopy(self.optimizer.state_dict())
        self._network_and_loss = self._eager
        if compiled:
            compilers = filter(None, (os.environ.get("CXX"), *COMPILERS))
            if sys.platform == "win32" or not any(map(shutil.which, compilers)):
                raise CannotRunError("torch.compile needs a C++ compiler, and none is here")
            # One function may be compiled for eight shapes in a process, and after that it runs
            # uncompiled without a word; what was compiled for earlier cases is forgotten here.
            torch.compiler.reset()
            self._network_and_loss = torch.compile(self._eager, dynamic=False)

    def _eager(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.model(inputs), targets)

    def start(self) -> None:
        torch_nn.manual_seed(self.seed)  # for dropout's masks
        self.model.load_state_dict(self._initial)
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        self.optimizer.zero_grad()

    def forward(self) -> None:
        self.loss = self._network_and_loss(self.inputs, self.targets)

    def backward(self) -> None:
        self.loss.backward()

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def finish(self) -> None:
        self.loss = self.loss.item()

    def gradients(self) -> Arrays:
        return gradients_of(self.model)


class TorchConvolution(Contender):
    """``torch.nn.Conv2d``, forward and backward.

    Args:
        case: Which convolution.
        channels_last: Images and kernels with their channels last in memory.
    """

    phases = ("forward", "backward")

    def __init__(self, case: Convolution, *, channels_last: bool = False) -> None:
        arrays = {name: torch.tensor(value) for name, value in case.arrays().items()}
        self.layer = torch_nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        self.layer.load_state_dict({"weight": arrays["w"], "bias": arrays["b"]})
        if channels_last:
            self.layer = self.layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name in ("x", "dy"):
                arrays[name] = arrays[name].to(memory_format=torch.channels_last)
        self.x, self.dy = arrays["x"].requires_grad_(), arrays["dy"]

    def start(self) -> None:
        self.x.grad = None
        self.layer.zero_grad()

    def forward(self) -> None:
        self.y = self.layer(self.x)

    def backward(self) -> None:
        self.y.backward(self.dy)

    def finish(self) -> None:
        self.start()

    def gradients(self) -> Arrays:
        dx = self.x.grad
        assert dx is not None
        found = {"y": self.y.detach().numpy().copy(), "dx": dx.numpy().copy()}
        return {**found, **gradients_of(self.layer)}
