"""A call as one of two traces recorded it: what was asked and answered, and who can repeat it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import nn

from compare.parity.callables import FLOATS
from compare.trace import trees
from compare.trace.configuration import given
from compare.trace.format import CallEntry, ModuleEntry, Trace
from compare.trace.rerun import Arrays, Build, Question, as_array, copy_of, output_name
from compare.trace.settings import rebuild


class Side:
    """One call in one trace.

    Attributes:
        trace: The trace.
        call: The call.
        module: The module's entry.
        live: The model itself, if the caller has it.
    """

    def __init__(self, trace: Trace, call: CallEntry, live: Mapping[str, nn.Module]) -> None:
        self.trace, self.call = trace, call
        self.module: ModuleEntry = trace.modules[call.module]
        self.live = live

    @cached_property
    def build(self) -> Build | None:
        """What makes the module: of the live model, or from its class and settings."""
        if self.module.name in self.live:
            return self._in_recorded_modes(copy_of(self.live[self.module.name]))
        return self.build_with({})

    def build_with(self, changes: Mapping[str, object]) -> Build | None:
        """What makes it from its class and settings, some of which are changed."""
        if self.module.container:
            return None
        kind, settings = self.module.kind, {**self.module.settings, **changes}
        if rebuild(kind, settings) is None:
            return None

        def build() -> nn.Module:
            made = rebuild(kind, settings)
            assert made is not None
            return made

        return build

    def forget(self) -> None:
        """Let go of the tensors, which can be read again: a trace may be larger than the memory."""
        for name in ("question", "parameters", "buffers"):
            vars(self).pop(name, None)

    def _in_recorded_modes(self, build: Build) -> Build:
        """A live model may have been left in another mode than it was recorded in."""
        start = f"{self.module.name}." if self.module.name else ""

        def made() -> nn.Module:
            module = build()
            for name, part in module.named_modules():
                entry = self.trace.modules.get(start + name if name else self.module.name)
                part.training = part.training if entry is None else entry.training
            return module

        return made

    def tensor(self, word: str, leaf: int | str) -> torch.Tensor | None:
        """A tensor of this call, if it was recorded."""
        name = f"call/{self.call.number}/{word}/{leaf}"
        return self.trace.tensor(name) if name in self.trace else None

    @cached_property
    def parameters(self) -> dict[str, torch.Tensor]:
        """The module's own before the step, by their local names."""
        start = f"step/{self.call.step}/parameter/"
        return {
            local: self.trace.tensor(start + full)
            for local, full in self.parameter_names.items()
            if start + full in self.trace
        }

    @cached_property
    def parameter_names(self) -> dict[str, str]:
        """Local names of parameters → names in the model; a container has those inside it, too."""
        return self._names(lambda module: module.parameters)

    def _names(self, of: Callable[[ModuleEntry], Mapping[str, str]]) -> dict[str, str]:
        found = dict(of(self.module))
        start = f"{self.module.name}." if self.module.name else ""
        if self.module.container:
            for name, module in self.trace.modules.items():
                if name.startswith(start) and name != self.module.name:
                    local = name.removeprefix(start)
                    found |= {f"{local}.{own}": full for own, full in of(module).items()}
        return found

    @cached_property
    def buffers(self) -> dict[str, torch.Tensor]:
        """The module's own before the call; of a container, those before the step."""
        if self.module.container:
            start = f"step/{self.call.step}/buffer/"
            names = self._names(lambda module: module.buffers)
            return {
                local: self.trace.tensor(start + full)
                for local, full in names.items()
                if start + full in self.trace
            }
        return {
            local: tensor
            for local in self.module.buffers
            if (tensor := self.tensor("buffer", local)) is not None
        }

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return trees.names_in(self.call.outputs)

    @cached_property
    def question(self) -> Question:
        """What the module was asked."""
        gradients = {
            leaf: gradient
            for leaf in range(len(self.outputs))
            if (gradient := self.tensor("output_gradient", leaf)) is not None
        }
        return Question(
            self.call.inputs,
            self.call.keywords,
            {name: self.trace.tensor(name) for name in given(self.call)},
            self.parameters,
            self.buffers,
            self.call.training,
            gradients,
        )

    def answers(self) -> Arrays:
        """What it answered: outputs, and buffers after the call."""
        found = {
            output_name(i, len(self.outputs)): as_array(self.trace.tensor(name))
            for i, name in enumerate(self.outputs)
        }
        for local in self.module.buffers:
            if (tensor := self.tensor("buffer_after", local)) is not None:
                found[f"buffer {local}"] = as_array(tensor)
        return found

    def input_gradients(self) -> Arrays:
        """The gradients by its inputs, where they were recorded."""
        return {
            f"gradient by input {leaf}": as_array(gradient)
            for leaf in range(len(given(self.call)))
            if (gradient := self.tensor("input_gradient", leaf)) is not None
        }

    @cached_property
    def precision(self) -> str:
        """The narrowest format that its values had, or that its products were made in."""
        tensors = [
            *(self.trace.tensor(name) for name in [*given(self.call), *self.outputs]),
            *self.parameters.values(),
        ]
        names = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()}
        known = [name for name in FLOATS if name in names]
        narrowest = known[0] if known else "float64"
        return self.call.products or narrowest if narrowest == "float32" else narrowest
