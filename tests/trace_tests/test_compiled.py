"""Models that torch.compile runs, and calls that checkpointing makes again."""

from __future__ import annotations

import pytest
import torch
from planted.traced_networks import tokens
from torch import nn
from torch.utils.checkpoint import checkpoint

import nncompare
from compare.trace.format import read_trace


class Stack(nn.Module):
    def __init__(self, checkpoints=None, eps=1e-5):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 5)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)) for _ in range(3)
        )
        self.layers[1][2].eps = eps
        self._checkpoints = checkpoints

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            if self._checkpoints is None:
                x = layer(x)
            else:
                x = checkpoint(layer, x, use_reentrant=self._checkpoints == "reentrant")
        return self.head(x.mean(1))


@pytest.mark.parametrize("kind", ["plain", "reentrant"])
def test_checkpointing(kind, trace):
    a = trace("a.trace", Stack(), tokens(), optimizer=True)
    b = trace("b.trace", Stack(checkpoints=kind), tokens(), optimizer=True)
    calls = [[c.module for c in read_trace(path).index.calls] for path in (a, b)]
    assert calls[0] == calls[1]
    record = nncompare.diff(a, b)
    assert record.status == 0
    assert not record.configuration
    wrong = trace("c.trace", Stack(checkpoints=kind, eps=1e-3), tokens(), optimizer=True)
    assert [site.module for site in nncompare.diff(a, wrong).findings] == ["layers.1.2"]


def compiled(model, how):
    if how == "whole":
        return torch.compile(model, backend="eager")
    if how == "part":
        model.layers[1] = torch.compile(model.layers[1], backend="eager")
    else:
        model.compile(backend="eager")
    return model


# The compiler reads .grad of what a compiled part is given, recorded or not.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.slow  # torch._dynamo takes seconds to load
@pytest.mark.parametrize("how", ["whole", "part", "in place"])
def test_a_compiled_model_is_one_module(how, trace):
    a = trace("a.trace", Stack(), tokens(), optimizer=True, containers=True)
    model = compiled(Stack(), how)
    hooks = [len(m._forward_hooks) for m in model.modules()]
    b = trace("b.trace", model, tokens(), optimizer=True)
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    names = [c.module for c in read_trace(b).index.calls]
    inside = [name for name in names if name and name != "(loss)"]
    assert inside == (["embed", *_leaves(0), "layers.1", *_leaves(2), "head"] * (how == "part"))
    record = nncompare.diff(a, b, model_a=Stack())
    assert record.status == 0
    assert "compiled" in [setting.topic for setting in record.configuration]
    parameters = {n for n, _ in Stack().named_parameters()}
    assert read_trace(b).under("step/0/after/").keys() == parameters
    wrong = trace("c.trace", compiled(Stack(eps=1e-3), how), tokens(), optimizer=True)
    record = nncompare.diff(a, wrong, model_a=Stack())
    assert record.status == 1
    assert record.first.module == ("" if how != "part" else "layers.1")


def _leaves(number):
    return [f"layers.{number}.{i}" for i in range(3)]
