"""Trainings as jobs: what one needs, performing it, and its result.

A :class:`TrainingJob` can be pickled, so that it can be performed anywhere. There are three
executors with one interface, which take jobs and yield results as they come: :func:`run_serially`
here, :func:`compare.training.processes.run_in_processes`, and
:func:`compare.training.cluster.run_on_cluster`. Whichever it is, the records are the same to the
last byte, and a training that ends in an error costs only itself.

Another process reads the data itself, once, as the run did, and keeps it for the jobs that follow.
Forks share what the process that they come from has read
(:mod:`compare.training.fork_server`). Any other takes a few seconds and its own copy (190 MB for
full MNIST), be it beside this one or on another machine, which no memory map reaches. The digests
tell whether it is the same data; versions and a digest of the user's own architecture tell whether
it is the same code.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from compare.backends.environment import numpy_blas, own_version, set_threads
from compare.records.directory import checkpoint_folder
from compare.records.lock import LOCK
from compare.records.run import FailureRecord, TrainingRecord
from compare.records.tables import MOST_ROWS, Key, TrainingLog
from compare.spec.experiment import Configuration, DataSettings, Experiment
from compare.spec.model import ModelSpec, model_spec
from compare.training.checkpoints import CheckpointPlan, Checkpoints, identity_of
from compare.training.data import Splits, laid_out, load_splits
from compare.training.lockstep import LockStep, Observer
from experiments.datasets.download import VARIABLE
from experiments.errors import InputError

LARGE = 1_000_000
"""Networks with more parameters are cleared away at once when their training is over.

Modules refer to themselves, so the garbage collector alone finds them, and it counts objects, not
their gigabytes.
"""

ERRORS = (Exception, SystemExit)
"""Errors that cost one training; Ctrl-C ends the run."""


class DataSource(NamedTuple):
    """Where a process finds the data, and how it knows that it is the right data.

    Attributes:
        settings: The experiment's table ``data``.
        sample: Whether the small data set is meant.
        data_dir: The folder that was named, or None.
        variable: The value of ``$NNCOMPARE_DATA`` in the run, for a process that has none.
        digests: Those of the files that the run read.
    """

    settings: DataSettings
    sample: bool
    data_dir: Path | None
    variable: str | None
    digests: dict[str, str]


class TrainingJob(NamedTuple):
    """One training, and all that any process needs to perform it.

    Attributes:
        configuration: The configuration to train.
        seed: The seed to train it from.
        folder: The folder of the experiment's file, with an architecture or data of its own.
        code: Versions of the libraries, and the digest of an architecture's own file.
        data: Its data.
        blas: NumPy's matrix library and kernels in the run.
        threads: Threads of each backend.
        max_steps: Stop after so many updates.
        checkpoints: Where its checkpoints are, if there are any.
    """

    configuration: Configuration
    seed: int
    folder: Path
    code: dict[str, str]
    data: DataSource
    blas: str
    threads: int
    max_steps: int | None
    checkpoints: CheckpointPlan | None = None

    @property
    def key(self) -> Key:
        """Its label and its seed, which are its name in the records."""
        return (self.configuration.label, self.seed)


class TrainingResult(NamedTuple):
    """A training as far as it is; its record says whether it is finished."""

    record: TrainingRecord
    log: TrainingLog


JobResult = TrainingResult | FailureRecord
"""What an executor yields. Of a training that failed nothing but the failure is kept."""


def data_source(
    settings: DataSettings, sample: bool, data_dir: Path | None, digests: dict[str, str]
) -> DataSource:
    """The data that was read here, for other processes."""
    variable = os.environ.get(VARIABLE)
    return DataSource(
        settings,
        sample,
        None if data_dir is None else _absolute(data_dir),
        str(_absolute(variable)) if variable else None,
        digests,
    )


def training_jobs(
    experiment: Experiment,
    *,
    folder: Path,
    data: DataSource,
    threads: int,
    max_steps: int | None,
    checkpoints: CheckpointPlan | None = None,
) -> list[TrainingJob]:
    """Every training of an experiment in the order of the records, with the code that is here.

    ``checkpoints`` names the folder in which each training has a folder for its own.
    """
    folder, blas = _absolute(folder), numpy_blas()
    code = {
        configuration.label: code_versions(configuration.experiment.model.architecture, folder)
        for configuration in experiment.configurations
    }
    return [
        TrainingJob(
            configuration,
            seed,
            folder,
            code[configuration.label],
            data,
            blas,
            threads,
            max_steps,
            None
            if checkpoints is None
            else checkpoints._replace(
                folder=_absolute(checkpoints.folder)
                / checkpoint_folder((configuration.label, seed))
            ),
        )
        for configuration, seed in experiment.trainings
    ]


def _absolute(path: Path | str) -> Path:
    return Path(path).expanduser().absolute()


def code_versions(architecture: str, folder: Path) -> dict[str, str]:
    """The code of a training: versions, and the digest of an architecture's own file."""
    found = {"numpy": np.__version__, "torch": torch.__version__, "nncompare": own_version()}
    file_name, colon, _ = architecture.rpartition(":")
    if colon:
        content = (folder / file_name).read_bytes()
        found[f"the code of {file_name}"] = hashlib.sha256(content).hexdigest()[:12]
    return found


def run_serially(
    jobs: Iterable[TrainingJob], observer: Observer, splits: Splits
) -> Generator[JobResult]:
    """Perform jobs one after another in this process, on data that was read already."""
    for job in jobs:
        yield from perform(job, observer, splits)


def perform(
    job: TrainingJob, observer: Observer, splits: Splits | None = None
) -> Iterator[JobResult]:
    """Train, and certify on the way.

    Args:
        job: The training.
        observer: Is told of the progress.
        splits: The data, where this process has it; else it is read as the job says.

    Yields:
        The training when it begins, after each epoch, so that it can be recorded, and when it is
        finished. An error is yielded as a failure, and is the end.

    Raises:
        BrokenPipeError: Nobody reads what the observer prints, which is the end of the run.
    """
    result = None
    try:
        for result in _train(job, observer, splits):
            yield result
    except BrokenPipeError:
        raise
    except ERRORS as error:
        yield failure_record(job.key, error)
    if result is not None and result.record.parameters > LARGE:
        gc.collect()


def _train(job: TrainingJob, observer: Observer, splits: Splits | None) -> Iterator[TrainingResult]:
    _check_code(job)
    set_threads(job.threads)
    lockstep = _lockstep(
        job, observer, read_data(job.data, job.folder) if splits is None else splits
    )
    result = TrainingResult(lockstep.record, lockstep.log)
    yield result
    # PyTorch says nothing of an overflow; on both backends the losses show it.
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in lockstep.train():
            yield result
    result.log.drop_rows()
    yield result


def _lockstep(job: TrainingJob, observer: Observer, splits: Splits) -> LockStep:
    """The training from its last whole checkpoint on, or from the beginning."""
    experiment = job.configuration.experiment
    spec = model_spec(experiment, job.configuration.optimizer, job.folder)
    splits = laid_out(splits, experiment.data.layout)
    checkpoints = _checkpoints(job, spec)

    def begin() -> LockStep:
        return LockStep(
            job.configuration,
            spec,
            job.seed,
            splits,
            TrainingLog(*job.key, MOST_ROWS),
            observer,
            job.max_steps,
            checkpoints,
        )

    for snapshot in () if checkpoints is None else checkpoints.read():
        lockstep = begin()
        try:
            lockstep.restore(snapshot)
        except Exception as error:
            warnings.warn(
                f"a checkpoint of {job.configuration.label}, seed {job.seed}, is not used: it does "
                f"not fit the training ({type(error).__name__}: {error})",
                stacklevel=2,
            )
        else:
            return lockstep
    return begin()


def _checkpoints(job: TrainingJob, spec: ModelSpec) -> Checkpoints | None:
    """Those of a training, where the folder of its run is within reach: a worker may be far."""
    plan = job.checkpoints
    if plan is None or not (plan.folder.parent.parent / LOCK).exists():
        return None
    identity = identity_of(
        configuration=job.configuration.experiment.model_dump(mode="json"),
        optimizer=job.configuration.optimizer,
        key=job.key,
        code=job.code,
        blas=numpy_blas(),
        threads=job.threads,
        data=job.data.digests,
        sample=job.data.sample,
        max_steps=job.max_steps,
    )
    return Checkpoints(plan, identity)


def _check_code(job: TrainingJob) -> None:
    here = code_versions(job.configuration.experiment.model.architecture, job.folder)
    for name, version in job.code.items():
        if here[name] != version:
            raise InputError(
                f"{name} is {here[name]} where the training was to be made, and {version} in the "
                "run."
            )
    if (blas := numpy_blas()) != job.blas:
        # Right all the same, and certified; the kernels of processors round in other ways.
        warnings.warn(
            f"a training was made with {blas}, where the run has {job.blas}: in its last "
            "bits it differs from one made there",
            stacklevel=2,
        )


def failure_record(key: Key, error: BaseException) -> FailureRecord:
    """The record of an error: its first line, its place, and the whole traceback."""
    label, seed = key
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    if not isinstance(error, InputError):
        line = f"{type(error).__name__}: {line}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, InputError):
        line += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    text = "".join(traceback.format_exception(error))
    return FailureRecord(label=label, seed=seed, error=line, traceback=text)


# The data, in a process that reads it for itself.


def read_data(source: DataSource, folder: Path) -> Splits:
    """The data of trainings, read here once.

    Args:
        source: Where it is.
        folder: The folder of the experiment's file.

    Raises:
        InputError: It is not here, or is other data.
    """
    if source.variable:
        os.environ.setdefault(VARIABLE, source.variable)
    return _read_once(
        source.settings.model_dump_json(),
        source.sample,
        source.data_dir,
        folder,
        tuple(source.digests.items()),
    )


@lru_cache(maxsize=1)
def _read_once(
    settings: str,
    sample: bool,
    data_dir: Path | None,
    folder: Path,
    digests: tuple[tuple[str, str], ...],
) -> Splits:
    data = DataSettings.model_validate_json(settings)
    splits, record, _ = load_splits(data, sample=sample, data_dir=data_dir, folder=folder)
    if tuple(record.digests.items()) != digests:
        raise InputError(f"The data {record.name!r} is other data here than in the run.")
    return splits


# A job performed by another process: its result, and all that an observer of the run should know.


class CaughtWarning(NamedTuple):
    """A warning: its text, the built-in class that it belongs to, and its place."""

    text: str
    category: type[Warning]
    file: str
    line: int


class Evaluation(NamedTuple):
    """The last evaluation of a backend: the arguments of ``Observer.epoch``."""

    backend: str
    epoch: int
    split: str
    loss: float
    accuracy: float


class RemoteResult(NamedTuple):
    """What comes back from another process."""

    result: JobResult
    warnings: list[CaughtWarning]
    evaluations: list[Evaluation]


class Cancelled(BaseException):
    """The run has ended; the result of this job is no longer awaited."""


class _RemoteObserver:
    """Keeps the last evaluation of each backend, and ends a job that was cancelled.

    Args:
        cancelled: Whether it was.
        meter: A file of float64, and the place in it that says how much of the job is made.
    """

    def __init__(
        self, cancelled: Callable[[], bool], meter: tuple[Path, int] | None = None
    ) -> None:
        self._cancelled = cancelled
        self._evaluations: dict[str, Evaluation] = {}
        self._made: dict[str, int] = {}
        self._all = 1
        self._place = 0 if meter is None else meter[1]
        self._meter = None if meter is None else np.memmap(meter[0], np.float64, "r+")

    @property
    def evaluations(self) -> list[Evaluation]:
        return list(self._evaluations.values())

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        if self._cancelled():
            raise Cancelled
        self._made[backend] = step
        if self._meter is not None:
            self._meter[self._place] = min(sum(self._made.values()) / self._all, 1.0)

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        last = self._evaluations.get(backend)
        if split == "test" or last is None or last.split != "test":
            self._evaluations[backend] = Evaluation(backend, epoch, split, loss, accuracy)

    def expect(self, finished: int, trainings: int) -> None: ...
    def going_on(self, trainings: float) -> None: ...

    def begin(self, label: str, seed: int, steps: int) -> None:
        self._all = 2 * steps  # on both backends

    def end(self, training: TrainingRecord) -> None: ...
    def failed(self, failure: FailureRecord) -> None: ...


# Both backends draw from generators of the whole process: two trainings at once in the threads of
# one process, which a Dask worker may have, would disturb each other.
_ONE_AT_A_TIME = threading.Lock()


def perform_remotely(
    job: TrainingJob,
    cancelled: Callable[[], bool] = lambda: False,
    meter: tuple[Path, int] | None = None,
) -> RemoteResult:
    """Perform a job in this process for a run in another one.

    Args:
        job: The training.
        cancelled: Whether the run has ended, asked after each step.
        meter: A file of float64 on this machine, and the place in it that is to say how much of the
            job is made, from 0 to 1.

    Raises:
        Cancelled: The run has ended.
    """
    observer = _RemoteObserver(cancelled, meter)
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # the filters of the run decide, once they are there
        try:
            *_, result = perform(job, observer)
        except BrokenPipeError as error:  # of the job's own: this observer prints nothing
            result = failure_record(job.key, error)
        # Only the built-in classes are sure to be known in the other process.
        found = [
            CaughtWarning(
                str(w.message),
                next(c for c in w.category.__mro__ if c.__module__ == "builtins"),
                w.filename,
                w.lineno,
            )
            for w in caught
        ]
    return RemoteResult(result, found, observer.evaluations)


class ResultReceiver:
    """Passes on what comes back from other processes: results, warnings, and news.

    Args:
        observer: Is told of a finished training: its beginning, last evaluations and end.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # Where Python notes which warnings it has shown: once for all trainings.
        self._shown: dict[Any, Any] = {}

    def receive(self, job: TrainingJob, remote: RemoteResult) -> Iterator[JobResult]:
        """Yield the result; then, when that is recorded, tell the observer.

        A warning that the filters of this process make an error fails the training.
        """
        for warning in remote.warnings:
            try:
                warnings.warn_explicit(
                    warning.text,
                    warning.category,
                    warning.file,
                    warning.line,
                    registry=self._shown,
                )
            except Warning as error:
                yield failure_record(job.key, error)
                return
        yield remote.result
        if isinstance(remote.result, TrainingResult):
            record = remote.result.record
            self._observer.begin(*job.key, record.steps)
            for evaluation in remote.evaluations:
                self._observer.epoch(*evaluation)
            self._observer.end(record)
