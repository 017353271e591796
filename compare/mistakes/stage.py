"""Naming a mistake in the NumPy side itself, from one recorded step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from compare.backends import Stage, Step
from compare.backends.protocol import Arrays
from compare.mistakes.case import Diagnosis
from compare.mistakes.catalogue import CATALOGUE
from compare.mistakes.mistake import Mistake
from compare.mistakes.step_penalty import penalty_in_gradient, penalty_in_loss
from compare.parity.comparison import Comparison, Judges
from compare.parity.tolerances import FLOAT64, whole_error


def diagnose_step(
    step: Step, judges: Judges, failure: Comparison, seed: int = 0
) -> Diagnosis | None:
    """Name the mistake that explains a failed comparison of a step.

    The stage is run again in float64 on the NumPy side as it is, then with each mistake of the
    catalogue put in the place of its code. One is named if it gives what the side as it is gave
    where that first differs from PyTorch, and changes no part of the stage that agrees.

    Args:
        step: The recorded step.
        judges: The sides that were consulted.
        failure: The comparison that failed.
        seed: For the random output gradient.
    """
    place, _, rest = failure.site.removeprefix("whole/").partition("/")
    if place in ("update", "optimizer"):
        return _in_update(step, judges)
    name = rest.rpartition(".")[0] if place in ("gradient", "buffer") else rest.partition("/")[0]
    call = next((call for call in step.calls if call.name == name), None)
    if call is None:
        return None
    state = step.before.of_module(name)
    x = call.input.astype(np.float64)
    drawn = np.random.default_rng(seed).standard_normal(call.output.shape)

    def run(side: Any) -> Arrays:
        if name == "loss":
            return _parts(side.loss_stage(x, step.targets, float(drawn)))
        if call.mask is not None:
            side.give_masks({name: call.mask})
        return _parts(side.stage(name, state, x, drawn))

    target, meant = (
        side.loss if name == "loss" else side.module(name)
        for side in (judges.numpy64, judges.torch64)
    )
    named = _named(judges, target, meant, run)
    if named is not None:
        return named
    if name == "loss":
        return penalty_in_loss(step, judges)
    return penalty_in_gradient(name, state, run(judges.numpy64), run(judges.torch64))


def _parts(stage: Stage) -> Arrays:
    return {
        "output": stage.output,
        **{f"buffer/{key}": value for key, value in stage.buffers.items()},
        **{f"gradient/{key}": value for key, value in stage.gradients.items()},
        "grad_input": stage.grad_input,
    }


def _in_update(step: Step, judges: Judges) -> Diagnosis | None:
    def run(side: Any) -> Arrays:
        after = side.update_stage(step.before, step.gradients)
        # Differences, not values: a step is small beside the parameter that it changes.
        return {key: after.model[key] - step.before.model[key] for key in step.gradients}

    return _named(judges, judges.numpy64.optimizer, judges.torch64.optimizer, run)


def _named(
    judges: Judges, target: Any, specified: Any, run: Callable[[Any], Arrays]
) -> Diagnosis | None:
    """The mistake that gives the first part that differs, and changes none that agrees."""
    kind = type(specified).__name__
    if kind not in CATALOGUE:
        return None
    found, right = run(judges.numpy64), run(judges.torch64)
    differing = [part for part in right if not _equal(found.get(part), right[part])]
    if not differing:
        return None
    best: tuple[int, Mistake] | None = None
    for mistake in CATALOGUE[kind](specified):
        with _planted(target, mistake):
            try:
                made = run(judges.numpy64)
            except ValueError:
                continue  # it gives arrays that do not fit here
        same = [part for part in right if _equal(found.get(part), made[part])]
        explained = sum(part in same for part in differing)
        fits = differing[0] in same and all(part in same for part in right if part not in differing)
        if fits and (best is None or explained > best[0]):
            best = explained, mistake
    return None if best is None else Diagnosis(best[1].code, best[1].explanation)


def _equal(a: np.ndarray | None, b: np.ndarray) -> bool:
    """Whether two arrays agree to rounding of the largest value."""
    size = float(np.max(np.abs(b), initial=1e-30))
    return a is not None and whole_error(a, b, size) <= 100 * FLOAT64


@contextmanager
def _planted(target: Any, mistake: Mistake) -> Iterator[None]:
    right = type(target)
    mistake.plant(target)
    try:
        yield
    finally:
        target.__class__ = right
        target.__dict__.pop("_wrong", None)
