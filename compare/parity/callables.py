"""Functions and modules of PyTorch, NumPy and numpy_nn, run in any precision, with gradients.

Values travel between them as float64 arrays, which hold every value of the narrower formats, with
the name of the format beside them.
"""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("bfloat16", "float16", "float32", "float64")
"""The formats, the narrower first; NumPy has no bfloat16 and computes such values in float32."""

Vjp = Callable[..., Any]
"""(inputs …, dy) → the gradient by each input, None for one that has none."""


class CallError(Exception):
    """A function failed; the message says how."""


@dataclass
class Inputs:
    """The arguments of a call: a tree of lists, tuples and dicts, and the arrays in it.

    Attributes:
        tree: The arguments; an array is replaced by its position.
        arrays: The arrays: float64, or of integers or booleans.
        floats: Of each, the format that it was given in; empty for integers and booleans.
        device: Where the tensors among them were.
        tensors: Whether any of them was a tensor.
    """

    tree: Any
    arrays: list[np.ndarray]
    floats: list[str]
    device: Any = None
    tensors: bool = False

    @classmethod
    def of(cls, arguments: Sequence[Any]) -> Inputs:
        """Take arguments apart."""
        found = cls(None, [], [])
        found.tree = found._taken(tuple(arguments))
        return found

    def _taken(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            parts = [self._taken(v) for v in value]
            return type(value)(parts) if type(value) in (list, tuple) else tuple(parts)
        if isinstance(value, Mapping):
            return {key: self._taken(v) for key, v in value.items()}
        if not is_tensor(value) and not isinstance(value, np.ndarray):
            return value
        if is_tensor(value):
            self.tensors, self.device = True, value.device
        array, name = as_array(value)
        self.arrays.append(array)
        self.floats.append(name)
        return _Place(len(self.arrays) - 1)

    @property
    def precision(self) -> str:
        """The narrowest format among them; float64 without any."""
        names = [name for name in self.floats if name]
        return min(names, key=FLOATS.index) if names else "float64"

    def replaced(self, arrays: Sequence[np.ndarray]) -> Inputs:
        """The same arguments with other arrays."""
        return Inputs(self.tree, list(arrays), self.floats, self.device, self.tensors)


@dataclass(frozen=True)
class _Place:
    """Stands for an array in a tree of arguments."""

    index: int


@dataclass
class Answer:
    """What a call gave.

    Attributes:
        outputs: Name → array: ``output``, or ``output 0``, ``output['loss']`` of several.
        gradients: Name → array: ``gradient of input 0``, ``gradient of weight``.
        buffers: Name → array: what a module keeps, such as running statistics.
        changed: Positions of arrays that were changed in place → what they became.
        precision: The narrowest format of the outputs; empty if none is a float.
    """

    outputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    buffers: dict[str, np.ndarray] = field(default_factory=dict)
    changed: dict[int, np.ndarray] = field(default_factory=dict)
    precision: str = ""

    def quantities(self) -> dict[str, np.ndarray]:
        """All of it by name, outputs first."""
        inputs = {f"input {index} afterwards": array for index, array in self.changed.items()}
        return {**self.outputs, **self.gradients, **self.buffers, **inputs}


class Subject:
    """A function, a module of PyTorch or numpy_nn, or an object with ``forward`` and ``backward``.

    It is never changed: each call is of a copy.

    Args:
        function: The function or object.
        vjp: Its vector-Jacobian product, for a function of NumPy.
        role: What to call it if it has no name.
    """

    def __init__(self, function: Any, vjp: Vjp | None = None, role: str = "") -> None:
        self.function, self._vjp = function, vjp
        self.is_module = _is_torch_module(function)
        self.is_numpy_module = hasattr(function, "named_parameters") and not self.is_module
        name = getattr(function, "__name__", type(function).__name__)
        self.name = role if role and name == "<lambda>" else name
        self._tensors: bool | None = None
        if self.is_module or str(getattr(function, "__module__", "")).startswith("torch"):
            self._tensors = True
        elif self.is_numpy_module or isinstance(function, np.ufunc):
            self._tensors = False

    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters and buffers of a module, as float64 or integers."""
        if not (self.is_module or self.is_numpy_module):
            return {}
        return {name: as_array(a)[0] for name, a in self.function.state_dict().items()}

    def precision(self) -> str:
        """The narrowest format of a module's parameters; float64 of one without."""
        if not (self.is_module or self.is_numpy_module):
            return "float64"
        names = [as_array(a)[1] for a in self.function.state_dict().values()]
        return min(filter(None, names), key=FLOATS.index, default="float64")

    def call(
        self,
        inputs: Inputs,
        precision: str,
        parameters: Mapping[str, np.ndarray] | None = None,
        dy: Callable[[str, tuple[int, ...]], np.ndarray] | None = None,
    ) -> Answer:
        """Call a copy with copies.

        Args:
            inputs: The arguments.
            precision: The format of all floats among them, and of a module's parameters.
            parameters: Other parameters and buffers for a module.
            dy: (name of an output, shape) → the gradient of the result by it; gradients are
                computed if it is given and the function has a way to.

        Raises:
            CallError: It raised an exception, or returned no array.
        """
        kinds = (
            [self._tensors] if self._tensors is not None else [inputs.tensors, not inputs.tensors]
        )
        first: CallError | None = None
        for tensors in kinds:
            try:
                answer = self._call(inputs, precision, parameters, dy, tensors)
            except CallError as error:
                first = first or error
                continue
            self._tensors = tensors
            return answer
        assert first is not None
        raise first

    def _call(
        self,
        inputs: Inputs,
        precision: str,
        parameters: Mapping[str, np.ndarray] | None,
        dy: Callable[[str, tuple[int, ...]], np.ndarray] | None,
        tensors: bool,
    ) -> Answer:
        function = self._copy(precision, parameters)
        given = [
            _converted(a, precision if name else "", tensors, inputs.device)
            for a, name in zip(inputs.arrays, inputs.floats, strict=True)
        ]
        begun = [as_array(g)[0] for g in given]
        differentiable = dy is not None and tensors
        if differentiable:
            given = [g.requires_grad_() if g.is_floating_point() else g for g in given]
            # A leaf that is to be differentiated may not be changed in place: its copy may.
            passed = [g.clone() for g in given]
        else:
            passed = given
        arguments = _rebuilt(inputs.tree, passed)
        run = function if callable(function) else function.forward
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                returned = run(*arguments)
        except Exception as error:
            raise CallError(_in_words(error)) from error
        results = _outputs(returned)
        if not results:
            raise CallError(f"returned {type(returned).__name__}, not an array")
        outputs = {name: as_array(value)[0] for name, value in results.items()}
        names = [as_array(value)[1] for value in results.values()]
        answer = Answer(outputs, precision=min(filter(None, names), key=FLOATS.index, default=""))
        for index, (before, after) in enumerate(zip(begun, passed, strict=True)):
            now = as_array(after)[0]
            if not np.array_equal(now, before, equal_nan=now.dtype.kind == "f"):
                answer.changed[index] = now
        if self.is_module:
            answer.buffers = {
                f"buffer {name}": as_array(value)[0] for name, value in function.named_buffers()
            }
        elif self.is_numpy_module:
            trained = {name for name, _ in function.named_parameters()}
            answer.buffers = {
                f"buffer {name}": as_array(value)[0]
                for name, value in function.state_dict().items()
                if name not in trained
            }
        if dy is not None:
            gradients = {name: dy(name, array.shape) for name, array in outputs.items()}
            answer.gradients = self._gradients(
                function, given, results, gradients, precision, tensors
            )
        return answer

    def _copy(self, precision: str, parameters: Mapping[str, np.ndarray] | None) -> Any:
        if self.is_module:
            torch = sys.modules["torch"]
            module = copy.deepcopy(self.function).to(getattr(torch, precision))
            if parameters is not None:
                module.load_state_dict(
                    {name: torch.as_tensor(array) for name, array in parameters.items()}
                )
            module.zero_grad()
            return module
        function: Any = self.function
        if not inspect.isroutine(function):
            function = copy.deepcopy(function)
        if self.is_numpy_module:
            dtype = np.dtype("float32" if precision == "bfloat16" else precision)
            state = function.state_dict() if parameters is None else parameters
            function = _numpy_module_in(function, dtype)
            function.load_state_dict(
                {
                    n: np.asarray(a).astype(dtype) if np.asarray(a).dtype.kind == "f" else a
                    for n, a in state.items()
                }
            )
            function.zero_grad()
        return function

    def _gradients(
        self,
        function: Any,
        given: list[Any],
        results: Mapping[str, Any],
        gradients: Mapping[str, np.ndarray],
        precision: str,
        tensors: bool,
    ) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        if tensors:
            torch = sys.modules["torch"]
            roots = [
                (v, gradients[n]) for n, v in results.items() if is_tensor(v) and v.requires_grad
            ]
            if not roots:
                return {}
            torch.autograd.backward(
                [v for v, _ in roots],
                [torch.as_tensor(g, dtype=v.dtype, device=v.device) for v, g in roots],
            )
            for index, g in enumerate(given):
                if g.is_floating_point() and g.grad is not None:
                    found[f"gradient of input {index}"] = as_array(g.grad)[0]
            if self.is_module:
                for name, parameter in function.named_parameters():
                    if parameter.grad is not None:
                        found[f"gradient of {name}"] = as_array(parameter.grad)[0]
            return found
        dtype = "float32" if precision == "bfloat16" else precision
        dys = [g.astype(dtype) for g in gradients.values()]
        try:
            with np.errstate(all="ignore"):
                if self._vjp is not None:
                    back = self._vjp(*given, *dys)
                elif hasattr(function, "backward"):
                    back = function.backward(*dys)
                else:
                    return {}
        except Exception as error:
            raise CallError(f"{_in_words(error)}, in its gradient") from error
        several = back if isinstance(back, (tuple, list)) else (back,)
        for index, gradient in enumerate(several):
            if gradient is not None:
                found[f"gradient of input {index}"] = as_array(gradient)[0]
        if self.is_numpy_module:
            for name, parameter in function.named_parameters():
                if parameter.grad is not None:
                    found[f"gradient of {name}"] = as_array(parameter.grad)[0]
        return found


def _numpy_module_in(module: Any, dtype: np.dtype) -> Any:
    """A module of numpy_nn with all arrays in a format."""
    for one in module.modules():
        for name, value in vars(one).items():
            data = getattr(value, "data", None)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                setattr(one, name, value.astype(dtype))
            elif isinstance(data, np.ndarray) and hasattr(value, "grad"):
                value.data = data.astype(dtype)
                value.grad = None
    return module


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch, which need not be installed."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_torch_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def as_array(value: Any) -> tuple[np.ndarray, str]:
    """An array, tensor or number as float64, integers as they are; and the format of a float."""
    if is_tensor(value):
        value = value.detach().cpu()
        if value.is_floating_point():
            return value.double().numpy().copy(), str(value.dtype).removeprefix("torch.")
        return value.numpy().copy(), ""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return array.astype(np.float64), "float64" if array.dtype.itemsize > 8 else array.dtype.name
    return np.array(array), ""


def _converted(array: np.ndarray, precision: str, tensors: bool, device: Any) -> Any:
    """A copy as a tensor or an array; floats in a format, unless it is empty."""
    if tensors:
        torch = sys.modules.get("torch")
        if torch is None:
            raise CallError("takes arrays only, and PyTorch is not loaded")
        dtype = getattr(torch, precision) if precision and array.dtype.kind == "f" else None
        return torch.tensor(array, dtype=dtype, device=device)
    if array.dtype.kind != "f" or not precision:
        return np.array(array)
    dtype = "float32" if precision == "bfloat16" else precision
    return np.array(rounded(array, precision), dtype)


def rounded(array: np.ndarray, precision: str) -> np.ndarray:
    """The nearest values of a format, as float64."""
    array = np.asarray(array)
    if precision != "bfloat16":
        with np.errstate(over="ignore"):
            return np.asarray(array.astype(precision).astype(np.float64))
    # To nearest, ties to even, in the upper half of the bits of float32.
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    bits = single.view(np.uint32)
    up = ((bits >> 16) & 1) + 0x7FFF
    kept = np.asarray(np.where(np.isfinite(single), (bits + up) & 0xFFFF0000, bits), np.uint32)
    return kept.view(np.float32).astype(np.float64)


def _rebuilt(tree: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(tree, _Place):
        return arrays[tree.index]
    if isinstance(tree, (list, tuple)):
        return type(tree)(_rebuilt(t, arrays) for t in tree)
    if isinstance(tree, dict):
        return {key: _rebuilt(t, arrays) for key, t in tree.items()}
    return tree


def _outputs(returned: Any, name: str = "output") -> dict[str, Any]:
    """Name → each array, tensor or number in what a function returned."""
    if is_tensor(returned) or isinstance(returned, (np.ndarray, np.number, float, int)):
        return {name: returned}
    found: dict[str, Any] = {}
    if isinstance(returned, Mapping):
        for key, value in returned.items():
            found |= _outputs(value, f"{name}[{key!r}]")
    elif isinstance(returned, (tuple, list)):
        for number, value in enumerate(returned):
            found |= _outputs(
                value, f"{name} {number}" if name == "output" else f"{name}[{number}]"
            )
    return found


def _in_words(error: Exception) -> str:
    message = " ".join(str(error).split())[:300]
    return f"raised {type(error).__name__}{': ' if message else ''}{message}"
