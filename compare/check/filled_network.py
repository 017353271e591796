"""A network object that exists before its parameters are set: ``network()`` without an argument.

Its arrays are found by looking through its attributes, lists and dicts; they are filled with the
values of a case, and their gradients are read where such objects keep them. Each has a path in
Python's words: ``W1``, ``params['W1']``, ``layers[0].weights``, ``layers[0].weight.data``. Where
every number is an object of its own, as in micrograd, ``[:]`` goes through a whole list, and the
array has an axis for it: ``layers[0].neurons[:].w[:].data``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

# How deep objects, lists and dicts are looked through, and how many things at most.
DEEPEST, MOST_LOOKED_AT = 8, 20_000
# What is no parameter: gradients, an optimizer's state, what forward keeps.
NOT_PARAMETERS = re.compile(
    r"d[A-Z_]\w*|d[wb]\d*|d(gamma|beta|weights?|bias(es)?|kernels?)\d*|\w*grads?|grad_?\w+|gradients?"
    r"|\w*(velocity|velocities|momentum|momentums|momenta|cache|caches|mask|memory|moment)\w*"
    r"|[mvs]_?[wWbB]\d*|x|X|y|z|a|inputs?|outputs?|out|_?prev\w*|last_\w+",
)
# Attributes that hold the number of an engine's value, and those that hold its gradient.
DATA = ("data", "value")
GRADIENT = ("grad", "gradient")
STEP = re.compile(r"\[(:|\d+)\]|\[['\"](.*?)['\"]\]|\.?([A-Za-z_]\w*)")


def root_of(network: Any) -> Any:
    """The object in which paths begin: a list or dict of layers becomes its ``layers``."""
    if isinstance(network, tuple) and len(network) == 2 and _is_collection(network[0]):
        network = network[0]
    return SimpleNamespace(layers=network) if _is_collection(network) else network


def arrays_of(network: Any) -> dict[str, tuple[int, ...]]:
    """Path → shape of the arrays of a network that may be parameters or running statistics."""
    arrays: dict[str, tuple[int, ...]] = {}
    numbers: dict[str, None] = {}
    seen: set[int] = set()
    queue = deque([("", root_of(network), 0)])
    looked_at = 0
    while queue and looked_at < MOST_LOOKED_AT:
        path, value, depth = queue.popleft()
        looked_at += 1
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "f" and value.ndim and id(value) not in seen:
                arrays[path] = value.shape
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if path.rpartition(".")[2] in DATA and "[" in path:
                numbers[path] = None
        elif depth < DEEPEST and id(value) not in seen:
            queue.extend((path + step, inner, depth + 1) for step, inner in _parts(value, path))
        seen.add(id(value))
    for pattern in _patterns(numbers):
        arrays[pattern] = get(network, pattern).shape
    return arrays


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What an object, a list or a dict holds, each with the step that leads to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            named = isinstance(key, str) and not NOT_PARAMETERS.fullmatch(key)
            if named or (isinstance(key, int) and not isinstance(key, bool)):
                yield f"[{key!r}]", inner
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{number}]", inner) for number, inner in enumerate(value))
    elif not isinstance(value, (FunctionType, MethodType, ModuleType, type, str, bytes)):
        for name, inner in _attributes(value):
            if not NOT_PARAMETERS.fullmatch(name):
                yield (f".{name}" if path else name), inner


def _attributes(value: Any) -> list[tuple[str, Any]]:
    """An object's own attributes, those in ``__slots__`` included."""
    own = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                own[name] = getattr(value, name)
    return list(own.items())


def _patterns(paths: Iterable[str]) -> list[str]:
    """Paths of single numbers joined: every index after the first becomes ``[:]``.

    A list of numbers under no other list is joined from its first index on.
    """
    found: dict[str, None] = {}
    for path in paths:
        indices = re.findall(r"\[\d+\]", path)
        start = path.index(indices[0]) + (len(indices[0]) if len(indices) > 1 else 0)
        found[path[:start] + re.sub(r"\[\d+\]", "[:]", path[start:])] = None
    return list(found)


def fill(network: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Set arrays by their paths, in place where they are float64.

    Raises:
        AttributeError, KeyError or IndexError: There is no such path.
    """
    root = root_of(network)
    for path, array in arrays.items():
        _set(root, _steps(path), np.array(array))


def _set(value: Any, steps: Sequence[tuple[str, Any]], array: np.ndarray) -> None:
    (kind, key), rest = steps[0], steps[1:]
    if kind == "[" and key == ":":
        for inner, part in zip(value, array, strict=True):
            _set(inner, rest, part)
        return
    if rest:
        _set(_inner(value, kind, key), rest, array)
        return
    new: Any = array if array.ndim else float(array)
    old = _inner(value, kind, key) if kind == "[" or hasattr(value, key) else None
    if isinstance(old, np.ndarray) and old.dtype == np.float64 and old.shape == array.shape:
        old[...] = array
    elif kind == "[":
        value[key] = new
    else:
        setattr(value, key, new)


def get(network: Any, path: str) -> np.ndarray:
    """The array at a path.

    Raises:
        AttributeError, KeyError, IndexError or TypeError: There is none.
    """
    return np.array(value_at(root_of(network), path), np.float64)


def value_at(thing: Any, path: str) -> Any:
    """What is at a path that begins in an object; the same errors as of :func:`get`."""
    return _get(thing, _steps(path))


def _get(value: Any, steps: Sequence[tuple[str, Any]]) -> Any:
    if not steps:
        return value
    kind, key = steps[0]
    if kind == "[" and key == ":":
        return [_get(inner, steps[1:]) for inner in value]
    return _get(_inner(value, kind, key), steps[1:])


def _inner(value: Any, kind: str, key: Any) -> Any:
    return value[key] if kind == "[" else getattr(value, key)


def _steps(path: str) -> list[tuple[str, Any]]:
    return [
        ("[", ":" if index == ":" else int(index)) if index else ("[", key) if key else (".", name)
        for index, key, name in STEP.findall(path)
    ]


def gradient_paths(path: str) -> list[str]:
    """The paths at which the gradient of an array may be, the most usual first.

    Of ``W1`` they are ``dW1``, ``grads['W1']``, ``grad_W1`` and the like, of ``weight.data``
    ``weight.grad``.
    """
    before, name, after = _last_name(path)
    if name in DATA:
        return [f"{before}{gradient}{after}" for gradient in GRADIENT]
    usual = [
        f"d{name}",
        f"d_{name}",
        f"grad_{name}",
        f"{name}_grad",
        f"{name}_gradient",
        f"g{name}",
    ]
    inside = [
        f"{holder}['{key}']"
        for holder in ("grads", "gradients", "grad", "gradient")
        for key in (name, f"d{name}")
    ]
    if after:  # weights[0]: gradients are a list, too
        usual += [f"grad{name}", f"{name}_grads"]
    found = [f"{before}{own}{after}" for own in (*usual, *inside)]
    holder = re.fullmatch(r"(.*?)(\w+)\[['\"](.*?)['\"]\]", path)
    if holder:  # params['W1']: grads['W1'] beside it
        found += [f"{holder[1]}{own.replace(name, holder[3])}" for own in inside]
        found += [f"{holder[1]}d{holder[3]}"]
    return found


def _last_name(path: str) -> tuple[str, str, str]:
    """What comes before the last attribute of a path, its name, and the indices behind it."""
    match = re.fullmatch(r"(.*?)([A-Za-z_]\w*)((?:\[[^\]]*\])*)", path)
    return (match[1], match[2], match[3]) if match else ("", path, "")


def gradients_of(network: Any, paths: Iterable[str]) -> dict[str, np.ndarray]:
    """Path of an array → its gradient, from the attributes of the network.

    Raises:
        AttributeError: The network keeps no gradient of one of them.
    """
    found = {}
    for path in paths:
        every = gradient_paths(path)
        for candidate in every:
            try:
                found[path] = get(network, candidate)
                break
            except (AttributeError, KeyError, IndexError, TypeError, ValueError):
                continue
        else:
            raise AttributeError(
                f"the network keeps no gradient of {path} under {', '.join(every[:4])} or the "
                "like: return a dict of gradients with the keys of PARAMETERS"
            )
    return found


def is_engine_value(value: Any) -> bool:
    """Whether it is a number or an array of an autograd engine of the homework's own."""
    if isinstance(value, np.ndarray | np.generic) or not hasattr(value, "backward"):
        return False
    return any(hasattr(value, name) for name in DATA)


def plain(value: Any) -> Any:
    """A value with what is an engine's replaced by its numbers."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else value
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([plain(v) for v in value.ravel()], np.float64).reshape(value.shape)
    if is_engine_value(value):
        return next(getattr(value, name) for name in DATA if hasattr(value, name))
    return value


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
