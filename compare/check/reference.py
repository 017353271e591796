"""PyTorch's values for a batch, in float64 and float32, and the sizes of these values.

Only this file and :mod:`cases` need PyTorch; without it, a golden file takes their place.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from compare.backends.protocol import Arrays, Call, RecordedStep, Stage, State
from compare.backends.torch_backend import TorchBackend
from compare.check.contract import LOSS_CLASSES, Assignment
from compare.check.sequences import SequenceNamespace, pass_on_outputs
from compare.check.torch_loss import TorchLoss
from compare.parity.sizes import LOSSES as LOSS_SIZES
from compare.parity.sizes import MODULES, module_sizes, update_sizes
from compare.parity.tolerances import NOISE
from compare.spec.model import ModelSpec
from experiments.errors import InputError

# The classes of torch.optim: nothing else of it is named by what a homework says.
OPTIMIZERS = {
    name
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value)
    and issubclass(value, torch.optim.Optimizer)
    and value is not torch.optim.Optimizer
}


class _NoOptimizer:
    """An optimizer that changes nothing; to construct one of torch.optim takes a second."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.param_groups = [{"params": parameters}]
        self.state: dict[torch.Tensor, Any] = {}

    def zero_grad(self) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    def step(self) -> None:
        """Change nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": {}, "param_groups": []}


def _uncompiled(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """A class of torch.optim with the same methods, which load no compiler.

    torch.optim decorates its methods for the case that they are compiled, and the first call of any
    loads ``torch._dynamo``, which takes as long as PyTorch itself. These are the functions within
    the decorators; a method that is decorated in another way stays as it is.
    """

    def within(name: str) -> Any:
        method = getattr(kind, name)
        return getattr(method, "__wrapped__", method)

    inner_step = inspect.unwrap(kind.step)

    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            return inner_step(self, closure)

    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    return type(kind.__name__, (kind,), {"step": step, **{name: within(name) for name in names}})


class _Uncompiled:
    """torch.optim with classes that load no compiler."""

    def __getattr__(self, name: str) -> Any:
        return _uncompiled(getattr(torch.optim, name))


@dataclass(frozen=True)
class _SpecWithoutOptimizer(ModelSpec):
    """A ModelSpec whose algorithm may be empty, and whose loss may be an instructor's."""

    torch_loss: TorchLoss | None = None

    def criterion(self, nn: Any) -> Any:
        """The loss."""
        return super().criterion(nn) if self.torch_loss is None else self.torch_loss.module()

    def optimizer(self, nn: Any, model: Any) -> Any:
        """The optimizer, or one that changes nothing."""
        if not self.algorithm:
            return _NoOptimizer(list(model.parameters()))
        return super().optimizer(SimpleNamespace(optim=_Uncompiled()), model)


class Reference:
    """PyTorch's network, loss and optimizer for an assignment, in both precisions.

    Attributes:
        exact: The backend in float64.
        single: The backend in float32.
        trainable: The keys of parameters, without buffers.

    Raises:
        InputError: PyTorch cannot build it.
    """

    def __init__(self, assignment: Assignment) -> None:
        def architecture(_: Any) -> Any:
            return assignment.build(SequenceNamespace())  # torch_nn has fewer layers

        architecture.__name__ = assignment.architecture
        spec = _SpecWithoutOptimizer(
            architecture,
            initialisation="default",
            loss=LOSS_CLASSES[assignment.drawn_like],
            algorithm=assignment.optimizer or "",
            settings=dict(assignment.settings),
            torch_loss=assignment.torch_loss,
        )
        if spec.algorithm and spec.algorithm not in OPTIMIZERS:
            near = difflib.get_close_matches(spec.algorithm, OPTIMIZERS, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"--optimizer {spec.algorithm}: PyTorch has no such optimizer; expected SGD, Adam, "
                f"AdamW or another of torch.optim{hint}"
            )
        self.exact = TorchBackend(spec, "float64")
        self.single = TorchBackend(spec, "float32")
        for backend in (self.exact, self.single):
            _without_dropout(backend.model)
            pass_on_outputs(backend.model)
        self.trainable = [name for name, _ in self.exact.model.named_parameters()]

    def load(self, parameters: Arrays) -> None:
        """Set the parameters and buffers of the float64 network."""
        self.exact.load(State(parameters))

    def step(
        self, backend: TorchBackend, parameters: Arrays, x: np.ndarray, y: np.ndarray
    ) -> RecordedStep:
        """Record one step of a backend from the parameters given."""
        backend.load(State(parameters))
        rows = backend.rows(x, targets_in_dtype(y, backend.dtype))
        return backend.record_step(backend.batch(rows, np.arange(len(x))))

    def sizes(self, step: RecordedStep, y: np.ndarray) -> Arrays:
        """The sizes of a step's values by quantity.

        A size is the sum of two terms: the size of the terms summed at the value's own stage, and
        the change of the value under noise of that size at every earlier stage (see
        :mod:`compare.parity.certificate`).
        """
        with np.errstate(all="ignore"):
            stages = {call.name: self.stage_sizes(call, step) for call in step.calls}
        noise = {name: (NOISE * s.output, NOISE * s.grad_input) for name, s in stages.items()}
        self.exact.load(step.before)
        rows = self.exact.batch(self.exact.rows(step.inputs, y), np.arange(len(y)))
        noisy = quantities(self.exact.replay(rows, {}, noise))
        found: Arrays = {}
        for quantity, value in quantities(step).items():
            change = np.abs(noisy[quantity] - value).max(initial=0.0) / NOISE
            own = _own_size(quantity, value, stages, step)
            found[quantity] = np.broadcast_to(own, value.shape) + change
        return found

    def stage_sizes(self, call: Call, step: RecordedStep) -> Stage:
        """The sizes of one stage: by its rule, or the largest value if its class has no rule."""
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

    def run_module(
        self, call: Call, step: RecordedStep, dy: np.ndarray
    ) -> tuple[Stage, Stage, Stage]:
        """One module under another output gradient: values, float32 values, sizes."""
        state = step.before.of_module(call.name)
        again = Call(call.name, call.kind, call.input, call.output, dy, call.grad_input)
        sizes = self.stage_sizes(again, step)
        if call.kind == "Sigmoid":
            # ½ (1 + tanh(x/2)) is a right way, too, and loses the digits of a value near 0.
            sizes = replace(sizes, output=np.ones(()), grad_input=np.abs(dy))
        return (
            self.exact.stage(call.name, state, call.input, dy),
            self.single.stage(call.name, state, call.input, dy),
            sizes,
        )

    def updates(
        self, parameters: Arrays, steps: tuple[Arrays, ...]
    ) -> tuple[Arrays, Arrays, Arrays]:
        """The parameters after a sequence of updates: values, float32 values, sizes."""
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


def _without_dropout(model: torch.nn.Module) -> None:
    """Let modules that have a dropout inside, such as an attention, leave it out: it is random."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0  # type: ignore[assignment]


def targets_in_dtype(targets: np.ndarray, dtype: str) -> np.ndarray:
    """Targets in a backend's precision; class indices stay integers."""
    return targets.astype(dtype) if targets.dtype.kind == "f" else targets


def quantities(step: RecordedStep) -> Arrays:
    """The values of a step by quantity, in the order of execution."""
    found: Arrays = {}
    trainable = set(step.gradients)
    for name, value in step.after.model.items():
        if name not in trainable and value.dtype.kind == "f":
            found[f"buffer/{name}"] = value
    found["logits"] = step.calls[-1].input
    found["loss"] = step.calls[-1].output
    for name in _backward_order(step):
        found[f"gradient/{name}"] = step.gradients[name]
    return found


def _backward_order(step: RecordedStep) -> Iterator[str]:
    """The names of the parameters from the last layer to the first, weight before bias."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in step.gradients))
    for module in reversed(modules):
        yield from (name for name in step.gradients if name.rpartition(".")[0] == module)


def _own_size(
    quantity: str, value: np.ndarray, stages: dict[str, Stage], step: RecordedStep
) -> np.ndarray:
    kind, _, name = quantity.partition("/")
    if kind == "loss":
        return stages["loss"].output
    if kind == "logits":
        return stages[step.calls[-2].name].output if len(step.calls) > 1 else np.zeros(())
    module, _, key = name.rpartition(".")
    if module not in stages:  # a part that its module does not call, as in an attention
        return np.array(np.abs(value).max(initial=0.0))
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
