"""What a homework returned, described without running any of it again.

A value is an array, nothing, a dict or a tuple of values, or something else that is only named.
Between two processes it travels as a tree for JSON and a list of plain arrays, never as a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Value:
    """One returned object.

    Attributes:
        kind: ``array``, ``none``, ``dict``, ``tuple`` or ``other``.
        type_name: The Python type, for sentences.
        array: A copy, where it is an array, a number or a list of numbers.
        items: What a dict or tuple holds, by its key or position.
    """

    kind: str
    type_name: str
    array: np.ndarray | None = None
    items: dict[str, Value] = field(default_factory=dict)

    def said(self) -> str:
        """What it is, in words."""
        match self.kind:
            case "none":
                return "None"
            case "array" if self.array is not None and self.array.ndim:
                return f"an array of shape {self.array.shape}"
            case "dict":
                return f"a dict with {', '.join(map(repr, self.items)) or 'nothing in it'}"
            case "tuple":
                return f"a {self.type_name} of {len(self.items)}"
        return f"a value of type {self.type_name}"


def describe(value: Any, depth: int = 0) -> Value:
    """Describe a value; arrays are copied."""
    name = type(value).__name__
    if value is None:
        return Value("none", name)
    if depth < 4 and isinstance(value, Mapping):
        return Value("dict", name, items={str(k): describe(v, depth + 1) for k, v in value.items()})
    array = _as_array(value)
    if array is not None:
        return Value("array", name, array)
    if depth < 4 and isinstance(value, (list, tuple)) and len(value) <= 1000:
        items = {str(i): describe(v, depth + 1) for i, v in enumerate(value)}
        return Value("tuple", name, items=items)
    if isinstance(value, np.ndarray):
        return Value("other", f"{name} of {value.dtype}")
    return Value("other", name)


def _as_array(value: Any) -> np.ndarray | None:
    if hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu().numpy()
    if isinstance(value, (str, bytes)):
        return None
    # A tuple is a sequence of results, never an array; a list of numbers is an array.
    if isinstance(value, tuple):
        return None
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def flatten(value: Value, arrays: list[np.ndarray]) -> dict[str, Any]:
    """The tree of a value; its arrays are appended to ``arrays``."""
    tree: dict[str, Any] = {"kind": value.kind, "type": value.type_name}
    if value.array is not None:
        tree["array"] = len(arrays)
        arrays.append(value.array)
    if value.items:
        tree["items"] = [[key, flatten(item, arrays)] for key, item in value.items.items()]
    return tree


def restore(tree: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Value:
    """The value of a tree."""
    return Value(
        tree["kind"],
        tree["type"],
        arrays[str(tree["array"])] if "array" in tree else None,
        {key: restore(item, arrays) for key, item in tree.get("items", [])},
    )


@dataclass
class Reply:
    """What came of asking a homework something.

    Attributes:
        value: What it returned.
        problem: Why it returned nothing: one sentence.
        changed: The arguments that it changed, by name, as they were afterwards.
        warnings: What NumPy warned of.
        details: Answers that are no arrays.
    """

    value: Value = field(default_factory=lambda: Value("none", "NoneType"))
    problem: str | None = None
    changed: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
