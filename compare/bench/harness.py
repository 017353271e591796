"""What the harness costs: a lock-step training against the two plain trainings that it replaces.

A plain training draws the order of the rows, makes every step and evaluates all splits before the
first and after each epoch, on one backend, and compares nothing. The lock-step training does the
same on both backends, certifies steps on the way, follows PyTorch replicas for the drift, and
writes its tables after each epoch. All three are timed epoch by epoch, in turn, each in a process
of its own. The data is synthetic, of the size of MNIST;
a convolutional network gets a sixth of its rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.environment import default_threads
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.bench.records import HarnessRecord, Protocol
from compare.records.atomic import write_atomically
from compare.records.tables import TABLES, TrainingLog
from compare.spec.experiment import Configuration
from compare.spec.loading import load_experiment
from compare.spec.model import model_spec
from compare.training.data import Rows, Splits
from compare.training.lockstep import EVALUATED_ROWS, LockStep, batches, total_steps

EXPERIMENT = "mnist_bn_mlp"
CASES = ((EXPERIMENT, "SGD"), (EXPERIMENT, "Adam"), ("mnist_cnn", "Adam"))
"""Experiments and their configurations that are timed."""
TRAIN_ROWS, TEST_ROWS = 60_000, 10_000
IMAGE_SHARE = 6
"""A network that takes images, whose steps are long, gets a part of the rows, one in so many."""
TRAININGS = ("lockstep", "numpy", "torch")


def configuration_of(label: str, name: str = EXPERIMENT) -> Configuration:
    """The training of an experiment that is timed."""
    _, experiment = load_experiment(name)
    return next(one for one in experiment.configurations if one.label == label)


def synthetic_splits(layout: str = "flat") -> Splits:
    """Pixels between 0 and 1 and classes from 0 to 9, as flat rows or as fewer images."""
    flat = layout == "flat"
    shape, share = ((784,), 1) if flat else ((1, 28, 28), IMAGE_SHARE)
    random = np.random.default_rng(0)

    def rows(count: int) -> Rows:
        return Rows(random.random((count, *shape), np.float32), random.integers(0, 10, count))

    return Splits(rows(TRAIN_ROWS // share), None, rows(TEST_ROWS // share))


def lockstep_epochs(configuration: Configuration, splits: Splits) -> Iterator[LockStep]:
    """Train in lock step, an epoch at a time."""
    spec = model_spec(configuration.experiment, configuration.optimizer)
    log = TrainingLog(configuration.label, 0)
    lockstep = LockStep(configuration, spec, 0, splits, log, _SilentObserver())
    with tempfile.TemporaryDirectory() as folder, np.errstate(over="ignore", invalid="ignore"):
        for _ in lockstep.train():
            for table in TABLES:
                write_atomically(Path(folder, f"{table}.csv"), log.text(table))
            yield lockstep


class _SilentObserver:
    """An observer of a training that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def plain_epochs(
    configuration: Configuration,
    splits: Splits,
    name: str,
    max_steps: int | None = None,
    seed: int = 0,
) -> Iterator[Any]:
    """Train on one backend alone, an epoch at a time; gives the backend.

    Evaluations are those of a run: large training sets on their first rows before the end.
    """
    training = configuration.experiment.training
    spec = model_spec(configuration.experiment, configuration.optimizer)
    make: Any = NumpyBackend if name == "numpy" else TorchBackend
    backend = make(spec, training.dtype, seed)
    rows, size = training.evaluate_rows, len(splits.train.targets)
    left = total_steps(configuration.experiment, size, max_steps)
    held = {split: backend.rows(*rows) for split, rows in splits.named().items()}
    first = {"train": EVALUATED_ROWS if rows is None else rows}
    for split, data in held.items():
        backend.evaluate(data, first.get(split, rows))
    for epoch in range(1, training.epochs + 1):
        order = backend.permutation(len(splits.train.targets))
        for indices in islice(batches(order, training.batch_size), left):
            backend.train_step(backend.batch(held["train"], indices))
            left -= 1
        last = not left or epoch == training.epochs
        for split, data in held.items() if last or epoch % training.evaluate_every == 0 else ():
            backend.evaluate(data, rows if last else first.get(split, rows))
        yield backend
        if not left:
            break


@cache
def epochs_of(name: str, label: str, experiment: str = EXPERIMENT) -> Iterator[Any]:
    """The training of this process, with its data; its first epoch makes the network."""
    configuration = configuration_of(label, experiment)
    splits = synthetic_splits(configuration.experiment.data.layout)
    if name == "lockstep":
        return lockstep_epochs(configuration, splits)
    return plain_epochs(configuration, splits, name)


def next_epoch(name: str, label: str, experiment: str = EXPERIMENT) -> tuple[float, int, int]:
    """Seconds of the next epoch; of the lock step, steps and certified steps so far."""
    epochs = epochs_of(name, label, experiment)
    begun = time.perf_counter()
    trained = next(epochs)
    seconds = time.perf_counter() - begun
    if name == "lockstep":
        return seconds, trained.record.steps, len(trained.record.kinks)
    return seconds, 0, 0


def measure_harness(
    label: str,
    protocol: Protocol,
    worker: Callable[[int], Any],
    progress: Callable[[str], None],
    experiment: str = EXPERIMENT,
) -> HarnessRecord:
    """Train three times, epoch by epoch in turn, with the threads that a run would use."""
    configuration = configuration_of(label, experiment)
    network = model_spec(configuration.experiment, configuration.optimizer).model(numpy_nn)
    threads = min(protocol.threads, default_threads(network))
    workers = {name: worker(threads) for name in TRAININGS}
    epochs_s: dict[str, list[float]] = {name: [] for name in TRAININGS}
    steps = certified_steps = 0
    random = np.random.default_rng(0)
    try:
        for epoch in range(1, configuration.experiment.training.epochs + 1):
            progress(f"harness: {experiment}, {label}, epoch {epoch}")
            for name in map(str, random.permutation(TRAININGS)):
                time.sleep(protocol.pause_s)
                seconds, *counts = workers[name].call(next_epoch, name, label, experiment)
                epochs_s[name].append(seconds)
                if name == "lockstep":
                    steps, certified_steps = counts
    finally:
        for one in workers.values():
            one.close()
    return HarnessRecord(
        title=f"{experiment}, {label}",
        threads=threads,
        steps=steps,
        certified_steps=certified_steps,
        epochs_s=epochs_s,
    )
