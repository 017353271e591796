"""tinygrad on the CPU, its step traced once and replayed."""

from __future__ import annotations

import os
import shutil
from time import perf_counter
from typing import Any

import numpy as np

from compare.bench.contender import CannotRunError, Evidence
from compare.bench.contenders.numpy_steps import EVIDENT_STEPS
from compare.bench.peers.plan import Layer, layers_of
from compare.bench.workloads import SETTINGS, TrainingStep

CAN = {
    "Linear", "BatchNorm1d", "ReLU", "LeakyReLU", "Sigmoid", "Conv2d", "MaxPool2d", "Flatten",
}  # fmt: skip


class TinygradSteps:
    """Sequential networks; forward, backward and update are one replayed program.

    Raises:
        CannotRunError: There is no clang, with which tinygrad compiles for the CPU.
    """

    dtype = "float32"
    phases: tuple[str, ...] = ("step",)

    def __init__(self, workload: TrainingStep) -> None:
        if shutil.which("clang") is None:
            raise CannotRunError("tinygrad compiles for the CPU with clang, which is not here")
        self.layers = layers_of(workload, CAN, "what is written here for tinygrad")
        if workload.algorithm not in SETTINGS:
            raise CannotRunError(f"no {workload.algorithm} written here for tinygrad")
        os.environ.setdefault("DEV", "CPU")
        os.environ.setdefault("CPU_COUNT", os.environ.get("OMP_NUM_THREADS", "1"))
        from tinygrad import Tensor, TinyJit
        from tinygrad.helpers import Context
        from tinygrad.nn import optim

        self._tensor, self._jit, self._context = Tensor, TinyJit, Context
        self._optimizer_class = getattr(optim, workload.algorithm)
        self._settings = {"lr": SETTINGS[workload.algorithm]["lr"]}
        model, self._start = workload.start()
        self._trained = [name for name, _ in model.named_parameters()]
        inputs, targets = workload.batch()
        self.inputs, self.targets = Tensor(inputs).realize(), Tensor(targets).realize()
        self.binary = self.layers[-1].kind == "Sigmoid"
        self.params: dict[str, Any] = {name: Tensor(np.array(v)) for name, v in self._start.items()}
        self._make()

    def _make(self) -> None:
        trained = [self.params[name] for name in self._trained]
        self.optimizer = self._optimizer_class(trained, **self._settings)
        self._state = [t for t in vars(self.optimizer).values() if isinstance(t, self._tensor)]
        for group in vars(self.optimizer).values():
            if isinstance(group, list):
                self._state += [t for t in group if isinstance(t, self._tensor)]
        own = {id(t) for t in trained}
        self._state = [t for t in self._state if id(t) not in own]
        self._fresh = [t.numpy().copy() for t in self._state]

        def step() -> Any:
            self.optimizer.zero_grad()
            loss = self._loss()
            loss.backward()
            buffers = [v for name, v in self.params.items() if name not in self._trained]
            # All at once: the loss is that of the weights before the update.
            return loss.realize(*self.optimizer.schedule_step(), *buffers)

        self._step = self._jit(step)

    def _loss(self) -> Any:
        x = self.inputs
        for layer in self.layers:
            x = self._apply(layer, x)
        if self.binary:
            return x.binary_crossentropy(self.targets)
        return x.sparse_categorical_crossentropy(self.targets)

    def _apply(self, layer: Layer, x: Any) -> Any:
        own = self.params
        if layer.kind == "Linear":
            return x.linear(own[f"{layer.name}.weight"].T, own[f"{layer.name}.bias"])
        if layer.kind == "Conv2d":
            weight, bias = own[f"{layer.name}.weight"], own[f"{layer.name}.bias"]
            return x.conv2d(weight, bias, padding=layer.module.padding[0])
        if layer.kind == "BatchNorm1d":
            mean, var = x.mean(axis=0), x.var(axis=0, correction=0)
            share = layer.module.momentum
            unbiased = x.shape[0] / (x.shape[0] - 1)
            for name, value in (("mean", mean), ("var", var * unbiased)):
                running = own[f"{layer.name}.running_{name}"]
                running.assign(running + share * (value.detach() - running))
            weight, bias = own[f"{layer.name}.weight"], own[f"{layer.name}.bias"]
            return x.batchnorm(weight, bias, mean, (var + layer.module.eps).rsqrt())
        if layer.kind == "MaxPool2d":
            return x.max_pool2d((2, 2))
        if layer.kind == "Flatten":
            return x.flatten(1)
        if layer.kind == "LeakyReLU":
            return x.leaky_relu(layer.module.negative_slope)
        return x.relu() if layer.kind == "ReLU" else x.sigmoid()

    def start(self) -> None:
        for name, value in self._start.items():
            self.params[name].assign(self._tensor(np.array(value))).realize()
        for tensor, value in zip(self._state, self._fresh, strict=True):
            tensor.assign(self._tensor(value)).realize()

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        with self._context(TRAINING=1):
            self.last_loss = float(self._step().item())
        return (perf_counter() - begun,)

    def evidence(self) -> list[Evidence]:
        # Traced in its first two calls, replayed from the third on: what is timed is replayed.
        for _ in range(3):
            self.step()
        self.start()
        losses = []
        for _ in range(EVIDENT_STEPS):
            self.step()
            losses.append(self.last_loss)
        self.start()
        self.optimizer.zero_grad()
        self._loss().backward()
        gradients = {name: self.params[name].grad.numpy() for name in self._trained}
        self.optimizer.zero_grad()
        return [Evidence(losses, gradients, "gradients")]
