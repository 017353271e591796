"""PyTorch's parameters after a few training steps in a row, and how far a right homework may be.

An error of a gradient is not simply carried over into the parameters: Adam divides a gradient by
its own size, so that one that is 0 but for rounding moves its parameter by a full step or by none.
So the steps are made again with noise of the size that gradients of right homeworks have, and the
change of the parameters is allowed to a homework, each element for itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from compare.backends.protocol import Arrays, RecordedStep, State
from compare.check.declared_loss import decay
from compare.check.reference import Reference
from compare.check.step_evaluation import STEPS
from compare.mistakes.case import Case
from compare.parity.sizes import update_sizes
from compare.parity.tolerances import HOMEWORK, STEP_DRAWS, STEP_NOISE
from experiments.errors import InputError

# A further step is made while the outputs of the last Linear are at most so many times as large
# as at first: where a training diverges, sigmoids and softmaxes saturate, and right code has no
# digits left.
MOST_GROWTH = 2.0


def with_steps(reference: Reference, case: Case) -> Case:
    """The case with ``step/KEY``, the parameters after :data:`STEPS` steps with its batch.

    Where the outputs grow, as with a large learning rate, only the steps before that count.

    Args:
        reference: The network, the loss and the optimizer.
        case: A case of functions, whose loss and penalty are those that the homework declares.

    Raises:
        InputError: The first step gives values that are no finite numbers.
    """
    random = np.random.default_rng(0)
    start = State(dict(case.parameters))
    exact, single, noisy = start, start, [start] * STEP_DRAWS
    sizes = {name: np.abs(case.parameters[name]) for name in reference.trainable}
    away = {name: np.zeros(case.parameters[name].shape) for name in reference.trainable}
    maximize = bool(reference.exact.optimizer.param_groups[0].get("maximize", False))
    done, largest = 0, 0.0
    result = case
    noise: Arrays = {}
    for _ in range(STEPS):
        step = reference.step(reference.exact, exact.model, case.inputs, case.targets)
        if done == 0:
            largest = _largest_output(reference, step)
            noise = _noise(reference, step, case)
        elif not _largest_output(reference, step) <= MOST_GROWTH * largest:
            break
        gradients, before = _gradients(step, exact, case)
        moved = update_sizes(reference.exact, before, gradients, maximize)
        for name in reference.trainable:
            sizes[name] = sizes[name] + (moved.model[name] - np.abs(before.model[name]))
        exact = reference.exact.update_stage(before, gradients)
        if not all(np.isfinite(exact.model[name]).all() for name in reference.trainable):
            break
        step = reference.step(reference.single, single.model, case.inputs, case.targets)
        gradients, before = _gradients(step, single, case)
        single = reference.single.update_stage(before, gradients)
        for number, state in enumerate(noisy):
            step = reference.step(reference.exact, state.model, case.inputs, case.targets)
            gradients, before = _gradients(step, state, case)
            changed = {
                name: value + noise[name] * random.choice((-1.0, 1.0), value.shape)
                for name, value in gradients.items()
            }
            noisy[number] = reference.exact.update_stage(before, changed)
        for name in reference.trainable:
            for state in noisy:
                change = np.abs(state.model[name] - exact.model[name])
                away[name] = np.fmax(away[name], change)
        done += 1
        result = _with_values(case, reference.trainable, exact, single, sizes, away, done)
    if not done:
        raise InputError(
            "The first training step in PyTorch gives values that are no finite numbers: is the "
            "learning rate too large?"
        )
    return result


def _with_values(
    case: Case,
    trainable: list[str],
    exact: State,
    single: State,
    sizes: Arrays,
    away: Arrays,
    steps: int,
) -> Case:
    """The case with the parameters after some steps."""
    expected = {f"step/{name}": exact.model[name] for name in trainable}
    single32 = {f"step/{name}": single.model[name] for name in trainable}
    allowed = {f"step/{name}": sizes[name] + away[name] / HOMEWORK for name in trainable}
    return replace(
        case,
        expected={**case.expected, **expected},
        expected32={**case.expected32, **single32},
        sizes={**case.sizes, **allowed},
        steps=steps,
    )


def _gradients(step: RecordedStep, state: State, case: Case) -> tuple[Arrays, State]:
    """The gradients of the declared loss, and the state with the running statistics after it."""
    found = {f"gradient/{name}": case.loss_factor * g for name, g in step.gradients.items()}
    if case.weight_decay:
        decay(found, state.model, case.weight_decay)
    statistics = {k: v for k, v in step.after.model.items() if k not in step.gradients}
    gradients = {name: found[f"gradient/{name}"] for name in step.gradients}
    return gradients, State({**state.model, **statistics}, state.optimizer)


def _largest_output(reference: Reference, step: RecordedStep) -> float:
    """The largest output of the last Linear, or of the network where there is none."""
    named = reference.exact.model.named_modules()
    linear = [name for name, module in named if isinstance(module, torch.nn.Linear)]
    outputs = [call.output for call in step.calls if call.name in linear[-1:]]
    return float(np.abs(outputs[0] if outputs else step.calls[-1].input).max(initial=0.0))


def _noise(reference: Reference, step: RecordedStep, case: Case) -> Arrays:
    """How far the gradients of a right homework may be from PyTorch's."""
    sizes = reference.sizes(step, case.targets)
    found = {}
    for name, gradient in step.gradients.items():
        size = abs(case.loss_factor) * np.broadcast_to(sizes[f"gradient/{name}"], gradient.shape)
        if gradient.ndim > 1:
            size = size + case.weight_decay * np.abs(case.parameters[name])
        found[name] = STEP_NOISE * size
    return found
