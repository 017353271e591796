"""A homework, loaded: its names looked up, its functions called with copies.

This file and those it imports run beside the homework, in its own process (:mod:`worker`) or,
for functions that a test already holds, in the process of the test.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compare.check.blame import blame
from compare.check.layer_calls import Layers
from compare.check.recorded import record
from compare.check.values import Reply, describe

FUNCTIONS = {
    "forward": ("params", "x"),
    "loss": ("params", "x", "y"),
    "gradients": ("params", "x", "y"),
    "loss_and_gradients": ("params", "x", "y"),
    "update": ("params", "grads", "state"),
    "network": ("params",),
    "architecture": ("nn",),
}
CONSTANTS = ("ARCHITECTURE", "LOSS", "PARAMETERS", "BATCH_AXIS", "ONE_HOT", "ATTRIBUTES")

Arrays = Mapping[str, np.ndarray]


class Homework:
    """The names of a homework and, before them, those of a mapping file.

    Args:
        names: What is defined.
        file: Where, for the line numbers of errors.
        memory_mb: The memory limit, to name it.
    """

    def __init__(
        self,
        names: Mapping[str, Any] | None = None,
        file: Path | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self._names: dict[str, Any] = dict(names or {})
        self._file, self._memory_mb = file, memory_mb
        self._state: dict[str, Any] = {}
        self._layers: Layers | None = None

    def ask(self, what: str, arrays: Arrays | None = None, **details: Any) -> Reply:
        """Do one thing with the homework: the name of a method, what it is given, how."""
        reply = Reply()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                getattr(self, f"_{what}")(reply, dict(arrays or {}), **details)
            except BaseException as error:
                if self._file is None and isinstance(error, KeyboardInterrupt):
                    raise  # here it comes from the person at the keyboard
                reply.problem = blame(error, details.get("said", what), self._file, self._memory_mb)
        reply.warnings = self._warnings(caught)
        return reply

    def _load(self, reply: Reply, _: Arrays, said: str, mapping: str | None = None) -> None:
        """Run the file, and the mapping file with the homework's names at hand."""
        assert self._file is not None
        sys.path.insert(0, str(self._file.parent))
        sys.dont_write_bytecode = True
        self._names = vars(_module(self._file))
        if mapping is not None:
            public = {k: v for k, v in self._names.items() if not k.startswith("__")}
            self._names = {**public, **vars(_module(Path(mapping), public))}

    def _declaration(self, reply: Reply, _: Arrays, said: str) -> None:
        reply.details["constants"] = {
            name: _plain(self._names[name])
            for name in CONSTANTS
            if self._names.get(name) is not None
        }
        reply.details["functions"] = [name for name in FUNCTIONS if callable(self._names.get(name))]
        reply.details["not_callable"] = [
            name for name in FUNCTIONS if name in self._names and not callable(self._names[name])
        ]

    def _architecture(self, reply: Reply, _: Arrays, said: str) -> None:
        reply.details["tree"] = record(self._function("architecture"))

    def _call(self, reply: Reply, arrays: Arrays, said: str, function: str) -> None:
        """Call a function with copies, and look afterwards at what became of them."""
        called = self._function(function)
        params, x = _under("params/", arrays), np.array(arrays["x"])
        given: list[Any] = [params, x]
        if "y" in arrays:
            given.append(np.array(arrays["y"]))
        result = called(*given)
        reply.value = describe(result)
        for name, before in arrays.items():
            owner, _, key = name.partition("/")
            after = params.get(key) if owner == "params" else given[1 if owner == "x" else 2]
            now = describe(after)
            if now.array is None or not _identical(now.array, before):
                reply.changed[name] = now.array if now.array is not None else np.array(np.nan)

    def _update(self, reply: Reply, arrays: Arrays, said: str, first: bool) -> None:
        """Call ``update``; what it puts into ``state`` is there in the next call."""
        if first:
            self._state = {}
        called = self._function("update")
        result = called(_under("params/", arrays), _under("grads/", arrays), self._state)
        reply.value = describe(result)

    def _network(self, reply: Reply, arrays: Arrays, said: str) -> None:
        made = self._function("network")(_under("params/", arrays))
        self._layers = Layers(made)
        reply.details.update(self._layers.described())

    def _layer(self, reply: Reply, arrays: Arrays, said: str, **details: Any) -> None:
        assert self._layers is not None
        reply.value = describe(self._layers.alone(dict(arrays), **details))

    def _dropout(self, reply: Reply, arrays: Arrays, said: str, index: int) -> None:
        assert self._layers is not None
        reply.value = describe(self._layers.dropout(dict(arrays), index))

    def _chain(self, reply: Reply, arrays: Arrays, said: str, order: list[int]) -> None:
        assert self._layers is not None
        reply.value = describe(self._layers.chain(np.array(arrays["x"]), order))

    def _layer_loss(self, reply: Reply, arrays: Arrays, said: str) -> None:
        assert self._layers is not None
        reply.value = describe(self._layers.loss(np.array(arrays["x"]), np.array(arrays["y"])))

    def _function(self, name: str) -> Callable[..., Any]:
        """The function, if it takes what it will be given."""
        function, expected = self._names[name], FUNCTIONS[name]
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return function
        try:
            signature.bind(*expected)
        except TypeError:
            raise TypeError(
                f"{name} is called as {name}({', '.join(expected)}), but is defined as "
                f"{name}{signature}"
            ) from None
        return function

    def _warnings(self, caught: list[warnings.WarningMessage]) -> list[str]:
        found: dict[str, None] = {}
        for warning in caught:
            if issubclass(warning.category, RuntimeWarning):
                here = self._file is None or warning.filename == str(self._file)
                name = "" if here else f" of {Path(warning.filename).name}"
                found[f"line {warning.lineno}{name}: {warning.message}"] = None
        return list(found)[:5]


def _module(path: Path, names: Mapping[str, Any] | None = None) -> Any:
    """Run a file as a module of its own name, where that name is free."""
    name = path.stem if path.stem not in sys.modules else f"_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(names or {})
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _under(prefix: str, arrays: Arrays) -> dict[str, np.ndarray]:
    """Copies of the arrays whose names start so, without that start."""
    return {k.removeprefix(prefix): np.array(v) for k, v in arrays.items() if k.startswith(prefix)}


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _plain(value: Any) -> Any:
    """A constant as JSON has it; what JSON has not is only named."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (str, bool, int)):
        return value
    return {"unfit": f"{value!r:.80}"}
