"""The questions that a homework is asked, with PyTorch's answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from compare.backends.protocol import Arrays, RecordedStep
from compare.check import batches
from compare.check.evidence import Assignment
from compare.check.reference import Reference, in_dtype, values
from compare.mistakes.case import Case
from experiments.errors import InputError

SEED = 20240601
UPDATES = 3
# Gradients of updates reach down to the ε of Adam, so that its place shows.
SMALLEST_EXPONENT = -9.0


class Wanted(NamedTuple):
    """Which cases are to be made: for functions, for layers alone."""

    functions: bool = True
    layers: bool = False


def make_cases(assignment: Assignment, wanted: Wanted | None = None) -> list[Case]:
    """Several batches, different in size, from two sets of parameters.

    Raises:
        InputError: PyTorch cannot build or run the network.
    """
    try:
        return _cases(assignment, wanted or Wanted())
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        message = " ".join(str(error).split())
        raise InputError(
            f"PyTorch cannot run {assignment.architecture} with the loss {assignment.loss}: "
            f"{message}."
        ) from None


def _cases(assignment: Assignment, wanted: Wanted) -> list[Case]:
    reference = Reference(assignment)
    random = np.random.default_rng(SEED)
    shape = batches.input_shape(reference)
    sets = [batches.parameters(reference, random) for _ in batches.SPREADS]
    probe = random.standard_normal((64, *shape))
    for params, spread in zip(sets, batches.SPREADS, strict=True):
        batches.spread_logits(reference, params, assignment.loss, probe, spread)
    classes = reference.exact.logits(probe[:2]).shape[-1]
    cases = []
    for number, (rows, which) in enumerate(batches.rows_of_batches(reference, classes, shape)):
        params = sets[which]
        x, y, step = batches.batch(reference, params, assignment.loss, shape, rows, random)
        if wanted.functions:
            case = _case(reference, params, x, y, step)
            if assignment.optimizer and number == 0:
                case = _with_updates(reference, case, random)
            cases.append(case)
        if wanted.layers and rows > 1:
            cases.append(_layer_case(reference, params, x, y, step, random, chained=number > 0))
    return cases


def _case(
    reference: Reference, params: Arrays, x: np.ndarray, y: np.ndarray, step: RecordedStep
) -> Case:
    single = values(reference.step(reference.single, params, x, y))
    sizes = reference.sizes(step, y)
    evaluation = None
    if any(key.startswith("buffer/") for key in sizes):
        reference.exact.load(step.before)
        evaluation = reference.exact.logits(x)
    return Case(params, x, y, values(step), sizes, expected32=single, evaluation=evaluation)


def _with_updates(reference: Reference, case: Case, random: np.random.Generator) -> Case:
    def drawn(shape: tuple[int, ...]) -> np.ndarray:
        return random.standard_normal(shape) * 10.0 ** random.uniform(SMALLEST_EXPONENT, 0.0, shape)

    steps = tuple(
        {name: drawn(case.parameters[name].shape) for name in reference.trainable}
        for _ in range(UPDATES)
    )
    exact, single, sizes = reference.updates(case.parameters, steps)
    for name in reference.trainable:
        quantity = f"update/{name}"
        case.expected[quantity] = exact[name]
        case.expected32[quantity] = single[name]
        case.sizes[quantity] = sizes[name]
    return Case(
        case.parameters,
        case.inputs,
        case.targets,
        case.expected,
        case.sizes,
        steps,
        case.expected32,
        case.given,
        case.evaluation,
    )


def _layer_case(
    reference: Reference,
    params: Arrays,
    x: np.ndarray,
    y: np.ndarray,
    step: RecordedStep,
    random: np.random.Generator,
    chained: bool,
) -> Case:
    """Each layer alone: what goes in, an output gradient, and what comes of them.

    The output gradients are random, each for itself; or, ``chained``, only the last is, and the
    others are what it becomes on its way back, so that a layer of the homework may stand for
    several of the network's.
    """
    case = Case(params, x, y, {}, {})
    whole, whole32 = values(step), values(reference.step(reference.single, params, x, y))
    whole_sizes = reference.sizes(step, y)

    def put(quantity: str, triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        case.expected[quantity], case.expected32[quantity], case.sizes[quantity] = triple

    calls = step.calls[:-1]
    dy = random.standard_normal(calls[-1].output.shape)
    parts = {}
    for call in reversed(calls):
        if not chained:
            dy = random.standard_normal(call.output.shape)
        parts[call.name] = reference.alone(call, step, dy)
        case.given[f"input/{call.name}"], case.given[f"grad_output/{call.name}"] = call.input, dy
        dy = parts[call.name][0].grad_input
    case.given["chained"] = np.array(chained)
    for call in calls:
        name, part = call.name, parts[call.name]
        put(f"activation/{name}", _triple(part, "output"))
        for key, buffer in part[0].buffers.items():
            if buffer.dtype.kind == "f":
                put(f"buffer/{name}.{key}", _triple(part, "buffers", key))
    put("logits", (whole["logits"], whole32["logits"], whole_sizes["logits"]))
    loss = step.calls[-1]
    exact = reference.exact.loss_stage(loss.input, y, 1.0)
    single = reference.single.loss_stage(loss.input, in_dtype(y, "float32"), 1.0)
    sizes = reference.stage_sizes(loss, step)
    put("loss", (exact.output, single.output, sizes.output))
    put("gradient/logits", (exact.grad_input, single.grad_input, sizes.grad_input))
    for call in reversed(calls):
        for key in parts[call.name][0].gradients:
            put(f"gradient/{call.name}.{key}", _triple(parts[call.name], "gradients", key))
        put(f"gradient/{call.name}.input", _triple(parts[call.name], "grad_input"))
    return case


def _triple(parts: tuple, part: str, key: str | None = None) -> tuple:
    return tuple(
        getattr(stage, part) if key is None else getattr(stage, part)[key] for stage in parts
    )
