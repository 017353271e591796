"""A claim, the numbers that decide it, and the decision."""

from __future__ import annotations

from typing import Literal, NamedTuple

from compare.analysis.intervals import Interval

Decision = Literal["supported", "not supported", "undecided"]


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


def above(found: Interval, bound: float) -> Decision:
    """Whether the quantity lies above a bound; undecided where there is no interval."""
    if found.low > bound:
        return "supported"
    return "not supported" if found.high < bound else "undecided"


def below(found: Interval, bound: float) -> Decision:
    """Whether the quantity lies below a bound."""
    return above(Interval(-found.mean, -found.high, -found.low, found.values), -bound)


def all_of(*decisions: Decision) -> Decision:
    """A claim of several parts: false with one of them, true with all."""
    if "not supported" in decisions:
        return "not supported"
    return "supported" if set(decisions) == {"supported"} else "undecided"


def agreed(numpy: Decision, torch: Decision) -> Decision:
    """What both sides say; where they differ, rounding decides and nothing else does."""
    return numpy if numpy == torch else "undecided"
