"""A paragraph about one training, and what several paragraphs share."""

from __future__ import annotations

from collections.abc import Sequence

from compare.records import Run
from compare.results import BACKENDS
from reports import sentences as say
from reports.facts import Facts
from reports.wording import escaped, plural


def paragraph(fact: Facts, words: Sequence[str]) -> str:
    """The training's name, then all sentences that are not empty."""
    return " ".join([f"*{escaped(fact.label)}.*", *(word for word in words if word)])


def in_detail(run: Run, facts: Sequence[Facts]) -> list[Facts]:
    """The trainings that have paragraphs of their own."""
    first = run.record.trainings[0].seed if run.record.trainings else None
    return [
        fact
        for fact in facts
        if fact.training.seed == first or fact.verdict.failed or not fact.training.finished
    ]


def the_others(run: Run, facts: Sequence[Facts]) -> list[str]:
    """One sentence on all trainings that have no paragraph of their own, if there are any."""
    detailed = {fact.label for fact in in_detail(run, facts)}
    others = [fact for fact in facts if fact.label not in detailed]
    if not others:
        return []
    made = sum(fact.verdict.compared for fact in others)
    failed = sum(fact.verdict.failed for fact in others)
    return [f"*{plural(len(others), 'more training')}.* {say.parity(made, failed)}"]


def agreement(fact: Facts) -> str:
    """How far the two sides' final test accuracies are from each other."""
    numpy, torch = (fact.values[backend, "test accuracy"] for backend in BACKENDS)
    return say.side_agreement(numpy, torch, "test accuracy")


def speed(fact: Facts) -> str:
    """Which side is faster."""
    if fact.time is None:
        return say.nothing_timed()
    return say.speed(fact.time.ratio, fact.time.low, fact.time.high, fact.time.steps)
