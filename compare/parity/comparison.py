"""One value of one stage compared: with PyTorch's, with the referee's, within its bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from compare.backends import Backend, Call, Referee, Stage, Step
from compare.backends.protocol import Arrays
from compare.parity import sizes as magnitude
from compare.parity import tolerances


class Comparison(NamedTuple):
    """One site compared: what, where, how far, how far allowed."""

    dtype: str
    site: str
    numpy_error: float
    torch_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound."""
        return self.numpy_error <= self.tolerance


class Judges(NamedTuple):
    """The sides that a certificate consults; none of them is the one being judged."""

    numpy64: Backend
    torch32: Backend
    torch64: Referee


def compare_values(
    dtype: str,
    site: str,
    terms: int,
    numpy: np.ndarray,
    torch: np.ndarray,
    referee: np.ndarray,
    size: np.ndarray,
) -> Comparison:
    """Judge a value of one stage that was computed in ``dtype``.

    Args:
        dtype: ``float32``: NumPy is judged by how near PyTorch is; ``float64``: by itself.
        site: The name of the place.
        terms: The terms of the stage's longest sum.
        numpy: NumPy's value.
        torch: PyTorch's in the same precision.
        referee: PyTorch's in float64, from the same inputs.
        size: What was summed to make it.
    """
    judged = [numpy] if dtype == "float64" else [numpy, torch]
    errors = [tolerances.componentwise_error(a, referee, size, dtype) for a in judged]
    if not np.isfinite(errors).all() and (lost := tolerances.overflowed_alike(numpy, torch)).any():
        judged, referee = [np.where(lost, 0.0, a) for a in judged], np.where(lost, 0.0, referee)
        errors = [tolerances.componentwise_error(a, referee, size, dtype) for a in judged]
    if dtype == "float64":
        return Comparison(dtype, site, errors[0], 0.0, tolerances.float64_bound(terms))
    numpy_error, torch_error = errors
    bound = tolerances.float32_bound(torch_error)
    return Comparison(dtype, site, numpy_error, torch_error, bound)


def longest_sum(call: Call, state: Arrays) -> int:
    """The terms of the longest sum of a stage: over the batch and all positions, or over inputs."""
    x = call.input
    positions = x.size // max(x.shape[1], 1) if x.ndim > 1 else x.size
    inputs = [w.size // max(w.shape[0], 1) for w in state.values() if w.ndim > 1]
    return max(positions, *inputs, 1)


def parameters_of(call: Call, step: Step) -> list[str]:
    """The short names of a module's parameters."""
    prefix = f"{call.name}."
    return [k.removeprefix(prefix) for k in step.gradients if k.startswith(prefix)]


def buffers_of(call: Call, step: Step) -> list[str]:
    """The short names of a module's buffers."""
    return [k for k in step.before.of_module(call.name) if k not in parameters_of(call, step)]


def sizes_of(referee: Referee, call: Call, step: Step, state: Arrays, dy: np.ndarray) -> Stage:
    """What is summed to make each value of a stage, under an output gradient."""
    kind = kind_of(referee, call)
    if call.name == "loss":
        return magnitude.LOSSES[kind](call.input, step.targets, float(dy))
    give_mask(referee, call)
    return magnitude.module_sizes(referee, call.name, kind, state, call.input, dy)


def give_mask(side: Backend, call: Call) -> None:
    """Let a Dropout keep on this side what it kept in the step."""
    if call.mask is not None:
        side.give_masks({call.name: call.mask})


def kind_of(referee: Referee, call: Call) -> str:
    """What a module is meant to be: the referee's class, whatever the other side's is called."""
    return type(referee.loss if call.name == "loss" else referee.module(call.name)).__name__
