"""Modules made of modules."""

import operator
from collections.abc import Iterator, Mapping
from typing import Any

from .module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """Applies modules one after the other, and their backward in reverse.

    Formula: y = fₖ(… f₂(f₁(x))); dx = f₁ᵇ(… fₖ₋₁ᵇ(fₖᵇ(dy))).

    Args:
        args: modules, or one mapping of names to modules.

    Shape:
        what the first module takes; what the last one returns.

    Raises:
        TypeError: if one of them is no module.

    Example:
        >>> import numpy
        >>> from numpy_nn import Linear, ReLU
        >>> model = Sequential(Linear(4, 3), ReLU(), Linear(3, 2))
        >>> model(numpy.ones((5, 4), numpy.float32)).shape
        (5, 2)
        >>> len(model[:2]), list(model.state_dict())
        (2, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            named = dict(args[0])
        else:
            named = {str(number): module for number, module in enumerate(args)}
        for name, module in named.items():
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential expects modules, or one mapping of names to modules. "
                    f"Received: {type(module).__name__}"
                )
            self.register_module(name, module)

    def forward(self, input: Any) -> Any:
        """Apply every module in turn."""
        for module in self._modules.values():
            input = module(input)
        return input

    def backward(self, grad_output: Any) -> Any:
        """Apply every module's backward in reverse."""
        for module in reversed(self._modules.values()):
            grad_output = module.backward(grad_output)
        return grad_output

    def backward_parameters(self, grad_output: Any) -> None:
        """Go back as far as the first module that has parameters, and no further."""
        modules = list(self._modules.values())
        first = next((m for m in modules if next(m.parameters(), None) is not None), None)
        for module in reversed(modules):
            if module is first:
                module.backward_parameters(grad_output)
                return
            grad_output = module.backward(grad_output)

    def append(self, module: Module) -> "Sequential":
        """Add a module at the end, under the next number."""
        self.register_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._name(index), module)

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} modules")
        return list(self._modules)[position]
