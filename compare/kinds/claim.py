"""A claim, the numbers that decide it, and the decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Decision = Literal["supported", "not supported", "undecided"]
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean over seeds with its 95% interval."""

    mean: float
    low: float
    high: float


class Finding(NamedTuple):
    """A claim and what became of it.

    Attributes:
        claim: What is claimed, a sentence.
        by: Who claims it.
        decision: What the numbers say.
        reason: The numbers, a sentence.
    """

    claim: str
    by: str
    decision: Decision
    reason: str


def interval(values: Sequence[float]) -> Interval:
    """The mean and Student's 95% interval of a quantity measured once a seed.

    mean ± t s/√n, with the 97.5% point t of Student's distribution of n − 1 degrees of freedom
    and s² the unbiased variance. A single value has the interval −∞ to ∞: it says nothing of the
    others.
    """
    from scipy.stats import t

    n = len(values)
    mean = float(np.mean(values))
    if n < 2 or not math.isfinite(mean):
        return Interval(mean, -math.inf, math.inf)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def above(found: Interval, bound: float) -> Decision:
    """Whether the quantity lies above a bound."""
    if found.low > bound:
        return "supported"
    return "not supported" if found.high < bound else "undecided"


def below(found: Interval, bound: float) -> Decision:
    """Whether the quantity lies below a bound."""
    return above(Interval(-found.mean, -found.high, -found.low), -bound)


def all_of(*decisions: Decision) -> Decision:
    """A claim of several parts: false with one of them, true with all."""
    if "not supported" in decisions:
        return "not supported"
    return "supported" if set(decisions) == {"supported"} else "undecided"


def agreed(numpy: Decision, torch: Decision) -> Decision:
    """What both sides say; where they differ, rounding decides and nothing else does."""
    return numpy if numpy == torch else "undecided"
