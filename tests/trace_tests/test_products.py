"""Products that are rounded to a narrower format than their tensors, as GPUs make them."""

from __future__ import annotations

import copy

import pytest
import torch
from planted.traced_networks import encoder, tokens
from torch import nn

import nncompare
from compare.trace import recording, rerun


def tf32(tensor):
    """Eleven digits of each value, by arithmetic alone."""
    fraction, exponent = torch.frexp(tensor.detach())
    return torch.ldexp(torch.round(torch.ldexp(fraction, torch.tensor(11))), exponent - 11)


class Product(torch.autograd.Function):
    """x Wᵀ of rounded values, and its gradients of rounded values."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return tf32(x) @ tf32(weight).t()

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dw = tf32(dy).flatten(0, -2).t() @ tf32(x).flatten(0, -2)
        return tf32(dy) @ tf32(weight), dw


@pytest.fixture
def rounding(monkeypatch):
    """Linear multiplies as a GPU does; with True, recordings say so."""

    def begin(said):
        monkeypatch.setattr(
            nn.Linear, "forward", lambda self, x: Product.apply(x, self.weight) + self.bias
        )
        if said:
            monkeypatch.setattr(
                recording,
                "products_of",
                lambda module: "tf32" if isinstance(module, nn.Linear) else "",
            )

    yield begin
    monkeypatch.undo()


def test_the_format_has_eleven_digits():
    x = torch.cat([torch.randn(1000) * 10.0**k for k in range(-30, 30, 7)])
    rounded = rerun._rounded(x, "tf32")
    assert ((rounded - x).abs() <= x.abs() * 2**-11).all()
    # Ties apart, which the two break in other ways, it is what arithmetic gives.
    assert (rounded == tf32(x)).float().mean() > 0.999
    odd = torch.tensor([torch.inf, -torch.inf, 0.0, torch.finfo(torch.float32).max])
    assert torch.equal(rerun._rounded(odd, "tf32")[:3], odd[:3])
    assert rerun._rounded(odd, "tf32")[3].isfinite()
    assert rerun._rounded(torch.tensor([torch.nan]), "tf32").isnan().all()


@pytest.mark.parametrize("said", [True, False])
def test_they_agree_where_the_trace_says_so(said, trace, rounding, monkeypatch):
    a = trace("a.trace", encoder(), tokens())
    rounding(said)
    b = trace("b.trace", encoder(), tokens())
    monkeypatch.undo()
    record = nncompare.diff(a, b)
    print(record.text())
    assert record.status == (0 if said else 1)
    assert ("precision" in [s.topic for s in record.configuration]) is said
    if said:
        assert "float32 is multiplied as float32 in a, as tf32 in b" in record.text()


def test_a_mistake_is_still_found(trace, rounding, monkeypatch):
    right = encoder()
    wrong = copy.deepcopy(right)
    with torch.no_grad():
        wrong.layers[0].fc1.weight[3, 2] *= -1
    a = trace("a.trace", right, tokens())
    rounding(True)
    b = trace("b.trace", wrong, tokens())
    monkeypatch.undo()
    record = nncompare.diff(a, b)
    assert [site.module for site in record.findings] == ["layers.0.fc1"]
    assert record.first.cause == "b has another weight"
