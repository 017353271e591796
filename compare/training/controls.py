"""Would the comparisons notice? Known mistakes, put into the run's own networks on purpose.

That right code passes says little of a check that might pass everything. Before a run begins, a
copy of each of its networks makes two steps on a few rows, and then every mistake of the catalogue
that one of its layers, its loss or its optimizer can have is put in, one at a time, and compared in
float64 as in a certified step. The run itself never sees any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from compare.backends import Backend, RecordedStep
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.mistakes.search import RecordedStage
from compare.parity.comparison import Comparison, References, SiteValues, compare_sites
from compare.parity.sizes import update_sizes
from compare.parity.stages import (
    class_of,
    longest_sum,
    run_stage,
    stage_sites,
    stage_sizes,
    update_sites,
)
from compare.records.run import Control
from compare.training.excerpts import FollowedModel, different_models

ROWS, STEPS = 8, 2
"""Some mistakes of an optimizer show in its second step alone."""
FEWEST_STEPS = 100
"""A shorter run is a trial, which need not wait for this."""
MOST_MODELS, MOST_PARAMETERS = 4, 1_000_000
"""Of more models the first ones are taken, and none of a larger network."""


class _Stage(NamedTuple):
    """A stage of a recorded step with the right values, and how any backend computes it."""

    step: RecordedStep
    terms: int
    right: Arrays
    sizes: Arrays
    compute: Callable[[Backend], Arrays]


def controls_of(models: Iterable[FollowedModel]) -> list[Control]:
    """What the comparisons say of known mistakes, one record for each class that can have them.

    Args:
        models: The models of the run with rows for their steps, at least ``ROWS`` where there are
            so many.
    """
    found: dict[str, Control] = {}
    for model in different_models(models)[:MOST_MODELS]:
        backend = NumpyBackend(model.spec)
        if backend.weights().size > MOST_PARAMETERS:
            continue
        try:
            steps = _steps(backend, model)
        except Exception:  # a network on which a step fails says why when its training begins
            continue
        references = References.build(model.spec)
        for part, place in _places(steps[0], references).items():
            if part not in found:
                control = _control(part, place, steps, references)
                if control is not None:
                    found[part] = control
    return list(found.values())


def _steps(backend: NumpyBackend, model: FollowedModel) -> list[RecordedStep]:
    rows = backend.rows(model.inputs[:ROWS], model.targets[:ROWS])
    batch = backend.batch(rows, np.arange(len(model.inputs[:ROWS])))
    return [backend.record_step(batch) for _ in range(STEPS)]


def _places(step: RecordedStep, references: References) -> dict[str, str]:
    """Class → the first module of it, the loss, and the optimizer."""
    places: dict[str, str] = {}
    for call in step.calls:
        places.setdefault(class_of(references.torch64, call), call.name)
    places.setdefault(type(references.torch64.optimizer).__name__, "optimizer")
    return places


def _control(
    part: str, place: str, steps: list[RecordedStep], references: References
) -> Control | None:
    """Put each mistake of one class in; None where the catalogue has none for it."""
    stages = [_stage(step, place, references) for step in steps]
    control = Control(part=part, rows=len(steps[0].targets), tried=0, noticed=0)
    least = np.inf
    for candidate in RecordedStage(steps[0], references, place).candidates([], []):
        try:
            compared: list[Comparison] = []
            for stage in stages:
                with RecordedStage(stage.step, references, place).with_mistake(candidate):
                    wrong = stage.compute(references.numpy64)
                values = SiteValues("float64", wrong, stage.right, stage.right, stage.sizes)
                compared += compare_sites(stage.terms, [values])
        except (ValueError, IndexError):
            continue  # its arrays do not fit, which nobody has to be told
        control.tried += 1
        if all(c.passed for c in compared):
            control.missed.append(candidate.mistake.code)
            continue
        control.noticed += 1
        share = _over_bound(compared)
        if share < least or not control.least:
            least, control.over_bound = share, share if np.isfinite(share) else None
            control.least, control.explanation = (
                candidate.mistake.code,
                candidate.mistake.explanation,
            )
    return control if control.tried else None


def _stage(step: RecordedStep, place: str, references: References) -> _Stage:
    referee = references.torch64
    if place == "optimizer":
        maximize = referee.optimizer.param_groups[0].get("maximize", False)
        sizes = update_sizes(referee, step.before, step.gradients, maximize)

        def update(backend: Backend) -> Arrays:
            return update_sites(backend.update_stage(step.before, step.gradients), step)

        return _Stage(step, 1, update(referee), update_sites(sizes, step), update)
    call = next(call for call in step.calls if call.name == place)
    dy = np.asarray(np.random.default_rng(0).standard_normal(call.output.shape))

    def stage(backend: Backend) -> Arrays:
        return stage_sites(place, run_stage(backend, call, step, dy))

    sizes_there = stage_sites(place, stage_sizes(referee, call, step, dy))
    terms = longest_sum(call, step.before.of_module(place))
    return _Stage(step, terms, stage(referee), sizes_there, stage)


def _over_bound(compared: list[Comparison]) -> float:
    """The largest error over its bound; an infinite one where all that fail are infinite."""
    shares = [c.numpy_error / c.tolerance for c in compared if not c.passed and c.tolerance > 0]
    return max((share for share in shares if np.isfinite(share)), default=np.inf)
