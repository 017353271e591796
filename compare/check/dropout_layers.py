"""The question for a layer of dropout, whose mask is random, and what PyTorch gives for that mask.

What follows from the mask is not random: the layer gets an input without zeros, so that its mask
can be read from its output. With that mask PyTorch's dropout is y = x m / (1 − p) and
dx = dy m / (1 − p), and evaluation leaves x as it is. The share of the values that are kept must
be 1 − p within what chance allows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.result import Observed
from compare.mistakes.case import Case

# The least number of values that a Dropout gets: the share that it keeps is then known to 0.005.
DROPOUT_VALUES = 10_000
# The deviation from 1 − p allowed to that share, in standard deviations of a right Dropout; it
# exceeds 7 once in 10¹¹ times.
DEVIATIONS = 7.0


class DropoutInputs(NamedTuple):
    """The input and the output gradient that a Dropout gets, both of shape (rows, …)."""

    x: np.ndarray
    dy: np.ndarray


def dropout_inputs(case: Case, name: str) -> DropoutInputs:
    """The arrays for the Dropout called ``name``; no value of x is 0.

    They are drawn from what the case gives this layer, and so from the seed of the questions.
    """
    given = np.ascontiguousarray(case.given[f"input/{name}"], np.float64)
    row = given.shape[1:]
    rows = max(2, -(-DROPOUT_VALUES // int(np.prod(row))))
    random = np.random.default_rng(zlib.crc32(given.tobytes(), zlib.crc32(name.encode())))
    x, dy = (random.standard_normal((rows, *row)) for _ in range(2))
    return DropoutInputs(np.where(np.abs(x) < 1e-3, 1.0, x), dy)


def dropout_mask(output: np.ndarray) -> np.ndarray:
    """The mask of a Dropout from its output, for an input without zeros."""
    return output != 0


def apply_dropout(x: np.ndarray, mask: np.ndarray, p: float) -> np.ndarray:
    """PyTorch's dropout with a given mask: x m / (1 − p), which is 0 for p = 1."""
    return x * mask / (1 - p) if p < 1 else np.zeros(x.shape)


def share_tolerance(p: float, values: int) -> float:
    """How far the share of values kept may be from 1 − p, for so many values."""
    return DEVIATIONS * float(np.sqrt(p * (1 - p) / values)) + 1 / values


def expect_dropout(
    cases: Sequence[Case], observed: Sequence[Observed], probabilities: Mapping[str, float]
) -> list[Case]:
    """The cases with PyTorch's dropout for the masks that the homework has drawn.

    Args:
        cases: The cases that were evaluated.
        observed: The homework's values, one for each case.
        probabilities: Name of a Dropout → p.
    """
    return [
        _expect_dropout(
            case,
            values,
            {n: p for n, p in probabilities.items() if f"activation/{n}.kept" in values.values},
        )
        for case, values in zip(cases, observed, strict=True)
    ]


def _expect_dropout(case: Case, observed: Observed, probabilities: Mapping[str, float]) -> Case:
    if not probabilities:
        return case
    exact: dict[str, Arrays] = {}
    given, tolerances = dict(case.given), dict(case.tolerances)
    for name, p in probabilities.items():
        x, dy = dropout_inputs(case, name)
        mask = dropout_mask(observed.values[f"activation/{name}"])
        given |= {f"input/{name}": x, f"grad_output/{name}": dy, f"mask/{name}": mask}
        tolerances[f"activation/{name}.kept"] = share_tolerance(p, mask.size)
        exact[f"activation/{name}"] = {
            f"activation/{name}": apply_dropout(x, mask, p),
            f"activation/{name}.kept": np.array(1 - p),
            f"activation/{name}.evaluation": x,
        }
        exact[f"gradient/{name}.input"] = {f"gradient/{name}.input": apply_dropout(dy, mask, p)}
    sizes = {part: {k: _size(k, a) for k, a in arrays.items()} for part, arrays in exact.items()}
    single = {part: {k: _rounded(a) for k, a in arrays.items()} for part, arrays in exact.items()}
    return replace(
        case,
        expected=_replaced(case.expected, exact),
        sizes=_replaced(case.sizes, sizes),
        expected32=_replaced(case.expected32, single),
        given=given,
        tolerances=tolerances,
    )


def _size(quantity: str, value: np.ndarray) -> np.ndarray:
    return np.ones(()) if quantity.endswith(".kept") else np.abs(value)


def _rounded(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32).astype(np.float64)


def _replaced(arrays: Arrays, replacements: Mapping[str, Arrays]) -> Arrays:
    """The arrays in their order, some replaced by one or more others."""
    found: Arrays = {}
    for quantity, array in arrays.items():
        found |= replacements.get(quantity, {quantity: array})
    return found
