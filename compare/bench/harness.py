"""What the harness costs: a lock-step training against the two plain trainings that it replaces.

A plain training draws the order of the rows, makes every step and evaluates all splits before the
first and after each epoch, on one backend, and compares nothing. The lock-step training does the
same on both backends, certifies steps on the way, follows PyTorch replicas for the drift, and
writes its tables after each epoch. All three are timed epoch by epoch, in turn, each in a process
of its own. The data is made up, of the size of MNIST; the network is that of the experiment.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import numpy_nn
from compare.analysis.timings import RESAMPLES
from compare.backends.environment import default_threads
from compare.bench.records import HarnessRecord, Protocol, RatioRecord
from compare.records.atomic import write_atomically
from compare.spec.experiment import Configuration
from compare.spec.loading import load_experiment
from compare.spec.model import model_spec
from compare.training.data import Rows, Splits

NAMES = ("lockstep", "numpy", "torch")


@dataclass(frozen=True)
class BenchTraining:
    """A whole training of an experiment, on made-up data.

    Attributes:
        label: The training's label.
        experiment: The experiment's name.
        rows: Training rows.
        test_rows: Test rows.
        epochs: How many, or None for as many as the experiment says.
    """

    label: str
    experiment: str = "mnist_bn_mlp"
    rows: int = 60_000
    test_rows: int = 10_000
    epochs: int | None = None

    def plan(self) -> Configuration:
        """The plan of this training, from the experiment's file."""
        changes = [] if self.epochs is None else [f"training.epochs={self.epochs}"]
        _, experiment = load_experiment(self.experiment, changes)
        return next(plan for plan in experiment.configurations if plan.label == self.label)

    def splits(self) -> Splits:
        """Pixels between 0 and 1 and classes from 0 to 9, as flat rows."""
        random = np.random.default_rng(0)

        def rows(count: int) -> Rows:
            return Rows(random.random((count, 784), np.float32), random.integers(0, 10, count))

        return Splits(rows(self.rows), None, rows(self.test_rows))


TRAININGS = (BenchTraining("SGD"), BenchTraining("Adam"))


def lockstep_epochs(plan: Configuration, splits: Splits) -> Iterator[Any]:
    """Train in lock step, an epoch at a time; gives the LockStep."""
    from compare.records.tables import TABLES, TrainingLog
    from compare.training.lockstep import LockStep

    findings, observer = TrainingLog(plan.label, 0), _SilentObserver()
    network = model_spec(plan.experiment, plan.optimizer)
    lockstep = LockStep(plan, network, 0, splits, findings, observer)
    with tempfile.TemporaryDirectory() as folder, np.errstate(over="ignore", invalid="ignore"):
        for _ in lockstep.train():
            for table in TABLES:
                write_atomically(Path(folder, f"{table}.csv"), findings.text(table))
            yield lockstep


class _SilentObserver:
    """An observer of a training that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def plain_epochs(plan: Configuration, splits: Splits, name: str) -> Iterator[Any]:
    """Train on one backend alone, an epoch at a time; gives the backend."""
    from compare.training.lockstep import batches

    if name == "numpy":
        from compare.backends.numpy_backend import NumpyBackend as Backend
    else:
        from compare.backends.torch_backend import TorchBackend as Backend  # type: ignore[assignment]
    training = plan.experiment.training
    backend = Backend(model_spec(plan.experiment, plan.optimizer), training.dtype, 0)
    held = {name: backend.rows(*rows) for name, rows in splits.named().items()}
    for rows in held.values():
        backend.evaluate(rows)
    for _ in range(training.epochs):
        order = backend.permutation(len(splits.train.targets))
        for indices in batches(order, training.batch_size):
            backend.train_step(backend.batch(held["train"], indices))
        for rows in held.values():
            backend.evaluate(rows)
        yield backend


# The trainings of this process, by name.
_trainings: dict[str, Iterator[Any]] = {}


def begin(name: str, training: BenchTraining) -> None:
    """Load the code and make the data of a training; its first epoch makes the network."""
    import_module("compare.training.lockstep")
    plan, splits = training.plan(), training.splits()
    lockstep = name == "lockstep"
    _trainings[name] = (
        lockstep_epochs(plan, splits) if lockstep else plain_epochs(plan, splits, name)
    )


def next_epoch(name: str) -> tuple[float, int, int]:
    """Seconds of the next epoch; of the lock step, steps and certified steps so far."""
    begun = time.perf_counter()
    trained = next(_trainings[name])
    seconds = time.perf_counter() - begun
    record = getattr(trained, "record", None)
    return (seconds, 0, 0) if record is None else (seconds, record.steps, len(record.kinks))


def measure_harness(
    training: BenchTraining,
    protocol: Protocol,
    worker: Callable[[int], Any],
    progress: Callable[[str], None] = lambda line: None,
) -> HarnessRecord:
    """Train three times, epoch by epoch in turn, and compare the times.

    Args:
        training: What to train.
        protocol: Threads at most, and the pause; a run gives the network no more threads than
            suit it.
        worker: Makes a worker with so many threads.
        progress: Is given a line about every epoch.
    """
    plan = training.plan()
    network = model_spec(plan.experiment, plan.optimizer).model(numpy_nn)
    threads = min(protocol.threads, default_threads(network))
    workers = {name: worker(threads) for name in NAMES}
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    counts = (0, 0)
    try:
        for name in NAMES:
            workers[name].call(begin, name, training)
        for number in range(plan.experiment.training.epochs):
            progress(f"harness: {training.experiment}, {training.label}, epoch {number + 1}")
            for name in map(str, np.random.default_rng([0, number]).permutation(list(NAMES))):
                time.sleep(protocol.pause_s)
                taken, *made = workers[name].call(next_epoch, name)
                seconds[name].append(taken)
                counts = max(counts, tuple(made))
    finally:
        for one in workers.values():
            one.close()
    lockstep_s = seconds.pop("lockstep")
    return HarnessRecord(
        experiment=training.experiment,
        label=training.label,
        threads=threads,
        steps=counts[0],
        certified_steps=counts[1],
        lockstep_s=lockstep_s,
        plain_s=seconds,
        over_plain=ratio_of_sums(lockstep_s, *seconds.values()),
    )


def ratio_of_sums(above: list[float], *below: list[float]) -> RatioRecord:
    """Σ above / Σ below, with a bootstrap interval over epochs, the first of which stays.

    The first epoch is unlike the others (two thirds of the certificates, all replicas), so
    it is in every draw; the others are drawn with replacement.

    Args:
        above: Seconds of each epoch.
        below: Seconds of each epoch of what it is compared with; all are added.
    """
    over, under = np.array(above), np.sum(below, axis=0)
    value, rest = float(over.sum() / under.sum()), len(over) - 1
    if rest < 1:
        return RatioRecord(value=value, low=value, high=value)
    drawn = np.random.default_rng(0).integers(1, rest + 1, (RESAMPLES, rest))
    ratios = (over[0] + over[drawn].sum(axis=1)) / (under[0] + under[drawn].sum(axis=1))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return RatioRecord(value=value, low=float(low), high=float(high))
