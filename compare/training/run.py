"""A whole run: every training of an experiment, with records that survive an interruption."""

from __future__ import annotations

import gc
import inspect
from bisect import insort
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.environment import (
    describe_environment,
    own_commit,
    own_repository,
    set_threads,
    shared_threads,
)
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.parity.tolerances import recorded_tolerances
from compare.records.directory import RunDirectory
from compare.records.run import SCHEMA, FailureRecord, RunRecord, TrainingRecord
from compare.spec.experiment import Configuration, Experiment
from compare.spec.model import ModelSpec, model_spec
from compare.training.checkpoints import CheckpointPlan
from compare.training.controls import FEWEST_STEPS, ROWS, controls_of
from compare.training.data import Rows, Splits, laid_out, load_splits, pictures_of
from compare.training.excerpts import FollowedModel, excerpts_of
from compare.training.jobs import LARGE, JobResult, data_source, run_serially, training_jobs
from compare.training.lockstep import Observer, batches, total_steps
from compare.training.schedule import Schedule
from experiments.errors import InputError

SAMPLES_SHOWN = 40
MISTAKES_SHOWN = 10
TRAINING_SAMPLES = 10_000
"""Among so many training rows the first of each class are looked for."""
PICTURES_A_CLASS = 2
MOST_FOLLOWED_ROWS = 1000
"""A larger batch comes through the same lines."""
ENVIRONMENT = {
    "numpy": "numpy {}",
    "torch": "torch {}",
    "torch_threads": "{} threads for PyTorch",
    "numpy_threads": "{} threads for NumPy",
    "numpy_blas": "NumPy's {}",
    "torch_blas": "PyTorch's {}",
    "processor": "the processor {}",
}
"""What a run must go on with, since it decides the last bits, and how it is called."""
# What PyTorch or NumPy raise about a network that does not fit its data.
REFUSALS = (ValueError, TypeError, RuntimeError, IndexError)


def run_experiment(
    name: str,
    experiment: Experiment,
    directory: RunDirectory,
    observer: Observer,
    *,
    folder: Path = Path(),
    data_dir: Path | None = None,
    sample: bool = False,
    max_steps: int | None = None,
    threads: int | None = None,
    jobs: int = 1,
    dask: str | None = None,
    checkpoint_every: float | None = None,
    command: str = "",
) -> RunRecord:
    """Do all trainings of an experiment, on both backends, and record them.

    A training that ends in an error costs only itself: it is recorded as a failure, the others
    are performed, and the run stays incomplete.

    Args:
        name: The experiment's short name.
        experiment: The experiment.
        directory: Where the records go; trainings that it holds already are not repeated.
        observer: Is told of the progress.
        folder: Where the experiment's file is, for an architecture of the user's own.
        data_dir: Where the data is.
        sample: Use the small data set instead.
        max_steps: Stop each training after so many updates.
        threads: Of each backend; by default what suits the network, within a process's share of the
            cores, and one on a cluster.
        jobs: How many trainings at once; with more than one, each in a process of its own.
        dask: The address of a Dask scheduler, whose workers perform the trainings instead.
        checkpoint_every: Seconds between two checkpoints inside a training; by default so many that
            they cost little of the time. Infinity for none.
        command: The command line, for the record.

    Raises:
        InputError: An error of the input: the experiment, the data, the folder or the cluster.
    """
    try:
        return _run(
            name, experiment, directory, observer, folder=folder, data_dir=data_dir,
            sample=sample, max_steps=max_steps, threads=threads, jobs=jobs, dask=dask,
            checkpoint_every=checkpoint_every, command=command,
        )  # fmt: skip
    finally:
        directory.close()


def _run(
    name: str,
    experiment: Experiment,
    directory: RunDirectory,
    observer: Observer,
    *,
    folder: Path,
    data_dir: Path | None,
    sample: bool,
    max_steps: int | None,
    threads: int | None,
    jobs: int,
    dask: str | None,
    checkpoint_every: float | None,
    command: str,
) -> RunRecord:
    experiment = experiment.for_sample() if sample else experiment
    with _connected(dask) as client:
        model_specs = {
            p.label: model_spec(p.experiment, p.optimizer, folder)
            for p in experiment.configurations
        }
        splits, data, pictures = load_splits(
            experiment.data, sample=sample, data_dir=data_dir, folder=folder
        )
        source = data_source(experiment.data, sample, data_dir, data.digests)
        if jobs > 1:
            from compare.training.fork_server import read_ahead

            read_ahead(source, folder)
        trainings = len(experiment.trainings)
        suit, dropped = 1, 0
        for configuration in _distinct(experiment.configurations):
            laid = laid_out(splits, configuration.experiment.data.layout)
            spec = model_specs[configuration.label]
            found = dry_run(spec, configuration.experiment, laid, max_steps)
            suit = max(suit, shared_threads([found.model], min(jobs, trainings)))
            # Only the collector finds networks, and it counts objects, not what they hold.
            dropped += found.weights().size
            del found
            if dropped > LARGE:
                gc.collect()
                dropped = 0
        began = directory.found
        going_on = began is not None and began.status != "complete"
        if threads is None and going_on:
            assert began is not None
            threads = began.environment.torch_threads
        if threads is None:
            threads = suit if client is None else 1
        set_threads(threads)
        models = list(_followed(experiment, model_specs, splits))
        excerpts = excerpts_of(models)
        longest = max(
            total_steps(configuration.experiment, len(splits.train.targets), max_steps)
            for configuration in experiment.configurations
        )
        record = RunRecord(
            schema=SCHEMA,
            status="incomplete",
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            commit=own_commit(),
            repository=own_repository(),
            sample=sample,
            max_steps=max_steps,
            experiment=experiment,
            data=data,
            environment=describe_environment(),
            sources=sources_of(
                list(model_specs.values()),
                {
                    schedule.name: None
                    for configuration in experiment.configurations
                    if (schedule := configuration.experiment.training.schedule) is not None
                },
            ),
            excerpts=excerpts.classes,
            called=excerpts.called,
            followed_rows=excerpts.rows,
            controls=controls_of(models) if longest >= FEWEST_STEPS else [],
            tolerances=recorded_tolerances(),
            trainings=[],
        )
        if directory.found is not None:
            record = _continued(directory.found, record)
            if record.status == "complete":
                return record
        directory.write(record)
        finished = {(training.label, training.seed) for training in record.trainings}
        plan = CheckpointPlan(directory.checkpoints, checkpoint_every)
        to_do = [
            job
            for job in training_jobs(
                experiment,
                folder=folder,
                data=source,
                threads=threads,
                max_steps=max_steps,
                checkpoints=plan,
            )
            if job.key not in finished
        ]
        observer.expect(len(finished), trainings)
        if client is not None:
            from compare.training.cluster import run_on_cluster

            results = run_on_cluster(to_do, observer, client)
        elif jobs > 1:
            from compare.training.processes import run_in_processes

            results = run_in_processes(to_do, observer, jobs)
        else:
            results = run_serially(to_do, observer, splits)
        try:
            _record(results, record, directory, observer)
            _keep_pictures(directory, experiment, splits, pictures)
            if not record.failures:
                record.status = "complete"
        finally:
            # Also when interrupted: what was measured is kept, and says that it is incomplete.
            directory.write(record)
    return record


def _connected(dask: str | None) -> AbstractContextManager[Any]:
    """A client of the Dask scheduler at this address; None without one."""
    if dask is None:
        return nullcontext()
    from compare.training.cluster import connected

    return connected(dask)


def _record(
    results: Generator[JobResult],
    record: RunRecord,
    directory: RunDirectory,
    observer: Observer,
) -> None:
    """Record trainings as they come, in the order of the experiment's own."""
    order = {
        (configuration.label, seed): place
        for place, (configuration, seed) in enumerate(record.experiment.trainings)
    }

    def place(training: TrainingRecord | FailureRecord) -> int:
        return order[training.label, training.seed]

    last: TrainingRecord | None = None
    with closing(results):
        for result in results:
            if isinstance(result, FailureRecord):
                failed = place(result)
                record.trainings = [t for t in record.trainings if place(t) != failed]
                insort(record.failures, result, key=place)
                observer.failed(result)
            elif result.record is not last:  # a training comes again after each of its epochs
                last = result.record
                directory.take(result.log)
                insort(record.trainings, result.record, key=place)
            directory.checkpoint(record)


def _continued(found: RunRecord, new: RunRecord) -> RunRecord:
    """The record to go on with; a run of something else cannot be continued."""
    for key in ("name", "sample", "max_steps", "experiment"):
        before, now = getattr(found, key), getattr(new, key)
        if before != now:
            detail = "" if key == "experiment" else f": it has {before!r}, now {now!r} is asked for"
            raise InputError(
                f"--resume: the run in the folder differs in {key!r}{detail}. Start a new folder."
            )
    if found.data.digests != new.data.digests:
        raise InputError(
            "--resume: the data is not the data that the run began with. Start a new folder."
        )
    if found.status == "complete":
        return found
    # One run, one code: half of it by other code or another library would be no run of either.
    for file, source in new.sources.items():
        if found.sources.get(file) != source:
            raise InputError(
                f"--resume: the code in {file} has changed since the run began. Start a new folder."
            )
    for name, called in ENVIRONMENT.items():
        before, now = getattr(found.environment, name), getattr(new.environment, name)
        if before != now:
            way_out = "Start a new folder."
            if name.endswith("threads"):
                way_out = f"Leave --threads out, or give --threads {before}."
            raise InputError(
                f"--resume: the run began with {called.format(before)}, here "
                f"{'are' if name.endswith('threads') else 'is'} {now}, which may round in another "
                f"way. {way_out}"
            )
    finished = [training for training in found.trainings if training.finished]
    return found.model_copy(update={"trainings": finished, "failures": []})


def _distinct(configurations: list[Configuration]) -> list[Configuration]:
    """One configuration of each network, loss and batch size; the others need no dry run."""
    seen: dict[str, Configuration] = {}
    for configuration in configurations:
        one = configuration.experiment
        key = f"{one.model!r} {one.data!r} {one.training!r}"
        seen.setdefault(f"{key} {next(iter(one.optimizers.values())).algorithm}", configuration)
    return list(seen.values())


def _followed(
    experiment: Experiment, model_specs: dict[str, ModelSpec], splits: Splits
) -> Iterator[FollowedModel]:
    """Every model of an experiment with a batch of the training set."""
    for configuration in experiment.configurations:
        spec = model_specs[configuration.label]
        size = min(max(ROWS, configuration.experiment.training.batch_size), MOST_FOLLOWED_ROWS)
        few = Rows(*(array[:size] for array in splits.train))
        rows = laid_out(Splits(few, None, None), configuration.experiment.data.layout).train
        yield FollowedModel(spec, rows.inputs, spec.target_type.targets(rows.targets))


def _keep_pictures(
    directory: RunDirectory, experiment: Experiment, splits: Splits, pictures: np.ndarray
) -> None:
    """Keep the pictures that the report shows: samples, and test rows that were misclassified."""
    if splits.test is None:
        return
    targets = splits.test.targets[: experiment.training.evaluate_rows]
    directory.targets = targets.astype(np.int32)
    if not len(pictures):
        return
    shown = set(range(min(SAMPLES_SHOWN, len(targets))))
    for log in directory.logs.values():
        for predicted in log.predictions.values():
            shown |= set(np.flatnonzero(predicted != targets)[:MISTAKES_SHOWN].tolist())
        if len(log.predictions) == 2:
            numpy, torch = log.predictions.values()
            shown |= set(np.flatnonzero(numpy != torch)[:MISTAKES_SHOWN].tolist())
    indices = np.array(sorted(shown), np.int32)
    directory.pictures = {"indices": indices, "images": pictures[indices]}
    first = Rows(*(part[:TRAINING_SAMPLES] for part in splits.train))
    trained = pictures_of(first)
    if len(trained):
        directory.pictures["train/images"] = _first_of_each_class(trained, first.targets)


def _first_of_each_class(pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """PICTURES_A_CLASS pictures of each class, class by class; fewer give black ones."""
    found = np.zeros((int(targets.max()) + 1, PICTURES_A_CLASS, *pictures.shape[1:]), np.uint8)
    for of_class, target in zip(found, range(len(found)), strict=True):
        own = pictures[targets == target][:PICTURES_A_CLASS]
        of_class[: len(own)] = own
    return found


def sources_of(model_specs: Sequence[ModelSpec], schedules: Iterable[str] = ()) -> dict[str, str]:
    """File → source: the architecture function, the layers that matter most, the optimizers.

    Schedules, by their names, have theirs too.

    Of the layers that is batch normalisation, which people get wrong most often; where a network
    has none, its affine and convolutional layers.
    """
    kinds = [type(module).__name__ for module in model_specs[0].model(numpy_nn).modules()]
    shown = [kind for kind in kinds if kind.startswith("BatchNorm")] or [
        kind for kind in kinds if kind in ("Linear", "Conv2d")
    ]
    files: dict[str, ModuleType] = {}
    for kind in shown:
        _add(files, getattr(numpy_nn, kind))
    for spec in model_specs:
        _add(files, getattr(numpy_nn.optim, spec.algorithm))
    for name in schedules:
        _add(files, getattr(numpy_nn.optim.lr_scheduler, name))
    sources = {name: inspect.getsource(module) for name, module in files.items()}
    return {**_architecture(model_specs[0]), **sources}


def _add(files: dict[str, ModuleType], found: Any) -> None:
    module = inspect.getmodule(found)
    assert module is not None
    files[module.__name__.replace(".", "/") + ".py"] = module


def _architecture(spec: ModelSpec) -> dict[str, str]:
    function = spec.architecture
    try:
        own = Path(inspect.getsourcefile(function) or "architecture.py").name
        return {f"{own}, {function.__name__}": inspect.getsource(function)}
    except (TypeError, OSError, AttributeError):  # callable, but written down nowhere
        return {"architecture": f"a {type(function).__name__}, without source code"}


def dry_run(
    model_spec: ModelSpec, experiment: Experiment, splits: Splits, max_steps: int | None = None
) -> NumpyBackend:
    """Build both backends, and have PyTorch make a step with a batch of each size to come.

    What PyTorch refuses is an error of the input. What it takes and NumPy refuses is a mistake of
    this program, and comes up with its traceback when the training begins.

    Returns:
        NumPy's, as it was built.

    Raises:
        InputError: The network cannot be built, does not take the rows, has other outputs than
            its loss and the data need, or cannot be trained on one of the batches.
    """
    numpy, torch = NumpyBackend(model_spec), TorchBackend(model_spec)
    inputs, targets = splits.train
    schedule = Schedule(model_spec, experiment.training, len(targets))
    for backend in (numpy, torch):
        schedule.scheduler(backend)
    shape, name = inputs.shape[1:], experiment.model.architecture
    try:
        output = torch.logits(inputs[:2])
    except REFUSALS as error:
        raise InputError(
            f"The architecture {name!r} does not take the data, rows of shape {shape} "
            f"(data.layout = {experiment.data.layout!r}): {_first_line(error)}."
        ) from error
    _outputs_fit(model_spec, name, output, splits)
    rows = torch.rows(inputs, model_spec.target_type.targets(targets))
    training = experiment.training
    to_come = list(batches(np.arange(len(targets)), training.batch_size))
    to_come = to_come[: total_steps(experiment, len(targets), max_steps)]
    for size, batch in {len(batch): batch for batch in to_come}.items():
        try:
            torch.train_step(torch.batch(rows, batch))
        except REFUSALS as error:
            raise InputError(
                f"With training.batch_size = {training.batch_size} the {len(targets):,} training "
                f"rows leave a batch of {size}, on which PyTorch cannot train the architecture "
                f"{name!r}: {_first_line(error)}. Choose another batch size."
            ) from error
    return numpy


def _outputs_fit(model_spec: ModelSpec, name: str, output: np.ndarray, splits: Splits) -> None:
    """Whether the network gives what its loss takes, for as many classes as the data has."""
    target_type = model_spec.target_type
    classes = 1 + max(int(rows.targets.max()) for rows in splits.named().values())
    if target_type.most_classes is not None and classes > target_type.most_classes:
        raise InputError(
            f"training.loss = {model_spec.loss!r} tells {target_type.most_classes} classes apart, "
            f"but the data has {classes}."
        )
    found = f"The architecture {name!r} gives outputs of shape {output.shape[1:]} a row"
    if target_type.one_output and output.shape[1:] != (1,):
        raise InputError(f"{found}; training.loss = {model_spec.loss!r} takes one value.")
    if not target_type.one_output and (output.ndim != 2 or output.shape[1] < classes):
        raise InputError(
            f"{found}; expected one value for each of the {classes} classes of the data."
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
