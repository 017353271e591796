"""PyTorch behind the protocol of a backend."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch

import torch_nn
from compare.backends.protocol import (
    IMAGES_TOGETHER,
    Arrays,
    Call,
    Evaluation,
    RecordedStep,
    Stage,
    State,
    copy_once,
    scheduled_hyperparameters,
    set_scheduled_hyperparameters,
)
from compare.spec.model import ModelSpec

PROBABILITIES = ("Sigmoid", "Softmax")
"""Modules whose outputs lie between 0 and 1."""


class TorchBackend:
    """A network of ``torch.nn``, its loss and its optimizer.

    Args:
        model_spec: What to build.
        dtype: ``float32`` or ``float64``.
        seed: Where the generator starts; the weights are drawn from it first.
    """

    name = "torch"

    def __init__(self, model_spec: ModelSpec, dtype: str = "float32", seed: int = 0) -> None:
        self.dtype = dtype
        self._torch_dtype = getattr(torch, dtype)
        torch_nn.manual_seed(seed)
        self.model = model_spec.model(torch_nn).to(self._torch_dtype)
        self.loss = model_spec.criterion(torch_nn)
        self.optimizer = model_spec.optimizer(torch_nn, self.model)
        names = {id(p): name for name, p in self.model.named_parameters()}
        self._names = [
            names[id(p)] for group in self.optimizer.param_groups for p in group["params"]
        ]
        self._masks: Arrays = {}
        for name, module in self.model.named_modules():
            if isinstance(module, torch_nn.Dropout):
                # No forward hook: before it, the module would draw from torch's generator. A method
                # of one object is replaced, which a type checker takes for a mistake.
                module.forward = functools.partial(self._dropout, name, module)  # type: ignore[method-assign]

    def _dropout(self, name: str, module: torch.nn.Dropout, x: torch.Tensor) -> torch.Tensor:
        """PyTorch's dropout, or x m / (1 − p) with the mask m of :meth:`give_masks`."""
        mask = self._masks.pop(name, None)
        if mask is None or not module.training:
            return type(module).forward(module, x)
        scale = 1.0 if module.p == 1.0 else 1.0 - module.p
        return x * (torch.tensor(mask).to(x.dtype) / scale)

    def masks(self) -> Arrays:
        return {}

    def give_masks(self, masks: Arrays) -> None:
        self._masks.update(masks)

    def rows(self, inputs: np.ndarray, targets: np.ndarray) -> Any:
        return torch.tensor(inputs), torch.tensor(targets)

    def batch(self, rows: Any, indices: np.ndarray) -> Any:
        inputs, targets = rows
        chosen = torch.from_numpy(np.ascontiguousarray(indices))
        return self._cast(inputs[chosen]), self._cast(targets[chosen])

    def permutation(self, n: int) -> np.ndarray:
        return torch_nn.randperm(n).numpy()

    def generator(self) -> Any:
        return _array(torch_nn.default_generator.get_state())

    def set_generator(self, state: Any) -> None:
        torch_nn.default_generator.set_state(torch.tensor(state))

    def train_step(self, batch: Any) -> tuple[float, np.ndarray]:
        inputs, targets = batch
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = self.loss(logits, targets)
        loss.backward()
        self.optimizer.step()
        return loss.item(), logits.detach().numpy()

    def record_step(self, batch: Any, update: bool = True) -> RecordedStep:
        return self.replay(batch, {}, update=update)

    def replay(
        self,
        batch: Any,
        kinks: dict[str, np.ndarray],
        noise: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
        seed: int = 0,
        update: bool = True,
        kink_width: float | None = 0.0,
    ) -> RecordedStep:
        random = np.random.default_rng(seed)

        def drawn(size: np.ndarray) -> torch.Tensor:
            return self._tensor(size * random.uniform(-1.0, 1.0, size.shape))

        inputs, targets = batch
        inputs = inputs.detach().clone().requires_grad_(inputs.is_floating_point())
        before = self.state(update)
        calls: list[Call] = []
        ends: list[tuple[torch.Tensor, torch.Tensor]] = []
        entered: dict[str, torch.Tensor] = {}

        def enter(name: str, args: tuple) -> torch.Tensor:
            x = args[0]
            if name in kinks:
                other = self._tensor(kinks[name])
                if kink_width is None:
                    near = (other > 0) != (x > 0)
                else:
                    near = (other - x).abs() <= kink_width * x.detach().abs().amax()
                x = x + torch.where(near, other - x, 0).detach()
            if x.requires_grad and noise is not None:
                x = x.clone()  # so that the noise meets this module's gradient alone
                x.register_hook(functools.partial(torch.add, drawn(noise[name][1])))
            if x.requires_grad and not x.is_leaf:
                x.retain_grad()
            entered[name] = x
            return x

        def leave(name: str, module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
            if noise is not None:
                output = _changed(output, drawn(noise[name][0]), type(module).__name__)
            output.retain_grad()
            x = entered[name]
            copied = copy_once(x.detach().numpy(), calls[-1].output if calls else None)
            calls.append(Call(name, type(module).__name__, copied, _array(output)))
            ends.append((x, output))
            return output

        hooks = []
        for name, module in self._leaves():
            hooks.append(module.register_forward_pre_hook(lambda _, a, n=name: enter(n, a)))
            hooks.append(module.register_forward_hook(lambda m, _, y, n=name: leave(n, m, y)))
        try:
            self.optimizer.zero_grad()
            logits = self.model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        if noise is not None:
            logits = logits.clone()
            logits.register_hook(functools.partial(torch.add, drawn(noise["loss"][1])))
            logits.retain_grad()
        loss = self.loss(logits, targets)
        loss.backward()
        following: np.ndarray | None = None
        for call, (x, output) in zip(reversed(calls), reversed(ends), strict=True):
            call.grad_input = _gradient(x)
            call.grad_output = copy_once(_gradient_view(output), following)
            following = call.grad_input
        one = np.ones((), self.dtype)
        kind = type(self.loss).__name__
        calls.append(Call("loss", kind, _array(logits), _array(loss), one, _gradient(logits)))
        gradients = {name: _gradient(p) for name, p in self.model.named_parameters()}
        if update:
            self.optimizer.step()
        after = self.state(update)
        return RecordedStep(before, _array(inputs), _array(targets), calls, gradients, after)

    def module_inputs(self, batch: Any, names: Collection[str] | None = None) -> Arrays:
        found: Arrays = {}

        def keep(name: str, args: tuple) -> None:
            found[name] = args[0].numpy()

        hooks = [
            module.register_forward_pre_hook(lambda _, args, n=name: keep(n, args))
            for name, module in self._leaves()
            if names is None or name in names
        ]
        try:
            with torch.no_grad():
                self.model(batch[0])
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def gradient_norms(self) -> dict[str, float]:
        return {
            name: float(np.linalg.norm(_gradient(p).astype(np.float64)))
            for name, p in self.model.named_parameters()
        }

    def evaluate(self, rows: Any, first: int | None = None, batch_size: int = 1000) -> Evaluation:
        inputs, targets = (array[:first] for array in rows)
        self.model.eval()
        total, outputs = 0.0, []
        with torch.no_grad():
            for start in range(0, len(targets), batch_size):
                part = slice(start, start + batch_size)
                logits = self._evaluated(self._cast(inputs[part]))
                total += self.loss(logits, self._cast(targets[part])).item() * len(logits)
                outputs.append(_array(logits))
        self.model.train()
        return Evaluation(total / len(targets), np.concatenate(outputs))

    def _evaluated(self, inputs: torch.Tensor) -> torch.Tensor:
        """The network's output; images go through it a few at a time, which the cache holds."""
        if inputs.ndim < 3 or len(inputs) <= IMAGES_TOGETHER:
            return self.model(inputs)
        return torch.cat([self.model(some) for some in inputs.split(IMAGES_TOGETHER)])

    def record_evaluation(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        noise: Arrays | None = None,
        seed: int = 0,
    ) -> list[Call]:
        random = np.random.default_rng(seed)
        calls: list[Call] = []

        def leave(name: str, module: torch.nn.Module, args: tuple, output: torch.Tensor) -> Any:
            if noise is not None:
                drawn = noise[name] * random.uniform(-1.0, 1.0, noise[name].shape)
                output = _changed(output, self._tensor(drawn), type(module).__name__)
            copied = copy_once(args[0].numpy(), calls[-1].output if calls else None)
            calls.append(Call(name, type(module).__name__, copied, _array(output)))
            return output

        hooks = [
            module.register_forward_hook(lambda m, args, y, n=name: leave(n, m, args, y))
            for name, module in self._leaves()
        ]
        self.model.eval()
        try:
            with torch.no_grad():
                logits = self.model(self._tensor(inputs))
                loss = self.loss(logits, self._tensor(targets))
        finally:
            self.model.train()
            for hook in hooks:
                hook.remove()
        calls.append(Call("loss", type(self.loss).__name__, _array(logits), _array(loss)))
        return calls

    def evaluation_stage(self, name: str, state: Arrays, x: np.ndarray) -> np.ndarray:
        module = self.model.get_submodule(name)
        self._take(module, state)
        module.eval()
        with torch.no_grad():
            output = _array(module(self._tensor(x)))
        module.train()
        return output

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.no_grad():
            logits = self.model(self._tensor(inputs))
        self.model.train()
        return _array(logits)

    def modules(self) -> Iterator[Any]:
        return iter(self.model.modules())

    def weights(self) -> np.ndarray:
        vector = torch.cat([p.detach().flatten() for p in self.model.parameters()])
        return _array(vector).astype(np.float64)

    def module(self, name: str) -> Any:
        return self.model.get_submodule(name)

    def state(self, optimizer: bool = True) -> State:
        model = {name: _array(value) for name, value in self.model.state_dict().items()}
        slots = self.optimizer.state_dict()["state"] if optimizer else {}
        optimizer_state = {
            self._names[index]: {
                key: _array(value) for key, value in slot.items() if value is not None
            }
            for index, slot in slots.items()
        }
        return State(model, optimizer_state)

    def load(self, state: State) -> None:
        self._take(self.model, state.model)
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name, slot in state.optimizer.items():
            self.optimizer.state[parameters[name]] = {
                key: torch.tensor(float(v)) if key == "step" else self._tensor(v)
                for key, v in slot.items()
            }

    def snapshot(self) -> dict[str, Any]:
        state = self.state()
        return {
            "model": state.model,
            "optimizer": state.optimizer,
            "hyperparameters": scheduled_hyperparameters(self.optimizer),
            "masks": dict(self._masks),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.model.load_state_dict({k: torch.tensor(v) for k, v in snapshot["model"].items()})
        set_scheduled_hyperparameters(self.optimizer, snapshot["hyperparameters"])
        # Not by load_state_dict, which gives each number of the state the precision of the weights.
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name, slot in snapshot["optimizer"].items():
            self.optimizer.state[parameters[name]] = {k: torch.tensor(v) for k, v in slot.items()}
        self._masks = dict(snapshot["masks"])

    def stage(
        self, name: str, state: Arrays, x: np.ndarray, dy: np.ndarray, input_too: bool = True
    ) -> Stage:
        module = self.model.get_submodule(name)
        self._take(module, state)
        module.zero_grad()
        input_ = self._tensor(x)
        input_.requires_grad_(input_too and input_.is_floating_point())
        output = module(input_)
        _backward(output, self._tensor(dy))
        # These tensors are the stage's own: nothing but the buffers is ever written to again.
        return Stage(
            output.detach().numpy(),
            _gradient_view(input_),
            {key: _gradient_view(p) for key, p in module.named_parameters()},
            {key: _array(b) for key, b in module.named_buffers()},
        )

    def loss_stage(self, x: np.ndarray, targets: np.ndarray, dy: float) -> Stage:
        input_ = self._tensor(x).requires_grad_()
        output = self.loss(input_, self._tensor(targets))
        _backward(output, torch.tensor(dy, dtype=self._torch_dtype))
        return Stage(_array(output), _gradient(input_))

    def update_stage(self, state: State, gradients: Arrays) -> State:
        self.load(state)
        for name, parameter in self.model.named_parameters():
            parameter.grad = self._tensor(gradients[name])
        self.optimizer.step()
        return self.state()

    def _take(self, module: torch.nn.Module, state: Arrays) -> None:
        """``module.load_state_dict`` where all fits, in few calls: a certificate needs hundreds."""
        if any(module.children()):
            held = dict(module.named_parameters()) | dict(module.named_buffers())
        else:
            own = module._parameters | module._buffers
            held = {name: tensor for name, tensor in own.items() if tensor is not None}
        fits = held.keys() == state.keys() and all(
            tensor.shape == np.shape(state[name]) for name, tensor in held.items()
        )
        if not fits:  # as where two modules share a parameter
            module.load_state_dict({k: self._tensor(v) for k, v in state.items()})
            return
        with torch.no_grad():
            for name, tensor in held.items():
                tensor.copy_(_shared(state[name]))

    def _leaves(self) -> list[tuple[str, torch.nn.Module]]:
        return [(name, m) for name, m in self.model.named_modules() if not any(m.children())]

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """A copy, aligned as torch aligns; floating-point values in the backend's dtype."""
        shared = _shared(array)
        return shared.to(self._torch_dtype if array.dtype.kind == "f" else shared.dtype, copy=True)

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._torch_dtype) if tensor.is_floating_point() else tensor


def _changed(output: torch.Tensor, noise: torch.Tensor, kind: str) -> torch.Tensor:
    """The output with noise; a probability stays one, as a loss may ask."""
    if kind in PROBABILITIES:
        beyond = (output + noise < 0) | (output + noise > 1)
        noise = torch.where(beyond, -noise, noise)
    return output + noise


def _backward(output: torch.Tensor, dy: torch.Tensor) -> None:
    """``output.backward(dy)``, bit for bit, for which PyTorch would load SymPy: half a second.

    It compares shapes, which might be symbols, before it begins; a gradient that a hook gives is
    checked by the engine alone.
    """
    output.register_hook(lambda _: dy)
    output.sum().backward()


def _shared(array: np.ndarray) -> torch.Tensor:
    """A tensor over the values of an array, or over a copy where torch takes no such array."""
    if isinstance(array, np.ndarray) and array.flags.carray:
        return torch.from_numpy(array)
    return torch.tensor(array)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.array(tensor.detach().numpy())


def _gradient(tensor: torch.Tensor) -> np.ndarray:
    """A copy of the gradient of a tensor: zeros where autograd does not reach it."""
    return np.array(_gradient_view(tensor))


def _gradient_view(tensor: torch.Tensor) -> np.ndarray:
    """The same without a copy."""
    return np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.detach().numpy()
