"""Arguments and results of a call as JSON: tensors are named in it, and stored elsewhere.

A node is an object with one key: ``tensor`` with the tensor's name, ``list``, ``tuple`` or
``dict`` with what is in it, ``value`` with a number, a string, a boolean or null, ``float`` with
``inf``, ``-inf`` or ``nan``, or ``other`` with the type of something that is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

Tree = dict[str, Any]

KINDS = ("tensor", "list", "tuple", "dict", "value", "float", "other")


class NotStoredError(Exception):
    """A tree holds something that is not stored; the message names its type."""


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor can be stored: dense, with values."""
    return (
        tensor.layout == torch.strided
        and not tensor.is_quantized
        and not tensor.is_nested
        and not tensor.is_meta
        and tensor.dtype not in (torch.complex32, torch.complex64, torch.complex128)
    )


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, in the order in which :func:`take_apart` names them."""
    if isinstance(value, torch.Tensor):
        if is_plain(value):
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_of(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_of(part)


def take_apart(value: Any, name_of: Callable[[torch.Tensor], str]) -> Tree:
    """The tree of a value; ``name_of`` is called with each tensor that can be stored."""
    if isinstance(value, torch.Tensor):
        if is_plain(value):
            return {"tensor": name_of(value)}
        return {"other": f"tensor of layout {value.layout} and type {value.dtype}"}
    if isinstance(value, Mapping):
        return {"dict": {str(key): take_apart(part, name_of) for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [take_apart(part, name_of) for part in value]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    return {"other": f"{type(value).__module__}.{type(value).__qualname__}"}


def put_together(tree: Tree, tensor: Callable[[str], Any]) -> Any:
    """The value of a tree; ``tensor`` gives what stands for a tensor's name.

    Raises:
        NotStoredError: Something in it is not stored.
    """
    (kind, content), *_ = tree.items()
    if kind == "tensor":
        return tensor(content)
    if kind == "dict":
        return {key: put_together(part, tensor) for key, part in content.items()}
    if kind in ("list", "tuple"):
        parts = [put_together(part, tensor) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "value":
        return content
    if kind == "float":
        return float(content)
    raise NotStoredError(str(content))


def names_in(tree: Tree) -> list[str]:
    """The names of the tensors in a tree, in order."""
    return list(_names(tree))


def _names(tree: Tree) -> Iterator[str]:
    for kind, content in tree.items():
        if kind == "tensor":
            yield content
        elif kind == "dict":
            for part in content.values():
                yield from _names(part)
        elif kind in ("list", "tuple"):
            for part in content:
                yield from _names(part)


def scalars_in(tree: Tree) -> list[Any]:
    """The numbers and words in a tree, in order."""
    found: list[Any] = []
    for kind, content in tree.items():
        if kind in ("value", "float"):
            found.append(content)
        elif kind in ("list", "tuple"):
            found += [s for part in content for s in scalars_in(part)]
        elif kind == "dict":
            found += [s for part in content.values() for s in scalars_in(part)]
    return found


def fault(tree: Any) -> str | None:
    """What is wrong with a tree, if anything."""
    if not isinstance(tree, dict) or len(tree) != 1:
        return "expected an object with one key"
    (kind, content), *_ = tree.items()
    if kind not in KINDS:
        return f"expected one of {', '.join(KINDS)}, but found {kind!r}"
    if kind == "tensor" and not isinstance(content, str):
        return "expected the name of a tensor"
    if kind == "float" and content not in ("inf", "-inf", "nan"):
        return f"expected inf, -inf or nan, but found {content!r}"
    if kind in ("list", "tuple"):
        if not isinstance(content, list):
            return f"expected a list, but found {type(content).__name__}"
        return next((found for part in content if (found := fault(part))), None)
    if kind == "dict":
        if not isinstance(content, dict):
            return f"expected an object, but found {type(content).__name__}"
        return next((found for part in content.values() if (found := fault(part))), None)
    return None
