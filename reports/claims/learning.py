"""What the networks learned: losses, accuracies, mistakes, and published figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from compare.experiment import Reported
from compare.records import Run
from compare.results import BACKENDS, quantity
from reports import sentences as say
from reports.claims.paragraph import agreement, in_detail, paragraph
from reports.facts import Facts, confusions, mcnemar, wilson
from reports.trainings import several_seeds
from reports.wording import escaped


def results(run: Run, facts: Sequence[Facts]) -> str:
    """What became of loss and accuracy."""
    targets = run.predictions.get("targets")
    paragraphs = []
    for fact in in_detail(run, facts):
        words = [say.broken_off(fact.training.finished, fact.steps)]
        for backend, side in BACKENDS.items():
            losses = fact.losses[backend]
            if losses:
                words.append(say.loss_change(side, *losses))
        words.append(agreement(fact))
        test = fact.values["numpy", "test accuracy"]
        if fact.train_accuracy is not None and test is not None:
            words.append(say.generalisation(fact.train_accuracy, test))
        if targets is not None and "numpy" in fact.predicted:
            right = int((fact.predicted["numpy"] == targets).sum())
            share, interval = right / len(targets), wilson(right, len(targets))
            words.append(say.accuracy_interval(share, *interval, len(targets)))
        paragraphs.append(paragraph(fact, words))
    paragraphs += optimizers(run, facts)
    if several_seeds(run):
        paragraphs.append("The figures of this report and its paragraphs show the first seed.")
    paragraphs += over_seeds(run, facts)
    return "\n\n".join(paragraphs) or "No training was begun."


def optimizers(run: Run, facts: Sequence[Facts]) -> list[str]:
    """Every two optimizers of the first seed, on the rows that NumPy's side predicts."""
    targets = run.predictions.get("targets")
    if targets is None or not facts:
        return []
    seed = run.record.trainings[0].seed
    first = [f for f in facts if f.training.seed == seed and "numpy" in f.predicted]
    found = []
    for a, b in combinations(first, 2):
        right_a, right_b = (f.predicted["numpy"] == targets for f in (a, b))
        only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        accuracies = float(right_a.mean()), float(right_b.mean())
        labels = escaped(a.label), escaped(b.label)
        found.append(say.better_optimizer(*labels, accuracies, only, mcnemar(*only)))
    return found


def over_seeds(run: Run, facts: Sequence[Facts]) -> list[str]:
    """Mean and range of the test accuracy where there are several seeds."""
    found = []
    for optimizer in dict.fromkeys(fact.training.optimizer for fact in facts):
        for backend, side in BACKENDS.items():
            values = [
                value
                for fact in facts
                if fact.training.optimizer == optimizer
                and (value := fact.values[backend, "test accuracy"]) is not None
            ]
            if len(values) > 1:
                what = f"test accuracy with {escaped(optimizer)}"
                found.append(say.over_seeds(what, side, values))
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
            pairs = [(names[a], names[b], n) for a, b, n in confusions(targets, predicted)]
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
    reasons = []
    if record.sample:
        reasons.append("used the sample in place of the full data set")
    elif record.data.name != record.experiment.data.name:
        reasons.append(f"used other data ({escaped(record.data.title)})")
    if record.max_steps is not None:
        reasons.append("stopped each training early")
    if record.status != "complete":
        reasons.append("was broken off")
    if "--set" in record.command:
        reasons.append("changed settings of the experiment with `--set`")
    words = [say.reported_note(reasons)]
    if not reasons:
        for figure in record.experiment.reported:
            numpy, torch = reported_here(run, figure)
            what = f"{figure.quantity} with {escaped(figure.optimizer)}"
            what += f" after epoch {figure.epoch}" if figure.epoch else ""
            by = escaped(figure.by)
            words.append(say.reported_figure(what, by, figure.value, numpy, torch))
    return " ".join(words)


def reported_here(run: Run, figure: Reported) -> list[float | None]:
    """The reported quantity as both sides have it here, in the training of the first seed."""
    for training in run.record.trainings:
        if training.optimizer == figure.optimizer:
            return [
                quantity(run, backend, training, figure.quantity, figure.epoch)
                for backend in BACKENDS
            ]
    return [None, None]
