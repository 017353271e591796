"""Any two functions on the same inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.check.values import Value, describe
from compare.parity.tolerances import FUNCTIONS


def compare_pair(
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: tuple[Any, ...],
    tolerance: float | None = None,
) -> str | None:
    """The first place where what they return differs, in words; None where they agree."""
    given = copy.deepcopy(inputs)
    found = describe(ours(*given))
    name = getattr(ours, "__name__", "ours")
    for position, (before, after) in enumerate(zip(inputs, given, strict=True)):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True):
            return f"{name} changed its argument {position} in place: work on a copy."
    expected = describe(reference(*copy.deepcopy(inputs)))
    return _difference(name, "", found, expected, tolerance)


def _difference(
    name: str, path: str, found: Value, expected: Value, tolerance: float | None
) -> str | None:
    what = f"{name}{path}"
    if expected.array is not None and found.array is not None:
        return _apart(what, found.array, expected.array, tolerance)
    if (
        expected.kind != found.kind
        or expected.kind == "other"
        or found.items.keys() != expected.items.keys()
    ):
        return f"{what} returned {found.said()}, but expected {expected.said()}."
    for key, item in expected.items.items():
        step = f"[{key!r}]" if expected.kind == "dict" else f"[{key}]"
        difference = _difference(name, f"{path}{step}", found.items[key], item, tolerance)
        if difference is not None:
            return difference
    return None


def _apart(
    what: str, found: np.ndarray, expected: np.ndarray, tolerance: float | None
) -> str | None:
    if found.shape != expected.shape:
        return f"{what} has the shape {found.shape}, but expected {expected.shape}."
    if found.size == 0:
        return None
    if tolerance is None:
        single = np.float32 in (found.dtype, expected.dtype)
        tolerance = FUNCTIONS["float32" if single else "float64"]
    a, b = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(b[np.isfinite(b)]).max(initial=0.0) or 1.0
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / size)
    error = np.where(np.isnan(error), np.inf, error)
    worst = np.unravel_index(int(error.argmax()), error.shape)
    if error[worst] <= tolerance:
        return None
    place = f" at element [{', '.join(str(int(i)) for i in worst)}]" if worst else ""
    outside = int((error > tolerance).sum())
    return (
        f"{what} differs from the reference{place}:\n"
        f"  expected  {float(b[worst])!r}\n"
        f"  found     {float(a[worst])!r}\n"
        f"relative error {error[worst]:.2e}; allowed {tolerance:.1e}; {outside} of {error.size} "
        "elements are outside"
    )
