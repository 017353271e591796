"""The first lines of the report, and the last."""

from __future__ import annotations

from collections.abc import Sequence

from compare.records import Run
from reports import sentences as say
from reports.claims.learning import optimizers, over_seeds
from reports.claims.paragraph import agreement, in_detail, paragraph, speed, the_others
from reports.facts import Facts
from reports.wording import escaped


def notices(run: Run) -> list[str]:
    """What must be said before anything else."""
    record = run.record
    planned = len(record.experiment.optimizers) * len(record.experiment.training.seeds)
    finished = sum(training.finished for training in record.trainings)
    found = [
        say.completeness(record.status == "complete", finished, planned),
        say.extent(record.sample, record.max_steps, escaped(record.data.title)),
    ]
    return [sentence for sentence in found if sentence]


def in_short(run: Run, facts: Sequence[Facts]) -> list[str]:
    """The findings in a few lines."""
    lines = []
    for fact in in_detail(run, facts):
        words = [
            say.broken_off(fact.training.finished, fact.steps),
            say.parity(fact.verdict.compared, fact.verdict.failed),
            agreement(fact),
            speed(fact) if fact.time else "",
        ]
        lines.append(paragraph(fact, words))
    lines += [*the_others(run, facts), *over_seeds(run, facts)]
    return lines or ["No training was begun, so there is nothing to compare."]


def conclusions(run: Run, facts: Sequence[Facts]) -> list[str]:
    """What the run allows to say in the end."""
    compared = sum(fact.verdict.compared for fact in facts)
    failed = sum(fact.verdict.failed for fact in facts)
    detail = in_detail(run, facts)
    found = [say.conclusion(compared, failed, run.record.status == "complete")]
    for fact in detail:
        first = fact.verdict.first_divergence
        named = fact.training.mistake
        words = [
            say.first_divergence(first) if first else "",
            say.named_mistake(named) if named else "",
            agreement(fact),
        ]
        found.append(paragraph(fact, words))
    found += optimizers(run, facts)
    found += over_seeds(run, facts)
    found += [paragraph(fact, [speed(fact)]) for fact in detail]
    return found
