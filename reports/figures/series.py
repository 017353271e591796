"""The series that the figures of an experiment's file draw.

Which trainings share a panel and which a line, and a quantity along several of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.analysis.quantities import batch_values, evaluations
from compare.records.run import Run, TrainingRecord
from compare.spec.experiment import Configuration
from compare.spec.report import FigureSettings
from reports.trainings import short_case

MOST_PANELS = 25
MOST_LINES = 16
POINTS = 300
BATCH = ("train loss", "train accuracy", "loss rises", "finite")
"""Quantities that every batch has, in training mode."""


def trained(run: Run, configurations: Sequence[Configuration]) -> list[TrainingRecord]:
    """The finished trainings of some configurations, all seeds."""
    labels = {configuration.label for configuration in configurations}
    return [t for t in run.record.trainings if t.finished and t.label in labels]


def trained_configurations(run: Run) -> list[Configuration]:
    """The configurations that have a finished training."""
    labels = {training.label for training in run.record.trainings if training.finished}
    return [
        configuration
        for configuration in run.configurations.values()
        if configuration.label in labels
    ]


def by_case(
    configurations: Sequence[Configuration], axis: str | None
) -> dict[str, list[Configuration]]:
    """Case → configurations, in order; all under one empty case where there is no axis."""
    found: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        found.setdefault("" if axis is None else configuration.variant[axis], []).append(
            configuration
        )
    return found


def panels_of(run: Run, figure: FigureSettings) -> dict[str, list[Configuration]]:
    """Case → the configurations of a panel; at most as many panels as a page has room for."""
    found = by_case(trained_configurations(run), figure.panels)
    return dict(list(found.items())[:MOST_PANELS])


def lines_of(
    configurations: Sequence[Configuration], figure: FigureSettings
) -> dict[str, list[Configuration]]:
    """Name → the configurations of a line.

    Where its settings name no axis for the lines, each configuration of the panel has one, named by
    what differs within the panel.
    """
    if figure.lines is not None:
        return {
            short_case(figure.lines, case): p
            for case, p in by_case(configurations, figure.lines).items()
        }
    axes = [
        axis
        for axis in configurations[0].variant
        if axis != figure.panels
        and len({configuration.variant[axis] for configuration in configurations}) > 1
    ]
    names = {
        " ".join(configuration.variant[axis] for axis in axes): [configuration]
        for configuration in configurations
    }
    return dict(list(names.items())[:MOST_LINES])


class Series(NamedTuple):
    """Values (n,) at steps (n,)."""

    steps: np.ndarray
    values: np.ndarray


class Band(NamedTuple):
    """Several series as one: the mean, and the least and the largest of them, at steps (n,)."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def series(run: Run, backend: str, training: TrainingRecord, quantity: str) -> Series:
    """A quantity along a training, on the axis of steps; empty where it has none.

    What every batch has is a running mean, except where a batch is the whole training set.
    """
    if quantity in ("loss rises", "finite"):
        steps, losses = batch_values(run, backend, training, "loss")
        if quantity == "finite":
            return Series(steps, np.minimum.accumulate(np.isfinite(losses).astype(float)))
        rose = ~(losses[1:] <= losses[:-1])
        return Series(steps, np.concatenate([[0.0], np.cumsum(rose)])[: len(steps)])
    if quantity == "accuracy gap":
        seen = series(run, backend, training, "training-set accuracy")
        unseen = series(run, backend, training, "test accuracy")
        if len(seen.values) != len(unseen.values):
            return Series(np.array([], int), np.array([]))
        return Series(seen.steps, seen.values - unseen.values)
    split, _, metric = quantity.partition(" ")
    if split == "train":
        return _smoothed(*batch_values(run, backend, training, metric), _whole(run, training))
    if quantity == "near misses":
        return Series(np.array([], int), np.array([]))
    split = split.replace("training-set", "train")
    found = evaluations(run, backend, training, split, metric)
    per_epoch = run.steps_per_epoch[training.label]
    ends = [min(epoch * per_epoch, training.steps) for epoch, _ in found]
    return Series(np.array(ends, int), np.array([value for _, value in found], float))


def is_smoothed(run: Run, quantities: Sequence[str | None]) -> bool:
    """Whether one of the quantities is drawn as a running mean over batches."""
    several = any(steps > 1 for steps in run.steps_per_epoch.values())
    return several and any(quantity in BATCH[:2] for quantity in quantities)


def mean_and_range(several: Sequence[Series]) -> Band | None:
    """The mean of several series and the range of them; None where there is nothing.

    The mean is NaN from where one of them is not finite: a mean of those that are left would
    hide it.
    """
    found = [one for one in several if len(one.values)]
    if not found:
        return None
    shortest = min(found, key=lambda one: len(one.values))
    rows = np.array(
        [
            one.values
            if np.array_equal(one.steps, shortest.steps)
            else np.interp(shortest.steps, one.steps, one.values)
            for one in found
        ]
    )
    rows = np.where(np.isfinite(rows), rows, np.nan)
    return Band(shortest.steps, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))


def thinned(band: Band) -> Band:
    """At most about so many points as the paper has room for; the last is kept."""
    count = len(band.steps)
    places = np.unique(np.r_[np.arange(0, count, max(1, count // POINTS)), count - 1])
    return Band(*(part[places] for part in band))


def _whole(run: Run, training: TrainingRecord) -> bool:
    return run.steps_per_epoch[training.label] == 1


def _smoothed(steps: np.ndarray, values: np.ndarray, whole: bool) -> Series:
    window = 1 if whole else max(1, len(values) // POINTS, min(len(values) // 10, 20))
    if window == 1 or len(values) < 2:
        return Series(steps, values)
    with np.errstate(invalid="ignore"):
        mean = np.convolve(values, np.full(window, 1 / window), "valid")
    return Series(steps[window - 1 :] - window // 2, mean)
