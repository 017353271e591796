"""Which call of one trace is which of the other, and what the runs were set to."""

from __future__ import annotations

import json

import pytest
import torch
from planted.traced_networks import images, resnet
from torch import nn

import nncompare
from compare.trace.format import read_trace
from compare.trace.mapping import propose
from experiments.errors import InputError


class Turned(nn.Module):
    """A linear layer whose weight is stored as (inputs, outputs)."""

    def __init__(self, linear):
        super().__init__()
        self.kernel = nn.Parameter(linear.weight.detach().t().contiguous())
        self.shift = nn.Parameter(linear.bias.detach().clone())

    def forward(self, x):
        return x @ self.kernel + self.shift


def mlp(*more, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), *more, nn.Linear(6, 3))


def recorded(path, model, x=None, **options):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)) if x is None else x
    torch.manual_seed(2)
    with nncompare.record(path, model, **options):
        model(x).square().sum().backward()
    return path


def test_an_inserted_module_shifts_names(tmp_path):
    a = recorded(tmp_path / "a", mlp())
    b = recorded(tmp_path / "b", mlp(nn.Identity()))
    record = nncompare.diff(a, b)
    assert record.status == 0, record.text()
    assert "2 → 3" in record.text()
    assert "1 calls of b have no counterpart in a: 2." in record.text()


def test_an_inserted_module_that_does_something(tmp_path):
    a = recorded(tmp_path / "a", mlp())
    b = recorded(tmp_path / "b", mlp(nn.Hardtanh(-0.1, 0.1)))
    record = nncompare.diff(a, b)
    assert [(s.module, s.other, s.verdict) for s in record.findings] == [("2", "3", "between")]


@pytest.mark.parametrize("prefix", ["module", "_orig_mod"])
def test_the_prefix_of_a_wrapper(prefix, tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.add_module(prefix, model)

        def forward(self, x):
            return getattr(self, prefix)(x)

    a = recorded(tmp_path / "a", mlp())
    b = recorded(tmp_path / "b", Wrapped(mlp()))
    record = nncompare.diff(a, b)
    assert record.status == 0, record.text()
    assert {s.verdict for s in record.sites} == {"same"}


def test_own_classes_with_transposed_weights(tmp_path):
    """Names, classes and layout differ; what is computed does not."""
    model = mlp()
    a = recorded(tmp_path / "a", model)
    model.zero_grad()
    other = nn.Sequential(Turned(model[0]), nn.ReLU(), Turned(model[2]))
    record = nncompare.diff(a, recorded(tmp_path / "b", other))
    assert record.status == 0, record.text()
    assert {s.direction for s in record.sites} == {"forward", "backward", "parameters"}
    with torch.no_grad():
        other[2].kernel[0, 0] += 0.01
    record = nncompare.diff(a, recorded(tmp_path / "b", other, force=True))
    assert [s.module for s in record.findings] == ["2"]
    assert record.first.cause == "b has another weight"


def test_a_map_is_read_edited_and_refused(tmp_path):
    a = recorded(tmp_path / "a", mlp())
    other = nn.ModuleDict({"y": mlp()[2], "x": mlp()[0]})
    with nncompare.record(tmp_path / "b", other):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
        other["y"](other["x"](x).relu()).square().sum().backward()
    names = propose(read_trace(a), read_trace(tmp_path / "b"))
    assert names.modules["0"] == "x"
    assert names.modules["2"] == "y"
    file = tmp_path / "map.json"
    file.write_text(names.to_json())
    assert nncompare.diff(a, tmp_path / "b", mapping=file).status == 0
    content = json.loads(file.read_text())
    content["modules"]["0"] = "nobody"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="has no module 'nobody'"):
        nncompare.diff(a, tmp_path / "b", mapping=file)
    for text in ("{", "[]", '{"format": "nncompare map", "version": 2}',
                 '{"format": "nncompare map", "version": 1, "modules": 3}',
                 '{"format": "nncompare map", "version": 1, "parameters": {"x": 3}}'):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=r"map\.json"):
            nncompare.diff(a, tmp_path / "b", mapping=file)


def test_another_batch(tmp_path):
    x = torch.randn(5, 4)
    a = recorded(tmp_path / "a", mlp(), x)
    record = nncompare.diff(a, recorded(tmp_path / "b", mlp(), x.flip(0)))
    assert [s.topic for s in record.configuration] == ["batch"]
    assert "same rows in another order: shuffled" in record.configuration[0].sentence
    assert not record.findings
    assert record.status == 1
    assert "no module adds error" in record.text()


def test_another_initialisation(tmp_path):
    a = recorded(tmp_path / "a", mlp())
    record = nncompare.diff(a, recorded(tmp_path / "b", mlp(seed=1)))
    assert record.configuration[0].topic == "initialisation"
    assert "4 of 4 parameters" in record.configuration[0].sentence
    assert {s.cause for s in record.findings} == {"b has another weight, bias"}


def test_a_mask_that_is_not_given_to_pytorchs_own_attention(tmp_path):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    x, mask = torch.randn(2, 5, 8), nn.Transformer.generate_square_subsequent_mask(5)
    for name, given in (("a", mask), ("b", None)):
        layer.zero_grad()
        with nncompare.record(tmp_path / name, layer):
            layer(x, src_mask=given).sum().backward()
    record = nncompare.diff(tmp_path / "a", tmp_path / "b")
    assert record.first.module == "self_attn"
    assert record.first.cause == "it is called with other arguments"
    assert len(record.findings) == 1


def test_a_backward_pass_that_is_wrong(tmp_path):
    """Its forward pass is right: only the referee of the backward pass sees it."""

    class Wrong(nn.Tanh):
        def forward(self, x):
            y = super().forward(x)
            return y.detach() + 0.5 * (y - y.detach())

    right, wrong = mlp(nn.Tanh()), mlp(Wrong())
    a = recorded(tmp_path / "a", right)
    record = nncompare.diff(a, recorded(tmp_path / "b", wrong))
    assert [(s.module, s.direction) for s in record.findings] == [("2", "backward")]
    assert record.first.cause == "its forward pass agrees, but b sends back another gradient"


def test_a_gradient_of_a_parameter_that_is_wrong(tmp_path):
    model = mlp()
    handle = model[2].weight.register_hook(lambda g: g * 2)
    b = recorded(tmp_path / "b", model)
    handle.remove()
    model.zero_grad()
    record = nncompare.diff(recorded(tmp_path / "a", model), b)
    assert [(s.module, s.direction) for s in record.findings] == [("2", "parameters")]


def test_live_models_are_run_in_the_recorded_modes(tmp_path):
    """The model was trained when it was recorded; now it is not, and it is left so."""
    right, wrong = resnet(), resnet()
    wrong[1].bn1.eps = 1e-3
    a = recorded(tmp_path / "a", right, images(), containers=True)
    b = recorded(tmp_path / "b", wrong, images(), containers=True)
    right.eval()
    before = [t.clone() for t in right.state_dict().values()]
    record = nncompare.diff(a, b, model_a=right, model_b=wrong)
    assert [s.module for s in record.findings] == ["1.bn1"]
    assert [s.verdict for s in record.sites if s.module == "3"] == ["inherited"]
    assert not right.training
    after = right.state_dict().values()
    assert all(torch.equal(p, q) for p, q in zip(before, after, strict=True))
