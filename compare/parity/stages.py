"""One stage of a recorded step: a module, or the loss, with its input and a gradient of its output.

A stage is run again by any backend from these alone. Its values have sites, which are named and
ordered here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compare.backends import Backend, Call, RecordedStep, Referee, Stage, State
from compare.backends.protocol import Arrays
from compare.parity.sizes import LOSSES, module_sizes


def run_stage(
    backend: Backend, call: Call, step: RecordedStep, dy: np.ndarray, input_too: bool = True
) -> Stage:
    """Run the module of a call on its recorded input, from the state before the step.

    Args:
        backend: Any that has the module.
        call: The call.
        step: The step that it belongs to.
        dy: The gradient of the output.
        input_too: Whether the gradient by the input is wanted; zeros stand for it otherwise.
    """
    if call.name == "loss":
        return backend.loss_stage(call.input, step.targets, float(dy))
    _give_mask(backend, call)
    return backend.stage(call.name, step.before.of_module(call.name), call.input, dy, input_too)


def stage_sizes(
    referee: Referee, call: Call, step: RecordedStep, dy: np.ndarray, input_too: bool = True
) -> Stage:
    """What is summed to make each value of a stage under a gradient of its output."""
    kind = class_of(referee, call)
    if call.name == "loss":
        return LOSSES[kind](call.input, step.targets, float(dy))
    _give_mask(referee, call)
    state = step.before.of_module(call.name)
    return module_sizes(referee, call.name, kind, state, call.input, dy, input_too)


def recorded_stage(call: Call, step: RecordedStep) -> Stage:
    """The values of a stage as the step itself computed them."""
    parameters = [k for k in step.gradients if k.startswith(f"{call.name}.")]
    buffers = [k for k in step.before.of_module(call.name) if f"{call.name}.{k}" not in parameters]
    return Stage(
        call.output,
        call.grad_input,  # type: ignore[arg-type]  # None where backward did not call the module
        {k.removeprefix(f"{call.name}."): step.gradients[k] for k in parameters},
        {k: step.after.model[f"{call.name}.{k}"] for k in buffers},
    )


def class_of(referee: Referee, call: Call) -> str:
    """What a module is meant to be: its class in the referee, not that in the recorded network."""
    return type(referee.loss if call.name == "loss" else referee.module(call.name)).__name__


def longest_sum(call: Call, state: Arrays) -> int:
    """The terms of the longest sum of a stage: over the batch and all positions, or over inputs."""
    x = call.input
    positions = x.size // max(x.shape[1], 1) if x.ndim > 1 else x.size
    inputs = [w.size // max(w.shape[0], 1) for w in state.values() if w.ndim > 1]
    return max(positions, *inputs, 1)


def stage_sites(name: str, stage: Stage) -> Arrays:
    """Every value of a stage by its site, in the order of execution."""
    return forward_sites(name, stage) | backward_sites(name, stage)


def forward_sites(name: str, stage: Stage) -> Arrays:
    """The output of a stage, and its buffers."""
    buffers = {f"buffer/{name}.{key}": value for key, value in stage.buffers.items()}
    return {f"forward/{name}/output": stage.output} | buffers


def backward_sites(name: str, stage: Stage) -> Arrays:
    """The gradients of a stage by its parameters and, if there is one, by its input."""
    found = {f"gradient/{name}.{key}": value for key, value in stage.gradients.items()}
    if stage.grad_input is not None:
        found[f"backward/{name}/grad_input"] = stage.grad_input
    return found


def is_backward(site: str) -> bool:
    """Whether a site is a gradient by a parameter or by an input."""
    return site.startswith(("gradient/", "backward/"))


def update_sites(state: State, step: RecordedStep) -> Arrays:
    """Every value of the optimizer's update in a step by its site.

    Args:
        state: The state after the update, or one that holds something else for each value.
        step: The step, for the names of what is trained.
    """
    found: Arrays = {}
    for name in step.gradients:
        for key, value in state.optimizer.get(name, {}).items():
            found[f"optimizer/{name}/{key}"] = value
        if name in state.model:
            found[f"update/{name}"] = state.model[name]
    return found


def step_sites(stages: Mapping[str, Stage]) -> Arrays:
    """Every value of a step by its site, in the order of execution.

    Args:
        stages: Module name → stage, in the order of the forward pass.
    """
    found: Arrays = {}
    for name, stage in stages.items():
        found |= forward_sites(name, stage)
    for name in reversed(list(stages)):
        found |= backward_sites(name, stages[name])
    return found


def _give_mask(backend: Backend, call: Call) -> None:
    """Let a Dropout keep what it kept in the step."""
    if call.mask is not None:
        backend.give_masks({call.name: call.mask})
