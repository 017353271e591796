"""A whole run of a kind, from its form to its records."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy_nn
from compare.backends.environment import (
    default_threads,
    describe_environment,
    own_commit,
    set_threads,
)
from compare.demos.bowl import bowl, bowl_by_autograd
from compare.demos.propagate import equal_layers, propagate
from compare.demos.records import SCHEMA, KindRecord, KindRun, PartRecord, write_kind_run
from compare.demos.walk import model_spec_of, walk
from compare.parity import tolerances
from compare.spec.demos import ActivationHistograms, OptimizerPaths

Told = Callable[[str], None]
Tables = dict[str, list[Any]]


def run_kind(
    name: str,
    form: OptimizerPaths | ActivationHistograms,
    folder: Path,
    *,
    max_steps: int | None = None,
    threads: int | None = None,
    command: str = "",
    told: Told = lambda line: None,
) -> KindRun:
    """Do what the form says on both sides, and write the records when all of it is done.

    Args:
        name: The experiment's short name.
        form: The form.
        folder: Where the records go.
        max_steps: Make at most so many steps.
        threads: Of each side; by default one, or what ``OMP_NUM_THREADS`` says.
        command: The command line, for the record.
        told: Is given a line for every part that is done.

    Raises:
        InputError: Settings that an optimizer refuses, or a folder that cannot be written to.
    """
    set_threads(threads or default_threads())
    begun = time.perf_counter()
    if isinstance(form, OptimizerPaths):
        parts, tables = _walk_all(form, max_steps, told)
        sources = _sources([bowl, bowl_by_autograd], _optimizers(form))
    else:
        parts, tables = _propagate_all(form, told)
        layers = [getattr(numpy_nn, kind) for kind in ("Linear", *form.activations)]
        sources = _sources([equal_layers, *layers], [])
    record = KindRecord(
        schema=SCHEMA,
        kind=form.kind,
        status="complete",
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=own_commit(),
        max_steps=max_steps,
        experiment=form,
        environment=describe_environment(),
        sources=sources,
        k=tolerances.K,
        floor_ulp=tolerances.FLOOR_ULP,
        parts=parts,
        wall_s=time.perf_counter() - begun,
    )
    write_kind_run(folder, record, tables)
    return KindRun(folder, record, tables)


def _walk_all(
    form: OptimizerPaths, max_steps: int | None, told: Told
) -> tuple[list[PartRecord], Tables]:
    steps = form.steps if max_steps is None else min(form.steps, max_steps)
    parts, tables = [], {"parity": [], "paths": []}  # type: tuple[list[PartRecord], Tables]
    for label in form.optimizers:
        model_spec_of(form, label).optimizer(numpy_nn, model_spec_of(form, label).model(numpy_nn))
    for label in form.optimizers:
        part, parity, path = walk(form, label, steps)
        parts.append(part)
        tables["parity"] += parity
        tables["paths"] += path
        told(f"{label}: {steps} steps on each side")
    return parts, tables


def _propagate_all(form: ActivationHistograms, told: Told) -> tuple[list[PartRecord], Tables]:
    parts: list[PartRecord] = []
    tables: Tables = {"parity": [], "layers": [], "histogram": []}
    for activation in form.activations:
        for spread in form.spreads:
            for seed in form.seeds:
                found = propagate(form, activation, spread, seed, first=seed == form.seeds[0])
                parts.append(found.part)
                tables["parity"] += found.parity
                tables["layers"] += found.layers
                tables["histogram"] += found.bins
        told(f"{activation}: {len(form.spreads)} spreads, {len(form.seeds)} seeds on each side")
    return parts, tables


def _optimizers(form: OptimizerPaths) -> list[ModuleType | None]:
    classes = [getattr(numpy_nn.optim, o.algorithm) for o in form.optimizers.values()]
    return [inspect.getmodule(found) for found in classes]


def _sources(
    alone: Iterable[Callable[..., Any]], modules: Iterable[ModuleType | None]
) -> dict[str, str]:
    """File → source that the report shows: functions and classes alone, then whole files."""
    found = {
        f"{f.__module__.replace('.', '/')}.py, {f.__name__}": inspect.getsource(f) for f in alone
    }
    for module in modules:
        if module is not None:
            found[module.__name__.replace(".", "/") + ".py"] = inspect.getsource(module)
    return found
