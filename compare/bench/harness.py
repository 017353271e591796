"""What the harness costs: a lock-step training against the two plain trainings it replaces.

A plain training draws the order of the rows, makes every step and evaluates all splits before the
first and after each epoch, on one side, with nothing compared. The lock-step training does the same
on both sides and on top certifies the first twenty steps and ten more, follows PyTorch replicas for
the drift, and writes its tables after each epoch. All three are timed epoch by epoch, in
turn, each in a process of its own. The data is made up, of the size of MNIST; the network is that
of the experiment.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compare.analysis.timings import RESAMPLES, Ratio
from compare.bench.host import Host
from compare.bench.records import HarnessRecord, RatioRecord

EXPERIMENT = "mnist_bn_mlp"
NAMES = ("lockstep", "plain-numpy", "plain-torch")


@dataclass(frozen=True)
class Training:
    """A whole training of an experiment, on made-up data of its usual size.

    Attributes:
        experiment: Its name.
        optimizer: Its label.
        rows: Training rows; MNIST's 60,000.
        test_rows: Test rows; MNIST's 10,000.
        epochs: How many, or None for as many as the experiment says.
    """

    experiment: str = EXPERIMENT
    optimizer: str = "SGD"
    rows: int = 60_000
    test_rows: int = 10_000
    epochs: int | None = None

    @property
    def title(self) -> str:
        """``mnist_bn_mlp, SGD``."""
        return f"{self.experiment}, {self.optimizer}"

    def plan(self) -> Any:
        """The plan of this optimizer."""
        from compare.spec.loading import load_experiment

        changes = [] if self.epochs is None else [f"training.epochs={self.epochs}"]
        _, experiment = load_experiment(self.experiment, changes)
        return next(p for p in experiment.configurations if p.label == self.optimizer)

    def threads(self) -> int:
        """As many as a run gives the network, each side."""
        import numpy_nn
        from compare.backends.environment import default_threads
        from compare.spec.model import model_spec

        plan = self.plan()
        return default_threads(model_spec(plan.experiment, plan.optimizer).model(numpy_nn))

    def splits(self) -> Any:
        """Pixels between 0 and 1 and classes from 0 to 9, as flat rows."""
        from compare.training.data import Rows, Splits

        random = np.random.default_rng(0)

        def rows(count: int) -> Rows:
            return Rows(random.random((count, 784), np.float32), random.integers(0, 10, count))

        return Splits(rows(self.rows), None, rows(self.test_rows))


class Lockstep:
    """The lock-step training, an epoch at a time."""

    dtype = "float32"
    phases: tuple[str, ...] = ("epoch",)

    def __init__(self, training: Training) -> None:
        self.training, self.plan, self.splits = training, training.plan(), training.splits()
        self._epochs: Iterator[None] | None = None
        self.made: Any = None
        self.certified = self.steps = 0

    def epoch(self) -> float | None:
        """Seconds of the next epoch, None when there is none left."""
        begun = time.perf_counter()
        if self._epochs is None:
            self._epochs = self._begin()
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                next(self._epochs)
        except StopIteration:
            return None
        return time.perf_counter() - begun

    def counts(self) -> tuple[int, int]:
        """(steps, certified steps) so far."""
        return self.steps, self.certified

    def _begin(self) -> Iterator[None]:
        from compare.records.tables import TrainingLog
        from compare.spec.model import model_spec
        from compare.training.lockstep import LockStep

        log = TrainingLog(self.plan.label, 0)
        self.made = made = LockStep(
            self.plan,
            model_spec(self.plan.experiment, self.plan.optimizer),
            0,
            self.splits,
            log,
            _Nobody(),
        )
        with tempfile.TemporaryDirectory() as folder:
            for _ in made.train():
                _write(Path(folder), log)
                self.steps, self.certified = made.record.steps, len(made.record.kinks)
                yield


def _write(folder: Path, log: Any) -> None:
    from compare.records.atomic import write_atomically
    from compare.records.tables import TABLES

    for table in TABLES:
        write_atomically(folder / f"{table}.csv", log.text(table))


class _Nobody:
    """An observer that looks away."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


class Plain:
    """The training of one side alone, an epoch at a time."""

    dtype = "float32"
    phases: tuple[str, ...] = ("epoch",)

    def __init__(self, training: Training, backend: str) -> None:
        self.training, self.backend = training, backend
        self.plan, self.splits = training.plan(), training.splits()
        self._epochs: Iterator[None] | None = None
        self.side: Any = None

    def epoch(self) -> float | None:
        """Seconds of the next epoch, None when there is none left."""
        begun = time.perf_counter()
        if self._epochs is None:
            self._epochs = self._train()
        try:
            next(self._epochs)
        except StopIteration:
            return None
        return time.perf_counter() - begun

    def _train(self) -> Iterator[None]:
        from compare.spec.model import model_spec
        from compare.training.lockstep import batches

        experiment = self.plan.experiment
        if self.backend == "numpy":
            from compare.backends.numpy_backend import NumpyBackend as Made
        else:
            from compare.backends.torch_backend import TorchBackend as Made  # type: ignore[assignment]
        self.side = side = Made(
            model_spec(experiment, self.plan.optimizer), experiment.training.dtype, 0
        )
        held = {name: side.rows(*rows) for name, rows in self.splits.named().items()}
        for rows in held.values():
            side.evaluate(rows)
        for _ in range(experiment.training.epochs):
            order = side.permutation(len(self.splits.train.targets))
            for indices in batches(order, experiment.training.batch_size):
                side.train_step(side.batch(held["train"], indices))
            for rows in held.values():
                side.evaluate(rows)
            yield


def measure_harness(
    training: Training,
    host_of: Callable[[str], Host],
    threads: int,
    pause_s: float,
    progress: Callable[[str], None] = lambda line: None,
) -> HarnessRecord:
    """Train three times, epoch by epoch in turn, and compare the times.

    Args:
        training: What to train.
        host_of: Name → where that training takes place.
        threads: Of each library in those hosts, for the record.
        pause_s: Between epochs, for the thread pools to fall asleep.
        progress: Told of every epoch.
    """
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for name in NAMES:
        host_of(name).prepare(name, training)
    number, going = 0, True
    while going:
        order = np.random.default_rng([0, number]).permutation(list(NAMES))
        for name in order:
            time.sleep(pause_s)
            taken = host_of(name).call(name, "epoch")
            if taken is None:
                going = False
            else:
                seconds[str(name)].append(taken)
        number += 1
        if going:
            progress(f"{training.title}: epoch {number}")
    steps, certified = host_of(NAMES[0]).call(NAMES[0], "counts")
    for name in NAMES:
        host_of(name).drop(name)
    plain = {"numpy": seconds["plain-numpy"], "torch": seconds["plain-torch"]}
    ratio = ratio_of_sums(seconds["lockstep"], plain["numpy"], plain["torch"])
    return HarnessRecord(
        experiment=training.experiment,
        optimizer=training.optimizer,
        threads=threads,
        steps=steps,
        certified_steps=certified,
        lockstep_s=seconds["lockstep"],
        plain_s=plain,
        over_plain=RatioRecord(**ratio._asdict()),
    )


def ratio_of_sums(above: list[float], *below: list[float]) -> Ratio:
    """Σ above / Σ below, with a bootstrap interval over places, the first of which stays.

    The first epoch is unlike the others (two thirds of the certificates, all replicas), so
    it is in every draw; the others are drawn with replacement.

    Args:
        above: Seconds of each epoch.
        below: Seconds of each epoch of what it is compared with; all are added.
    """
    over, under = np.array(above), np.sum(below, axis=0)
    rest = len(over) - 1
    value = float(over.sum() / under.sum())
    if rest < 1:
        return Ratio(value, value, value)
    drawn = np.random.default_rng(0).integers(1, rest + 1, (RESAMPLES, rest))
    ratios = (over[0] + over[drawn].sum(axis=1)) / (under[0] + under[drawn].sum(axis=1))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(value, float(low), float(high))
