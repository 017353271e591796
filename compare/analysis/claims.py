"""Whether the numbers of a run support an experiment's claims.

For each seed the claim's quantity is read off every training that it is about, and what differs
among those is averaged over; the decision is made from the values of the seeds. ``higher than`` and
``lower than`` take the difference of the two selections, seed by seed: where both have the same
cases on an axis, case by case on it, so that only what the claim is about differs within a pair.
The interval is Student's, at 95%. A claim is *supported* where the whole interval agrees with
it, *not supported* where the whole interval speaks against it, and *undecided* otherwise: also
with one seed, which gives no interval. Several alternatives are compared each by itself; all of
them must agree. The decision of the run needs both backends to agree.

A training that diverged must not look better for it. Where its quantity is a loss, NaN and
infinity count as an infinite loss, and where it is an accuracy, NaN counts as 0: the worst value
that there is. Two infinite losses are equal. Where some seeds of a comparison diverge and others
do not, its mean has no interval, and it is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from compare.analysis.intervals import Interval, mean_interval
from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run, TrainingRecord
from compare.spec.experiment import OPTIMIZER, Configuration, Experiment
from compare.spec.report import Claim, Selection

SIGNIFICANT = 1e-12
"""A difference that is smaller than this part of the values is the rounding of a subtraction."""


class Decision(StrEnum):
    """Whether the numbers support a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"


class ClaimComparison(NamedTuple):
    """One comparison of a claim, with one backend.

    Attributes:
        compared: What the number is of: ``ReLU − SiLU``, or the selection that has the mean.
        interval: The mean over seeds, with its interval; None where no seed has all trainings.
        decision: What follows from it.
        reason: Why it is undecided, or how an interval without width came about; else empty.
        diverged: How many trainings counted with the worst value.
    """

    compared: str
    interval: Interval | None
    decision: Decision
    reason: str
    diverged: int


class ClaimResult(NamedTuple):
    """One claim, decided.

    Attributes:
        claim: The claim.
        comparisons: Backend → its comparisons.
        decisions: Backend → its decision.
        decision: That of the run: undecided where the backends differ.
    """

    claim: Claim
    comparisons: dict[str, list[ClaimComparison]]
    decisions: dict[str, Decision]
    decision: Decision


def claim_results(run: Run) -> list[ClaimResult]:
    """Decide every claim of the experiment, for this run alone."""
    found = []
    for claim in run.record.experiment.claims:
        comparisons = {backend: _comparisons(run, claim, backend) for backend in BACKENDS}
        decisions = {
            backend: combine([one.decision for one in comparisons[backend]], every=True)
            for backend in BACKENDS
        }
        decision = combine(list(decisions.values()), every=False)
        found.append(ClaimResult(claim, comparisons, decisions, decision))
    return found


def combine(decisions: Sequence[Decision], *, every: bool) -> Decision:
    """One decision of several.

    Args:
        decisions: At least one.
        every: Whether the claim says that all hold, so that one that does not refutes it; else
            all decisions are on the same question, and must be the same.
    """
    if every and Decision.NOT_SUPPORTED in decisions:
        return Decision.NOT_SUPPORTED
    return decisions[0] if len(set(decisions)) == 1 else Decision.UNDECIDED


def decide(
    values: Sequence[float], relation: str, bound: float
) -> tuple[Interval | None, Decision, str]:
    """The interval of some values, the decision, and the reason for it where it needs one.

    Args:
        values: For each seed the difference, or the value that is compared with the bound.
        relation: ``higher than``, ``lower than``, ``at least`` or ``at most``.
        bound: What the values are compared with; 0 for differences.
    """
    if not values:
        return None, Decision.UNDECIDED, "no seed has all of its trainings"
    found = mean_interval(values)
    if found.values == 1:
        return found, Decision.UNDECIDED, "one seed gives no interval"
    if not found.known:
        return found, Decision.UNDECIDED, "some trainings diverged and others did not"
    same = f"the same in all {found.values} seeds" if found.low == found.high else ""
    # From here on, more is better for the claim.
    sign = 1.0 if relation in ("higher than", "at least") else -1.0
    low, high = sorted((sign * (found.low - bound), sign * (found.high - bound)))
    strict = relation in ("higher than", "lower than")
    if low > 0 or (low == 0 and not strict):
        return found, Decision.SUPPORTED, same
    if high < 0 or (high == 0 and strict):
        return found, Decision.NOT_SUPPORTED, same
    return found, Decision.UNDECIDED, f"the interval contains {bound:g}"


def _comparisons(run: Run, claim: Claim, backend: str) -> list[ClaimComparison]:
    experiment = run.record.experiment
    of = experiment.select(claim.of)
    if claim.than is None:
        return [_comparison(run, claim, backend, [([*of], [])], in_words(claim.of))]
    return [
        _comparison(
            run,
            claim,
            backend,
            matched(of, experiment.select(alternative)),
            f"{in_words(claim.of)} − {in_words(alternative)}",
        )
        for alternative in alternatives(experiment, claim.than)
    ]


def alternatives(experiment: Experiment, than: Selection) -> list[Selection]:
    """The selections that a claim compares with: each case of a list by itself."""
    axes = [OPTIMIZER, *experiment.vary]
    choices = [
        [(key, case) for case in choice]
        if key in axes and isinstance(choice, list)
        else [(key, choice)]
        for key, choice in than.items()
    ]
    # Each choice is made of cases, or is one value: that is not seen through the product.
    return [dict(chosen) for chosen in product(*choices)]  # type: ignore[arg-type]


def matched(
    of: Sequence[Configuration], than: Sequence[Configuration]
) -> list[tuple[list[Configuration], list[Configuration]]]:
    """Groups to be compared with each other: alike on every axis where both have the same cases."""
    axes = [
        axis
        for axis in of[0].variant
        if {configuration.variant[axis] for configuration in of}
        == {configuration.variant[axis] for configuration in than}
    ]

    def by_case(
        configurations: Sequence[Configuration],
    ) -> dict[tuple[str, ...], list[Configuration]]:
        groups: dict[tuple[str, ...], list[Configuration]] = {}
        for configuration in configurations:
            groups.setdefault(tuple(configuration.variant[axis] for axis in axes), []).append(
                configuration
            )
        return groups

    first, second = by_case(of), by_case(than)
    pairs = [(first[key], second[key]) for key in first if key in second]
    return pairs or [(list(of), list(than))]


def _comparison(
    run: Run,
    claim: Claim,
    backend: str,
    groups: list[tuple[list[Configuration], list[Configuration]]],
    compared: str,
) -> ClaimComparison:
    by_key = {(t.label, t.seed): t for t in run.record.trainings if t.finished}
    values, diverged = [], 0
    for seed in run.record.experiment.training.seeds:
        read = {
            configuration.label: _read(run, claim, backend, by_key.get((configuration.label, seed)))
            for configuration in (
                configuration
                for group in groups
                for configurations in group
                for configuration in configurations
            )
        }
        if None in read.values():
            continue
        numbers = {label: worst_if_diverged(claim, v) for label, v in read.items() if v is not None}
        diverged += sum(v is not None and not math.isfinite(v) for v in read.values())
        values.append(
            _mean(
                [
                    _group_value(
                        [numbers[configuration.label] for configuration in of],
                        [numbers[configuration.label] for configuration in than],
                    )
                    for of, than in groups
                ]
            )
        )
    bound = 0.0 if claim.value is None else claim.value
    return ClaimComparison(compared, *decide(values, claim.relation, bound), diverged)


def _read(run: Run, claim: Claim, backend: str, training: TrainingRecord | None) -> float | None:
    if training is None:
        return None
    return quantity(run, backend, training, claim.quantity, claim.epoch)


def worst_if_diverged(claim: Claim, value: float) -> float:
    """A claim's quantity; the worst that there is where it is not a finite number."""
    if math.isfinite(value):
        return value
    return math.inf if "loss" in claim.quantity.split() else 0.0


def _group_value(of: Sequence[float], than: Sequence[float]) -> float:
    """The mean of the one less that of the other; the mean of the one where there is no other."""
    first = _mean(of)
    if not than:
        return first
    second = _mean(than)
    if first == second:  # two infinities too
        return 0.0
    difference, scale = first - second, max(abs(first), abs(second))
    return 0.0 if abs(difference) <= SIGNIFICANT * scale < math.inf else difference


def _mean(numbers: Sequence[float]) -> float:
    """The mean; NaN where infinities of both signs are among the numbers."""
    if math.inf in numbers and -math.inf in numbers:
        return math.nan
    return math.fsum(numbers) / len(numbers)


def in_words(selection: Selection) -> str:
    """A selection in a few words."""
    words = []
    for key, choice in selection.items():
        if isinstance(choice, str):
            words.append(choice)
        elif all(isinstance(case, str) for case in choice):
            words.append(" or ".join(str(case) for case in choice))
        else:
            low, high = choice
            words.append(f"{key.rpartition('.')[2]} from {low:g} to {high:g}")
    return ", ".join(words) or "all trainings"
