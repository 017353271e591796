"""The numbers of a run that tables and sentences are made from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.intervals import (
    Interval,
    mcnemar_test,
    mean_interval,
    paired_interval,
    wilson_interval,
)
from compare.analysis.quantities import (
    BACKENDS,
    StepTime,
    batch_values,
    evaluations,
    quantity,
    step_time,
)
from compare.analysis.timings import humps
from compare.analysis.verdict import Verdict, verdict
from compare.records.run import (
    CANCELLED,
    RUNNING,
    TOGETHER,
    WEIGHTS,
    DistancePart,
    Run,
    TrainingRecord,
    predicted_key,
)
from compare.records.tables import TimingRow
from compare.spec.report import ReportedValue
from reports.text import class_name
from reports.trainings import (
    MOST_SHOWN,
    label,
    many,
    measure,
    ranked,
    ranking_measure,
    several_seeds,
    shown,
)

MOST_FAILED = 4
"""Beside the trainings that are shown, so many that failed have paragraphs of their own."""
MOST_PAIRED = 4
"""So many trainings are compared two by two."""


class LossGap(NamedTuple):
    """The largest difference of the two backends' batch losses.

    Attributes:
        largest: The difference; NaN where one is not finite.
        step: Its step; None where no loss was recorded.
        batches: Of how many batches.
        equal: On how many of them there is no difference.
    """

    largest: float
    step: int | None
    batches: int
    equal: int


class Kinks(NamedTuple):
    """Inputs of activations with a kink, at all certified steps.

    Attributes:
        places: How many were looked at.
        flips: How many are on another side of the kink in float64.
        largest: The distance from the kink of the farthest of these.
    """

    places: int
    flips: int
    largest: float


ROUNDED_LOSS = 16 * 2.0**-24
"""What rounding in float32 may make of a mean loss, relative to it."""


class Drift(NamedTuple):
    """Distances of the weights from PyTorch's float64 run, at the last measured step."""

    step: int
    numpy: float
    torch: float
    replicas: list[float]


class Confusions(NamedTuple):
    """What a backend gets wrong on the test rows.

    Attributes:
        wrong: How many rows.
        rows: Of how many.
        pairs: (true class, predicted class, times), the most frequent first.
    """

    wrong: int
    rows: int
    pairs: list[tuple[str, str, int]]


class Share(NamedTuple):
    """A share of so many rows, with its 95% interval."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, eq=False)
class TrainingStatistics:
    """The numbers of one training, each worked out when it is first needed.

    Attributes:
        run: The run.
        record: The training's record.
        timed: Whether its times a step have an interval, which takes a moment.
    """

    run: Run
    record: TrainingRecord
    timed: bool = True

    @cached_property
    def label(self) -> str:
        """Its name in the report."""
        return label(self.run, self.record)

    @cached_property
    def steps(self) -> int:
        """The updates made, also those of an epoch that was broken off."""
        recorded = batch_values(self.run, "torch", self.record, "loss")[0]
        return max(self.record.steps, len(recorded))

    @cached_property
    def verdict(self) -> Verdict:
        """What its comparisons add up to."""
        return verdict(self.run.parity_of(self.record))

    @cached_property
    def certified(self) -> int:
        """How many steps were certified."""
        return len(self.record.kinks)

    @cached_property
    def kinks(self) -> Kinks:
        """Values near a kink."""
        return kinks_of([self])

    @cached_property
    def time(self) -> StepTime | None:
        """Time a step, with the interval of the ratio."""
        return step_time(self.run.timing_of(self.record), self.record) if self.timed else None

    @cached_property
    def humps(self) -> tuple[list[float], list[float]]:
        """Where the times of steps are densest, on NumPy and on PyTorch."""
        rows = self.run.timing_of(self.record) if self.timed else []
        return (
            humps(np.array([row.numpy_s for row in rows])),
            humps(np.array([row.torch_s for row in rows])),
        )

    @property
    def had_processor(self) -> float | None:
        """For which share of its time the training had a core; None where that is not known.

        Of several threads it is not: they wait for each other, too.
        """
        threads, record = self.run.record.environment.torch_threads, self.record
        if record.cpu_s is None or not record.wall_s or threads != 1:
            return None
        return min(record.cpu_s / record.wall_s, 1.0)

    @property
    def has_humps(self) -> bool:
        """Whether the times of either backend lie around more than one value."""
        return any(len(found) > 1 for found in self.humps)

    @cached_property
    def time_ratio(self) -> float | None:
        """PyTorch's time over NumPy's, the median over steps."""
        timing: list[TimingRow] = self.run.timing_of(self.record)
        if not timing:
            return None
        return float(np.median([row.torch_s / row.numpy_s for row in timing]))

    def final(self, backend: str, name: str) -> float | None:
        """The last value of a quantity, None where none was measured since training began."""
        if self.train_accuracy is None:
            return None
        return quantity(self.run, backend, self.record, name)

    @cached_property
    def train_accuracy(self) -> float | None:
        """NumPy's on the whole training set at the last evaluation since training began."""
        evaluated = evaluations(self.run, "numpy", self.record, "train", "accuracy")[1:]
        return evaluated[-1][1] if evaluated else None

    @cached_property
    def losses(self) -> dict[str, tuple[float, float]]:
        """Backend → training loss before training and at the last evaluation, where both are."""
        found = {}
        for backend in BACKENDS:
            values = evaluations(self.run, backend, self.record, "train", "loss")
            if len(values) > 1:
                found[backend] = (values[0][1], values[-1][1])
        return found

    @cached_property
    def loss_gap(self) -> LossGap:
        """The largest difference of the two backends' batch losses."""
        steps, found = gaps(self.run, self.record, "loss")
        if not len(found):
            return LossGap(0.0, None, 0, 0)
        place = int(np.argmax(found))  # NaN counts as the largest
        return LossGap(float(found[place]), int(steps[place]), len(found), int((found == 0).sum()))

    @cached_property
    def accuracy_gaps(self) -> list[float]:
        """|NumPy − PyTorch| of the accuracy that :func:`measure` names, at each evaluation."""
        split = measure(self.run).removesuffix(" accuracy").replace("training-set", "train")
        numpy, torch = (
            dict(evaluations(self.run, backend, self.record, split, "accuracy"))
            for backend in BACKENDS
        )
        return [abs(numpy[epoch] - torch[epoch]) for epoch in numpy if epoch in torch]

    @cached_property
    def apart(self) -> bool:
        """Whether the distance of the two backends was measured along the training."""
        return bool(self.run.apart(self.record))

    @cached_property
    def distance(self) -> float | None:
        """How far the weights of the two backends were apart when last measured."""
        rows = self.run.apart(self.record)
        return rows[-1].distance if rows else None

    @cached_property
    def explained(
        self,
    ) -> tuple[
        float | None,
        bool,
        str,
        float,
        DistancePart | None,
        DistancePart | None,
        DistancePart | None,
    ]:
        """The difference of the test losses, and the part of the network that explains most of it.

        Returns:
            The difference; whether it is more than what rounding makes of the loss; the part with
            which the two come nearest; how far they then are, as a share of the difference; and, if
            there are two parts that move the difference in opposite directions by more than itself,
            the one that makes it smallest, the one that makes it largest, and both together where
            that was measured.
        """
        if not self.record.parts or self.record.parts[0].loss_difference is None:
            return None, False, "", 1.0, None, None, None
        (whole, *parts) = self.record.parts
        together = next((part for part in parts if part.name == TOGETHER), None)
        parts = [part for part in parts if part.name != TOGETHER]
        difference = whole.loss_difference or 0.0
        loss = self.final("numpy", "test loss") or 0.0
        counts = abs(difference) > ROUNDED_LOSS * max(abs(loss), 1.0)

        def moved(part: DistancePart) -> float:
            return part.loss_difference or 0.0

        least = min(parts, key=lambda part: abs(moved(part)), default=whole)
        left = abs(moved(least)) / abs(difference) if difference else 1.0
        low, high = min(parts, key=moved, default=whole), max(parts, key=moved, default=whole)
        if moved(low) < difference - abs(difference) and moved(high) > difference + abs(difference):
            both = together if {low.name, high.name} == {WEIGHTS, RUNNING} else None
            return difference, counts, least.name, left, low, high, both
        return difference, counts, least.name, left, None, None, None

    @property
    def loss_apart(self) -> float:
        """How far the test losses are apart at the end; 0 where that was not measured."""
        return abs(self.explained[0] or 0.0)

    @property
    def at_the_end(self) -> dict[str, float] | None:
        """The shares of the biases before a normalisation, and of the weights, at the end.

        Of the squared distance between all that is trained; None where the first step did not move
        these biases most.
        """
        shares = {part.name: part.share for part in self.record.parts}
        first = self.record.first_step
        if first is None or first.part != CANCELLED or not {CANCELLED, WEIGHTS} <= set(shares):
            return None
        trained = 1.0 - shares.get(RUNNING, 0.0)
        return {"biases": shares[CANCELLED] / trained, "weights": shares[WEIGHTS] / trained}

    @cached_property
    def drift(self) -> Drift | None:
        """The last measured distances; None where no replica was run."""
        rows = self.run.drift_of(self.record)
        last = max((row.step for row in rows), default=0)
        distances = {row.run: row.distance for row in rows if row.step == last}
        if not {"numpy", "torch"} <= set(distances):
            return None
        numpy, torch = distances.pop("numpy"), distances.pop("torch")
        return Drift(last, numpy, torch, list(distances.values()))

    @cached_property
    def predicted(self) -> dict[str, np.ndarray]:
        """Backend → predicted classes of the test rows, where they were recorded."""
        keys = {backend: predicted_key(backend, self.record) for backend in BACKENDS}
        found = self.run.predictions
        return {backend: found[key] for backend, key in keys.items() if key in found}

    @cached_property
    def test_share(self) -> Share | None:
        """NumPy's share of right test rows; None where nothing was predicted."""
        targets = self.run.predictions.get("targets")
        if targets is None or "numpy" not in self.predicted:
            return None
        right = int((self.predicted["numpy"] == targets).sum())
        return Share(right / len(targets), *wilson_interval(right, len(targets)), len(targets))

    @cached_property
    def confusions(self) -> dict[str, Confusions]:
        """Backend → what it gets wrong; empty where one of them predicted nothing."""
        targets = self.run.predictions.get("targets")
        if targets is None or len(self.predicted) < 2:
            return {}
        names = self.run.record.data.class_names
        return {
            backend: Confusions(
                int((predicted != targets).sum()),
                len(targets),
                [
                    (names[true], class_name(names, taken), times)
                    for true, taken, times in confusions(targets, predicted)
                ],
            )
            for backend, predicted in self.predicted.items()
        }

    @cached_property
    def different_predictions(self) -> int:
        """For how many test rows the backends predict different classes."""
        return int((self.predicted["numpy"] != self.predicted["torch"]).sum())

    @cached_property
    def rows_difference(self) -> tuple[float, float] | None:
        """Interval of NumPy's accuracy less PyTorch's on new rows, for these two networks."""
        targets = self.run.predictions.get("targets")
        if targets is None or len(self.predicted) < 2:
            return None
        numpy, torch = (self.predicted[backend] == targets for backend in BACKENDS)
        return paired_interval(
            int((numpy & ~torch).sum()), int((torch & ~numpy).sum()), len(targets)
        )


class Totals(NamedTuple):
    """The numbers of several trainings taken together.

    Attributes:
        trainings: How many.
        compared: Their comparisons.
        failed: How many of these failed.
        kinks: Values near a kink, in all of them.
        loss_gaps: The largest difference of batch losses, one a training.
        accuracy_gaps: The differences of the accuracy at all evaluations.
        final_gaps: Those at the end, of the trainings that were evaluated.
        time_ratios: PyTorch's time over NumPy's, the median over steps, of those that were timed.
    """

    trainings: int
    compared: int
    failed: int
    kinks: Kinks
    loss_gaps: list[float]
    accuracy_gaps: list[float]
    final_gaps: list[float]
    time_ratios: list[float]


def totals(run: Run, trainings: Sequence[TrainingStatistics]) -> Totals:
    """Add up the numbers of several trainings."""
    name = measure(run)
    finals = [[training.final(backend, name) for backend in BACKENDS] for training in trainings]
    return Totals(
        len(trainings),
        sum(training.verdict.compared for training in trainings),
        sum(training.verdict.failed for training in trainings),
        kinks_of(trainings),
        [training.loss_gap.largest for training in trainings],
        [gap for training in trainings for gap in training.accuracy_gaps],
        [abs(a - b) for a, b in finals if a is not None and b is not None],
        [training.time_ratio for training in trainings if training.time_ratio is not None],
    )


def kinks_of(trainings: Sequence[TrainingStatistics]) -> Kinks:
    """Values near a kink, in all of the trainings."""
    counts = [count for training in trainings for count in training.record.kinks]
    return Kinks(
        sum(count.places for count in counts),
        sum(count.flips for count in counts),
        max((count.largest for count in counts), default=0.0),
    )


def in_detail(run: Run, trainings: Sequence[TrainingStatistics]) -> list[TrainingStatistics]:
    """The trainings that have paragraphs of their own: those shown, and a few that went wrong."""
    chosen = {id(record) for record in shown(run)}
    wrong = [
        id(training.record)
        for training in trainings
        if training.verdict.failed or not training.record.finished
    ]
    chosen |= set([key for key in wrong if key not in chosen][:MOST_FAILED])
    return [training for training in trainings if id(training.record) in chosen]


class Ranking(NamedTuple):
    """The ends of a ranking of many trainings.

    Attributes:
        measure: By what they are ranked.
        trainings: How many.
        best: (label, NumPy's figure, PyTorch's).
        worst: The same.
        diverged: Backend → how many met a loss that is not a finite number.
    """

    measure: str
    trainings: int
    best: tuple[str, float | None, float | None]
    worst: tuple[str, float | None, float | None]
    diverged: dict[str, int]


def ranking(run: Run, trainings: Sequence[TrainingStatistics]) -> Ranking | None:
    """The best and the worst of many finished trainings; None where they are few."""
    finished = [training.record for training in trainings if training.record.finished]
    if not many(run) or not finished:
        return None
    by_record = {id(training.record): training for training in trainings}
    name = ranking_measure(run)
    order = ranked(run, finished)
    ends: list[Any] = [
        (end.label, *(end.final(backend, name) for backend in BACKENDS))
        for end in (by_record[id(order[0])], by_record[id(order[-1])])
    ]
    diverged = {
        backend: sum(quantity(run, backend, record, "finite") == 0 for record in finished)
        for backend in BACKENDS
    }
    return Ranking(name, len(finished), ends[0], ends[1], diverged)


class Pair(NamedTuple):
    """Two trainings on the same test rows, as NumPy predicts them.

    Attributes:
        labels: Of the trainings.
        accuracies: Of the same.
        only: How many rows one of them alone gets right.
        p: Of McNemar's exact test on these.
        seeds: How many seeds both have been trained from.
        mean: Of the first's accuracy less the second's, over seeds.
        low: The lower end of its 95% interval; NaN with one seed.
        high: The upper end.
    """

    labels: tuple[str, str]
    accuracies: tuple[float, float]
    only: tuple[int, int]
    p: float
    seeds: int
    mean: float
    low: float
    high: float


def compared_pairs(run: Run, trainings: Sequence[TrainingStatistics]) -> list[Pair]:
    """Every two of a few trainings of the first seed."""
    targets = run.predictions.get("targets")
    if targets is None or not trainings:
        return []
    seed = run.record.trainings[0].seed
    first = [t for t in trainings if t.record.seed == seed and "numpy" in t.predicted]
    if len(first) > MOST_PAIRED:
        return []
    found = []
    for a, b in combinations(first, 2):
        right_a, right_b = (t.predicted["numpy"] == targets for t in (a, b))
        only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        accuracies = float(right_a.mean()), float(right_b.mean())
        shares = _shares_by_seed(targets, trainings, (a.record.label, b.record.label))
        over = mean_interval([one - other for one, other in shares])
        labels = (a.label, b.label) if over.values == 1 else (a.record.label, b.record.label)
        found.append(Pair(labels, accuracies, only, mcnemar_test(*only), over.values, *_ends(over)))
    return found


def _shares_by_seed(
    targets: np.ndarray, trainings: Sequence[TrainingStatistics], labels: tuple[str, str]
) -> list[tuple[float, float]]:
    """For each seed of both labels, NumPy's accuracy with either."""
    by_key = {
        (t.record.label, t.record.seed): float((t.predicted["numpy"] == targets).mean())
        for t in trainings
        if "numpy" in t.predicted
    }
    seeds = dict.fromkeys(seed for label, seed in by_key if label == labels[0])
    first, second = labels
    return [
        (by_key[first, seed], by_key[second, seed]) for seed in seeds if (second, seed) in by_key
    ]


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


class OverSeeds(NamedTuple):
    """A quantity at the end of a configuration's trainings, one value a seed."""

    quantity: str
    label: str
    backend: str
    values: list[float]


def over_seeds(run: Run, trainings: Sequence[TrainingStatistics]) -> list[OverSeeds]:
    """The accuracy where there are several seeds and few trainings of each."""
    labels = list(dict.fromkeys(training.record.label for training in trainings))
    if len(labels) > MOST_SHOWN or not several_seeds(run):
        return []
    name = measure(run)
    found = []
    for own in labels:
        members = [training for training in trainings if training.record.label == own]
        for backend in BACKENDS:
            values = [v for t in members if (v := t.final(backend, name)) is not None]
            if len(values) > 1:
                found.append(OverSeeds(name, own, BACKENDS[backend], values))
    return found


def reported_here(run: Run, figure: ReportedValue) -> dict[str, Interval | None]:
    """Backend → the reported quantity in this run: the mean over seeds and its interval."""
    found: dict[str, Interval | None] = {}
    for backend in BACKENDS:
        values = [
            value
            for training in run.record.trainings
            if training.label == figure.label
            and (value := quantity(run, backend, training, figure.quantity, figure.epoch))
            is not None
        ]
        found[backend] = mean_interval(values) if values else None
    return found


def gaps(run: Run, training: TrainingRecord, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(step, |NumPy − PyTorch|) of each batch that both backends have."""
    (steps, numpy), (_, torch) = (
        batch_values(run, backend, training, metric) for backend in ("numpy", "torch")
    )
    both = min(len(numpy), len(torch))
    with np.errstate(invalid="ignore"):  # two infinities: NaN
        return steps[:both], np.abs(numpy[:both] - torch[:both])


def confusions(targets: np.ndarray, predicted: np.ndarray) -> list[tuple[int, int, int]]:
    """(true class, predicted class, times) of all mistakes, the most frequent first."""
    wrong = predicted != targets
    pairs = Counter(zip(targets[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(true, taken, times) for (true, taken), times in ordered]


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation over seeds; None for one seed."""
    mean = sum(values) / len(values)
    if len(values) < 2 or not math.isfinite(mean):
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
