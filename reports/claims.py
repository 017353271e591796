"""Which sentences stand where in the report, with the numbers they are made from."""

from __future__ import annotations

from itertools import combinations

from compare.experiment import Reported
from compare.records import Run
from compare.results import BACKENDS, quantity
from reports import sentences as say
from reports.facts import Facts, accuracy_gaps, confusions, largest_gap, mcnemar, wilson
from reports.trainings import several_seeds, shown
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


def in_short(facts: list[Facts]) -> list[str]:
    """The findings in a few lines."""
    lines = []
    for fact in facts:
        words = [
            say.broken_off(fact.training.finished, fact.steps),
            say.parity(fact.verdict.compared, fact.verdict.failed),
            _agreement(fact),
            _speed(fact) if fact.time else "",
        ]
        lines.append(_paragraph(fact, words))
    return lines or ["No training was begun, so there is nothing to compare."]


def results(run: Run, facts: list[Facts]) -> str:
    """What became of loss and accuracy."""
    targets = run.predictions.get("targets")
    paragraphs = []
    for fact in facts:
        words = [say.broken_off(fact.training.finished, fact.steps)]
        for backend, side in BACKENDS.items():
            losses = fact.losses[backend]
            if losses:
                words.append(say.loss_change(side, *losses))
        words.append(_agreement(fact))
        test = fact.values["numpy", "test accuracy"]
        if fact.train_accuracy is not None and test is not None:
            words.append(say.generalisation(fact.train_accuracy, test))
        if targets is not None and "numpy" in fact.predicted:
            right = int((fact.predicted["numpy"] == targets).sum())
            share, interval = right / len(targets), wilson(right, len(targets))
            words.append(say.accuracy_interval(share, *interval, len(targets)))
        paragraphs.append(_paragraph(fact, words))
    paragraphs += optimizers(run, facts)
    paragraphs += over_seeds(run, facts)
    return "\n\n".join(paragraphs) or "No training was begun."


def optimizers(run: Run, facts: list[Facts]) -> list[str]:
    """Every two optimizers of the first seed, on the rows that NumPy's side predicts."""
    targets = run.predictions.get("targets")
    first = [f for f in facts if f.training in shown(run) and "numpy" in f.predicted]
    if targets is None:
        return []
    found = []
    for a, b in combinations(first, 2):
        right_a, right_b = (f.predicted["numpy"] == targets for f in (a, b))
        only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        accuracies = float(right_a.mean()), float(right_b.mean())
        found.append(say.better_optimizer(a.label, b.label, accuracies, only, mcnemar(*only)))
    return found


def over_seeds(run: Run, facts: list[Facts]) -> list[str]:
    """Means and ranges where there are several seeds."""
    if not several_seeds(run):
        return []
    found = ["The figures of this report show the first seed."]
    for optimizer in dict.fromkeys(fact.training.optimizer for fact in facts):
        for backend, side in BACKENDS.items():
            values = [
                value
                for fact in facts
                if fact.training.optimizer == optimizer
                and (value := fact.values[backend, "test accuracy"]) is not None
            ]
            if values:
                found.append(say.over_seeds(f"test accuracy with {optimizer}", side, values))
    return [" ".join(found)]


def gaps(run: Run, facts: list[Facts]) -> str:
    """The largest difference between the two sides' curves."""
    return "\n\n".join(
        _paragraph(
            fact,
            [
                say.loss_gap(*largest_gap(run, fact.training)),
                say.accuracy_gap(accuracy_gaps(run, fact.training)),
            ],
        )
        for fact in facts
    )


def initial(facts: list[Facts]) -> list[str]:
    """The comparison at step 0, a line each training."""
    return [
        f"**{fact.label}, step 0:** "
        + say.initial_bits(
            fact.training.initial.values,
            fact.training.initial.differing_bits,
            fact.training.initial.copied,
        )
        for fact in facts
    ]


def parity(run: Run, facts: list[Facts]) -> str:
    """The verdicts, the first divergence, and the certificate."""
    paragraphs = []
    dtype = run.record.experiment.training.dtype
    for fact in facts:
        made, failed, first, worst, _ = fact.verdict
        certified = len(fact.training.kinks)
        words = [
            say.parity(made, failed),
            say.first_divergence(first) if failed else "",
            say.nearest_pass(worst) if made > failed else "",
            say.certificate(made, failed, certified, fact.steps, dtype),
        ]
        paragraphs.append(_paragraph(fact, words))
    return "\n\n".join(paragraphs)


def kinks(facts: list[Facts]) -> str:
    """Counts of values near a kink."""
    return "\n\n".join(
        _paragraph(
            fact,
            [
                say.kinks(
                    sum(k.places for k in fact.training.kinks),
                    sum(k.flips for k in fact.training.kinks),
                    max((k.largest for k in fact.training.kinks), default=0.0),
                )
            ],
        )
        for fact in facts
    )


def drift(facts: list[Facts]) -> str:
    """NumPy among the replicas at the last measured step."""
    found = []
    for fact in facts:
        distances = {row.run: row.distance for row in fact.drift}
        if {"numpy", "torch"} <= set(distances):
            numpy, torch = distances.pop("numpy"), distances.pop("torch")
            sentence = say.drift(fact.drift[0].step, numpy, torch, list(distances.values()))
            found.append(_paragraph(fact, [sentence]))
    if not found:
        return "No replica was run, so there is no drift to set NumPy's beside."
    found.append(
        "This is shown and not judged: a distance along a training proves nothing either way."
    )
    return "\n\n".join(found)


def mistakes(run: Run, facts: list[Facts]) -> str:
    """Which test rows are wrong on either side."""
    targets = run.predictions.get("targets")
    names = [escaped(name) for name in run.record.data.class_names]
    paragraphs = []
    for fact in facts:
        if targets is None or len(fact.predicted) < 2:
            continue
        words = []
        for backend, side in BACKENDS.items():
            pairs = [
                (names[a], names[b], n) for a, b, n in confusions(targets, fact.predicted[backend])
            ]
            wrong = int((fact.predicted[backend] != targets).sum())
            words.append(say.confusion(side, pairs, wrong, len(targets)))
        different = int((fact.predicted["numpy"] != fact.predicted["torch"]).sum())
        words.append(say.same_predictions(different, len(targets)))
        paragraphs.append(_paragraph(fact, words))
    return "\n\n".join(paragraphs) or "No predictions were recorded."


def speed(facts: list[Facts]) -> str:
    """The ratio of the times a step."""
    return "\n\n".join(_paragraph(fact, [_speed(fact)]) for fact in facts)


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


def conclusions(run: Run, facts: list[Facts]) -> list[str]:
    """What the run allows to say in the end."""
    compared = sum(fact.verdict.compared for fact in facts)
    failed = sum(fact.verdict.failed for fact in facts)
    found = [say.conclusion(compared, failed, run.record.status == "complete")]
    for fact in facts:
        first = fact.verdict.first_divergence
        words = [say.first_divergence(first) if first else "", _agreement(fact)]
        found.append(_paragraph(fact, words))
    found += optimizers(run, facts)
    found += [_paragraph(fact, [_speed(fact)]) for fact in facts]
    return found


def _paragraph(fact: Facts, words: list[str]) -> str:
    return " ".join([f"*{escaped(fact.label)}.*", *(word for word in words if word)])


def _agreement(fact: Facts) -> str:
    numpy, torch = (fact.values[backend, "test accuracy"] for backend in BACKENDS)
    return say.side_agreement(numpy, torch, "test accuracy")


def _speed(fact: Facts) -> str:
    if fact.time is None:
        return say.nothing_timed()
    return say.speed(fact.time.ratio, fact.time.low, fact.time.high, fact.time.steps)
