"""A network's architecture as data: recorded from ``architecture(nn)``, built again elsewhere.

A homework's ``architecture(nn)`` runs in the homework's own process, with a namespace that builds
nothing and records every call. The recording is a tree that fits into JSON. The checking process
runs nothing of the homework: it checks the tree (:mod:`compare.check.allowed_layers`) before
PyTorch's network is built from it. Golden files store such trees, and are read with the same check.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from compare.check.allowed_layers import (
    CHANNELS_LAST_FLATTEN,
    ForbiddenLayerError,
    Tree,
    require_layer,
    require_network,
)

# Networks whose layers may have more numbers than this are compared by their words alone.
MOST_BUILT = 1e7


class RecordedCall:
    """A layer that was constructed, and the methods called on it since, such as ``append``."""

    def __init__(self, name: str, args: tuple, kwargs: dict[str, Any]) -> None:
        self._name, self._args, self._kwargs = name, args, kwargs
        self._methods: list[tuple[str, tuple, dict[str, Any]]] = []

    def __getattr__(self, method: str) -> Callable[..., RecordedCall]:
        if method.startswith("_"):
            raise AttributeError(method)

        def record_method(*args: Any, **kwargs: Any) -> RecordedCall:
            self._methods.append((method, args, kwargs))
            return self

        return record_method

    def __iter__(self) -> Iterator[RecordedCall]:
        """The layers of a Sequential, for ``nn.Sequential(*block, nn.Linear(8, 2))``."""
        if self._name != "Sequential" or not all(isinstance(a, RecordedCall) for a in self._args):
            raise TypeError(f"nn.{self._name}(…) has no layers to go through")
        appended = [args[0] for method, args, _ in self._methods if method == "append"]
        return iter([*self._args, *appended])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, index: int) -> RecordedCall:
        return list(iter(self))[index]


class _Constructor:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> RecordedCall:
        require_layer(self._name)
        return RecordedCall(self._name, args, kwargs)

    def __mro_entries__(self, bases: tuple) -> tuple:
        raise TypeError(
            "architecture(nn) may only put together layers of nn, such as "
            f"nn.Sequential(nn.Linear(20, 10)), and define no class of nn.{self._name}"
        )

    def __getattr__(self, name: str) -> _Constructor:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ForbiddenLayerError(
            f"nn.{self._name}.{name} is no layer: a network may be made of layers of torch.nn alone"
        )


class RecordingNamespace:
    """The namespace ``nn`` that an architecture is recorded with."""

    __name__ = "nn"

    def __getattr__(self, name: str) -> _Constructor:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Constructor(name)


def record_architecture(architecture: Callable[[Any], Any]) -> Tree:
    """Record the network that ``architecture(nn)`` puts together.

    Raises:
        TypeError: It returns no network, or an argument of a layer cannot be recorded.
        ForbiddenLayerError: It has a layer or an argument that no network may have here.
    """
    network = architecture(RecordingNamespace())
    if not isinstance(network, RecordedCall):
        raise TypeError(f"expected a network such as nn.Sequential(…), but got {_short(network)}")
    tree = _tree(network)
    require_network(tree)
    return tree


def _tree(value: Any) -> Tree:
    if isinstance(value, RecordedCall):
        tree = {"make": value._name, "args": _tree(value._args), "kwargs": {}}
        tree["kwargs"] = {key: _tree(v) for key, v in value._kwargs.items()}
        if value._methods:
            tree["then"] = [
                [method, _tree(args), {k: _tree(v) for k, v in kwargs.items()}]
                for method, args, kwargs in value._methods
            ]
        return tree
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_tree(v) for v in value]
    if isinstance(value, dict):
        return {"ordered": [[key, _tree(v)] for key, v in value.items()]}
    raise TypeError(f"{_short(value)} cannot be an argument of a layer here")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


class RecordedArchitecture:
    """An architecture function made from a recording.

    Every Dropout is built as Identity, because its masks are random.

    Args:
        tree: The recording, from :func:`record_architecture` or from somebody else.
        name: The name of the network, for messages.

    Raises:
        InputError: The tree is no network of allowed layers with plain arguments.
    """

    def __init__(self, tree: Tree, name: str) -> None:
        try:
            require_network(tree)
        except ForbiddenLayerError as error:
            from experiments.errors import InputError  # homeworks' processes do without

            raise InputError(f"{name} is no network that can be compared: {error}.") from None
        self.tree = tree
        self.__name__ = name

    def with_channels_last(self) -> RecordedArchitecture:
        """The network for code whose images have their channels last.

        It differs in Flatten alone, which then puts the values of a row in the order (H, W, C).
        """
        return RecordedArchitecture(_flattening_channels_last(self.tree), self.__name__)

    def __call__(self, nn: Any) -> Any:
        """Build the network from a namespace."""
        return self._build(self.tree, nn)

    def _build(self, tree: Tree, nn: Any) -> Any:
        if isinstance(tree, list):
            return [self._build(v, nn) for v in tree]
        if not isinstance(tree, dict):
            return tree
        if "ordered" in tree:
            return OrderedDict((key, self._build(v, nn)) for key, v in tree["ordered"])
        if tree["make"].startswith("Dropout"):
            return nn.Identity()
        if tree["make"] == CHANNELS_LAST_FLATTEN:
            return _channels_last_flatten(nn)
        constructor = getattr(nn, tree["make"])
        kwargs = {key: self._build(v, nn) for key, v in tree["kwargs"].items()}
        layer = constructor(*self._build(tree["args"], nn), **kwargs)
        for method, args, more in tree.get("then", []):
            options = {key: self._build(v, nn) for key, v in more.items()}
            getattr(layer, method)(*self._build(args, nn), **options)
        return layer

    def leaves(self) -> list[tuple[str, str]]:
        """Name and class of every layer that contains no others, named as in ``Sequential``."""
        return [(name, layer["make"]) for name, layer in _leaves(self.tree, "")]

    def descriptions(self) -> list[str]:
        """Every layer with the arguments that it was recorded with."""
        return [
            f"layer {name}, {layer['make']}({', '.join(_arguments(layer))})"
            for name, layer in _leaves(self.tree, "")
        ]

    def outputs(self) -> int:
        """How many outputs the last Linear has; 1 if there is none that says so."""
        for _, layer in reversed(list(_leaves(self.tree, ""))):
            if layer["make"] == "Linear":
                given = [*layer["args"][1:2], layer["kwargs"].get("out_features")]
                found = [n for n in given if isinstance(n, int) and n > 0]
                return found[0] if found else 1
        return 1

    def dropout_probabilities(self) -> dict[str, float]:
        """The p of every Dropout by its name; classes that drop whole channels are left out."""
        return {
            name: float(layer["args"][0] if layer["args"] else layer["kwargs"].get("p", 0.5))
            for name, layer in _leaves(self.tree, "")
            if layer["make"] == "Dropout"
        }


def _flattening_channels_last(tree: Tree) -> Tree:
    if isinstance(tree, list):
        return [_flattening_channels_last(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    changed = {key: _flattening_channels_last(value) for key, value in tree.items()}
    if changed.get("make") == "Flatten" and not changed["args"] and not changed["kwargs"]:
        changed["make"] = CHANNELS_LAST_FLATTEN
    return changed


def _channels_last_flatten(nn: Any) -> Any:
    """A Flatten of ``torch.nn`` or ``numpy_nn`` for images (N, C, H, W): (N, H·W·C)."""

    class Flatten(nn.Flatten):
        def forward(self, x: Any) -> Any:
            if x.ndim == 4:
                x = x.swapaxes(1, 2).swapaxes(2, 3)
            return super().forward(x)

        def backward(self, dy: Any) -> Any:  # of numpy_nn; PyTorch has autograd
            dx = super().backward(dy)
            return dx.swapaxes(2, 3).swapaxes(1, 2) if dx.ndim == 4 else dx

    return Flatten()


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


def load_architecture(name: str) -> RecordedArchitecture:
    """Record an architecture of the package, or one given as ``FILE.py:FUNCTION``.

    Raises:
        InputError: It does not exist or cannot be recorded.
    """
    # Not at the top: homeworks' processes import this file and need none of these.
    from compare.spec.architecture import find_architecture
    from experiments.errors import InputError

    function = find_architecture(name)
    try:
        return RecordedArchitecture(record_architecture(function), name)
    except Exception as error:
        raise InputError(f"The architecture {name} could not be read: {error}.") from None


def first_difference(
    one: RecordedArchitecture, other: RecordedArchitecture
) -> tuple[str, str] | None:
    """The first layer in which two architectures differ, as it is in each; None if in none.

    ``Linear(2, 3)`` and ``Linear(in_features=2, out_features=3)`` are equal, and so are all ways
    to nest layers that give them the same names. If ``numpy_nn`` lacks one of the layers, the
    recorded arguments have to be equal.
    """
    if one.tree == other.tree:
        return None
    try:
        if max(most_numbers(one.tree), most_numbers(other.tree)) > MOST_BUILT:
            raise MemoryError
        pairs = zip_longest(_settings(one), _settings(other), fillvalue="nothing")
    except Exception:  # numpy_nn lacks a layer or a setting of PyTorch's, or it is too large
        pairs = zip_longest(one.descriptions(), other.descriptions(), fillvalue="nothing")
    return next(((first, second) for first, second in pairs if first != second), None)


def most_numbers(tree: Tree) -> float:
    """More numbers than the arrays of any layer in a tree can have."""
    if isinstance(tree, list):
        return max((most_numbers(one) for one in tree), default=0.0)
    if not isinstance(tree, dict):
        return 0.0
    inside = max((most_numbers(value) for value in tree.values()), default=0.0)
    if "make" not in tree:
        return inside
    given = [*tree["args"], *tree["kwargs"].values()]
    numbers = (one for value in given for one in (value if isinstance(value, list) else [value]))
    sizes = (abs(float(n)) for n in numbers if isinstance(n, (int, float)) and abs(n) > 1)
    return max(inside, 8 * math.prod(sizes))


def _settings(architecture: RecordedArchitecture) -> list[str]:
    """Every layer with all its settings, defaults included."""
    import numpy_nn

    dropouts = architecture.dropout_probabilities()
    return [
        f"layer {name}, {f'Dropout(p={dropouts[name]:g})' if name in dropouts else repr(module)}"
        for name, module in architecture(numpy_nn).named_modules()
        if not any(module.children())
    ]
