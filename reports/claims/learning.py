"""What the networks learned: losses, accuracies, mistakes, and published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from compare.analysis.intervals import Interval, mean_interval
from compare.analysis.quantities import BACKENDS, quantity
from compare.analysis.verdict import departures
from compare.records.run import Run
from compare.spec.report import ReportedValue
from reports import sentences as say
from reports.claims.paragraph import agreement, in_detail, paragraph
from reports.facts import Facts, confusions, mcnemar, wilson
from reports.trainings import (
    MOST_SHOWN,
    choice,
    many,
    measure,
    ranked,
    ranking_measure,
    several_seeds,
)
from reports.wording import class_name, escaped

MOST_PAIRED = 4
"""So many trainings are compared two by two."""


def results(run: Run, facts: Sequence[Facts]) -> str:
    """What became of loss and accuracy."""
    targets = run.predictions.get("targets")
    paragraphs = [*overview(run, facts), choice(run)]
    for fact in in_detail(run, facts):
        words = [say.broken_off(fact.training.finished, fact.steps)]
        for backend, side in BACKENDS.items():
            losses = fact.losses[backend]
            if losses:
                words.append(say.loss_change(side, *losses))
        words.append(agreement(run, fact))
        test = fact.values["numpy", "test accuracy"]
        if fact.train_accuracy is not None and test is not None:
            words.append(say.generalisation(fact.train_accuracy, test))
        if targets is not None and "numpy" in fact.predicted:
            right = int((fact.predicted["numpy"] == targets).sum())
            share, interval = right / len(targets), wilson(right, len(targets))
            words.append(say.accuracy_interval(share, *interval, len(targets)))
        paragraphs.append(paragraph(fact, words))
    paragraphs += optimizers(run, facts)
    paragraphs += over_seeds(run, facts)
    return "\n\n".join(filter(None, paragraphs)) or "No training was begun."


def overview(run: Run, facts: Sequence[Facts]) -> list[str]:
    """The best and the worst of many trainings, and how many diverged."""
    by_training = {id(fact.training): fact for fact in facts}
    if not many(run):
        return []
    finished = [fact.training for fact in facts if fact.training.finished]
    if not finished:
        return []
    name = ranking_measure(run)
    order = ranked(run, finished)
    ends = []
    for training in (order[0], order[-1]):
        fact = by_training[id(training)]
        numpy, torch = (fact.values[backend, name] for backend in BACKENDS)
        ends.append((escaped(fact.label), numpy, torch))
    diverged = {
        side: sum(quantity(run, backend, training, "finite") == 0 for training in finished)
        for backend, side in BACKENDS.items()
    }
    return [
        say.best_and_worst(name, len(finished), ends[0], ends[1]) + " " + say.diverged(diverged)
    ]


def optimizers(run: Run, facts: Sequence[Facts]) -> list[str]:
    """Every two of a few trainings of the first seed, on the rows that NumPy's side predicts."""
    targets = run.predictions.get("targets")
    if targets is None or not facts:
        return []
    seed = run.record.trainings[0].seed
    first = [f for f in facts if f.training.seed == seed and "numpy" in f.predicted]
    if len(first) > MOST_PAIRED:
        return []
    found = []
    for a, b in combinations(first, 2):
        right_a, right_b = (f.predicted["numpy"] == targets for f in (a, b))
        only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        accuracies = float(right_a.mean()), float(right_b.mean())
        labels = escaped(a.label), escaped(b.label)
        found.append(say.better_optimizer(*labels, accuracies, only, mcnemar(*only)))
    return found


def over_seeds(run: Run, facts: Sequence[Facts]) -> list[str]:
    """Mean and range of the accuracy where there are several seeds and few trainings of each."""
    found: list[str] = []
    labels = list(dict.fromkeys(fact.training.label for fact in facts))
    if len(labels) > MOST_SHOWN or not several_seeds(run):
        return found
    name = measure(run)
    for label in labels:
        for backend, side in BACKENDS.items():
            values = [
                value
                for fact in facts
                if fact.training.label == label
                and (value := fact.values[backend, name]) is not None
            ]
            if len(values) > 1:
                found.append(say.over_seeds(f"{name} with {escaped(label)}", side, values))
    return found


def mistakes(run: Run, facts: Sequence[Facts]) -> str:
    """Which test rows are wrong on either side."""
    targets = run.predictions.get("targets")
    names = [escaped(name) for name in run.record.data.class_names]
    paragraphs = []
    for fact in in_detail(run, facts):
        if targets is None or len(fact.predicted) < 2:
            continue
        words = []
        for backend, side in BACKENDS.items():
            predicted = fact.predicted[backend]
            pairs = [
                (names[a], class_name(names, b), n) for a, b, n in confusions(targets, predicted)
            ]
            wrong = int((predicted != targets).sum())
            words.append(say.confusion(side, pairs, wrong, len(targets)))
        different = int((fact.predicted["numpy"] != fact.predicted["torch"]).sum())
        words.append(say.same_predictions(different, len(targets)))
        paragraphs.append(paragraph(fact, words))
    return "\n\n".join(paragraphs) or "No predictions were recorded."


def reported(run: Run) -> str:
    """Published figures beside ours."""
    record = run.record
    if not record.experiment.reported:
        return "The experiment names no published figure."
    reasons = [escaped(reason) for reason in departures(record)]
    words = [say.reported_note(reasons)]
    if not reasons:
        for figure in record.experiment.reported:
            means = [None if found is None else found.mean for found in reported_here(run, figure)]
            what = f"{figure.quantity} with {escaped(figure.label)}"
            what += f" after epoch {figure.epoch}" if figure.epoch else ""
            what += ", on average over the seeds," if several_seeds(run) else ""
            words.append(say.reported_figure(what, escaped(figure.by), figure.value, *means))
    return " ".join(words)


def reported_here(run: Run, figure: ReportedValue) -> list[Interval | None]:
    """The reported quantity as both sides have it here: the mean over seeds and its interval."""
    found: list[Interval | None] = []
    for backend in BACKENDS:
        values = [
            value
            for training in run.record.trainings
            if training.label == figure.label
            and (value := quantity(run, backend, training, figure.quantity, figure.epoch))
            is not None
        ]
        found.append(mean_interval(values) if values else None)
    return found


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation over seeds; None for one seed."""
    mean = sum(values) / len(values)
    if len(values) < 2 or not math.isfinite(mean):
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
