"""autograd: NumPy with gradients by tracing, the network written as its users write it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import autograd.numpy as np
import numpy
from autograd.core import make_vjp

from compare.bench.contender import CannotRunError, Evidence
from compare.bench.contenders.numpy_steps import EVIDENT_STEPS
from compare.bench.peers.plan import Layer, layers_of, one_hot
from compare.bench.workloads import SETTINGS, TrainingStep

CAN = {"Linear", "BatchNorm1d", "ReLU", "LeakyReLU", "Sigmoid"}


class AutogradSteps:
    """Networks of Linear, BatchNorm1d and activations; SGD and Adam in plain NumPy."""

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward", "update")

    def __init__(self, workload: TrainingStep) -> None:
        self.layers = layers_of(workload, CAN, "what is written here for autograd")
        if workload.algorithm not in SETTINGS:
            raise CannotRunError(f"no {workload.algorithm} written here for autograd")
        self.update = _adam if workload.algorithm == "Adam" else _sgd
        self.lr = SETTINGS[workload.algorithm]["lr"]
        model, self._start = workload.start()
        self._trained = [name for name, _ in model.named_parameters()]
        self.inputs, targets = workload.batch()
        self.binary = self.layers[-1].kind == "Sigmoid"
        classes = model(self.inputs[:2]).shape[1]
        self.targets = targets if self.binary else one_hot(targets, classes)
        self.start()

    def start(self) -> None:
        copies = {name: numpy.array(value) for name, value in self._start.items()}
        self.params = {name: copies.pop(name) for name in self._trained}
        self.buffers = copies
        self.state: dict[str, Any] = {}

    def loss(self, params: dict[str, Any]) -> Any:
        x = self.inputs
        for layer in self.layers:
            x = self._apply(layer, params, x)
        if self.binary:
            t = self.targets
            return -np.mean(t * np.log(x) + (1 - t) * np.log(1 - x))
        shifted = x - np.max(x, axis=1, keepdims=True)
        log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return -np.sum(log_p * self.targets) / numpy.float32(len(x))

    def _apply(self, layer: Layer, params: dict[str, Any], x: Any) -> Any:
        if layer.kind == "Linear":
            return np.dot(x, params[f"{layer.name}.weight"].T) + params[f"{layer.name}.bias"]
        if layer.kind == "BatchNorm1d":
            mean, var = np.mean(x, axis=0), np.var(x, axis=0)
            self._follow(layer, mean, var, len(x))
            normed = (x - mean) / np.sqrt(var + numpy.float32(layer.module.eps))
            return params[f"{layer.name}.weight"] * normed + params[f"{layer.name}.bias"]
        if layer.kind == "Sigmoid":
            return 1 / (1 + np.exp(-x))
        slope = numpy.float32(getattr(layer.module, "negative_slope", 0.0))
        return np.where(x > 0, x, slope * x) if slope else np.maximum(x, numpy.float32(0))

    def _follow(self, layer: Layer, mean: Any, var: Any, rows: int) -> None:
        share = numpy.float32(layer.module.momentum)
        unbiased = numpy.float32(rows / (rows - 1))
        for name, value in (("mean", mean), ("var", var)):
            running = self.buffers[f"{layer.name}.running_{name}"]
            found = value._value if hasattr(value, "_value") else value
            running += share * (found * (unbiased if name == "var" else 1) - running)

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        vjp, loss = make_vjp(self.loss, self.params)
        forward = perf_counter()
        gradients = vjp(numpy.float32(1))
        backward = perf_counter()
        self.update(self.params, gradients, self.state, self.lr)
        update = perf_counter()
        self.last_loss, self.gradients = float(loss), gradients
        return forward - begun, backward - forward, update - backward

    def evidence(self) -> list[Evidence]:
        self.start()
        losses, first = [], {}
        for number in range(EVIDENT_STEPS):
            self.step()
            losses.append(self.last_loss)
            if number == 0:
                first = {name: numpy.array(value) for name, value in self.gradients.items()}
        return [Evidence(losses, first, "gradients")]


def _sgd(params: dict[str, Any], gradients: dict[str, Any], state: Any, lr: float) -> None:
    for name, value in params.items():
        value -= numpy.float32(lr) * gradients[name]


def _adam(params: dict[str, Any], gradients: dict[str, Any], state: Any, lr: float) -> None:
    beta1, beta2, eps = (numpy.float32(v) for v in (0.9, 0.999, 1e-8))
    state["step"] = step = state.get("step", 0) + 1
    size = numpy.float32(lr / (1 - 0.9**step))
    root = numpy.float32((1 - 0.999**step) ** 0.5)
    for name, value in params.items():
        g = gradients[name]
        m, v = state.setdefault(name, (numpy.zeros_like(value), numpy.zeros_like(value)))
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        value -= size * m / (numpy.sqrt(v) / root + eps)
