"""The few lines of code that compute a formula: forward and backward, or an optimizer's update."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy_nn
from compare.backends.numpy_backend import NumpyBackend
from compare.spec.model import ModelSpec

LAYER_METHODS = ("backward", "backward_parameters", "_backward", "forward")
OPTIMIZER_METHODS = ("_update", "_prepare")
"""What matters most comes first."""
STEP = "step"
"""The name of the excerpt that is one step of a training."""
MOST_LINES = 20
"""So many lines of a class are shown; what does not fit is left to the listing of the file."""


def excerpts_of(model_specs: Iterable[ModelSpec], losses: Iterable[str]) -> dict[str, str]:
    """Class → the lines that compute it, of all modules, losses and optimizers in use.

    Args:
        model_specs: The networks with their optimizers.
        losses: The classes of the losses.
    """
    found: dict[str, str] = {}
    layers: dict[str, type] = {}
    algorithms: list[str] = []
    networks: set[str] = set()
    for spec in model_specs:
        if spec.algorithm not in algorithms:
            algorithms.append(spec.algorithm)
        key = repr((spec.architecture, sorted(spec.arguments.items(), key=repr)))
        if key not in networks:
            networks.add(key)
            layers |= {type(m).__name__: type(m) for m in spec.model(numpy_nn).modules()}
    layers |= {name: getattr(numpy_nn, name) for name in losses if hasattr(numpy_nn, name)}
    for name, kind in layers.items():
        if kind is getattr(numpy_nn, name, None) and name != "Sequential":
            found[name] = excerpt(kind, LAYER_METHODS)
    for name in algorithms:
        found[name] = excerpt(getattr(numpy_nn.optim, name), OPTIMIZER_METHODS)
    found[STEP] = bare(NumpyBackend._step)
    return {name: code for name, code in found.items() if code}


def excerpt(kind: type, methods: Iterable[str]) -> str:
    """The methods of a class that fit, in the order of the file; without docstrings and checks."""
    found: list[tuple[int, str]] = []
    left = MOST_LINES
    for name in methods:
        method = _own(kind, name)
        code = "" if method is None else bare(method)
        if method is not None and len(code.splitlines()) <= left:
            left -= len(code.splitlines())
            found.append((inspect.getsourcelines(method)[1], code))
    code = "\n\n".join(code for _, code in sorted(found))
    meanings = "\n".join(f"# {name}: {meaning}" for name, meaning in helpers(kind, code).items())
    return f"{code}\n\n{meanings}" if meanings else code


def helpers(kind: type, code: str) -> dict[str, str]:
    """What the functions do that some code of a class calls: first lines of their docstrings."""
    found: dict[str, str] = {}
    own = {f.name for f in ast.walk(ast.parse(code)) if isinstance(f, ast.FunctionDef)}
    for base in kind.__mro__[:-1]:  # the last is object
        names = vars(sys.modules[base.__module__])
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.Call):
                continue
            called: Any = None
            if isinstance(node.func, ast.Name):
                name, called = node.func.id, names.get(node.func.id)
            elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self":
                name, called = node.func.attr, getattr(kind, node.func.attr, None)
            if called is None or name in own or not inspect.isroutine(called):
                continue
            if meaning := (inspect.getdoc(called) or "").partition("\n")[0]:
                found.setdefault(name, meaning)
    return found


def _own(kind: type, name: str) -> Callable[..., Any] | None:
    """A method that the class, or a class between it and Module, defines."""
    for base in kind.__mro__:
        if base.__name__ in ("Module", "Optimizer", "object"):
            return None
        if name in vars(base):
            found: Callable[..., Any] = vars(base)[name]
            return found
    return None


def bare(function: Callable[..., Any]) -> str:
    """The source of a function without its docstring, checks of its arguments and their errors."""
    source = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    dropped = set(range(1, definition.lineno))  # decorators
    for node in ast.walk(definition):
        if isinstance(node, ast.stmt) and _says_or_checks(node):
            dropped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.splitlines()
    kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
    return "\n".join(line for line in kept if line.strip())


def _says_or_checks(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return not node.orelse and all(isinstance(inner, ast.Raise) for inner in node.body)
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.lstrip("_").startswith("check")
