"""Parameters and batches that hide nothing.

Gammas that are not 1, biases that are not 0, running statistics that are neither; rows that are
classified wrongly with confidence; no value so near to a kink that rounding decides its side.
"""

from __future__ import annotations

import numpy as np
import torch

from compare.backends.protocol import Arrays, RecordedStep, State
from compare.check.reference import Reference
from compare.parity.module_sizes import KINKS
from compare.parity.tolerances import KINK_MARGIN
from experiments.errors import InputError

# Rows in a batch, and which of the two sets of parameters: small first, so that answers come soon.
BATCHES = ((5, 0), (1, 0), (23, 1), (4, 1))
# How far apart the largest and the smallest logit of a row are in each set of parameters: with
# 20, the probability of a wrong class is about e⁻²⁰ = 2e-9.
SPREADS = (5.0, 20.0)
IMAGE_SIZES = (8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)


def input_shape(reference: Reference) -> tuple[int, ...]:
    """The shape of one row that the network takes."""
    for module in reference.exact.modules():
        if hasattr(module, "in_features"):
            return (module.in_features,)
        if hasattr(module, "in_channels"):
            return _image(reference, module.in_channels)
    raise InputError(
        "The network has no layer that says how many inputs it takes, such as Linear or Conv2d."
    )


def _image(reference: Reference, channels: int) -> tuple[int, ...]:
    for size in IMAGE_SIZES:
        try:
            reference.exact.logits(np.zeros((2, channels, size, size)))
        except (RuntimeError, ValueError):
            continue
        return (channels, size, size)
    sizes = ", ".join(map(str, IMAGE_SIZES))
    raise InputError(f"The network takes no square image of {sizes} pixels a side.")


def parameters(reference: Reference, random: np.random.Generator) -> Arrays:
    """A set of parameters and buffers, none of them special."""
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
    reference: Reference, params: Arrays, loss: str, x: np.ndarray, spread: float
) -> None:
    """Scale the last Linear so that the logits of a row lie ``spread`` apart; not for mse."""
    if loss == "mse":
        return
    linear = [n for n, m in reference.exact.model.named_modules() if isinstance(m, torch.nn.Linear)]
    if not linear:
        return
    step = reference.step(reference.exact, params, x, _some_targets(reference, loss, x))
    z = next(call.output for call in step.calls if call.name == linear[-1])
    now = np.ptp(z, axis=1) if z.shape[1] > 1 else 2.0 * np.abs(z)
    for key in ("weight", "bias"):
        name = f"{linear[-1]}.{key}"
        if name in params:
            params[name] = params[name] * (spread / np.median(now))


def _some_targets(reference: Reference, loss: str, x: np.ndarray) -> np.ndarray:
    shape = reference.exact.logits(x).shape
    return np.zeros(len(x), np.int64) if loss == "cross_entropy" else np.zeros(shape)


def batch(
    reference: Reference,
    params: Arrays,
    loss: str,
    shape: tuple[int, ...],
    rows: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, RecordedStep]:
    """Inputs, targets and PyTorch's step with them.

    Raises:
        InputError: No batch away from the kinks was found.
    """
    x = random.standard_normal((rows, *shape)) * random.uniform(0.5, 1.5, (rows, *[1] * len(shape)))
    for _ in range(200):
        reference.exact.load(State(params))
        targets = draw_targets(reference, loss, x, random)
        step = reference.step(reference.exact, params, x, targets)
        near = rows_near_kinks(step)
        if not near.any():
            return x, targets, step
        x[near] = random.standard_normal((int(near.sum()), *shape))
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
        return np.where(wrong, output.argmin(axis=1), drawn)
    if loss == "mse":
        return random.standard_normal(output.shape)
    middle = 0.5 if loss == "bce" else 0.0
    drawn = random.integers(0, 2, output.shape)
    opposite = (output < middle).astype(np.int64)
    aside = wrong.reshape(-1, *[1] * (output.ndim - 1))
    return np.where(aside, opposite, drawn).astype(np.float64)


def rows_near_kinks(step: RecordedStep) -> np.ndarray:
    """Which rows of the batch have a value within rounding of a kink."""
    near = np.zeros(len(step.inputs), bool)
    for call in step.calls:
        for kink in KINKS.get(call.kind, ()):
            typical = np.sqrt(np.mean(call.input**2))
            close = np.abs(call.input - kink) < KINK_MARGIN * typical
            near |= close.reshape(len(near), -1).any(axis=1)
    return near


def rows_of_batches(
    reference: Reference, classes: int, shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """How many rows each batch has; a number that the network has too could hide a wrong axis."""
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
    """BatchNorm over single values does not, in training mode."""
    try:
        with torch.no_grad():
            reference.exact.model(torch.zeros((1, *shape), dtype=torch.float64))
    except (ValueError, RuntimeError):
        return False
    return True
