"""A training step of PyTorch, eager or compiled."""

from __future__ import annotations

import copy
import shutil
import sys
from time import perf_counter
from typing import Any

import numpy as np
import torch

import torch_nn
from compare.bench.contender import CannotRunError, Evidence, LayerTime
from compare.bench.contenders.numpy_steps import EVIDENT_STEPS
from compare.bench.workloads import TrainingStep
from experiments.errors import InputError

# Compilers that torch.compile looks for, after what the variable CXX names.
COMPILERS = ("g++", "clang++", "cl")


class TorchSteps:
    """The network, loss and optimizer of a workload in ``torch.nn``.

    Args:
        workload: What to do.
        optimizer: Arguments of the optimizer that say how it computes: ``foreach`` or ``fused``.
        channels_last: Images and kernels with their channels last in memory.
        compiled: Network and loss through ``torch.compile``.

    Raises:
        CannotRunError: The optimizer has no such setting, or there is no compiler.
    """

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward", "update")

    def __init__(
        self,
        workload: TrainingStep,
        optimizer: dict[str, bool] | None = None,
        *,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        plan = workload.model_spec()
        self.model = plan.model(torch_nn)
        inputs, targets = workload.batch()
        self.inputs, self.targets = torch.tensor(inputs), torch.tensor(targets)
        self.seed, self.loss = workload.seed, plan.criterion(torch_nn)
        if channels_last:
            if self.inputs.dim() != 4:
                raise CannotRunError("there are no images whose channels could come last")
            self.model = self.model.to(memory_format=torch.channels_last)
            self.inputs = self.inputs.to(memory_format=torch.channels_last)
        try:
            plan = workload.model_spec(**(optimizer or {}))
            self.optimizer = plan.optimizer(torch_nn, self.model)
        except (InputError, RuntimeError):
            wanted = " and ".join(f"{name}={value}" for name, value in (optimizer or {}).items())
            raise CannotRunError(f"PyTorch's {workload.algorithm} has no {wanted} here") from None
        _, start = workload.start()
        self._start = {name: torch.tensor(value) for name, value in start.items()}
        self._fresh = copy.deepcopy(self.optimizer.state_dict())
        self._forward = self._plain
        if compiled:
            if not (compiler_here() and sys.platform != "win32"):
                raise CannotRunError(
                    f"torch.compile needs a C++ compiler: none of {COMPILERS} is here"
                )
            # One function may be compiled for eight shapes in a process, and is then silently
            # not compiled any more; what was compiled for earlier workloads is forgotten here.
            torch.compiler.reset()
            self._forward = torch.compile(self._plain, dynamic=False)
        self.last_loss = 0.0

    def _plain(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model(inputs), targets)

    def start(self) -> None:
        torch_nn.manual_seed(self.seed)  # for dropout's masks
        self.model.load_state_dict(self._start)
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        self.optimizer.zero_grad()

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        loss = self._forward(self.inputs, self.targets)
        forward = perf_counter()
        loss.backward()
        backward = perf_counter()
        self.optimizer.step()
        self.optimizer.zero_grad()
        update = perf_counter()
        self.last_loss = loss.item()
        return forward - begun, backward - forward, update - backward

    def evidence(self) -> list[Evidence]:
        self.start()
        self._forward(self.inputs, self.targets).backward()
        gradients = {name: p.grad.numpy().copy() for name, p in self.model.named_parameters()}
        self.start()
        losses = []
        for _ in range(EVIDENT_STEPS):
            self.step()
            losses.append(self.last_loss)
        return [Evidence(losses, gradients, "gradients")]

    def layers(self, repeats: int) -> list[LayerTime]:
        """Every layer alone, forwards and backwards, and the loss."""
        self.start()
        seen: list[tuple[str, Any, torch.Tensor]] = []
        leaves = [(name, m) for name, m in self.model.named_modules() if not any(m.children())]
        hooks = [
            module.register_forward_pre_hook(lambda m, args, n=name: seen.append((n, m, args[0])))
            for name, module in leaves
        ]
        logits = self.model(self.inputs)
        for hook in hooks:
            hook.remove()
        given = logits.detach().requires_grad_()
        times = []
        for name, module, x in [*seen, ("loss", self._loss_alone, given)]:
            # Only the data needs no gradient.
            leaf = x.detach().requires_grad_(x.requires_grad)
            dy = torch.randn_like(module(leaf))
            forward, backward = np.empty(repeats), np.zeros(repeats)
            for number in range(repeats):
                self.optimizer.zero_grad()
                leaf.grad = None
                begun = perf_counter()
                output = module(leaf)
                done = perf_counter()
                if output.requires_grad:
                    output.backward(dy)
                forward[number], backward[number] = done - begun, perf_counter() - done
            kind = type(self.loss if name == "loss" else module).__name__
            times.append(LayerTime(name, kind, forward, backward))
        return times

    def _loss_alone(self, logits: torch.Tensor) -> torch.Tensor:
        return self.loss(logits, self.targets)


def compiler_here() -> bool:
    """Whether there is a C++ compiler for ``torch.compile``."""
    import os

    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)
