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

import numpy as np

from compare.backends import Backend, Call, Stage, Step
from compare.backends.protocol import Arrays
from compare.parity import sizes as magnitude
from compare.parity.comparison import (
    Comparison,
    Judges,
    buffers_of,
    compare_values,
    give_mask,
    longest_sum,
    parameters_of,
    sizes_of,
)
from compare.parity.whole_step import compare_whole
from compare.records.run import KinkCount

# Stands where a side has no such value; nothing has its shape, so it equals nothing.
NOTHING = np.empty((0,) * 9)


def certify(step: Step, judges: Judges, seed: int) -> tuple[list[Comparison], KinkCount]:
    """Compare every site of a recorded step of the NumPy side.

    Args:
        step: The step, as :meth:`Backend.record_step` gives it.
        judges: The other opinions.
        seed: For the random output gradients.

    Returns:
        The comparisons in the order of execution, and the places near a kink.
    """
    random = np.random.default_rng(seed)
    stages = [*_module_and_loss_stages(step, judges, random), *certify_update(step, judges)]
    whole, kinks = compare_whole(step, judges, seed)
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
            {k: step.gradients[f"{call.name}.{k}"] for k in parameters_of(call, step)},
            {k: step.after.model[f"{call.name}.{k}"] for k in buffers_of(call, step)},
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
            sizes_of(judges.torch64, call, step, state, call.grad_output),
        )
        referee = _stage(judges.torch64, call, step, state, drawn)
        exact = _compare_stage(
            "float64",
            call.name,
            terms,
            _stage(judges.numpy64, call, step, state, drawn),
            referee,
            referee,
            sizes_of(judges.torch64, call, step, state, drawn),
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


def _stage(side: Backend, call: Call, step: Step, state: Arrays, dy: np.ndarray) -> Stage:
    if call.name == "loss":
        return side.loss_stage(call.input, step.targets, float(dy))
    give_mask(side, call)
    return side.stage(call.name, state, call.input, dy)


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
