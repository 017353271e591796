"""Optimizers, several steps, and gradients that are changed on their way."""

from __future__ import annotations

import pytest
import torch
from planted.traced_networks import TARGETS, encoder, tokens
from torch import nn

import nncompare


def run(path, make, *, steps=2, dtype=torch.float32, clip=None, zero=True):
    model = encoder(layers=1).to(dtype)
    optimizer = make(model.parameters())
    with nncompare.record(path, model, optimizer=optimizer):
        for _ in range(steps):
            if zero:
                optimizer.zero_grad()
            nn.functional.cross_entropy(model(tokens()), TARGETS).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    return path


def sgd(parameters, **settings):
    return torch.optim.SGD(parameters, **{"lr": 0.1, "momentum": 0.9, **settings})


def adam(parameters, **settings):
    return torch.optim.Adam(parameters, **{"lr": 0.01, **settings})


def names(record):
    return {(s.direction, s.step) for s in record.findings}


@pytest.mark.parametrize("make", [sgd, adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_right_steps_agree(make, tmp_path):
    """Two steps in two formats; the gradients are clipped, and that is no module's error."""
    one = run(tmp_path / "a", make, clip=0.1)
    other = run(tmp_path / "b", make, clip=0.1, dtype=torch.float64)
    record = nncompare.diff(one, other)
    assert record.status == 0, record.text()
    assert sum(s.direction == "update" for s in record.sites) > 20
    assert all(s.verdict != "not judged" for s in record.sites), record.text()


@pytest.mark.parametrize(
    ("make", "other", "cause"),
    [
        (sgd, lambda p: sgd(p, weight_decay=0.01), "weight_decay is 0 in a, 0.01 in b"),
        (adam, lambda p: adam(p, eps=1e-6), "eps is 1e-08 in a, 1e-06 in b"),
        (adam, lambda p: torch.optim.AdamW(p, lr=0.01), "the optimizer is Adam in a, AdamW in b"),
    ],
)
def test_another_optimizer(make, other, cause, tmp_path):
    a, b = run(tmp_path / "a", make), run(tmp_path / "b", other)
    record = nncompare.diff(a, b)
    assert record.first.cause == cause
    assert names(record) == {("update", 0), ("update", 1)}
    assert [s.topic for s in record.configuration if s.topic == "optimizer"]


def test_gradients_that_are_not_zeroed(tmp_path):
    a, b = run(tmp_path / "a", sgd), run(tmp_path / "b", sgd, zero=False)
    record = nncompare.diff(a, b)
    assert ("gradients", "b adds to gradients that were not zeroed, first in step 1") in {
        (s.topic, s.sentence) for s in record.configuration
    }
    assert record.status == 1
