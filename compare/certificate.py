"""Was this training step faithful to rounding? Every site of it is compared.

The NumPy run's own step is recorded: the state before it, what every module was given and made
of it, and the state after. Each stage is then judged alone, from the very values that the NumPy
run gave it, so that neither an early fault nor bad conditioning colours what comes later:

- float32: NumPy's values and PyTorch's float32 values against PyTorch's float64 values;
- float64: both sides in float64 from the same inputs, under a random output gradient;
- whole: the step end to end on both sides in float64, which shows that the stages are connected
  as specified.

When every certified step of a run is faithful, the run is a training as specified, computed in
float32, however far it has drifted from another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare import magnitude, tolerances
from compare.records import KinkCount
from compare.sides import Call, Referee, Side, Stage, State, Step
from compare.sides.protocol import Arrays

# Stands where a side has no such value; nothing has its shape, so it equals nothing.
NOTHING = np.empty((0,) * 9)

# Small enough for its effects to add up, large enough to stand far above float64's own rounding.
NOISE = 2.0**-36


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

    numpy64: Side
    torch32: Side
    torch64: Referee


def certify(step: Step, judges: Judges, seed: int) -> tuple[list[Comparison], KinkCount]:
    """Compare every site of a recorded step of the NumPy side.

    Args:
        step: The step, as :meth:`Side.record_step` gives it.
        judges: The other opinions.
        seed: For the random output gradients.

    Returns:
        The comparisons in the order of execution, and the places near a kink.
    """
    random = np.random.default_rng(seed)
    stages = [*_module_and_loss_stages(step, judges, random), *certify_update(step, judges)]
    whole, kinks = _whole(step, judges, seed)
    return [*stages, *whole], kinks


def _module_and_loss_stages(
    step: Step, judges: Judges, random: np.random.Generator
) -> Iterator[Comparison]:
    backward: list[list[Comparison]] = []
    for call in step.calls:
        if call.grad_output is None or call.grad_input is None:
            backward.append([_never_reached(step.dtype, call)])
            continue
        state = step.before.of_module(call.name)
        actual = Stage(
            call.output,
            call.grad_input,
            {k: step.gradients[f"{call.name}.{k}"] for k in _parameters(call, step)},
            {k: v for k, v in step.after.of_module(call.name).items() if k in _buffers(call, step)},
        )
        drawn = random.standard_normal(call.output.shape)
        terms = longest_sum(call, state)
        own = _compare_stage(
            step.dtype,
            call.name,
            terms,
            actual,
            _stage(judges.torch32, call, step, state, call.grad_output),
            _stage(judges.torch64, call, step, state, call.grad_output),
            _sizes(judges.torch64, call, step, state, call.grad_output),
        )
        referee = _stage(judges.torch64, call, step, state, drawn)
        exact = _compare_stage(
            "float64",
            call.name,
            terms,
            _stage(judges.numpy64, call, step, state, drawn),
            referee,
            referee,
            _sizes(judges.torch64, call, step, state, drawn),
        )
        yield from _together(own[0], exact[0])
        backward.append(_together(own[1], exact[1]))
    for comparisons in reversed(backward):
        yield from comparisons


def _never_reached(dtype: str, call: Call) -> Comparison:
    """The backward pass went past a module without calling it."""
    return Comparison(dtype, f"backward/{call.name}/grad_input", np.inf, 0.0, 0.0)


def _together(own: list[Comparison], exact: list[Comparison]) -> list[Comparison]:
    """Site by site both, or the worse of the two where the step itself was made in float64."""
    pairs = zip(own, exact, strict=True)
    if own and own[0].dtype == "float64":
        return [max(pair, key=lambda comparison: comparison.numpy_error) for pair in pairs]
    return [comparison for pair in pairs for comparison in pair]


def longest_sum(call: Call, state: Arrays) -> int:
    """The terms of the longest sum of a stage: over the batch and all positions, or over inputs."""
    x = call.input
    positions = x.size // max(x.shape[1], 1) if x.ndim > 1 else x.size
    inputs = [w.size // max(w.shape[0], 1) for w in state.values() if w.ndim > 1]
    return max(positions, *inputs, 1)


def _parameters(call: Call, step: Step) -> list[str]:
    prefix = f"{call.name}."
    return [k.removeprefix(prefix) for k in step.gradients if k.startswith(prefix)]


def _buffers(call: Call, step: Step) -> list[str]:
    return [k for k in step.before.of_module(call.name) if k not in _parameters(call, step)]


def _stage(side: Side, call: Call, step: Step, state: Arrays, dy: np.ndarray) -> Stage:
    if call.name == "loss":
        return side.loss_stage(call.input, step.targets, float(dy))
    _give_mask(side, call)
    return side.stage(call.name, state, call.input, dy)


def _sizes(referee: Referee, call: Call, step: Step, state: Arrays, dy: np.ndarray) -> Stage:
    kind = _kind(referee, call)
    if call.name == "loss":
        return magnitude.LOSSES[kind](call.input, step.targets, float(dy))
    _give_mask(referee, call)
    return magnitude.module_sizes(referee, call.name, kind, state, call.input, dy)


def _give_mask(side: Side, call: Call) -> None:
    if call.mask is not None:
        side.give_masks({call.name: call.mask})


def _kind(referee: Referee, call: Call) -> str:
    """What a module is meant to be: the referee's class, whatever the other side's is called."""
    return type(referee.loss if call.name == "loss" else referee.module(call.name)).__name__


def _compare_stage(
    dtype: str, name: str, terms: int, numpy: Stage, torch: Stage, referee: Stage, sizes: Stage
) -> tuple[list[Comparison], list[Comparison]]:
    """The comparisons of a stage's forward and of its backward part."""

    def compare(site: str, part: str, key: str | None = None) -> Comparison:
        a, b, r, s = (
            getattr(stage, part) if key is None else getattr(stage, part)[key]
            for stage in (numpy, torch, referee, sizes)
        )
        return compare_values(dtype, site, terms, a, b, r, s)

    forward = [compare(f"forward/{name}/output", "output")]
    forward += [compare(f"buffer/{name}.{k}", "buffers", k) for k in referee.buffers]
    backward = [compare(f"gradient/{name}.{k}", "gradients", k) for k in referee.gradients]
    backward += [compare(f"backward/{name}/grad_input", "grad_input")]
    return forward, backward


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


def certify_update(step: Step, judges: Judges) -> Iterator[Comparison]:
    """Compare the optimizer's step alone: from the same state with the same gradients."""
    settings = judges.torch64.optimizer.param_groups[0]
    referee = judges.torch64.update_stage(step.before, step.gradients)
    sizes = magnitude.update_sizes(
        judges.torch64, step.before, step.gradients, settings.get("maximize", False)
    )
    opinions = {
        "float64": (judges.numpy64.update_stage(step.before, step.gradients), referee),
        # A step that was itself made in float64 stands in the place of the one made again.
        step.dtype: (step.after, judges.torch32.update_stage(step.before, step.gradients)),
    }
    for name in step.gradients:
        for key in referee.optimizer.get(name, {}):
            for dtype, (numpy, torch) in sorted(opinions.items()):
                states = (numpy, torch, referee, sizes)
                parts = (state.optimizer.get(name, {}).get(key, NOTHING) for state in states)
                yield compare_values(dtype, f"optimizer/{name}/{key}", 1, *parts)
        for dtype, (numpy, torch) in sorted(opinions.items()):
            states = (numpy, torch, referee, sizes)
            parts = (state.model.get(name, NOTHING) for state in states)
            yield compare_values(dtype, f"update/{name}", 1, *parts)


def _whole(step: Step, judges: Judges, seed: int) -> tuple[list[Comparison], KinkCount]:
    """The step end to end in float64 from the same state, and the places near a kink.

    What rounding at one stage does to the stages after it depends on the network and the batch.
    It is measured: the referee makes the step once more with noise of NOISE times the size of
    what was summed at every stage, and the change that this makes, divided by NOISE, is added to
    the size of each value (Parker, Monte Carlo Arithmetic, 1997).
    """
    before = State(step.before.model)  # the update is judged elsewhere
    judges.numpy64.load(before)
    judges.numpy64.give_masks(step.masks)
    numpy = judges.numpy64.record_step(_batch(judges.numpy64, step), update=False)
    kinks = {
        call.name: call.input
        for call in numpy.calls
        if _kind(judges.torch64, call) in magnitude.KINKED
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
        call.name: _sizes(
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
        for key in _buffers(call, step):
            found[f"buffer/{call.name}.{key}"] = step.after.model[f"{call.name}.{key}"]
    for call in reversed(step.calls):
        for key in _parameters(call, step):
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


def _batch(side: Side, step: Step) -> Any:
    return side.batch(side.rows(step.inputs, step.targets), np.arange(len(step.targets)))


def _count_kinks(step: Step, replayed: Step, referee: Referee) -> KinkCount:
    """Where NumPy's float32 input and the referee's lie on different sides of a kink at 0."""
    places = flips = 0
    largest = 0.0
    exact = {
        call.name: call.input
        for call in replayed.calls
        if _kind(referee, call) in magnitude.KINKED_AT_ZERO
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
