"""The trainings of a run: which there are, and making them one after another.

Whoever makes trainings, here or in other processes, is given a list of :class:`Wanted` and yields
what becomes of them: :class:`Made` or :class:`Failed`. One that ends in an error costs only itself.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compare.records.run import FailureRecord, TrainingRecord
from compare.records.tables import Key, TrainingLog
from compare.spec.experiment import Configuration, Experiment
from compare.spec.model import ModelSpec
from compare.training.data import Splits, laid_out
from compare.training.lockstep import LockStep, Observer
from experiments.errors import InputError


class Wanted(NamedTuple):
    """A training that is to be made."""

    configuration: Configuration
    seed: int

    @property
    def key(self) -> Key:
        """Its label and its seed, which are its name in the records."""
        return (self.configuration.label, self.seed)


class Made(NamedTuple):
    """A training as far as it is; its record says whether it is finished."""

    record: TrainingRecord
    log: TrainingLog


class Failed(NamedTuple):
    """A training that ended in an error. What it had found is not kept."""

    record: FailureRecord


Outcome = Made | Failed

LARGE = 1_000_000
"""Networks with more parameters are cleared away at once when their training is over.

Modules refer to themselves, so the garbage collector alone finds them, and it counts objects, not
their gigabytes.
"""

ERRORS = (Exception, SystemExit)
"""What costs one training; Ctrl-C ends the run."""


def all_wanted(experiment: Experiment) -> list[Wanted]:
    """Every training of an experiment, in the order of its records: seed by seed."""
    return [
        Wanted(configuration, seed)
        for seed in experiment.training.seeds
        for configuration in experiment.configurations
    ]


def one_after_another(
    wanted: Iterable[Wanted],
    model_specs: dict[str, ModelSpec],
    splits: Splits,
    observer: Observer,
    max_steps: int | None,
) -> Generator[Outcome]:
    """Make trainings in this process.

    Yields:
        A training when it begins and after each of its epochs, so that it can be recorded, and
        when it is finished; or its failure.
    """
    for training in wanted:
        made = None
        try:
            for made in train(
                training, model_specs[training.configuration.label], splits, observer, max_steps
            ):
                yield made
        except BrokenPipeError:
            raise  # nobody reads what the observer prints: the end of the run
        except ERRORS as error:
            yield Failed(failure(training.key, error))
        if made is not None and made.record.parameters > LARGE:
            gc.collect()


def train(
    training: Wanted,
    model_spec: ModelSpec,
    splits: Splits,
    observer: Observer,
    max_steps: int | None,
) -> Iterator[Made]:
    """Make one training, pausing at its beginning, after each epoch, and at its end."""
    lockstep = LockStep(
        training.configuration,
        model_spec,
        training.seed,
        laid_out(splits, training.configuration.experiment.data.layout),
        TrainingLog(*training.key),
        observer,
        max_steps,
    )
    made = Made(lockstep.record, lockstep.log)
    yield made
    # PyTorch says nothing of an overflow; on both sides the losses show it.
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in lockstep.train():
            yield made
    made.log.settle()
    yield made


def failure(key: Key, error: BaseException) -> FailureRecord:
    """What is recorded of an error: what it says, its place, and the whole traceback."""
    label, seed = key
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    if not isinstance(error, InputError):
        said = f"{type(error).__name__}: {said}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, InputError):
        said += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    text = "".join(traceback.format_exception(error))
    return FailureRecord(label=label, seed=seed, error=said, traceback=text)
