"""The section on the claims, and the one on the equality of both sides over seeds."""

from __future__ import annotations

from collections.abc import Sequence

from compare.analysis.claims import ClaimResult, Decision, alternatives, in_words
from compare.analysis.intervals import Equality, compared_quantity
from compare.analysis.quantities import BACKENDS
from compare.analysis.verdict import departures
from compare.records.run import Run
from reports import verdicts as say
from reports.tables import pipe_table
from reports.wording import code, escaped, fixed

MOST_ROWS = 20


def intro(run: Run) -> str:
    """For which run the answers are."""
    return say.asked_of_more([escaped(reason) for reason in departures(run.record)])


def paragraphs(run: Run, answers: Sequence[ClaimResult]) -> list[str]:
    """One about each claim."""
    found = []
    for number, answer in enumerate(answers, 1):
        claim = answer.claim
        others = [
            in_words(other) for other in alternatives(run.record.experiment, claim.than or {})
        ]
        words = [
            f"*Claim {number}.* “{escaped(claim.says)}” ({escaped(claim.by)}).",
            say.read_as(claim, in_words(claim.of), others),
            say.answer(answer),
        ]
        found.append(" ".join(words))
    return found


def conclusions(run: Run, answers: Sequence[ClaimResult]) -> list[str]:
    """A line on each claim."""
    reasons = departures(run.record)
    return [say.in_a_line(answer, reasons) for answer in answers]


def table(answers: Sequence[ClaimResult]) -> str:
    """Every comparison of every claim, on both sides."""
    rows = []
    for number, answer in enumerate(answers, 1):
        quantity = answer.claim.quantity
        for backend, side in BACKENDS.items():
            for comparison in answer.comparisons[backend]:
                found = comparison.interval
                notes = [comparison.reason] if comparison.reason else []
                if comparison.diverged:
                    notes.append(f"{comparison.diverged} diverged")
                verdict = comparison.decision.value + (f" ({'; '.join(notes)})" if notes else "")
                rows.append(
                    (
                        str(number),
                        side,
                        escaped(comparison.compared),
                        "–" if found is None else say.value(quantity, found.mean),
                        say.interval(quantity, found),
                        "0" if found is None else str(found.values),
                        f"**{verdict}**"
                        if comparison.decision is not Decision.UNDECIDED
                        else verdict,
                    )
                )
    columns = ("claim", "side", "compared", "mean", "95% interval", "seeds", "answer")
    return pipe_table(columns, rows, "lllrrrl")


def equality(run: Run, single: Sequence[Equality], whole: Equality) -> str:
    """Whether both sides end equally good."""
    margin = run.record.experiment.equivalence.margin
    sentences = [say.equality(whole, compared_quantity(run), margin, len(single))]
    if len(single) > 1:
        sentences.append(say.equalities(single))
    return " ".join(filter(None, sentences))


def equality_table(run: Run, single: Sequence[Equality]) -> str:
    """The test of each configuration; of many, those with the largest p."""
    tested = [found for found in single if found.test is not None]
    if not tested:
        return ""
    kept = list(single)
    if len(kept) > MOST_ROWS:
        largest = sorted(tested, key=lambda found: -found.test.p if found.test else 0.0)
        kept = largest[:MOST_ROWS]
    rows = []
    for found in kept:
        test = found.test
        cells = ("–", "–", "–")
        if test is not None:
            span = f"{fixed(test.low)} to {fixed(test.high)}"
            cells = (
                fixed(test.mean),
                span,
                say.probability(test.p).removeprefix("p ").removeprefix("= "),
            )
        label, seeds = escaped(found.label), str(len(found.differences))
        rows.append((label, seeds, *cells, say.equality_answer(found)))
    columns = ("training", "seeds", "NumPy − PyTorch", "90% interval", code("p"), "answer")
    return pipe_table(columns, rows, "lrrrrl")


def equality_caption(run: Run, single: Sequence[Equality]) -> str:
    """What the table of equality shows."""
    margin = run.record.experiment.equivalence.margin
    most = f" Of {len(single)} trainings, the {MOST_ROWS} with the largest p."
    return (
        f"Two one-sided t tests of each training's final {compared_quantity(run)}, paired by "
        f"seed, with the margin ±{margin:g} and α = 0.05."
        + (most if len(single) > MOST_ROWS else "")
    )
