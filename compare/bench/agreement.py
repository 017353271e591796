"""Whether a contender does the same work: its numbers against NumPy's, before it is timed.

Other work gives other numbers altogether; the same work in float32, in another order of summation,
gives other last digits. Losses then agree to a part in a million or so, gradients too, until a
pre-activation lies so near to the kink of a ReLU that the two orders fall on different sides of
it. That is rare in shallow networks and common in deep ones: of 32 hidden layers the gradients
were 3.6e-3 of their size apart, with losses that agree to 1e-4 after three steps. Whether every
value is right is not decided here but by the certificates of a run. How near they are is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.bench.contender import Evidence

LOSS_BOUND = 1e-3
VECTOR_BOUND = 2e-2


class Agreement(NamedTuple):
    """How far a contender's results are from NumPy's.

    Attributes:
        kind: What was compared beside the losses: ``gradients`` or ``weights`` (their change by
            the first step).
        loss_error: The largest relative difference of the losses of the first steps, or None.
        vector_error: ‖v − v_NumPy‖ / ‖v_NumPy‖ over all of them together.
        agrees: Whether both are within their bounds.
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
    near = error <= VECTOR_BOUND and (loss_error is None or loss_error <= LOSS_BOUND)
    return Agreement(own.kind, loss_error, error, bool(near and not missing), missing)
