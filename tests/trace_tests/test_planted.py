"""Mistakes planted in a network: found at their module, and nothing said of those after it."""

from __future__ import annotations

import copy

import pytest
import torch
from planted.traced_networks import encoder, gru, images, resnet, tokens
from torch import nn

import nncompare


def found(a, b, **options):
    record = nncompare.diff(a, b, **options)
    print(record.text())
    return record


def topics(record):
    return [setting.topic for setting in record.configuration]


def after(model_a, model_b, trace, x, **options):
    return found(trace("a.trace", model_a, x, **options), trace("b.trace", model_b, x, **options))


def test_a_wrong_epsilon(trace):
    record = after(encoder(), encoder(eps=1e-6), trace, tokens())
    assert [s.module for s in record.findings] == ["layers.1.norm1"]
    assert record.first.cause == "eps is 1e-05 in a, 1e-06 in b"
    assert record.first.direction == "forward"
    assert topics(record) == ["ε"]
    assert record.count("inherited") > 5
    assert record.status == 1


def test_a_transposed_square_weight(trace):
    right, wrong = encoder(), encoder()
    with torch.no_grad():
        wrong.layers[0].attn.q.weight.copy_(right.layers[0].attn.q.weight.t())
    record = after(right, wrong, trace, tokens())
    assert [s.module for s in record.findings] == ["layers.0.attn.q"]
    assert record.first.cause == "b holds the transpose of weight"
    assert topics(record) == ["initialisation"]
    assert "transpose of layers.0.attn.q.weight" in record.configuration[0].sentence


@pytest.mark.parametrize("mistake", [{"mask": "after"}, {"scaled": False}])
def test_a_function_inside_a_module(mistake, trace):
    """No leaf adds error: it comes in between them, in the attention's own code."""
    record = after(encoder(), encoder(**mistake), trace, tokens())
    assert [(s.module, s.verdict) for s in record.findings] == [("layers.1.attn.out", "between")]
    assert "the code of layers.1.attn, between the two" in record.first.note
    assert topics(record) == []


@pytest.mark.parametrize("mistake", [{"mask": "after"}, {"scaled": False}])
def test_the_container_is_named_with_the_model(mistake, trace):
    right, wrong = encoder(), encoder(**mistake)
    a = trace("a.trace", right, tokens(), containers=True)
    b = trace("b.trace", wrong, tokens(), containers=True)
    record = found(a, b, model_a=right, model_b=wrong)
    found_at = [(s.module, s.verdict) for s in record.findings]
    assert found_at == [("layers.1.attn.out", "between"), ("layers.1.attn", "added")]


def test_a_missing_scale_that_is_a_module(trace):
    record = after(encoder(modules=True), encoder(modules=True, scaled=False), trace, tokens())
    assert [s.module for s in record.findings] == ["layers.1.attn.scale"]
    assert record.first.cause.startswith("factor is 0.5")


def test_a_mask_after_the_softmax_of_modules(trace):
    record = after(encoder(modules=True), encoder(modules=True, mask="after"), trace, tokens())
    assert len(record.findings) == 1
    assert record.first.module == "layers.1.attn.mask"
    assert "code of layers.1.attn" in record.first.note


def test_another_dropout_mask(trace):
    a = trace("a.trace", encoder(dropout=0.2), tokens())
    record = found(a, trace("b.trace", encoder(dropout=0.2), tokens(), seed=8))
    assert [s.module for s in record.findings] == ["layers.0.drop", "layers.1.drop"]
    assert record.first.cause == "the two drew other random numbers"
    assert topics(record) == ["seed"]


def test_a_stale_buffer(trace):
    right = resnet()
    with torch.no_grad():
        right[1](torch.randn(4, 4, 8, 8))
    wrong = copy.deepcopy(right)
    wrong[1].bn2.running_var.fill_(1.0)
    record = after(right.eval(), wrong.eval(), trace, images())
    assert [s.module for s in record.findings] == ["1.bn2"]
    assert record.first.cause == "b has another running_var (a buffer)"
    assert topics(record) == ["initialisation"]


def test_evaluation_for_training(trace):
    right, wrong = resnet(), resnet()
    wrong[3].bn1.eval()
    record = after(right, wrong, trace, images())
    assert [s.module for s in record.findings] == ["3.bn1"]
    assert record.first.cause == "it is in training mode in a, in evaluation mode in b"
    assert topics(record) == ["mode"]


def test_swapped_gates_of_a_gru(trace):
    right, wrong = gru(), gru()
    with torch.no_grad():
        r, z, n = right.gru.weight_hh_l0.chunk(3)
        wrong.gru.weight_hh_l0.copy_(torch.cat([z, r, n]))
    record = after(right, wrong, trace, tokens())
    assert [s.module for s in record.findings] == ["gru"]
    assert record.first.cause == "b has another weight_hh_l0"


def test_another_activation(trace):
    right, wrong = encoder(), encoder()
    wrong.layers[0].act = nn.GELU(approximate="tanh")
    record = after(right, wrong, trace, tokens())
    assert [s.module for s in record.findings] == ["layers.0.act"]
    wrong.layers[0].act = nn.ReLU()
    record = after(right, wrong, trace, tokens(), force=True)
    assert [s.module for s in record.findings] == ["layers.0.act"]
    assert record.first.cause == "it is a GELU in a, a ReLU in b"


def test_another_reduction(trace):
    model = encoder()
    a = trace("a.trace", model, tokens())
    model.zero_grad()
    record = found(a, trace("b.trace", model, tokens(), loss=nn.CrossEntropyLoss(reduction="sum")))
    assert [s.module for s in record.findings] == ["(loss)"]
    assert topics(record) == ["reduction"]


def test_a_loss_that_is_scaled_outside_of_modules(tmp_path):
    paths = []
    for name, factor in (("a", 1.0), ("b", 0.25)):
        model = encoder()
        with nncompare.record(tmp_path / name, model):
            (model(tokens()).square().sum() * factor).backward()
        paths.append(tmp_path / name)
    record = found(*paths)
    assert [(s.module, s.direction) for s in record.findings] == [("head", "backward")]
    assert "0.25 times a's" in record.first.cause


@pytest.mark.parametrize(("make", "x"), [(encoder, tokens()), (resnet, images()), (gru, tokens())])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_right_pairs_agree(make, x, dtype, trace):
    other = make().to(getattr(torch, dtype))
    y = x.to(getattr(torch, dtype)) if x.is_floating_point() else x
    a = trace("a.trace", make(), x)
    record = found(a, trace("b.trace", other, y))
    assert record.status == 0, record.text()
    assert not record.findings
    if dtype == "float32":
        assert {s.verdict for s in record.sites} == {"same"}


def test_a_dropout_without_its_scale(trace):
    right, wrong = encoder(dropout=0.2), encoder(dropout=0.2)
    wrong.layers[1].drop.forward = lambda x: nn.functional.dropout(x, 0.2) * 0.8
    record = after(right, wrong, trace, tokens())
    assert [s.module for s in record.findings] == ["layers.1.drop"]
    assert record.first.cause == "b's output is no dropout of its input"


def test_noise_is_that_of_rounded_inputs(trace, tmp_path):
    """Far from 0 a normalisation in a narrow format loses what rounding its input loses."""
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)) + 30
    for name, dtype in (("a", torch.float32), ("b", torch.float16)):
        model = nn.Sequential(nn.LayerNorm(32)).to(dtype)
        with nncompare.record(tmp_path / name, model):
            model(x.to(dtype)).float().square().sum().backward()
    record = found(tmp_path / "a", tmp_path / "b")
    assert not record.findings
