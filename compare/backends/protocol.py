"""The protocol of a backend: one network in one framework, driven and recorded alike in both.

Everything that a backend returns is a NumPy array of its own: later steps never change it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class State:
    """All that a training carries from one step to the next. Arrays are not put into it later.

    Attributes:
        model: ``state_dict`` of the network.
        optimizer: Parameter name → name of the state (``exp_avg``, …) → array.
    """

    model: Arrays
    optimizer: dict[str, Arrays] = field(default_factory=dict)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> State:
        """The same with ``function`` applied to every floating-point array but the counters."""

        def apply(name: str, array: np.ndarray) -> np.ndarray:
            counts = name == "step" or not np.issubdtype(array.dtype, np.floating)
            return array if counts else function(array)

        return State(
            {k: apply(k, v) for k, v in self.model.items()},
            {p: {k: apply(k, v) for k, v in s.items()} for p, s in self.optimizer.items()},
        )

    def astype(self, dtype: str) -> State:
        """The same in another precision."""
        return self.map(lambda array: array.astype(dtype))

    def of_module(self, name: str) -> Arrays:
        """The parameters and buffers of one module, under their own short names."""
        return dict(self._by_module.get(name, {}))

    @cached_property
    def _by_module(self) -> dict[str, Arrays]:
        found: dict[str, Arrays] = {}
        for key, value in self.model.items():
            module, _, own = key.rpartition(".")
            found.setdefault(module, {})[own] = value
        return found


SCHEDULED = ("lr", "momentum", "betas")
"""The hyperparameters that a schedule changes: OneCycleLR cycles the momentum, or Adam's β₁."""

Hyperparameters = list[dict[str, Any]]
"""Name → value, for each of an optimizer's parameter groups."""


def scheduled_hyperparameters(optimizer: Any) -> Hyperparameters:
    """The values of :data:`SCHEDULED` in an optimizer of either framework."""
    return [
        {name: group[name] for name in SCHEDULED if name in group}
        for group in optimizer.param_groups
    ]


def set_scheduled_hyperparameters(optimizer: Any, values: Hyperparameters) -> None:
    """Put hyperparameters in force; a list, as JSON has it, becomes a tuple."""
    for group, settings in zip(optimizer.param_groups, values, strict=True):
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


@dataclass
class Call:
    """One module in one step: what went in and what came out, forwards and backwards.

    The loss is a call too, with the name ``loss``; its output is a scalar. The gradients are None
    where the backward pass did not call the module.

    Attributes:
        name: The module's name in its network.
        kind: Its class name.
        input: (N, …).
        output: (N, …).
        grad_output: The gradient by the output.
        grad_input: The gradient by the input.
        mask: Of a Dropout: which values it kept.
    """

    name: str
    kind: str
    input: np.ndarray
    output: np.ndarray
    grad_output: np.ndarray | None = None
    grad_input: np.ndarray | None = None
    mask: np.ndarray | None = None


def copy_once(array: np.ndarray, earlier: np.ndarray | None) -> np.ndarray:
    """A copy of an array, or an earlier copy where that has the same values.

    The output of a module is the input of the next: a large step is held once, not twice.
    """
    if earlier is not None and array.dtype == earlier.dtype and np.array_equal(array, earlier):
        return earlier
    return np.array(array)


ROWS_AT_ONCE = 128
"""Of a matrix that is transposed: a copy of all at once takes seven times as long."""


def rows_first(array: np.ndarray) -> np.ndarray:
    """The array with its rows one after the other in memory; a copy where they are not.

    Layers of images work with the batch as the last axis in memory, PyTorch and the comparisons of
    values with it as the first.
    """
    if array.flags.c_contiguous or array.ndim < 2:
        return array
    last = np.moveaxis(array, 0, -1)
    if not last.flags.c_contiguous:
        return np.ascontiguousarray(array)
    values = last.reshape(-1, len(array))
    found = np.empty(array.shape, array.dtype)
    rows = found.reshape(len(array), -1)
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows[:, part] = values[part].T
    return found


@dataclass(frozen=True)
class RecordedStep:
    """One training step with everything in it.

    Attributes:
        before: The state before it.
        inputs: The batch.
        targets: Its targets.
        calls: Every module without children, in the order of execution; the loss is the last.
        gradients: Parameter name → gradient.
        after: The state after it.
    """

    before: State
    inputs: np.ndarray
    targets: np.ndarray
    calls: list[Call]
    gradients: Arrays
    after: State

    @property
    def masks(self) -> Arrays:
        """Dropout name → which values it kept."""
        return {call.name: call.mask for call in self.calls if call.mask is not None}

    @property
    def dtype(self) -> str:
        """The precision that the step was computed in."""
        return str(self.calls[-1].output.dtype)


@dataclass(frozen=True)
class Stage:
    """One module, or the loss, run alone on an input and a gradient of its output.

    Attributes:
        output: (N, …).
        grad_input: The gradient by the input.
        gradients: Short parameter name → gradient.
        buffers: Short buffer name → value afterwards.
    """

    output: np.ndarray
    grad_input: np.ndarray
    gradients: Arrays = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)


IMAGES_TOGETHER = 125
"""In an evaluation: convolutions of 1,000 images take 1.1 to 2.3 times as long a row in NumPy, and
1.4 times in PyTorch."""


@dataclass(frozen=True)
class Evaluation:
    """The network in evaluation mode on a whole split: mean loss, and the output of each row."""

    loss: float
    outputs: np.ndarray


class Backend(Protocol):
    """A network, its loss and its optimizer, in one framework and one precision."""

    name: str
    dtype: str
    loss: Any
    optimizer: Any

    def rows(self, inputs: np.ndarray, targets: np.ndarray) -> Any:
        """A data set in the framework's own arrays."""

    def batch(self, rows: Any, indices: np.ndarray) -> Any:
        """Some of the rows, in that order, in the backend's precision."""

    def permutation(self, n: int) -> np.ndarray:
        """A random order of n rows, drawn from the framework's generator."""

    def generator(self) -> Any:
        """Where the framework's generator stands, which is one for the whole process."""

    def set_generator(self, state: Any) -> None:
        """Put it back to where it stood."""

    def train_step(self, batch: Any) -> tuple[float, np.ndarray]:
        """Make one update; return the loss before it and the logits."""

    def record_step(self, batch: Any, update: bool = True) -> RecordedStep:
        """Make the same update as :meth:`train_step`, and record everything in it.

        Without ``update`` the optimizer makes no step, and its state is not recorded.
        """

    def masks(self) -> Arrays:
        """Dropout name → which values it kept in the last training step; empty in PyTorch."""

    def give_masks(self, masks: Arrays) -> None:
        """Let each Dropout named use this mask the next time, and draw none."""

    def gradient_norms(self) -> dict[str, float]:
        """‖g‖ of every parameter's gradient in the last step, by the parameter's name."""

    def evaluate(self, rows: Any, first: int | None = None, batch_size: int = 1000) -> Evaluation:
        """Evaluate the network on the first so many rows, or on all, in evaluation mode."""

    def record_evaluation(self, inputs: np.ndarray, targets: np.ndarray) -> list[Call]:
        """Every call of a pass in evaluation mode; the loss is the last. There are no gradients."""

    def evaluation_stage(self, name: str, state: Arrays, x: np.ndarray) -> np.ndarray:
        """Run one module alone, in evaluation mode, from the given state; return its output."""

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """The network's output in evaluation mode."""

    def modules(self) -> Iterator[Any]:
        """The modules of the network, in the order of their definition."""

    def module(self, name: str) -> Any:
        """One of them, by its name."""

    def weights(self) -> np.ndarray:
        """All parameters in one float64 vector."""

    def state(self) -> State:
        """A copy of the state."""

    def load(self, state: State) -> None:
        """Take over a state, converted to the backend's precision."""

    def snapshot(self) -> dict[str, Any]:
        """All that the next step depends on but its batch and the framework's generator.

        Dictionaries with arrays and numbers: ``model``, ``optimizer``, ``hyperparameters`` and
        ``masks``, each in the precision that it has here.
        """

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a snapshot of the same backend of the same network, bit for bit.

        :meth:`load` takes a state of any backend, and converts it.
        """

    def stage(
        self, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray, input_too: bool = True
    ) -> Stage:
        """Run one module alone, in training mode, from the given state and inputs.

        Without ``input_too`` the gradient by the input is not computed, and zeros stand for it.
        """

    def loss_stage(self, x: np.ndarray, targets: np.ndarray, dy: float) -> Stage:
        """Run the loss alone."""

    def update_stage(self, state: State, gradients: Arrays) -> State:
        """Run the optimizer alone: one step from the given state with the given gradients."""


class Referee(Backend, Protocol):
    """The float64 backend that errors are measured against."""

    def replay(
        self,
        batch: Any,
        kinks: dict[str, np.ndarray],
        noise: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
        seed: int = 0,
        update: bool = True,
        kink_width: float | None = 0.0,
    ) -> RecordedStep:
        """Record a step that takes the other backend's branch at every kink.

        Args:
            batch: Inputs and targets.
            kinks: Module name → the input that the module had in the other backend. Wherever it
                lies within ``kink_width`` of this backend's own input it takes its place; the
                gradient passes unchanged.
            noise: Module name → largest random change of its output and of its input gradient.
            seed: For the noise.
            update: As in :meth:`Backend.record_step`.
            kink_width: A distance relative to the largest value of the input; None for wherever
                the two lie on different sides of 0.
        """

    def record_evaluation(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        noise: Arrays | None = None,
        seed: int = 0,
    ) -> list[Call]:
        """As that of any backend, and with noise.

        Args:
            inputs, targets: The rows.
            noise: Module name → largest random change of its output.
            seed: For the noise.
        """

    def module_inputs(self, batch: Any, names: Collection[str] | None = None) -> Arrays:
        """What modules are given in the forward pass of a step, by their names.

        All modules without children by default.
        """
