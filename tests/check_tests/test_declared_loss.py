"""Losses that are reduced otherwise than PyTorch's, or have a penalty, as a homework declares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted.in_process import check_in_process
from planted.right import right_homework

from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.declared_loss import REDUCTIONS, with_reduction, with_weight_decay
from compare.check.result import as_text, mistake_sentences
from experiments.errors import InputError

FACTORS = {
    "mean": "1",
    "rows": "(z.size / len(z) if LOSS != 'cross_entropy' else 1)",
    "sum": "(z.size if LOSS != 'cross_entropy' else len(z))",
    "half mean": "0.5",
    "half rows": "(z.size / len(z) if LOSS != 'cross_entropy' else 1) / 2",
    "half sum": "(z.size if LOSS != 'cross_entropy' else len(z)) / 2",
}


def homework(loss: str, reduction: str, *, functions: bool, penalty: float = 0.0, declared=True):
    text = right_homework("relu_mlp", loss, columns=False, functions=functions, seed=3).text
    text = text.replace("class Loss:", "class PlainLoss:")
    text = text.replace(
        "\ndef build(params)",
        f"""
class Loss(PlainLoss):
    def factor(self):
        z = self.z
        return {FACTORS[reduction]}

    def forward(self, out, y):
        return super().forward(out, y) * self.factor()

    def backward(self, dout=1):
        return super().backward(dout) * self.factor()


def build(params)""",
    )
    if penalty:
        text = text.replace(
            "    return Loss().forward(forward(params, x), y)",
            "    penalty = sum(np.sum(v**2) for k, v in params.items() if k[0] == 'W')\n"
            f"    return Loss().forward(forward(params, x), y) + {penalty / 2} * penalty",
        )
        text = text.replace(
            "        name: layer.dW if name",
            f"        name: layer.dW + {penalty} * params[name] if name",
        )
    return (f"REDUCTION = {reduction!r}\n" if declared else "") + text


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("loss", ["mse", "bce_with_logits", "cross_entropy"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_declared_reduction(reduction, loss, functions, tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(homework(loss, reduction, functions=functions))
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.invariants == ()


def test_what_is_declared_is_what_is_expected(tmp_path):
    """The loss is a mean, and a sum was declared: a factor, and no name that says otherwise."""
    file = tmp_path / "homework.py"
    file.write_text("REDUCTION = 'sum'\n" + homework("mse", "mean", functions=True, declared=False))
    outcome = check_in_process(file)
    assert outcome.status == 1
    sentences = " ".join(mistake_sentences(outcome))
    assert "times the right one" in sentences
    assert "is a mean" not in sentences
    assert "divided" not in sentences


@pytest.mark.parametrize("reduction", ["mean", "half sum"])
def test_a_declared_penalty(reduction, tmp_path):
    file = tmp_path / "homework.py"
    text = homework("mse", reduction, functions=True, penalty=0.03)
    file.write_text("WEIGHT_DECAY = 0.03\n" + text)
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)
    file.write_text("WEIGHT_DECAY = 0.02\n" + text)
    assert check_in_process(file).status == 1


def test_the_values_are_those_of_autograd():
    def net(nn):
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))

    case = make_cases(Assignment("net", net, "mse"))[0]
    found = with_weight_decay(with_reduction(case, "mse", "half sum"), 0.1)
    model = net(torch.nn).double()
    model.load_state_dict({k: torch.tensor(v) for k, v in case.parameters.items()})
    weights = [p for p in model.parameters() if p.ndim > 1]
    error = (model(torch.tensor(case.inputs)) - torch.tensor(case.targets)) ** 2
    loss = error.sum() / 2 + 0.05 * sum((w**2).sum() for w in weights)
    loss.backward()
    np.testing.assert_allclose(found.expected["loss"], loss.item(), rtol=1e-13)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            found.expected[f"gradient/{name}"], parameter.grad.numpy(), rtol=1e-12
        )


@pytest.mark.parametrize("layers", [False, True])
def test_what_follows_the_loss(layers):
    """Of layers the loss alone: their output gradients are drawn."""

    def net(nn):
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))

    case = make_cases(Assignment("net", net, "mse"), functions=not layers, layers=layers)[0]
    found = with_reduction(case, "mse", "half sum")
    factor = case.inputs.shape[0] * 3 / 2
    assert found.loss_factor == factor
    loss = {"loss", "gradient/logits"}
    gradients = {key for key in case.expected if key.startswith("gradient/")}
    scaled = (loss if layers else {"loss", *gradients}) & set(case.expected)
    assert len(scaled) == (2 if layers else 5)
    for before, after in (
        (case.expected, found.expected),
        (case.sizes, found.sizes),
        (case.expected32, found.expected32),
    ):
        assert list(after) == list(before)
        for key, value in before.items():
            wanted = value * factor if key in scaled else value
            assert np.array_equal(after[key], wanted), key


def test_sizes_of_a_penalty():
    """What is summed to make a loss or a gradient has the penalty's part as well."""

    def net(nn):
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))

    case = make_cases(Assignment("net", net, "mse"))[0]
    found = with_weight_decay(case, 0.1)
    assert (found.weight_decay, case.weight_decay) == (0.1, 0.0)
    weights = {key: value for key, value in case.parameters.items() if key.endswith("weight")}
    assert len(weights) == 2
    for key, value in weights.items():
        wanted = case.sizes[f"gradient/{key}"] + 0.1 * np.abs(value)
        np.testing.assert_allclose(found.sizes[f"gradient/{key}"], wanted, rtol=1e-14)
    squares = sum(np.sum(value**2) for value in weights.values())
    np.testing.assert_allclose(found.sizes["loss"], case.sizes["loss"] + 0.05 * squares)
    for key in ("gradient/0.bias", "logits"):
        assert np.array_equal(
            found.sizes[key], np.broadcast_to(case.sizes[key], found.sizes[key].shape)
        )
    without = {key: value for key, value in case.sizes.items() if key != "loss"}
    assert "loss" not in with_weight_decay(replace(case, sizes=without), 0.1).sizes


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "REDUCTION = 'total'",
            "homework.py: REDUCTION should be 'mean' or 'rows' or 'sum' or "
            "'half mean' or 'half rows' or 'half sum', but is 'total'.",
        ),
        (
            "WEIGHT_DECAY = -1",
            "homework.py: WEIGHT_DECAY should be a number such as 0.01, the "
            "λ of ½ λ ΣW² in the loss, but is -1.",
        ),
        (
            "WEIGHT_DECAY = 'l2'",
            "homework.py: WEIGHT_DECAY should be a number such as 0.01, "
            "the λ of ½ λ ΣW² in the loss, but is 'l2'.",
        ),
        (
            "WEIGHT_DECAY = float('nan')",
            "homework.py: WEIGHT_DECAY should be a number such as "
            "0.01, the λ of ½ λ ΣW² in the loss, but is nan.",
        ),
    ],
)
def test_what_cannot_be_declared(line, sentence, tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(f"{line}\n" + homework("mse", "mean", functions=True, declared=False))
    outcome = check_in_process(file)
    assert outcome.status == 2
    assert outcome.result.error == sentence
    assert InputError
