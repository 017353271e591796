"""Whether a contender does the same work: its numbers against NumPy's, before it is timed.

Float32 in another order of summation gives other last digits, and contenders may put an ε
elsewhere; other work gives other numbers altogether. So one bound serves all: a part in a
thousand of the size of what is compared. How near they are is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.bench.contender import Evidence

BOUND = 1e-3


class Agreement(NamedTuple):
    """How far a contender's results are from NumPy's.

    Attributes:
        kind: What was compared beside the losses: ``gradients`` or ``weights`` (their change by
            the first step).
        loss_error: The largest relative difference of the losses of the first steps, or None.
        vector_error: ‖v − v_NumPy‖ / ‖v_NumPy‖ over all of them together.
        agrees: Whether both are within the bound.
        missing: Names that one of the two does not have.
    """

    kind: str
    loss_error: float | None
    vector_error: float
    agrees: bool
    missing: tuple[str, ...] = ()


def agreement(found: Sequence[Evidence], reference: Sequence[Evidence]) -> Agreement | None:
    """Compare what both have evidence of; None where a contender claims no results."""
    for own in found:
        for other in reference:
            if own.kind == other.kind:
                return _compare(own, other)
    return None


def _compare(own: Evidence, other: Evidence) -> Agreement:
    missing = tuple(sorted(own.vectors.keys() ^ other.vectors.keys()))
    apart = size = 0.0
    for name in own.vectors.keys() & other.vectors.keys():
        a, b = (np.asarray(e.vectors[name], np.float64) for e in (own, other))
        if a.shape != b.shape:
            missing += (name,)
            continue
        apart += float(np.sum((a - b) ** 2))
        size += float(np.sum(b**2))
    error = float(np.sqrt(apart / size)) if size else float("inf")
    loss_error = None
    if own.values and other.values:
        both = min(len(own.values), len(other.values))
        a, b = np.array(own.values[:both]), np.array(other.values[:both])
        loss_error = float(np.max(np.abs(a - b) / np.abs(b)))
    agrees = not missing and error <= BOUND and (loss_error is None or loss_error <= BOUND)
    return Agreement(own.kind, loss_error, error, bool(agrees), missing)
