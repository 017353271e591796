"""What PyTorch makes of a batch: values, in float64 and float32, and the sizes of the values.

This and the network's own building are all that needs PyTorch; where it is not installed, a
golden file takes their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from compare.backends.protocol import Arrays, Call, RecordedStep, Stage, State
from compare.backends.torch_backend import TorchBackend
from compare.check.contract import LOSSES
from compare.check.evidence import Assignment
from compare.parity.loss_sizes import LOSSES as LOSS_SIZES
from compare.parity.module_sizes import MODULES, module_sizes
from compare.parity.optimizer_sizes import update_sizes
from compare.parity.tolerances import NOISE
from compare.spec.model import ModelSpec
from experiments.errors import InputError


class _Still:
    """An optimizer that leaves everything as it is. Making one of torch.optim takes a second."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.param_groups = [{"params": parameters}]

    def zero_grad(self) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    def step(self) -> None:
        """Leave everything as it is."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": {}, "param_groups": []}

    def load_state_dict(self, _: dict[str, Any]) -> None:
        """There is no state."""


class _Plan(ModelSpec):
    """A model_spec that may have no optimizer."""

    def optimizer(self, nn: Any, model: Any) -> Any:
        """The optimizer, or one that does nothing."""
        if not self.algorithm:
            return _Still(list(model.parameters()))
        return super().optimizer(nn, model)


class Reference:
    """PyTorch's network, loss and optimizer for an assignment, in both precisions.

    Raises:
        InputError: PyTorch cannot build it.
    """

    def __init__(self, assignment: Assignment) -> None:
        def architecture(_: Any) -> Any:
            return assignment.build(torch.nn)  # it knows more layers than torch_nn names

        architecture.__name__ = assignment.architecture
        plan = _Plan(
            architecture,
            initialisation="default",
            loss=LOSSES[assignment.loss],
            algorithm=assignment.optimizer or "",
            settings=dict(assignment.settings),
        )
        if plan.algorithm and not hasattr(torch.optim, plan.algorithm):
            raise InputError(
                f"--optimizer {plan.algorithm}: PyTorch has no such optimizer; expected SGD, Adam, "
                "AdamW or another of torch.optim."
            )
        self.exact = TorchBackend(plan, "float64")
        self.single = TorchBackend(plan, "float32")
        self.trainable = [name for name, _ in self.exact.model.named_parameters()]

    def step(
        self, side: TorchBackend, parameters: Arrays, x: np.ndarray, y: np.ndarray
    ) -> RecordedStep:
        """One recorded step; the parameters that it starts from are as they were."""
        side.load(State(parameters))
        rows = side.rows(x, in_dtype(y, side.dtype))
        return side.record_step(side.batch(rows, np.arange(len(x))))

    def sizes(self, step: RecordedStep, y: np.ndarray) -> Arrays:
        """The sizes of a step's values by quantity.

        Each is the size of what was summed at its own stage, and what noise of that kind at all
        stages before it does to the value (see :mod:`compare.parity.certificate`).
        """
        with np.errstate(all="ignore"):
            stages = {call.name: self.stage_sizes(call, step) for call in step.calls}
        noise = {name: (NOISE * s.output, NOISE * s.grad_input) for name, s in stages.items()}
        self.exact.load(step.before)
        rows = self.exact.batch(self.exact.rows(step.inputs, y), np.arange(len(y)))
        noisy = values(self.exact.replay(rows, {}, noise))
        found: Arrays = {}
        for quantity, value in values(step).items():
            change = np.abs(noisy[quantity] - value).max(initial=0.0) / NOISE
            own = _own_size(quantity, stages, step)
            found[quantity] = np.broadcast_to(own, value.shape) + change
        return found

    def stage_sizes(self, call: Call, step: RecordedStep) -> Stage:
        """The sizes of one stage; for kinds that the harness has no rule for, the largest value."""
        if call.grad_output is None or call.grad_input is None:
            return _largest(Stage(call.output, np.zeros(call.input.shape)))
        if call.name == "loss":
            if call.kind in LOSS_SIZES:
                return LOSS_SIZES[call.kind](call.input, step.targets, 1.0)
            return _largest(Stage(call.output, call.grad_input))
        state = step.before.of_module(call.name)
        if call.kind in MODULES:
            return module_sizes(
                self.exact, call.name, call.kind, state, call.input, call.grad_output
            )
        return _largest(self.exact.stage(call.name, state, call.input, call.grad_output))

    def alone(self, call: Call, step: RecordedStep, dy: np.ndarray) -> tuple[Stage, Stage, Stage]:
        """One module alone under another output gradient: values, float32 values, sizes."""
        state = step.before.of_module(call.name)
        again = Call(call.name, call.kind, call.input, call.output, dy, call.grad_input)
        return (
            self.exact.stage(call.name, state, call.input, dy),
            self.single.stage(call.name, state, call.input, dy),
            self.stage_sizes(again, step),
        )

    def updates(
        self, parameters: Arrays, steps: tuple[Arrays, ...]
    ) -> tuple[Arrays, Arrays, Arrays]:
        """The parameters after some updates: values, float32 values, sizes."""
        exact, single = State(parameters), State(parameters)
        maximize = bool(self.exact.optimizer.param_groups[0].get("maximize", False))
        sizes = {name: np.abs(parameters[name]) for name in self.trainable}
        for gradients in steps:
            moved = update_sizes(self.exact, exact, gradients, maximize)
            for name in self.trainable:
                sizes[name] = sizes[name] + (moved.model[name] - np.abs(exact.model[name]))
            exact = self.exact.update_stage(exact, gradients)
            single = self.single.update_stage(single, gradients)
        return (
            {name: exact.model[name] for name in self.trainable},
            {name: single.model[name] for name in self.trainable},
            sizes,
        )


def in_dtype(targets: np.ndarray, dtype: str) -> np.ndarray:
    """Targets in a side's precision; classes stay what they are."""
    return targets.astype(dtype) if targets.dtype.kind == "f" else targets


def values(step: RecordedStep) -> Arrays:
    """The values of a step by quantity, in the order in which they come to be."""
    found: Arrays = {}
    trainable = set(step.gradients)
    for name, value in step.after.model.items():
        if name not in trainable and value.dtype.kind == "f":
            found[f"buffer/{name}"] = value
    found["logits"] = step.calls[-1].input
    found["loss"] = step.calls[-1].output
    for name in backwards(step):
        found[f"gradient/{name}"] = step.gradients[name]
    return found


def backwards(step: RecordedStep) -> Iterator[str]:
    """The names of the parameters from the last layer to the first, weight before bias."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in step.gradients))
    for module in reversed(modules):
        yield from (name for name in step.gradients if name.rpartition(".")[0] == module)


def _own_size(quantity: str, stages: dict[str, Stage], step: RecordedStep) -> np.ndarray:
    kind, _, name = quantity.partition("/")
    if kind == "loss":
        return stages["loss"].output
    if kind == "logits":
        return stages[step.calls[-2].name].output if len(step.calls) > 1 else np.zeros(())
    module, _, key = name.rpartition(".")
    part = stages[module].gradients if kind == "gradient" else stages[module].buffers
    return part[key]


def _largest(stage: Stage) -> Stage:
    """Every value replaced by the largest of its array."""

    def full(array: np.ndarray) -> np.ndarray:
        return np.full(array.shape, np.abs(array).max(initial=0.0))

    return Stage(
        full(stage.output),
        full(stage.grad_input),
        {key: full(value) for key, value in stage.gradients.items()},
        {key: full(value) for key, value in stage.buffers.items()},
    )
