"""The cases that a homework is checked with: parameters, batches and PyTorch's values.

Parameters and batches are drawn so that mistakes show: gammas that are not 1, biases that are not
0, running statistics that are neither; rows that are classified wrongly with confidence; and no
value so near to a kink that rounding decides between its sides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from compare.backends.protocol import Arrays, RecordedStep
from compare.check.contract import Assignment
from compare.check.reference import Reference, quantities, targets_in_dtype
from compare.check.sequences import draw_tokens, is_recurrent, sequence_shape, vocabulary
from compare.mistakes.case import Case
from compare.parity.sizes import KINKS
from compare.parity.tolerances import KINK_MARGIN
from experiments.errors import InputError

# What cases are drawn from where nobody says another seed, as in golden files.
SEED = 20240601
# Rows in a batch, and which of the two sets of parameters: small first, so that homeworks fail
# early.
BATCHES = ((5, 0), (1, 0), (23, 1), (4, 1))
# How far apart the largest and the smallest logit of a typical row are in each set of parameters:
# with 20, the probability of a wrong class is about e⁻²⁰ = 2e-9. No row has more than twice that.
# A sigmoid's two classes have the logits z and 0 or, where the loss takes probabilities, z/2 and
# −z/2: 1 − p then has to keep its digits, of which it loses z/ln 10.
SPREADS = {
    "cross_entropy": (5.0, 20.0),
    "bce_with_logits": (5.0, 20.0),
    "bce": (3.0, 8.0),
}
MOST_OF_SPREAD = 2.0
# Sides of images, in the order in which they are tried: common ones first.
IMAGE_SIDES = tuple(dict.fromkeys((8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, *range(2, 65))))
# Added to all logits in a case of its own: exp of it is infinite in float64 and in float32.
LARGE_LOGIT = 1000.0
# How far the logits of one row are apart in the smallest batch: its class has the probability
# e⁻⁴⁰ = 4e-18, so that what is held against a probability shows down to 1e-15.
WIDEST_SPREAD = 40.0
# The smallest logit of a sigmoid, in a case of its own.
LEAST_LOGIT = -18.0
# Attempts to draw rows away from kinks, and after how many the whole batch is drawn anew: behind a
# batch normalisation one row changes the values of all.
ATTEMPTS = 300
ANEW = 20
# How many values of a batch are near a kink, on average: at the more, the margin is made smaller.
MOST_NEAR_KINKS = 0.3
# The number of updates, whose gradients reach down to Adam's ε, so that its place shows.
UPDATES = 3
SMALLEST_EXPONENT = -9.0


def make_cases(
    assignment: Assignment, *, functions: bool = True, layers: bool = False, seed: int = SEED
) -> list[Case]:
    """Draw several batches of different sizes from two sets of parameters.

    Args:
        assignment: The network, the loss and perhaps an optimizer.
        functions: Whether to make cases for functions.
        layers: Whether to make cases for layer classes, with inputs for each layer alone.
        seed: What all of it is drawn from.

    Raises:
        InputError: PyTorch cannot build or run the network.
    """
    try:
        return _make_cases(assignment, functions, layers, seed)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever the network is: the person gets one sentence
        message = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"PyTorch cannot run {assignment.architecture} on a batch with the loss "
            f"{assignment.loss}: {type(error).__name__}: {message}."
        ) from None


def _make_cases(assignment: Assignment, functions: bool, layers: bool, seed: int) -> list[Case]:
    reference = Reference(assignment)
    random = np.random.default_rng(seed)
    shape = input_shape(reference)
    other_shape = _other_size(reference, shape)
    sets = [draw_parameters(reference, random) for _ in range(2)]
    loss = assignment.drawn_like
    classes = reference.exact.logits(_draw_rows(reference, shape, 2, random)).shape[-1]
    sizes = batch_sizes(reference, classes, shape, assignment.one_sample)
    shapes = [shape] * (len(sizes) - 1) + [other_shape or shape]
    inputs = [
        draw_batch(reference, sets[which], loss, draw_inputs(reference, own, rows, random), random)[
            0
        ]
        for own, (rows, which) in zip(shapes, sizes, strict=True)
    ]
    for which, spread in enumerate(SPREADS.get(loss, ())):
        own = [x for x, (_, w) in zip(inputs, sizes, strict=True) if w == which]
        spread_logits(reference, sets[which], loss, own, spread)
    drawn = [
        (sets[which], *draw_batch(reference, sets[which], loss, x, random))
        for x, (_, which) in zip(inputs, sizes, strict=True)
    ]
    # What these show of PyTorch's losses need not be true of another.
    drawn[1] = _with_unlikely_class(reference, assignment.loss, *drawn[1]) or drawn[1]
    large = _with_large_logits(reference, assignment.loss, *drawn[0][:3])
    if large is not None:
        drawn.append(large)
    unlikely = _with_small_probabilities(reference, assignment.loss, *drawn[0][:3])
    if unlikely is not None:
        drawn.append(unlikely)
    cases = []
    for number, (params, x, y, step) in enumerate(drawn):
        rows = len(x)
        if functions:
            case = _function_case(reference, params, x, y, step)
            if assignment.optimizer and number == 0:
                case = _with_updates(reference, case, random)
            cases.append(case)
        if layers and (rows > 1 or assignment.one_sample):
            cases.append(_layer_case(reference, params, x, y, step, random, chained=number > 0))
    return [
        replace(
            case,
            large_logits=large is not None and case.parameters is large[0],
            other_size=case.inputs.shape[1:] != shape,
        )
        for case in cases
    ]


def _with_large_logits(
    reference: Reference, loss: str, params: Arrays, x: np.ndarray, y: np.ndarray
) -> tuple[Arrays, np.ndarray, np.ndarray, RecordedStep] | None:
    """The batch again with :data:`LARGE_LOGIT` added to all logits by the last bias.

    None where a softmax does not follow, or there is no such bias.
    """
    linear = _last_linear(reference)
    bias = f"{linear}.bias"
    if loss != "cross_entropy" or bias not in params:
        return None
    params = {**params, bias: params[bias] + LARGE_LOGIT}
    step = reference.step(reference.exact, params, x, y)
    if not (step.calls[-1].input > LARGE_LOGIT / 2).all():
        return None
    return params, x, y, step


def _with_unlikely_class(
    reference: Reference,
    loss: str,
    params: Arrays,
    x: np.ndarray,
    y: np.ndarray,
    step: RecordedStep,
) -> tuple[Arrays, np.ndarray, np.ndarray, RecordedStep] | None:
    """The batch again with a probability of e⁻⁴⁰, by the last Linear, of the class of one row.

    That class becomes the largest one, so that classes may still be counted by it. None where a
    softmax does not follow, or all classes are alike.
    """
    linear = _last_linear(reference)
    if loss != "cross_entropy" or linear is None:
        return None
    z = step.calls[-1].input
    row = int(np.ptp(z, axis=1).argmax())
    if not np.ptp(z[row]) > 0:
        return None
    order = np.arange(z.shape[1])
    least = z[row].argmin()
    order[[least, -1]] = order[[-1, least]]
    params, factor = dict(params), WIDEST_SPREAD / np.ptp(z[row])
    for key in (f"{linear}.weight", f"{linear}.bias"):
        if key in params and len(params[key]) == len(order):
            params[key] = factor * params[key][order]
    y = order[y]
    y[row] = len(order) - 1
    step = reference.step(reference.exact, params, x, y)
    reached = np.ptp(step.calls[-1].input, axis=1)
    return (params, x, y, step) if abs(reached[row] - WIDEST_SPREAD) < 1e-6 else None


def _with_small_probabilities(
    reference: Reference, loss: str, params: Arrays, x: np.ndarray, y: np.ndarray
) -> tuple[Arrays, np.ndarray, np.ndarray, RecordedStep] | None:
    """The batch again with probabilities down to e⁻¹⁸ by the last bias, half of the targets 1.

    Such a p keeps all its digits, and so does 1 − p; a p that is near 1 would not. It shows what is
    added to p before the logarithm, or held against it. None for another loss than ``bce``.
    """
    linear = _last_linear(reference)
    bias = f"{linear}.bias"
    if loss != "bce" or bias not in params:
        return None
    step = reference.step(reference.exact, params, x, y)
    z = next(call.output for call in step.calls if call.name == linear)
    params = {**params, bias: params[bias] + LEAST_LOGIT - z.min()}
    targets = (np.indices(y.shape).sum(axis=0) % 2).astype(np.float64)
    return params, x, targets, reference.step(reference.exact, params, x, targets)


def input_shape(reference: Reference) -> tuple[int, ...]:
    """The shape of one row of the network's input."""
    exact = reference.exact
    tokens = vocabulary(exact.model) is not None
    if tokens or is_recurrent(exact.model):
        features = () if tokens else _features(reference)
        loss = type(exact.loss).__name__
        return sequence_shape(exact.model, features, exact.logits, loss)
    return _features(reference)


def _features(reference: Reference) -> tuple[int, ...]:
    """What the first layer that says it takes: a row, or one step of it."""
    for module in reference.exact.modules():
        if hasattr(module, "in_features"):
            return (module.in_features,)
        if hasattr(module, "input_size"):
            return (module.input_size,)
        if hasattr(module, "in_channels"):
            return _image_shape(reference, module.in_channels)
        if isinstance(module, torch.nn.BatchNorm1d):
            return (module.num_features,)
        if isinstance(module, torch.nn.BatchNorm2d):
            return _image_shape(reference, module.num_features)
        if isinstance(module, torch.nn.LayerNorm):
            return tuple(module.normalized_shape)
    raise InputError(
        "The network has no layer that says how many inputs it takes, such as Linear or Conv2d."
    )


def _image_shape(reference: Reference, channels: int) -> tuple[int, ...]:
    fitting = [s for s in IMAGE_SIDES if _takes(reference, (channels, s, s))]
    for side in fitting:
        if _leaves_no_rest(reference, (channels, side, side)):
            return (channels, side, side)
    if fitting:
        return (channels, fitting[0], fitting[0])
    kinds = {type(module).__name__ for module in reference.exact.modules()}
    missing = "Linear" in kinds and "Flatten" not in kinds
    hint = ": is nn.Flatten() missing before its first Linear?" if missing else "."
    raise InputError(
        f"The network takes no square image of {min(IMAGE_SIDES)} to {max(IMAGE_SIDES)} pixels a "
        f"side{hint}"
    )


def _leaves_no_rest(reference: Reference, shape: tuple[int, ...]) -> bool:
    """Whether the windows of every convolution and pooling end where the image does.

    PyTorch leaves a rest out, and much code refuses it.
    """
    rests: list[int] = []

    def measure(module: Any, args: Any, _: Any) -> None:
        pairs = [
            value if isinstance(value, tuple) else (value, value)
            for value in (module.kernel_size, module.stride, module.padding)
        ]
        for axis, (kernel, stride, padding) in enumerate(zip(*pairs, strict=True)):
            if not isinstance(padding, str):
                rests.append((args[0].shape[2 + axis] + 2 * padding - kernel) % stride)

    handles = [
        module.register_forward_hook(measure)
        for module in reference.exact.modules()
        if hasattr(module, "kernel_size") and hasattr(module, "stride")
    ]
    try:
        reference.exact.logits(np.zeros((2, *shape)))
    finally:
        for handle in handles:
            handle.remove()
    return not any(rests)


def _takes(reference: Reference, shape: tuple[int, ...]) -> bool:
    try:
        reference.exact.logits(np.zeros((2, *shape)))
    except (RuntimeError, ValueError):
        return False
    return True


def _other_size(reference: Reference, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Images of another size that the network takes, not square if possible; None without any.

    At an odd side a convolution of stride 2 ends elsewhere, and rows may be taken for columns where
    there are as many of them.
    """
    if len(shape) != 3:
        return None
    channels, side, _ = shape
    around = [(h, w) for h in (side + 1, side, side - 1) for w in (side, side + 1, side - 1)]
    around.sort(key=lambda size: (size[0] == size[1], size[0] % 2 == size[1] % 2))
    for height, width in around:
        if (height, width) != (side, side) and _takes(reference, (channels, height, width)):
            return (channels, height, width)
    return None


def draw_parameters(reference: Reference, random: np.random.Generator) -> Arrays:
    """A set of parameters and buffers, none of them 0 or 1."""
    found: Arrays = {}
    for name, array in reference.exact.state().model.items():
        short, shape = name.rpartition(".")[2], array.shape
        if array.dtype.kind != "f":
            found[name] = np.full(shape, 3, array.dtype)
        elif short == "running_var":
            found[name] = random.uniform(0.5, 2.0, shape)
        elif short == "running_mean":
            found[name] = 0.5 * random.standard_normal(shape)
        elif len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            found[name] = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        elif short == "weight":
            found[name] = random.uniform(0.5, 1.5, shape) * random.choice((1, 1, 1, -1), shape)
        else:
            found[name] = 0.3 * random.standard_normal(shape)
    return found


def spread_logits(
    reference: Reference, params: Arrays, loss: str, batches: list[np.ndarray], spread: float
) -> None:
    """Scale the last Linear so that the logits of a typical row lie ``spread`` apart.

    Where they would then lie more than twice as far apart in another row, they are less in all.

    Args:
        reference: The network.
        params: Its parameters, changed in place.
        loss: A key of ``LOSS_CLASSES``.
        batches: Inputs (N, …), all that these parameters are used with.
        spread: The distance.
    """
    linear = _last_linear(reference)
    if linear is None:
        return
    steps = [
        reference.step(reference.exact, params, x, _any_targets(reference, loss, x))
        for x in batches
    ]
    spreads = np.concatenate([row_spreads(step, linear, loss) for step in steps])
    factor = min(spread / np.median(spreads), MOST_OF_SPREAD * spread / spreads.max())
    for key in ("weight", "bias"):
        name = f"{linear}.{key}"
        if name in params:
            params[name] = params[name] * factor


def _last_linear(reference: Reference) -> str | None:
    """The name of the last Linear, whose outputs are the logits; None if there is none."""
    named = reference.exact.model.named_modules()
    found = [name for name, module in named if isinstance(module, torch.nn.Linear)]
    return found[-1] if found else None


def row_spreads(step: RecordedStep, linear: str, loss: str) -> np.ndarray:
    """How far apart the logits of each row are, from the output of the last Linear."""
    z = next(call.output for call in step.calls if call.name == linear)
    z = z.reshape(len(z), -1)
    two_classes = loss != "cross_entropy" or z.shape[1] == 1
    return 2.0 * np.abs(z).max(axis=1) if two_classes else np.ptp(z, axis=1)


def _any_targets(reference: Reference, loss: str, x: np.ndarray) -> np.ndarray:
    shape = reference.exact.logits(x).shape
    return np.zeros(len(x), np.int64) if loss == "cross_entropy" else np.zeros(shape)


def batch_sizes(
    reference: Reference, classes: int, shape: tuple[int, ...], one_sample: bool = False
) -> list[tuple[int, int]]:
    """The number of rows of each batch, and which set of parameters it goes with.

    A number of rows that is also a number of features or classes could hide a wrong axis.
    """
    if one_sample:
        if not _takes_one_row(reference, shape):
            raise InputError(
                "ONE_SAMPLE = True, but the network has a batch normalisation, which takes several "
                "rows."
            )
        return [(1, which) for _, which in BATCHES]
    taken = {classes, *shape}
    found = []
    for rows, which in BATCHES:
        if rows == 1 and not _takes_one_row(reference, shape):
            rows = 3
        while rows != 1 and rows in taken:
            rows += 1
        found.append((rows, which))
    return found


def _takes_one_row(reference: Reference, shape: tuple[int, ...]) -> bool:
    """Whether the network takes a batch of one row; BatchNorm1d does not in training mode."""
    tokens = vocabulary(reference.exact.model) is not None
    x = torch.zeros((1, *shape), dtype=torch.int64 if tokens else torch.float64)
    try:
        with torch.no_grad():
            reference.exact.model(x)
    except (ValueError, RuntimeError):
        return False
    return True


def draw_inputs(
    reference: Reference, shape: tuple[int, ...], rows: int, random: np.random.Generator
) -> np.ndarray:
    """Inputs (rows, …) of different sizes; tokens for an Embedding."""
    if vocabulary(reference.exact.model) is not None:
        return _draw_rows(reference, shape, rows, random)
    sizes = random.uniform(0.5, 1.5, (rows, *[1] * len(shape)))
    return _draw_rows(reference, shape, rows, random) * sizes


def _draw_rows(
    reference: Reference, shape: tuple[int, ...], rows: int, random: np.random.Generator
) -> np.ndarray:
    tokens = vocabulary(reference.exact.model)
    if tokens is not None:
        return draw_tokens(shape, rows, tokens, random)
    return random.standard_normal((rows, *shape))


def draw_batch(
    reference: Reference, params: Arrays, loss: str, x: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, RecordedStep]:
    """Inputs away from kinks, targets, and PyTorch's step with them.

    Args:
        reference: The network.
        params: Its parameters.
        loss: A key of ``LOSS_CLASSES``.
        x: Inputs (N, …); rows near a kink are drawn anew, in place.
        random: What draws.

    Raises:
        InputError: No batch away from the kinks was found.
    """
    for attempt in range(1, ATTEMPTS + 1):
        reference.load(params)
        targets = draw_targets(reference, loss, x, random)
        step = reference.step(reference.exact, params, x, targets)
        near = rows_near_kinks(step)
        if not near.any():
            return x, targets, step
        near |= attempt % ANEW == 0
        x[near] = _draw_rows(reference, x.shape[1:], int(near.sum()), random)
    raise InputError("No batch was found whose values all keep away from the kinks of the network.")


def draw_targets(
    reference: Reference, loss: str, x: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Targets of the form that the loss takes; every third row is wrong with confidence."""
    output = reference.exact.logits(x)
    wrong = np.arange(len(x)) % 3 == 0
    if loss == "cross_entropy":
        if output.ndim != 2:
            raise ValueError(f"expected logits of shape (N, classes), but got {output.shape}")
        drawn = random.integers(0, output.shape[1], len(x))
        classes = np.where(wrong, output.argmin(axis=1), drawn)
        # Some count the classes by the largest of a batch, so it is in every one of them: in the
        # last row that is not to be wrong, or in the only row.
        classes[np.flatnonzero(~wrong)[-1:] if len(x) > 1 else 0] = output.shape[1] - 1
        return classes
    if loss == "mse":
        return random.standard_normal(output.shape)
    middle = 0.5 if loss == "bce" else 0.0
    drawn = random.integers(0, 2, output.shape)
    opposite = (output < middle).astype(np.int64)
    wrong_rows = wrong.reshape(-1, *[1] * (output.ndim - 1))
    return np.where(wrong_rows, opposite, drawn).astype(np.float64)


def rows_near_kinks(step: RecordedStep) -> np.ndarray:
    """Which rows of the batch have a value within rounding of a kink.

    In a large network some value always is, for float32. There the margin is smaller, so that a
    batch without one can be drawn, and holds for float64.
    """
    near = np.zeros(len(step.inputs), bool)
    values = sum(call.input.size * len(KINKS.get(call.kind, ())) for call in step.calls)
    margin = min(KINK_MARGIN, MOST_NEAR_KINKS / max(values, 1))
    for call in step.calls:
        for kink in KINKS.get(call.kind, ()):
            typical = np.sqrt(np.mean(call.input**2))
            close = np.abs(call.input - kink) < margin * typical
            near |= close.reshape(len(near), -1).any(axis=1)
    return near


def _function_case(
    reference: Reference, params: Arrays, x: np.ndarray, y: np.ndarray, step: RecordedStep
) -> Case:
    single = quantities(reference.step(reference.single, params, x, y))
    sizes = reference.sizes(step, y)
    evaluation = None
    if any(key.startswith("buffer/") for key in sizes):
        reference.exact.load(step.before)
        evaluation = reference.exact.logits(x)
    return Case(params, x, y, quantities(step), sizes, expected32=single, evaluation=evaluation)


def _with_updates(reference: Reference, case: Case, random: np.random.Generator) -> Case:
    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return random.standard_normal(shape) * 10.0 ** random.uniform(SMALLEST_EXPONENT, 0.0, shape)

    steps = tuple(
        {name: draw(case.parameters[name].shape) for name in reference.trainable}
        for _ in range(UPDATES)
    )
    exact, single, sizes = reference.updates(case.parameters, steps)
    for name in reference.trainable:
        quantity = f"update/{name}"
        case.expected[quantity] = exact[name]
        case.expected32[quantity] = single[name]
        case.sizes[quantity] = sizes[name]
    return replace(case, update_gradients=steps)


def _layer_case(
    reference: Reference,
    params: Arrays,
    x: np.ndarray,
    y: np.ndarray,
    step: RecordedStep,
    random: np.random.Generator,
    chained: bool,
) -> Case:
    """The input, an output gradient and the resulting values of each layer alone.

    Either the output gradient of each layer is drawn at random; or, if ``chained``, only that of
    the last, and the others follow from it by backpropagation, so that one layer of the homework
    can match several modules of the network.
    """
    case = Case(params, x, y, {}, {})
    whole, whole32 = quantities(step), quantities(reference.step(reference.single, params, x, y))
    whole_sizes = reference.sizes(step, y)

    def put(quantity: str, triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        case.expected[quantity], case.expected32[quantity], case.sizes[quantity] = triple

    calls = step.calls[:-1]
    dy = random.standard_normal(calls[-1].output.shape)
    parts = {}
    for call in reversed(calls):
        if not chained:
            dy = random.standard_normal(call.output.shape)
        parts[call.name] = reference.run_module(call, step, dy)
        case.given[f"input/{call.name}"], case.given[f"grad_output/{call.name}"] = call.input, dy
        dy = parts[call.name][0].grad_input
    case.given["chained"] = np.array(chained)
    for call in calls:
        name, part = call.name, parts[call.name]
        put(f"activation/{name}", _triple(part, "output"))
        for key, buffer in part[0].buffers.items():
            if buffer.dtype.kind == "f" and f"{name}.{key}" in params:
                put(f"buffer/{name}.{key}", _triple(part, "buffers", key))
    put("logits", (whole["logits"], whole32["logits"], whole_sizes["logits"]))
    loss = step.calls[-1]
    exact = reference.exact.loss_stage(loss.input, y, 1.0)
    single = reference.single.loss_stage(loss.input, targets_in_dtype(y, "float32"), 1.0)
    sizes = reference.stage_sizes(loss, step)
    put("loss", (exact.output, single.output, sizes.output))
    put("gradient/logits", (exact.grad_input, single.grad_input, sizes.grad_input))
    for call in reversed(calls):
        for key in parts[call.name][0].gradients:
            put(f"gradient/{call.name}.{key}", _triple(parts[call.name], "gradients", key))
        if call.input.dtype.kind == "f":  # tokens have no gradient
            put(f"gradient/{call.name}.input", _triple(parts[call.name], "grad_input"))
    return case


def _triple(stages: tuple, part: str, key: str | None = None) -> tuple:
    """One part of a stage: float64 values, float32 values and sizes."""
    return tuple(
        getattr(stage, part) if key is None else getattr(stage, part)[key] for stage in stages
    )
