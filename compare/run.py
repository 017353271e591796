"""A whole run: every training of an experiment, with records that survive an interruption."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import numpy_nn
from compare.blueprint import blueprint
from compare.data import load_splits
from compare.environment import default_threads, describe_environment, own_commit, set_threads
from compare.experiment import Experiment
from compare.lockstep import LockStep, Observer, Splits
from compare.records import SCHEMA, RunRecord
from compare.rehearsal import rehearse
from compare.run_directory import RunDirectory
from compare.sources import sources_of
from experiments.errors import InputError


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
    command: str = "",
) -> RunRecord:
    """Do everything that an experiment says, on both sides, and record it.

    Args:
        name: The experiment's short name.
        experiment: Its form.
        directory: Where the records go; trainings that it holds already are not repeated.
        observer: Who is told of the progress.
        folder: Where the experiment's file is, for an architecture of the user's own.
        data_dir: Where the data is.
        sample: Use the small data set instead.
        max_steps: Stop each training after so many updates.
        threads: Of each side; by default what suits the network.
        command: The command line, for the record.

    Raises:
        InputError: Anything that the person who called can mend.
    """
    blueprints = {label: blueprint(experiment, label, folder) for label in experiment.optimizers}
    splits, data, pictures = load_splits(experiment.data, sample=sample, data_dir=data_dir)
    for plan in blueprints.values():
        rehearse(plan, experiment, splits, max_steps)
    set_threads(threads or default_threads(next(iter(blueprints.values())).model(numpy_nn)))
    record = RunRecord(
        schema=SCHEMA,
        status="incomplete",
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=own_commit(),
        sample=sample,
        max_steps=max_steps,
        experiment=experiment,
        data=data,
        environment=describe_environment(),
        sources=sources_of(list(blueprints.values())),
        trainings=[],
    )
    if directory.found is not None:
        record = _continued(directory.found, record)
        if record.status == "complete":
            return record
    directory.write(record)
    try:
        for seed in experiment.training.seeds:
            for label in experiment.optimizers:
                if any((t.optimizer, t.seed) == (label, seed) for t in record.trainings):
                    continue
                lockstep = LockStep(
                    experiment, blueprints[label], label, seed, splits, directory, observer,
                    max_steps,
                )  # fmt: skip
                record.trainings.append(lockstep.record)
                # PyTorch says nothing of an overflow; on both sides the losses show it.
                with np.errstate(over="ignore", invalid="ignore"):
                    for _ in lockstep.train():
                        directory.write(record)
                directory.write(record)
        _keep_pictures(directory, splits, pictures)
        directory.write(record)
        record.status = "complete"
    finally:
        # Also when interrupted: what was measured is kept, and says that it is incomplete.
        directory.write(record)
    return record


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
    for library in ("numpy", "torch"):
        before, now = getattr(found.environment, library), getattr(new.environment, library)
        if before != now:
            raise InputError(
                f"--resume: the run began with {library} {before}, here is {now}. "
                "Start a new folder."
            )
    finished = [training for training in found.trainings if training.finished]
    return found.model_copy(update={"trainings": finished})


SAMPLES_SHOWN = 40
MISTAKES_SHOWN = 10


def _keep_pictures(directory: RunDirectory, splits: Splits, pictures: np.ndarray) -> None:
    """Keep the pictures that the report shows: samples, and what each side took for another."""
    targets = splits.test.targets
    directory.keep("predictions", {"targets": targets.astype(np.int32)})
    if not len(pictures):
        directory.keep("pictures", {})
        return
    shown = set(range(min(SAMPLES_SHOWN, len(targets))))
    for key, predicted in directory.arrays["predictions"].items():
        if key != "targets":
            shown |= set(np.flatnonzero(predicted != targets)[:MISTAKES_SHOWN].tolist())
    indices = np.array(sorted(shown), np.int32)
    directory.keep("pictures", {"indices": indices, "images": pictures[indices]})
