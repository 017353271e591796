"""One training made in another process: what travels there, what is done, what comes back.

The process reads the data itself, once, by the very call that the run made, and keeps it for the
trainings that follow. That takes each process a few seconds and its own copy (190 MB for full
MNIST, where PyTorch makes another one anyway), and is the same for a process beside this one and
for one on another machine, which no memory map reaches. The digests tell whether it is the same
data; versions and a digest of the user's own architecture tell whether it is the same code.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from compare.backends.environment import numpy_blas, own_version, set_threads
from compare.records.run import FailureRecord, TrainingRecord
from compare.spec.experiment import DataSettings
from compare.spec.model import model_spec
from compare.training.data import Splits, load_splits
from compare.training.serial import ERRORS, Failed, Made, Outcome, Wanted, failure, train
from experiments.datasets.location import VARIABLE
from experiments.errors import InputError


class Source(NamedTuple):
    """Where a process finds the data, and how it knows that it is the right data.

    Attributes:
        data: The form.
        sample: Whether the small data set is meant.
        data_dir: The folder that was named, or None.
        variable: What ``$NNCOMPARE_DATA`` is here, for a process that has none of its own.
        digests: Those of the files that the run read.
    """

    data: DataSettings
    sample: bool
    data_dir: Path | None
    variable: str | None
    digests: dict[str, str]


class Task(NamedTuple):
    """A training, and all that another process needs to make it.

    Attributes:
        wanted: Which training.
        folder: Where the experiment's file is, and beside it an architecture or data of its own.
        code: Digest of that file, and versions of the libraries.
        source: Its data.
        blas: NumPy's matrix library and kernels in the run.
        threads: Of each side.
        max_steps: Stop after so many updates.
    """

    wanted: Wanted
    folder: Path
    code: dict[str, str]
    source: Source
    blas: str
    threads: int
    max_steps: int | None


def source_of(
    data: DataSettings, sample: bool, data_dir: Path | None, digests: dict[str, str]
) -> Source:
    """Where the data is that was read here."""
    named = os.environ.get(VARIABLE)
    return Source(
        data,
        sample,
        None if data_dir is None else _absolute(data_dir),
        str(_absolute(named)) if named else None,
        digests,
    )


def task_of(
    wanted: Wanted, folder: Path, source: Source, threads: int, max_steps: int | None
) -> Task:
    """A training with the code that is here."""
    folder = _absolute(folder)
    code = code_of(wanted.configuration.experiment.model.architecture, folder)
    return Task(wanted, folder, code, source, numpy_blas(), threads, max_steps)


def _absolute(path: Path | str) -> Path:
    return Path(path).expanduser().absolute()


class Said(NamedTuple):
    """A warning: its text, the built-in class that it belongs to, and its place."""

    text: str
    category: type[Warning]
    file: str
    line: int


class Evaluated(NamedTuple):
    """The last evaluation of a side: the arguments of ``Observer.epoch``."""

    backend: str
    epoch: int
    split: str
    loss: float
    accuracy: float


class Reply(NamedTuple):
    """What comes back from another process."""

    outcome: Outcome
    warned: list[Said]
    evaluated: list[Evaluated]


class GivenUp(BaseException):
    """The run has ended and nobody waits for this training."""


def _nobody_gives_up() -> bool:
    return False


class _Listener:
    """An observer that keeps the last evaluation of each side, and ends what nobody waits for."""

    def __init__(self, given_up: Callable[[], bool]) -> None:
        self._given_up = given_up
        self._evaluated: dict[str, Evaluated] = {}

    @property
    def evaluated(self) -> list[Evaluated]:
        return list(self._evaluated.values())

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        if self._given_up():
            raise GivenUp

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        last = self._evaluated.get(backend)
        if split == "test" or last is None or last.split != "test":
            self._evaluated[backend] = Evaluated(backend, epoch, split, loss, accuracy)

    def expect(self, made: int, trainings: int) -> None: ...
    def begin(self, optimizer: str, seed: int, steps: int) -> None: ...
    def end(self, training: TrainingRecord) -> None: ...
    def failed(self, failure: FailureRecord) -> None: ...


# Both sides draw from generators of the whole process: two trainings at once in the threads of
# one process, which a Dask worker may have, would disturb each other.
_ONE_AT_A_TIME = threading.Lock()


def perform(task: Task, given_up: Callable[[], bool] = _nobody_gives_up) -> Reply:
    """Make a training in this process. Errors come back as a :class:`Failed`."""
    listener = _Listener(given_up)
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # the filters of the run decide, once they are there
        try:
            outcome: Outcome = _make(task, listener)
        except ERRORS as error:
            outcome = Failed(failure(task.wanted.key, error))
        # Only the built-in classes are sure to be known in the other process.
        said = [
            Said(
                str(w.message),
                next(c for c in w.category.__mro__ if c.__module__ == "builtins"),
                w.filename,
                w.lineno,
            )
            for w in caught
        ]
    return Reply(outcome, said, listener.evaluated)


def _make(task: Task, listener: _Listener) -> Made:
    experiment = task.wanted.configuration.experiment
    here = code_of(experiment.model.architecture, task.folder)
    for name, there in task.code.items():
        if here[name] != there:
            raise InputError(
                f"{name} is {here[name]} where the training was to be made, and {there} in the run."
            )
    if numpy_blas() != task.blas:
        # Right all the same, and certified; the kernels of processors round in other ways.
        warnings.warn(
            f"a training was made with {numpy_blas()}, where the run has {task.blas}: in its last "
            "bits it differs from one made there",
            stacklevel=2,
        )
    set_threads(task.threads)
    configurations = model_spec(experiment, task.wanted.configuration.optimizer, task.folder)
    splits = _splits(task.source, task.folder)
    *_, made = train(task.wanted, configurations, splits, listener, task.max_steps)
    return made


def code_of(architecture: str, folder: Path) -> dict[str, str]:
    """What code a training is made with: versions, and the digest of the user's own file."""
    found = {"numpy": np.__version__, "torch": torch.__version__, "nncompare": own_version()}
    file_name, colon, _ = architecture.rpartition(":")
    if colon:
        content = (folder / file_name).read_bytes()
        found[f"the code of {file_name}"] = hashlib.sha256(content).hexdigest()[:12]
    return found


def _splits(source: Source, folder: Path) -> Splits:
    if source.variable:
        os.environ.setdefault(VARIABLE, source.variable)
    return _loaded(
        source.data.model_dump_json(),
        source.sample,
        source.data_dir,
        folder,
        tuple(source.digests.items()),
    )


@lru_cache(maxsize=1)
def _loaded(
    data: str,
    sample: bool,
    data_dir: Path | None,
    folder: Path,
    digests: tuple[tuple[str, str], ...],
) -> Splits:
    form = DataSettings.model_validate_json(data)
    splits, record, _ = load_splits(form, sample=sample, data_dir=data_dir, folder=folder)
    if tuple(record.digests.items()) != digests:
        raise InputError(f"The data {record.name!r} is other data here than in the run.")
    return splits
