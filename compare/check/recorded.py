"""A network written down in words, so that it can be built elsewhere.

The ``architecture(nn)`` of a homework runs in the homework's own process, with a namespace that
builds nothing and remembers what was asked of it. What comes out is a tree that fits into JSON;
PyTorch builds the network from it in the process that checks, and a golden file carries it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Tree = Any


class Node:
    """A layer that was asked for. Methods such as ``append`` are remembered too."""

    def __init__(self, name: str, args: tuple, kwargs: dict[str, Any]) -> None:
        self._name, self._args, self._kwargs = name, args, kwargs
        self._then: list[tuple[str, tuple, dict[str, Any]]] = []

    def __getattr__(self, method: str) -> Callable[..., Node]:
        if method.startswith("_"):
            raise AttributeError(method)

        def remembered(*args: Any, **kwargs: Any) -> Node:
            self._then.append((method, args, kwargs))
            return self

        return remembered


class _Constructor:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Node:
        return Node(self._name, args, kwargs)

    def __mro_entries__(self, bases: tuple) -> tuple:
        raise TypeError(
            "architecture(nn) may only put together layers of nn, such as "
            f"nn.Sequential(nn.Linear(20, 10)), and define no class of nn.{self._name}"
        )

    def __getattr__(self, name: str) -> _Constructor:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Constructor(f"{self._name}.{name}")


class Recorder:
    """The namespace that an architecture is given."""

    __name__ = "nn"

    def __getattr__(self, name: str) -> _Constructor:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Constructor(name)


def record(architecture: Callable[[Any], Any]) -> Tree:
    """Write down what ``architecture(nn)`` makes.

    Raises:
        TypeError: It makes something that cannot be written down.
    """
    made = architecture(Recorder())
    if not isinstance(made, Node):
        raise TypeError(f"expected a network such as nn.Sequential(…), but got {_short(made)}")
    return _written(made)


def _written(value: Any) -> Tree:
    if isinstance(value, Node):
        tree = {"make": value._name, "args": _written(value._args), "kwargs": {}}
        tree["kwargs"] = {key: _written(v) for key, v in value._kwargs.items()}
        if value._then:
            tree["then"] = [
                [method, _written(args), {k: _written(v) for k, v in kwargs.items()}]
                for method, args, kwargs in value._then
            ]
        return tree
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_written(v) for v in value]
    if isinstance(value, dict):
        return {"ordered": [[key, _written(v)] for key, v in value.items()]}
    raise TypeError(f"{_short(value)} cannot be an argument of a layer here")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


class Recorded:
    """A function of a namespace again, from the tree. Dropout becomes Identity: masks are random.

    Args:
        tree: What :func:`record` gave.
        name: How the network is called.
    """

    def __init__(self, tree: Tree, name: str) -> None:
        self.tree = tree
        self.__name__ = name

    def __call__(self, nn: Any) -> Any:
        """Build the network from a namespace."""
        return self._made(self.tree, nn)

    def _made(self, tree: Tree, nn: Any) -> Any:
        if isinstance(tree, list):
            return [self._made(v, nn) for v in tree]
        if not isinstance(tree, dict):
            return tree
        if "ordered" in tree:
            return OrderedDict((key, self._made(v, nn)) for key, v in tree["ordered"])
        if tree["make"].startswith("Dropout"):
            return nn.Identity()
        make = nn
        for part in tree["make"].split("."):
            make = getattr(make, part)
        kwargs = {key: self._made(v, nn) for key, v in tree["kwargs"].items()}
        made = make(*self._made(tree["args"], nn), **kwargs)
        for method, args, more in tree.get("then", []):
            options = {key: self._made(v, nn) for key, v in more.items()}
            getattr(made, method)(*self._made(args, nn), **options)
        return made

    def leaves(self) -> list[tuple[str, str]]:
        """Name and class of every layer that holds no others, as ``Sequential`` names them."""
        return [(name, layer["make"]) for name, layer in _leaves(self.tree, "")]

    def written(self) -> list[str]:
        """Every layer as it was asked for."""
        return [
            f"layer {name}, {layer['make']}({', '.join(_arguments(layer))})"
            for name, layer in _leaves(self.tree, "")
        ]

    def probabilities(self) -> dict[str, float]:
        """The p of every Dropout by its name; not of those that drop whole channels."""
        return {
            name: float(layer["args"][0] if layer["args"] else layer["kwargs"].get("p", 0.5))
            for name, layer in _leaves(self.tree, "")
            if layer["make"] == "Dropout"
        }


def _arguments(tree: Tree) -> list[str]:
    return [*map(str, tree["args"]), *(f"{key}={value}" for key, value in tree["kwargs"].items())]


def _leaves(tree: Tree, prefix: str) -> Iterator[tuple[str, Tree]]:
    if tree["make"] != "Sequential":
        yield prefix, tree
        return
    inner = tree["args"]
    if len(inner) == 1 and isinstance(inner[0], dict) and "ordered" in inner[0]:
        named = [(name, layer) for name, layer in inner[0]["ordered"]]
    else:
        named = [(str(number), layer) for number, layer in enumerate(inner)]
    for method, args, _ in tree.get("then", []):
        if method == "append":
            named.append((str(len(named)), args[0]))
        elif method == "add_module":
            named.append((args[0], args[1]))
    for name, layer in named:
        yield from _leaves(layer, f"{prefix}.{name}" if prefix else name)
