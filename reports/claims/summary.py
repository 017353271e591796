"""The first lines of the report, and the last."""

from __future__ import annotations

from collections.abc import Sequence

from compare.records.run import Run
from reports import sentences as say
from reports.claims.learning import optimizers, over_seeds, overview
from reports.claims.paragraph import agreement, in_detail, paragraph, speed, the_others
from reports.facts import Facts
from reports.trainings import many, measure
from reports.wording import escaped, plural

MOST_FAILURES = 10


def notices(run: Run) -> list[str]:
    """What must be said before anything else."""
    record = run.record
    planned = len(record.experiment.configurations) * len(record.experiment.training.seeds)
    finished = sum(training.finished for training in record.trainings)
    found = [
        say.completeness(record.status == "complete", finished, planned),
        say.extent(
            record.sample and record.data.name != record.experiment.data.name,
            record.max_steps,
            escaped(record.data.title),
        ),
    ]
    found += [
        say.failure(escaped(failure.label), failure.seed, escaped(failure.error))
        for failure in record.failures[:MOST_FAILURES]
    ]
    found.append(say.more_failures(len(record.failures) - MOST_FAILURES))
    return [sentence for sentence in found if sentence]


def in_short(run: Run, facts: Sequence[Facts]) -> list[str]:
    """The findings in a few lines."""
    if many(run):
        return [*all_together(run, facts), *overview(run, facts), *went_wrong(run, facts)]
    lines = []
    for fact in in_detail(run, facts):
        words = [
            say.broken_off(fact.training.finished, fact.steps),
            say.parity(fact.verdict.compared, fact.verdict.failed),
            agreement(run, fact),
            speed(fact) if fact.time else "",
        ]
        lines.append(paragraph(fact, words))
    lines += [*the_others(run, facts), *over_seeds(run, facts)]
    return lines or ["No training was begun, so there is nothing to compare."]


def all_together(run: Run, facts: Sequence[Facts]) -> list[str]:
    """Parity, agreement and speed over all trainings, where they are many."""
    compared = sum(fact.verdict.compared for fact in facts)
    failed = sum(fact.verdict.failed for fact in facts)
    name = measure(run)
    pairs = [(fact.values["numpy", name], fact.values["torch", name]) for fact in facts]
    gaps = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    ratios = [fact.ratio for fact in facts if fact.ratio is not None]
    return [
        f"*{plural(len(facts), 'training')}.* {say.parity(compared, failed)} "
        + say.final_gaps(gaps, name),
        *([say.speed_of_many(ratios)] if ratios else []),
    ]


def went_wrong(run: Run, facts: Sequence[Facts]) -> list[str]:
    """The first divergence of the first few trainings that have one."""
    found = []
    for fact in in_detail(run, facts):
        first = fact.verdict.first_divergence
        if first is not None or not fact.training.finished:
            words = [
                say.broken_off(fact.training.finished, fact.steps),
                say.parity(fact.verdict.compared, fact.verdict.failed) if first else "",
                say.first_divergence(first) if first else "",
                say.named_mistake(fact.training.mistake) if fact.training.mistake else "",
            ]
            found.append(paragraph(fact, words))
    return found


def conclusions(run: Run, facts: Sequence[Facts]) -> list[str]:
    """What the run allows to say in the end."""
    compared = sum(fact.verdict.compared for fact in facts)
    failed = sum(fact.verdict.failed for fact in facts)
    detail = in_detail(run, facts)
    found = [say.conclusion(compared, failed, run.record.status == "complete")]
    if many(run):
        return found + went_wrong(run, facts) + overview(run, facts) + all_together(run, facts)
    for fact in detail:
        first = fact.verdict.first_divergence
        named = fact.training.mistake
        words = [
            say.first_divergence(first) if first else "",
            say.named_mistake(named) if named else "",
            agreement(run, fact),
        ]
        found.append(paragraph(fact, words))
    found += optimizers(run, facts)
    found += over_seeds(run, facts)
    found += [paragraph(fact, [speed(fact)]) for fact in detail]
    return found
