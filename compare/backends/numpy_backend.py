"""NumPy behind the protocol of a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.protocol import (
    IMAGES_TOGETHER,
    Arrays,
    Call,
    Evaluation,
    RecordedStep,
    Stage,
    State,
    copy_once,
    rows_first,
    scheduled_hyperparameters,
    set_scheduled_hyperparameters,
)
from compare.spec.model import ModelSpec


class NumpyBackend:
    """A network of ``numpy_nn``, its loss and its optimizer.

    Args:
        model_spec: What to build.
        dtype: ``float32`` or ``float64``.
        seed: Where the generator starts; the weights are drawn from it first.
        namespace: What the network is built from, ``numpy_nn`` or ``numpy_nn.graph``.
    """

    name = "numpy"

    def __init__(
        self,
        model_spec: ModelSpec,
        dtype: str = "float32",
        seed: int = 0,
        namespace: Any = numpy_nn,
    ) -> None:
        self.dtype = dtype
        numpy_nn.manual_seed(seed)
        self.model = model_spec.model(namespace).to(np.dtype(dtype))
        self.loss = model_spec.criterion(namespace)
        self.optimizer = model_spec.optimizer(namespace, self.model)
        self._dropouts = _dropouts_of(self.model)
        names = {id(p): name for name, p in self.model.named_parameters()}
        self._names = [
            names[id(p)] for group in self.optimizer.param_groups for p in group["params"]
        ]

    def rows(self, inputs: np.ndarray, targets: np.ndarray) -> Any:
        return inputs, targets

    def batch(self, rows: Any, indices: np.ndarray) -> Any:
        inputs, targets = rows
        return _cast(inputs[indices], self.dtype), _cast(targets[indices], self.dtype)

    def permutation(self, n: int) -> np.ndarray:
        return numpy_nn.randperm(n)

    def generator(self) -> Any:
        return numpy_nn.default_generator.get_state()

    def set_generator(self, state: Any) -> None:
        numpy_nn.default_generator.set_state(state)

    def train_step(self, batch: Any) -> tuple[float, np.ndarray]:
        # Like autograd, stop at the parameters: the gradient by the data is not needed.
        return self._step(batch, self.model.backward_parameters)

    @np.errstate(all="ignore")  # a training that diverges says so by its numbers, as in PyTorch
    def _step(
        self, batch: Any, backward: Callable[[np.ndarray], Any], update: bool = True
    ) -> tuple[float, np.ndarray]:
        inputs, targets = batch
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = self.loss(logits, targets)
        backward(self.loss.backward())
        if update:
            self.optimizer.step()
        return float(loss), logits

    def record_step(self, batch: Any, update: bool = True) -> RecordedStep:
        before = self.state(update)
        with _recording(self.model, self.loss) as calls:
            self._step(batch, self.model.backward, update)
        _put_rows_first(calls)
        gradients = {
            name: np.zeros_like(p.data) if p.grad is None else np.array(p.grad)
            for name, p in self.model.named_parameters()
        }
        after = self.state(update)
        return RecordedStep(before, np.array(batch[0]), np.array(batch[1]), calls, gradients, after)

    def masks(self) -> Arrays:
        found = {name: module.last_mask for name, module in self._dropouts}
        return {name: mask for name, mask in found.items() if mask is not None}

    def give_masks(self, masks: Arrays) -> None:
        for name, mask in masks.items():
            self.model.get_submodule(name).mask = mask

    def gradient_norms(self) -> dict[str, float]:
        return {
            name: 0.0 if p.grad is None else float(np.linalg.norm(p.grad.astype(np.float64)))
            for name, p in self.model.named_parameters()
        }

    @np.errstate(all="ignore")
    def evaluate(self, rows: Any, first: int | None = None, batch_size: int = 1000) -> Evaluation:
        inputs, targets = (array[:first] for array in rows)
        self.model.eval()
        total, outputs = 0.0, []
        for start in range(0, len(targets), batch_size):
            part = slice(start, start + batch_size)
            logits = self._evaluated(_cast(inputs[part], self.dtype))
            total += float(self.loss(logits, _cast(targets[part], self.dtype))) * len(logits)
            outputs.append(np.array(logits))
        self.model.train()
        return Evaluation(total / len(targets), np.concatenate(outputs))

    def _evaluated(self, inputs: np.ndarray) -> np.ndarray:
        """The network's output; images go through it a few at a time, which the cache holds."""
        if inputs.ndim < 3 or len(inputs) <= IMAGES_TOGETHER:
            return self.model(inputs)
        starts = range(0, len(inputs), IMAGES_TOGETHER)
        return np.concatenate(
            [np.array(self.model(inputs[n : n + IMAGES_TOGETHER])) for n in starts]
        )

    @np.errstate(all="ignore")
    def record_evaluation(self, inputs: np.ndarray, targets: np.ndarray) -> list[Call]:
        self.model.eval()
        with _recording(self.model, self.loss) as calls:
            self.loss(self.model(_cast(inputs, self.dtype)), _cast(targets, self.dtype))
        self.model.train()
        _put_rows_first(calls)
        return calls

    @np.errstate(all="ignore")
    def evaluation_stage(self, name: str, state: Arrays, x: np.ndarray) -> np.ndarray:
        module = self.model.get_submodule(name)
        module.load_state_dict(State(state).astype(self.dtype).model)
        module.eval()
        output = np.array(module(_cast(x, self.dtype)))
        module.train()
        return output

    @np.errstate(all="ignore")
    def logits(self, inputs: np.ndarray) -> np.ndarray:
        self.model.eval()
        logits = self.model(inputs.astype(self.dtype))
        self.model.train()
        return np.array(logits)

    def modules(self) -> Iterator[Any]:
        return iter(self.model.modules())

    def module(self, name: str) -> Any:
        return self.model.get_submodule(name)

    def replace(self, place: str, new: Any) -> None:
        """Put another loss, optimizer or module in the place of the one that is there."""
        if place in ("loss", "optimizer"):
            setattr(self, place, new)
            return
        self.model = replace_module(self.model, self.module(place), new)
        self._dropouts = _dropouts_of(self.model)

    def weights(self) -> np.ndarray:
        return np.concatenate([p.data.ravel() for p in self.model.parameters()], dtype=np.float64)

    def state(self, optimizer: bool = True) -> State:
        model = {name: np.array(value) for name, value in self.model.state_dict().items()}
        slots = self.optimizer.state_dict()["state"] if optimizer else {}
        optimizer_state = {
            self._names[index]: {
                key: np.array(value) for key, value in slot.items() if value is not None
            }
            for index, slot in slots.items()
        }
        return State(model, optimizer_state)

    def load(self, state: State) -> None:
        state = state.astype(self.dtype)
        self.model.load_state_dict(state.model)
        groups = self.optimizer.state_dict()["param_groups"]
        slots = {self._names.index(name): dict(slot) for name, slot in state.optimizer.items()}
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})

    def snapshot(self) -> dict[str, Any]:
        state = self.state()
        return {
            "model": state.model,
            "optimizer": state.optimizer,
            "hyperparameters": scheduled_hyperparameters(self.optimizer),
            "masks": self.masks(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.model.load_state_dict(snapshot["model"])
        set_scheduled_hyperparameters(self.optimizer, snapshot["hyperparameters"])
        groups = self.optimizer.state_dict()["param_groups"]
        slots = {self._names.index(name): slot for name, slot in snapshot["optimizer"].items()}
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        for name, mask in snapshot["masks"].items():
            self.model.get_submodule(name).last_mask = mask

    @np.errstate(all="ignore")
    def stage(
        self, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray, input_too: bool = True
    ) -> Stage:
        module = self.model.get_submodule(name)
        module.load_state_dict(State(state).astype(self.dtype).model)
        module.zero_grad()
        output = module(_cast(x, self.dtype))
        if input_too:
            grad_input = module.backward(dy.astype(self.dtype))
        else:
            module.backward_parameters(dy.astype(self.dtype))
            grad_input = np.zeros(np.shape(x), self.dtype)
        return Stage(
            np.array(output),
            np.array(grad_input),
            {key: np.array(p.grad) for key, p in module.named_parameters()},
            {key: np.array(b) for key, b in module.named_buffers()},
        )

    @np.errstate(all="ignore")
    def loss_stage(self, x: np.ndarray, targets: np.ndarray, dy: float) -> Stage:
        output = self.loss(x.astype(self.dtype), _cast(targets, self.dtype))
        return Stage(np.array(output), np.array(self.loss.backward(dy)))

    @np.errstate(all="ignore")
    def update_stage(self, state: State, gradients: Arrays) -> State:
        self.load(state)
        for name, parameter in self.model.named_parameters():
            parameter.grad = gradients[name].astype(self.dtype)
        self.optimizer.step()
        return self.state()


def replace_module(model: Any, old: Any, new: Any) -> Any:
    """Put a module in the place of another, wherever that stands in a network.

    Returns:
        The network: ``new`` itself where the other was the network.
    """
    if model is old:
        return new
    for parent in model.modules():
        for name, child in list(parent._modules.items()):
            if child is old:
                parent.register_module(name, new)
    return model


def _dropouts_of(model: Any) -> list[tuple[str, Any]]:
    return [(name, m) for name, m in model.named_modules() if hasattr(m, "last_mask")]


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    return x.astype(dtype, copy=False) if np.issubdtype(x.dtype, np.floating) else x


def _put_rows_first(calls: list[Call]) -> None:
    """Lay out what was recorded as it is read; what two calls share they share again."""
    copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for call in calls:
        for name in ("input", "output", "grad_output", "grad_input", "mask"):
            array = getattr(call, name)
            if array is not None and not array.flags.c_contiguous:
                if id(array) not in copies:
                    # With the array itself, so that no other gets its place in memory.
                    copies[id(array)] = array, rows_first(array)
                setattr(call, name, copies[id(array)][1])


@contextmanager
def _recording(model: Any, loss: Any) -> Iterator[list[Call]]:
    """While this lasts, every call of a module without children and of the loss is recorded."""
    calls: list[Call] = []
    finished: list[Call] = []
    handles = []
    leaves = [(name, m) for name, m in model.named_modules() if not any(m.children())]
    for name, module in [*leaves, ("loss", loss)]:
        handles += _record_calls(name, module, calls, finished)
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _record_calls(name: str, module: Any, calls: list[Call], finished: list[Call]) -> list[Any]:
    """Hooks that append each call of a module to ``calls``, and to ``finished`` once it is back.

    Returns:
        Their handles.
    """
    waiting: list[Call] = []  # for their gradients

    def after_forward(module: Any, args: tuple, output: Any) -> None:
        x = copy_once(args[0], calls[-1].output if calls else None)
        call = Call(name, type(module).__name__, x, np.array(output))
        mask = getattr(module, "last_mask", None)
        call.mask = None if mask is None else np.array(mask)
        calls.append(call)
        waiting.append(call)

    def after_backward(_: Any, grad_input: tuple, grad_output: tuple) -> None:
        call = waiting.pop()
        call.grad_output = copy_once(grad_output[0], finished[-1].grad_input if finished else None)
        call.grad_input = np.array(grad_input[0])
        finished.append(call)

    return [
        module.register_forward_hook(after_forward),
        module.register_full_backward_hook(after_backward),
    ]
