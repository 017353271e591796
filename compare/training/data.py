"""The rows of an experiment, cut from a data set as its settings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compare.records.run import DataRecord
from compare.spec.experiment import DataSettings
from experiments import datasets
from experiments.errors import InputError


class Rows(NamedTuple):
    """A split as arrays: inputs (N, …) float32, targets (N,) int64."""

    inputs: np.ndarray
    targets: np.ndarray


class Splits(NamedTuple):
    """What is trained on, what is held out, and what is tested on, where there is any of it."""

    train: Rows
    validation: Rows | None
    test: Rows | None

    def named(self) -> dict[str, Rows]:
        """The splits that there are, by the names that the records use."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in found.items() if rows is not None}

    def map(self, function: Callable[[Rows], Rows]) -> Splits:
        """The same with each split changed."""
        train, *others = self
        return Splits(function(train), *(r if r is None else function(r) for r in others))


def load_splits(
    data: DataSettings, *, sample: bool, data_dir: Path | None, folder: Path = Path()
) -> tuple[Splits, DataRecord, np.ndarray]:
    """Load the data set and cut it.

    Args:
        data: What the experiment says of it.
        sample: Take the sample instead.
        data_dir: Where the data is.
        folder: Where the experiment's file is, for an ``.npz`` file beside it.

    Returns:
        The splits, as the data set has them; what the report says of them; and pictures of the
        test rows, uint8 (N, H, W), for data that can be looked at (else of length 0).
    """
    if sample and data.sample is None:
        raise InputError(f"--sample: the data set {data.name!r} has no sample.")
    name = data.sample if sample and data.sample else data.name
    found = datasets.load(name, data_dir=data_dir, folder=folder)
    train = Rows(found.train.inputs, found.train.targets)
    if data.limit is not None:
        train = Rows(train.inputs[: data.limit], train.targets[: data.limit])
    held_out = round(len(train.targets) * data.validation)
    kept = len(train.targets) - held_out
    if kept < 1:
        raise InputError(f"data.validation = {data.validation} leaves no row to train on.")
    validation = Rows(train.inputs[kept:], train.targets[kept:]) if held_out else None
    train = Rows(train.inputs[:kept], train.targets[:kept])
    test = Rows(found.test.inputs, found.test.targets) if len(found.test.targets) else None
    record = DataRecord(
        name=found.name,
        title=found.title,
        source=found.source,
        licence=found.licence,
        digests=dict(found.digests),
        class_names=list(found.class_names),
        input_shape=list(train.inputs.shape[1:]),
        train_rows=len(train.targets),
        validation_rows=held_out,
        test_rows=len(test.targets) if test else 0,
        class_counts={
            name: np.bincount(rows.targets, minlength=len(found.class_names)).tolist()
            for name, rows in Splits(train, validation, test).named().items()
        },
        input_range=(float(train.inputs.min()), float(train.inputs.max())),
    )
    return Splits(train, validation, test), record, pictures_of(test)


def laid_out(splits: Splits, layout: str) -> Splits:
    """The same splits, each input a row of numbers where ``layout`` is ``flat``."""

    def shaped(rows: Rows) -> Rows:
        return Rows(rows.inputs.reshape(len(rows.inputs), -1), rows.targets)

    return splits if layout != "flat" else splits.map(shaped)


def pictures_of(test: Rows | None) -> np.ndarray:
    """Grey values of rows, where they are images of one channel, from 0 to 1."""
    is_grey = test is not None and test.inputs.ndim == 4 and test.inputs.shape[1] == 1
    if test is None or not is_grey or test.inputs.min() < 0 or test.inputs.max() > 1:
        return np.empty((0, 0, 0), np.uint8)
    return np.round(test.inputs[:, 0] * 255).astype(np.uint8)
