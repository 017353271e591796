"""A training step of ``numpy_nn``."""

from __future__ import annotations

import copy
from time import perf_counter
from typing import Any

import numpy as np

import numpy_nn
from compare.bench.contender import Evidence, LayerTime
from compare.bench.workloads import TrainingStep

EVIDENT_STEPS = 3


class NumpySteps:
    """The network, loss and optimizer of a workload in ``numpy_nn``."""

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward", "update")

    def __init__(self, workload: TrainingStep) -> None:
        plan = workload.model_spec()
        self.model, self._start = workload.start()
        self.inputs, self.targets = workload.batch()
        self.seed, self.loss = workload.seed, plan.criterion(numpy_nn)
        self.optimizer = plan.optimizer(numpy_nn, self.model)
        self._fresh = copy.deepcopy(self.optimizer.state_dict())
        self.last_loss = 0.0

    def start(self) -> None:
        numpy_nn.manual_seed(self.seed)  # for dropout's masks
        self.model.load_state_dict(self._start)
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        self.optimizer.zero_grad()

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        loss = self.loss(self.model(self.inputs), self.targets)
        forward = perf_counter()
        # Like autograd, stop at the parameters: nobody needs the gradient of the data.
        self.model.backward_parameters(self.loss.backward())
        backward = perf_counter()
        self.optimizer.step()
        self.optimizer.zero_grad()
        update = perf_counter()
        self.last_loss = float(loss)
        return forward - begun, backward - forward, update - backward

    def evidence(self) -> list[Evidence]:
        self.start()
        self.loss(self.model(self.inputs), self.targets)
        self.model.backward_parameters(self.loss.backward())
        gradients = {name: np.array(p.grad) for name, p in self.model.named_parameters()}
        self.start()
        losses, changes = [], {}
        for number in range(EVIDENT_STEPS):
            self.step()
            losses.append(self.last_loss)
            if number == 0:
                changes = {n: p.data - self._start[n] for n, p in self.model.named_parameters()}
        return [Evidence(losses, gradients, "gradients"), Evidence(losses, changes, "weights")]

    def layers(self, repeats: int) -> list[LayerTime]:
        """Every layer alone, forwards and backwards, and the loss."""
        self.start()
        seen = layer_inputs(self.model, self.inputs)
        logits = self.model(self.inputs)
        self.loss(logits, self.targets)
        gradient = self.loss.backward()
        times = [_timed_loss(self.loss, logits, self.targets, repeats)]
        first = True
        wanted = {}
        for name, module, _ in seen:
            # Nobody needs the gradient by the data; it ends at the first layer with parameters.
            trains = any(True for _ in module.parameters())
            wanted[name] = "none" if first and not trains else "parameters" if first else "input"
            first = first and not trains
        for name, module, x in reversed(seen):
            forward, backward = np.empty(repeats), np.zeros(repeats)
            module(x)
            last, call = gradient, wanted[name]
            for number in range(repeats):
                for parameter in module.parameters():
                    parameter.grad = None
                begun = perf_counter()
                module(x)
                done = perf_counter()
                if call == "input":
                    last = module.backward(gradient)
                elif call == "parameters":
                    module.backward_parameters(gradient)
                ended = perf_counter()
                forward[number], backward[number] = done - begun, ended - done
            times.insert(0, LayerTime(name, type(module).__name__, forward, backward))
            gradient = np.array(last)
        return times


def _timed_loss(loss: Any, logits: np.ndarray, targets: np.ndarray, repeats: int) -> LayerTime:
    forward, backward = np.empty(repeats), np.empty(repeats)
    for number in range(repeats):
        begun = perf_counter()
        loss(logits, targets)
        done = perf_counter()
        loss.backward()
        forward[number], backward[number] = done - begun, perf_counter() - done
    return LayerTime("loss", type(loss).__name__, forward, backward)


def layer_inputs(model: Any, inputs: np.ndarray) -> list[tuple[str, Any, np.ndarray]]:
    """(name, module, what it is given) of each leaf module, in the order of execution."""
    seen: list[tuple[str, Any, np.ndarray]] = []
    leaves = [(name, m) for name, m in model.named_modules() if not any(m.children())]
    for name, module in leaves:

        def watching(x: np.ndarray, name: str = name, module: Any = module) -> Any:
            seen.append((name, module, np.array(x)))
            return type(module).forward(module, x)

        module.__dict__["forward"] = watching
    try:
        model(inputs)
    finally:
        for _, module in leaves:
            del module.__dict__["forward"]
    return seen
