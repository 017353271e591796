"""A paragraph about one training, and what several paragraphs share."""

from __future__ import annotations

from collections.abc import Sequence

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from reports import sentences as say
from reports.facts import Facts
from reports.trainings import measure, shown
from reports.wording import escaped, plural

MOST_WRONG = 4
"""Beside the trainings that are shown, so many that failed have paragraphs of their own."""


def paragraph(fact: Facts, words: Sequence[str]) -> str:
    """The training's name, then all sentences that are not empty."""
    return " ".join([f"*{escaped(fact.label)}.*", *(word for word in words if word)])


def in_detail(run: Run, facts: Sequence[Facts]) -> list[Facts]:
    """The trainings that have paragraphs of their own: those shown, and a few that went wrong."""
    chosen = {id(training) for training in shown(run)}
    wrong = [
        id(fact.training) for fact in facts if fact.verdict.failed or not fact.training.finished
    ]
    chosen |= set([key for key in wrong if key not in chosen][:MOST_WRONG])
    return [fact for fact in facts if id(fact.training) in chosen]


def others(run: Run, facts: Sequence[Facts]) -> list[Facts]:
    """The trainings that have no paragraph of their own."""
    detailed = {id(fact.training) for fact in in_detail(run, facts)}
    return [fact for fact in facts if id(fact.training) not in detailed]


def the_others(run: Run, facts: Sequence[Facts]) -> list[str]:
    """One sentence on all trainings that have no paragraph of their own, if there are any."""
    found = others(run, facts)
    if not found:
        return []
    made = sum(fact.verdict.compared for fact in found)
    failed = sum(fact.verdict.failed for fact in found)
    return [about_others(found, [say.parity(made, failed)])]


def about_others(facts: Sequence[Facts], words: Sequence[str]) -> str:
    """A paragraph about all trainings that have none of their own."""
    said = [word for word in words if word]
    return " ".join([f"*{plural(len(facts), 'more training')}.*", *said])


def agreement(run: Run, fact: Facts) -> str:
    """How far the two sides' final accuracies are from each other."""
    name = measure(run)
    numpy, torch = (fact.values[backend, name] for backend in BACKENDS)
    return say.side_agreement(numpy, torch, name)


def speed(fact: Facts) -> str:
    """Which side is faster."""
    if fact.time is None:
        return say.nothing_timed()
    return say.speed(*fact.time.ratio, fact.time.steps)
