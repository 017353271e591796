"""A whole run of a demonstration, from its settings to its records."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy_nn
from compare.backends.environment import (
    default_threads,
    describe_environment,
    own_commit,
    own_repository,
    set_threads,
)
from compare.demos import activation_histograms, optimizer_paths
from compare.parity.tolerances import recorded_tolerances
from compare.records.directory import RunDirectory
from compare.records.run import SCHEMA, DemoRecord, TrainingRecord
from compare.spec.demos import ActivationHistograms, Demo, OptimizerPaths

Progress = Callable[[str], None]
Trainings = Iterator[tuple[TrainingRecord, dict[str, list[Any]]]]


def run_demo(
    name: str,
    settings: Demo,
    directory: RunDirectory,
    *,
    max_steps: int | None = None,
    threads: int | None = None,
    command: str = "",
    progress: Progress = lambda line: None,
) -> DemoRecord:
    """Run a demonstration on both backends, and write the records when all of it is done.

    Args:
        name: The experiment's short name.
        settings: The demonstration's.
        directory: Where the records go.
        max_steps: Make at most so many steps of each path.
        threads: Of each backend; by default one, or what ``OMP_NUM_THREADS`` says.
        command: The command line, for the record.
        progress: Called with a line for every part that is done.

    Raises:
        InputError: Settings that an optimizer refuses, or a folder that cannot be written to.
    """
    set_threads(threads or default_threads())
    shown: Sequence[Callable[..., Any]]
    algorithms: Sequence[str]
    if isinstance(settings, OptimizerPaths):
        trainings = _paths(settings, max_steps, progress)
        shown = [optimizer_paths.surface, optimizer_paths.surface_by_autograd]
        algorithms = [optimizer.algorithm for optimizer in settings.optimizers.values()]
    else:
        trainings = _networks(settings, progress)
        layers = [getattr(numpy_nn, layer) for layer in ("Linear", *settings.activations)]
        shown, algorithms = [activation_histograms.equal_layers, *layers], []
    record = DemoRecord(
        schema=SCHEMA,
        status="complete",
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=own_commit(),
        repository=own_repository(),
        sample=False,
        max_steps=max_steps,
        experiment=settings,
        environment=describe_environment(),
        sources=_sources(shown, algorithms),
        tolerances=recorded_tolerances(),
        trainings=[],
    )
    for training, tables in trainings:
        log = directory.begin(training.label, training.seed)
        for table, rows in tables.items():
            log.add(table, *rows)
        record.trainings.append(training)
    try:
        directory.write(record)
    finally:
        directory.close()
    return record


def _paths(settings: OptimizerPaths, max_steps: int | None, progress: Progress) -> Trainings:
    optimizer_paths.check_optimizers(settings)
    steps = settings.steps if max_steps is None else min(settings.steps, max_steps)
    for label in settings.optimizers:
        yield optimizer_paths.follow_path(settings, label, steps)
        progress(f"{label}: {steps} steps on each backend")


def _networks(settings: ActivationHistograms, progress: Progress) -> Trainings:
    for activation in settings.activations:
        for spread in settings.spreads:
            for seed in settings.seeds:
                first = seed == settings.seeds[0]
                yield activation_histograms.propagate(
                    settings, activation, spread, seed, first=first
                )
        progress(
            f"{activation}: {len(settings.spreads)} spreads, {len(settings.seeds)} seeds on each "
            "backend"
        )


def _sources(shown: Sequence[Callable[..., Any]], algorithms: Sequence[str]) -> dict[str, str]:
    """File → source for the report: functions and classes alone, then the optimizers' files."""
    found = {
        f"{f.__module__.replace('.', '/')}.py, {f.__name__}": inspect.getsource(f) for f in shown
    }
    for algorithm in algorithms:
        module = inspect.getmodule(getattr(numpy_nn.optim, algorithm))
        assert module is not None
        found[module.__name__.replace(".", "/") + ".py"] = inspect.getsource(module)
    return found
