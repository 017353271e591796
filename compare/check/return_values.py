"""Return values as plain data: described, sent between processes, and compared.

A homework's return value is described once, in the homework's process, as an array, None, a dict
or a tuple of such values, or something else of which only the type is kept. Between processes it
travels as a tree for JSON beside a list of plain arrays, never as a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class ReturnValue:
    """The description of one returned object.

    Attributes:
        kind: ``array``, ``none``, ``dict``, ``tuple`` or ``other``.
        type_name: Its Python type, for messages.
        array: A copy, if it is an array, a number or a list of numbers.
        items: The values in a dict or tuple, by key or position.
    """

    kind: str
    type_name: str
    array: np.ndarray | None = None
    items: dict[str, ReturnValue] = field(default_factory=dict)

    def in_words(self) -> str:
        """What it is, for messages: ``an array of shape (2, 3)``."""
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


@dataclass
class CallResult:
    """The result of one request to a homework.

    Attributes:
        value: What the homework returned.
        problem: Why it returned nothing, in one sentence, or None.
        changed: The arguments that it changed in place, by name, with their new values.
        warnings: NumPy's warnings, with their lines.
        details: Results that are no arrays.
    """

    value: ReturnValue = field(default_factory=lambda: ReturnValue("none", "NoneType"))
    problem: str | None = None
    changed: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def describe(value: Any, depth: int = 0) -> ReturnValue:
    """Describe an object; arrays are copied."""
    name = type(value).__name__
    if value is None:
        return ReturnValue("none", name)
    if depth < 4 and isinstance(value, Mapping):
        items = {str(k): describe(v, depth + 1) for k, v in value.items()}
        return ReturnValue("dict", name, items=items)
    array = _as_array(value)
    if array is not None:
        return ReturnValue("array", name, array)
    if depth < 4 and isinstance(value, (list, tuple)) and len(value) <= 1000:
        items = {str(i): describe(v, depth + 1) for i, v in enumerate(value)}
        return ReturnValue("tuple", name, items=items)
    if isinstance(value, np.ndarray):
        return ReturnValue("other", f"{name} of {value.dtype}")
    return ReturnValue("other", name)


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


def flatten(value: ReturnValue, arrays: list[np.ndarray]) -> dict[str, Any]:
    """The tree of a value for JSON; its arrays are appended to ``arrays``."""
    tree: dict[str, Any] = {"kind": value.kind, "type": value.type_name}
    if value.array is not None:
        tree["array"] = len(arrays)
        arrays.append(value.array)
    if value.items:
        tree["items"] = [[key, flatten(item, arrays)] for key, item in value.items.items()]
    return tree
