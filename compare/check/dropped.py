"""Dropout as a layer class: its mask is random, but what it makes of it is not.

The layer is asked alone, with an input that has no zeros, so that its mask can be read from its
output. PyTorch's dropout with that very mask is y = x m / (1 − p) and dx = dy m / (1 − p), and
evaluation leaves x as it is. What share of the values is kept must be 1 − p, within what chance
allows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.evidence import Answer
from compare.mistakes.case import Case

# Values that a layer is asked about, at least: the share that is kept is then known to 0.005.
VALUES = 10_000
# Standard deviations of that share that chance is allowed: beyond 7 it goes once in 10¹¹ times.
DEVIATIONS = 7.0


class Question(NamedTuple):
    """What a Dropout is given; both of the shape (rows, …)."""

    x: np.ndarray
    dy: np.ndarray


def question(case: Case, name: str) -> Question:
    """The input and the output gradient for the Dropout called ``name``; no input is 0."""
    row = case.given[f"input/{name}"].shape[1:]
    rows = max(2, -(-VALUES // int(np.prod(row))))
    random = np.random.default_rng(zlib.crc32(name.encode()))
    x, dy = (random.standard_normal((rows, *row)) for _ in range(2))
    return Question(np.where(np.abs(x) < 1e-3, 1.0, x), dy)


def kept(output: np.ndarray) -> np.ndarray:
    """Where a layer that was given no zeros returned none."""
    return output != 0


def with_masks(
    cases: Sequence[Case], answers: Sequence[Answer], probabilities: Mapping[str, float]
) -> list[Case]:
    """The cases with what PyTorch's dropout makes of the masks that the homework has drawn.

    Args:
        cases: What was asked.
        answers: One for each case.
        probabilities: Name of a Dropout → p.
    """
    return [
        _with_masks(case, answer, {n: p for n, p in probabilities.items() if _asked(answer, n)})
        for case, answer in zip(cases, answers, strict=True)
    ]


def _asked(answer: Answer, name: str) -> bool:
    return f"activation/{name}.kept" in answer.values


def _with_masks(case: Case, answer: Answer, probabilities: Mapping[str, float]) -> Case:
    if not probabilities:
        return case
    exact: dict[str, Arrays] = {}
    given, tolerances = dict(case.given), dict(case.tolerances)
    for name, p in probabilities.items():
        x, dy = question(case, name)
        mask = kept(answer.values[f"activation/{name}"])
        given |= {f"input/{name}": x, f"grad_output/{name}": dy, f"mask/{name}": mask}
        tolerances[f"activation/{name}.kept"] = share_bound(p, mask.size)
        exact[f"activation/{name}"] = {
            f"activation/{name}": dropped(x, mask, p),
            f"activation/{name}.kept": np.array(1 - p),
            f"activation/{name}.evaluation": x,
        }
        exact[f"gradient/{name}.input"] = {f"gradient/{name}.input": dropped(dy, mask, p)}
    sizes = {part: {k: _size(k, a) for k, a in arrays.items()} for part, arrays in exact.items()}
    single = {part: {k: _single(a) for k, a in arrays.items()} for part, arrays in exact.items()}
    return replace(
        case,
        expected=_in_place(case.expected, exact),
        sizes=_in_place(case.sizes, sizes),
        expected32=_in_place(case.expected32, single),
        given=given,
        tolerances=tolerances,
    )


def dropped(x: np.ndarray, mask: np.ndarray, p: float) -> np.ndarray:
    """x m / (1 − p), which is 0 for p = 1."""
    return x * mask / (1 - p) if p < 1 else np.zeros(x.shape)


def share_bound(p: float, values: int) -> float:
    """How far the share of so many values that are kept may be from 1 − p."""
    return DEVIATIONS * float(np.sqrt(p * (1 - p) / values)) + 1 / values


def _size(quantity: str, value: np.ndarray) -> np.ndarray:
    return np.ones(()) if quantity.endswith(".kept") else np.abs(value)


def _single(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32).astype(np.float64)


def _in_place(old: Arrays, new: Mapping[str, Arrays]) -> Arrays:
    """The old arrays in their order, with others in the place of some."""
    found: Arrays = {}
    for quantity, array in old.items():
        found |= new.get(quantity, {quantity: array})
    return found
