"""The answers to the claims, and the equality of the sides, as sentences and cells.

As in :mod:`reports.sentences`, each is made from numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compare.analysis.claims import ClaimResult
from compare.analysis.intervals import Equality, Interval
from compare.analysis.quantities import BACKENDS
from compare.spec.report import Claim
from reports.wording import capitalised, escaped, fixed, joined, number, plural

QUANTITIES = {
    "accuracy gap": "accuracy on the training set less that on the test set",
    "loss gap": "loss on the test set less that on the training set",
    "loss rises": "number of steps at which the loss did not fall or stay",
    "near misses": "share of the mistakes that are one class away",
    "finite": "share of trainings without a loss that is not a finite number",
}
"""Quantities whose names do not say what they are."""


def asked_of_more(reasons: Sequence[str]) -> str:
    """That the answers are those of a run that is not the full experiment; nothing if it is."""
    if not reasons:
        return ""
    return (
        f"**The claims are about the full experiment**, but this run {joined(reasons)}. The "
        "answers are those of this run alone."
    )


def read_as(claim: Claim, of: str, alternatives: Sequence[str]) -> str:
    """A claim as it was tested."""
    quantity = QUANTITIES.get(claim.quantity, claim.quantity)
    when = f"{quantity} after epoch {claim.epoch}" if claim.epoch else f"final {quantity}"
    whose = "all trainings" if not claim.of else f"“{escaped(of)}”"
    what = f"the {when} of {whose} is {claim.relation}"
    if claim.value is not None:
        return f"Read as: {what} {claim.value:g}, on average."
    others = joined([f"“{escaped(other)}”" for other in alternatives])
    each = ", each by itself" if len(alternatives) > 1 else ""
    return f"Read as: {what} that of {others}{each}."


def answer(found: ClaimResult) -> str:
    """The answer of both sides, and of each where they differ."""
    if len(set(found.decisions.values())) == 1:
        return f"**{capitalised(found.decision.value)}**, on both sides."
    said = f"**{capitalised(found.decision.value)}.**"
    sides = [f"{BACKENDS[backend]}: {side.value}" for backend, side in found.decisions.items()]
    return f"{said} The sides do not say the same; {', '.join(sides)}."


def in_a_line(found: ClaimResult, reasons: Sequence[str]) -> str:
    """A claim and its answer, for the conclusions."""
    sides = ", ".join(f"{BACKENDS[b]} {side.value}" for b, side in found.decisions.items())
    only = " in this run, which is not the full experiment" if reasons else ""
    return (
        f"“{escaped(found.claim.says)}” ({escaped(found.claim.by)}): "
        f"**{found.decision.value}**{only} ({sides})."
    )


def value(quantity: str, number_found: float) -> str:
    """A figure of a claim, for a table."""
    if math.isnan(number_found):
        return "–"
    if not math.isfinite(number_found) or abs(number_found) >= 1000:
        return number(number_found)
    return fixed(number_found, 2 if quantity == "loss rises" else 4)


def interval(quantity: str, found: Interval | None) -> str:
    """``low to high``, a dash where there is none."""
    if found is None or not found.known:
        return "–"
    return f"{value(quantity, found.low)} to {value(quantity, found.high)}"


def equality(found: Equality, quantity: str, margin: float, configurations: int) -> str:
    """Whether both sides end equally good, over all configurations."""
    if found.test is None:
        return (
            f"Whether the two sides end with an equivalent {quantity} cannot be tested: "
            f"{found.reason}."
        )
    test = found.test
    over = plural(test.values, "seed") + (
        f", in the mean of {configurations} trainings each" if configurations > 1 else ""
    )
    numbers = (
        f"NumPy's less PyTorch's is {fixed(test.mean)} on average over {over}, and its 90% "
        f"interval, {fixed(test.low)} to {fixed(test.high)},"
    )
    tests = f"two one-sided t tests, paired by seed, {probability(test.p)}"
    if test.equivalent:
        return (
            f"The two sides' final {quantity} is **equivalent**: {numbers} lies inside the margin "
            f"of ±{margin:g} ({tests})."
        )
    if test.equivalent is False:
        return (
            f"The two sides' final {quantity} is **not equivalent**: {numbers} lies outside the "
            f"margin of ±{margin:g} ({tests})."
        )
    return (
        f"That the two sides' final {quantity} is equivalent is **not shown**: {numbers} reaches "
        f"beyond the margin of ±{margin:g} ({tests})."
    )


def equalities(single: Sequence[Equality]) -> str:
    """How many of several configurations are equivalent."""
    tested = [found.test for found in single if found.test is not None]
    if not tested:
        return ""
    yes = sum(test.equivalent is True for test in tested)
    no = sum(test.equivalent is False for test in tested)
    said = f"Each by itself, {yes} of {plural(len(tested), 'training')} {_is(yes)} equivalent"
    if no:
        said += f", {no} {_is(no)} not"
    open_ = len(tested) - yes - no
    if open_:
        said += f", and {open_} {_is(open_)} undecided"
    return f"{said}."


def equality_answer(found: Equality) -> str:
    """A cell: the answer for one configuration."""
    if found.test is None:
        return found.reason
    return {True: "equivalent", False: "not equivalent", None: "undecided"}[found.test.equivalent]


def probability(p: float) -> str:
    """``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _is(number_found: int) -> str:
    return "is" if number_found == 1 else "are"
