"""Whether the two sides are the same: curves, bits, comparisons, kinks, drift, speed."""

from __future__ import annotations

from collections.abc import Sequence

from compare.records.run import Run
from reports import sentences as say
from reports.claims.paragraph import about_others, in_detail, others, paragraph, the_others
from reports.claims.paragraph import speed as speed_of
from reports.facts import Facts, accuracy_gaps, largest_gap
from reports.trainings import measure
from reports.wording import count, escaped, joined

MOST_LINES = 6
"""So many lines, or names in one, can be read; what would be more is summed up."""


def gaps(run: Run, facts: Sequence[Facts]) -> str:
    """The largest difference between the two sides' curves."""
    name = measure(run)
    found = [
        paragraph(
            fact,
            [
                say.loss_gap(*largest_gap(run, fact.training)),
                say.accuracy_gap(accuracy_gaps(run, fact.training, name), name),
            ],
        )
        for fact in in_detail(run, facts)
    ]
    if rest := others(run, facts):
        losses = [largest_gap(run, fact.training)[0] for fact in rest]
        accuracies = [gap for fact in rest for gap in accuracy_gaps(run, fact.training, name)]
        found.append(about_others(rest, [say.gaps_of_many(losses, accuracies, name)]))
    return "\n\n".join(found)


def initial(facts: Sequence[Facts]) -> list[str]:
    """The comparison at step 0; trainings of which the same is to be said share a line."""
    groups: dict[str, list[str]] = {}
    for fact in facts:
        found = fact.training.initial
        sentence = say.initial_bits(found.values, found.differing_bits, found.copied)
        groups.setdefault(sentence, []).append(escaped(fact.label))
    if len(groups) > MOST_LINES:
        starts = [fact.training.initial for fact in facts]
        bits = [start.differing_bits for start in starts]
        copied = sum(start.copied for start in starts)
        return [
            f"**Step 0, the {count(len(facts))} trainings:** {say.initial_of_many(bits, copied)}"
        ]
    return [
        f"**Step 0, {_every(labels, len(facts))}:** {sentence}"
        for sentence, labels in groups.items()
    ]


def _every(labels: list[str], of: int) -> str:
    if len(labels) == of > 1:
        return f"each of the {of} trainings"
    return joined(labels) if len(labels) <= MOST_LINES else f"{len(labels)} of the {of} trainings"


def parity(run: Run, facts: Sequence[Facts]) -> str:
    """The verdicts, the first divergence, and the certificate."""
    dtype = run.record.experiment.training.dtype
    paragraphs = []
    for fact in in_detail(run, facts):
        made, failed, first, worst, _ = fact.verdict
        certified = len(fact.training.kinks)
        words = [
            say.parity(made, failed),
            say.first_divergence(first) if failed else "",
            say.named_mistake(fact.training.mistake) if failed else "",
            say.nearest_pass(worst) if made > failed else "",
            say.certificate(made, failed, certified, fact.steps, dtype),
        ]
        paragraphs.append(paragraph(fact, words))
    return "\n\n".join([*paragraphs, *the_others(run, facts)])


def kinks(run: Run, facts: Sequence[Facts]) -> str:
    """Counts of values near a kink."""
    paragraphs = []
    for fact in in_detail(run, facts):
        counts = fact.training.kinks
        places, flips = sum(k.places for k in counts), sum(k.flips for k in counts)
        largest = max((k.largest for k in counts), default=0.0)
        paragraphs.append(paragraph(fact, [say.kinks(places, flips, largest)]))
    if rest := others(run, facts):
        counts = [kink for fact in rest for kink in fact.training.kinks]
        places, flips = sum(k.places for k in counts), sum(k.flips for k in counts)
        largest = max((k.largest for k in counts), default=0.0)
        paragraphs.append(about_others(rest, [say.kinks(places, flips, largest)]))
    return "\n\n".join(paragraphs)


def drift(run: Run, facts: Sequence[Facts]) -> str:
    """NumPy among the replicas at the last measured step."""
    found = []
    for fact in in_detail(run, facts):
        distances = {row.run: row.distance for row in fact.drift}
        if {"numpy", "torch"} <= set(distances):
            numpy, torch = distances.pop("numpy"), distances.pop("torch")
            sentence = say.drift(fact.drift[0].step, numpy, torch, list(distances.values()))
            found.append(paragraph(fact, [sentence]))
    if not found:
        return "No replica was run, so there is no drift to set NumPy's beside."
    found.append(
        "This is shown and not judged: a distance along a training proves nothing either way."
    )
    return "\n\n".join(found)


def speed(run: Run, facts: Sequence[Facts]) -> str:
    """The ratio of the times a step."""
    found = [paragraph(fact, [speed_of(fact)]) for fact in in_detail(run, facts)]
    ratios = [fact.ratio for fact in others(run, facts) if fact.ratio is not None]
    if ratios:
        found.append(about_others(others(run, facts), [say.speed_of_many(ratios)]))
    return "\n\n".join(found)
