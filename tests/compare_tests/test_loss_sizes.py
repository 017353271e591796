"""Sizes of losses: honest values within the bounds that they give, wrong ones outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn
from compare.parity import tolerances
from compare.parity.sizes import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
SEEDS = 20
SHAPES = [(16, 5), (1, 3), (700, 40)]
CLASSES = ("CrossEntropyLoss", "NLLLoss")
NAMES = sorted(name for name in numpy_nn.__all__ if name.endswith("Loss"))


def draw(name: str, shape: tuple[int, ...], random: np.random.Generator):
    """float32 values of an input and a target, some of them large, equal, 0 or 1."""
    x = random.standard_normal(shape).astype(np.float32) * random.choice([0.1, 1.0, 30.0])
    t = x + random.standard_normal(shape).astype(np.float32) * random.choice([1e-5, 0.1, 10.0])
    if name in CLASSES:
        if name == "NLLLoss":
            x = np.log(np.exp(x - x.max()).clip(1e-30))
        return x, random.integers(0, shape[1], shape[0])
    if name == "BCELoss":
        x = random.random(shape).astype(np.float32) ** random.choice([1.0, 8.0])
        x.flat[0], x.flat[-1] = 0.0, 1.0
    if name in ("BCELoss", "BCEWithLogitsLoss", "KLDivLoss"):
        t = random.random(shape).astype(np.float32).round(int(random.choice([0, 3])))
    return x.astype(np.float32), t.astype(np.float32)


def stage(nn, name: str, x: np.ndarray, t: np.ndarray, dy: float, dtype: str):
    """Loss and gradient in a precision, as float64."""
    t = t.astype(dtype) if t.dtype.kind == "f" else t
    loss = getattr(nn, name)()
    if nn is numpy_nn:
        return loss(x.astype(dtype), t), loss.backward(dy)
    given = torch.from_numpy(x.astype(dtype)).requires_grad_()
    value = loss(given, torch.from_numpy(t))
    value.backward(torch.tensor(dy, dtype=value.dtype))
    return value.detach().numpy(), given.grad.numpy()


def within(name: str, x: np.ndarray, t: np.ndarray, spoil=lambda value, gradient: None) -> bool:
    dy = 0.7
    sizes = LOSSES[name](x, t, dy)
    referee = stage(torch_nn, name, x, t, dy, "float64")
    found = True
    for dtype in ("float32", "float64"):
        ours, theirs = (stage(nn, name, x, t, dy, dtype) for nn in (numpy_nn, torch_nn))
        ours = spoil(*ours) or ours
        for a, b, r, size in zip(
            ours, theirs, referee, (sizes.output, sizes.grad_input), strict=True
        ):
            errors = [tolerances.componentwise_error(np.asarray(v), r, size, dtype) for v in (a, b)]
            exact = dtype == "float64"
            bound = tolerances.FLOAT64 if exact else tolerances.float32_bound(errors[1])
            found &= errors[0] <= bound
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_honest_losses_are_within(name: str, shape: tuple[int, ...]) -> None:
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        assert within(name, *draw(name, shape, random)), f"a false alarm with seed {seed}"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value, gradient: (value * 1.0001, gradient),
        lambda value, gradient: (value, gradient * 1.0001),
        lambda value, gradient: (value, gradient + 1e-6 * np.abs(gradient).max()),
        lambda value, gradient: (value * len(gradient), gradient),
        lambda value, gradient: (value, np.zeros_like(gradient)),
        # Small enough to hide behind a size that is a thousand times too large.
        lambda value, gradient: (value * (1 + 3e-11), gradient),
        lambda value, gradient: (value, gradient * (1 + 3e-11)),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_losses_are_outside(name: str, spoil) -> None:
    random = np.random.default_rng(0)
    x, t = draw(name, (16, 5), random)
    assert not within(name, x, t, spoil)


def test_every_loss_has_sizes() -> None:
    assert set(LOSSES) == set(NAMES)
