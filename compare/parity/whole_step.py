"""A step end to end in float64, which shows that its stages are connected as specified."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.backends import Backend, Referee, Stage, State, Step
from compare.backends.protocol import Arrays
from compare.parity import sizes as magnitude
from compare.parity import tolerances
from compare.parity.comparison import (
    Comparison,
    Judges,
    buffers_of,
    kind_of,
    longest_sum,
    parameters_of,
    sizes_of,
)
from compare.records.run import KinkCount

# Small enough for its effects to add up, large enough to stand far above float64's own rounding.
NOISE = 2.0**-36


def compare_whole(step: Step, judges: Judges, seed: int) -> tuple[list[Comparison], KinkCount]:
    """Make the step on both sides from the same state; compare every value of it.

    What rounding at one stage does to the stages after it depends on the network and the batch.
    It is measured: the referee makes the step once more with noise of NOISE times the size of
    what was summed at every stage, and the change that this makes, divided by NOISE, is added to
    the size of each value (Parker, Monte Carlo Arithmetic, 1997).

    Args:
        step: The step as the NumPy run made it.
        judges: The other opinions.
        seed: For the noise.

    Returns:
        The comparisons in the order of execution, and the places near a kink.
    """
    before = State(step.before.model)  # the update is judged elsewhere
    judges.numpy64.load(before)
    judges.numpy64.give_masks(step.masks)
    numpy = judges.numpy64.record_step(_batch(judges.numpy64, step), update=False)
    kinks = {
        call.name: call.input
        for call in numpy.calls
        if kind_of(judges.torch64, call) in magnitude.KINKED
    }

    def replayed(noise: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> Step:
        judges.torch64.load(before)
        judges.torch64.give_masks(step.masks)
        batch = _batch(judges.torch64, step)
        return judges.torch64.replay(batch, kinks, noise, seed, update=False)

    torch = replayed()
    if [call.name for call in numpy.calls] != [call.name for call in torch.calls]:
        missing = Comparison("float64", "whole/forward", np.inf, 0.0, 0.0)
        return [missing], _count_kinks(step, torch, judges.torch64)
    # A step of a large network takes gigabytes: each is let go as soon as it can be.
    exact = _sites(torch)
    apart = {site: _distance(value, exact[site]) for site, value in _sites(numpy).items()}
    del numpy
    for call in torch.calls:
        call.mask = step.masks.get(call.name)
    sizes = {
        call.name: sizes_of(
            judges.torch64, call, torch, torch.before.of_module(call.name), call.grad_output
        )
        for call in torch.calls
        if call.grad_output is not None
    }
    noise = {name: (NOISE * s.output, NOISE * s.grad_input) for name, s in sizes.items()}
    largest = {site: _largest(size) for site, size in _sites_of_sizes(sizes, torch).items()}
    del sizes
    moved = _sites(replayed(noise))
    del noise

    longest = max(longest_sum(c, torch.before.of_module(c.name)) for c in torch.calls)
    bound = tolerances.float64_bound(longest)
    found = []
    for site, size in largest.items():
        if site not in apart:
            found.append(Comparison("float64", f"whole/{site}", np.inf, 0.0, 0.0))
            continue
        with np.errstate(invalid="ignore"):
            change = np.abs(moved[site] - exact[site]) / NOISE
        whole = max(size + _largest(change), tolerances.SMALLEST_NORMAL["float64"])
        found.append(Comparison("float64", f"whole/{site}", apart[site] / whole, 0.0, bound))
    return found, _count_kinks(step, torch, judges.torch64)


def _distance(value: np.ndarray, exact: np.ndarray) -> float:
    """The largest |value − exact|; what overflowed in both counts as equal."""
    if (lost := tolerances.overflowed_alike(value, exact)).any():
        value, exact = np.where(lost, 0.0, value), np.where(lost, 0.0, exact)
    return tolerances.whole_error(value, exact, 1.0)


def _largest(sizes: np.ndarray) -> float:
    return float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))


def _sites(step: Step) -> Arrays:
    """Every value of a step by its site, in the order of execution."""
    found: Arrays = {}
    for call in step.calls:
        found[f"forward/{call.name}/output"] = call.output
        for key in buffers_of(call, step):
            found[f"buffer/{call.name}.{key}"] = step.after.model[f"{call.name}.{key}"]
    for call in reversed(step.calls):
        for key in parameters_of(call, step):
            found[f"gradient/{call.name}.{key}"] = step.gradients[f"{call.name}.{key}"]
        if call.grad_input is not None:
            found[f"backward/{call.name}/grad_input"] = call.grad_input
    return found


def _sites_of_sizes(sizes: dict[str, Stage], step: Step) -> Arrays:
    """The sizes of all values of a step, by the same sites in the same order."""
    found: Arrays = {}
    for call in step.calls:
        found[f"forward/{call.name}/output"] = sizes[call.name].output
        for key, size in sizes[call.name].buffers.items():
            found[f"buffer/{call.name}.{key}"] = size
    for call in reversed(step.calls):
        for key, size in sizes[call.name].gradients.items():
            found[f"gradient/{call.name}.{key}"] = size
        found[f"backward/{call.name}/grad_input"] = sizes[call.name].grad_input
    return found


def _batch(side: Backend, step: Step) -> Any:
    return side.batch(side.rows(step.inputs, step.targets), np.arange(len(step.targets)))


def _count_kinks(step: Step, replayed: Step, referee: Referee) -> KinkCount:
    """Where NumPy's float32 input and the referee's lie on different sides of a kink at 0."""
    places = flips = 0
    largest = 0.0
    exact = {
        call.name: call.input
        for call in replayed.calls
        if kind_of(referee, call) in magnitude.KINKED_AT_ZERO
    }
    for call in step.calls:
        if call.name not in exact:
            continue
        other = exact[call.name]
        different = (call.input > 0) != (other > 0)
        places += call.input.size
        flips += int(different.sum())
        if different.any():
            largest = max(largest, float(np.abs(other[different]).max()))
    return KinkCount(step=-1, places=places, flips=flips, largest=largest)
