"""A ``forward`` that ends in a softmax or a sigmoid: its probabilities are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.contract import Assignment
from compare.check.forward_forms import find_form
from compare.check.reference import Reference
from compare.check.result import Observed
from compare.check.scoring import marks, shares
from compare.mistakes.case import Case
from compare.mistakes.probabilities import form_of, form_sizes, in_form

PROBABILITIES = (
    'return hidden(params, x) @ params["W2"] + params["b2"]',
    'return softmax(hidden(params, x) @ params["W2"] + params["b2"])',
)
OWN_LOSS = (
    "-np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()",
    "-np.log(forward(params, x)[np.arange(len(y)), y]).mean()",
)
RETURNED = (PROBABILITIES, OWN_LOSS)
NOTE = "forward returns probabilities, so they are compared with softmax of PyTorch's logits."

SIGMOID = """
import numpy as np

LOSS = "bce_with_logits"
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias"}


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 2))


def forward(params, x):
    return 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))


def loss(params, x, y):
    z = x @ params["W1"] + params["b1"]
    return (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean()


def gradients(params, x, y):
    d = (forward(params, x) - y) / y.size
    return {"W1": x.T @ d, "b1": d.sum(axis=0)}
"""

NORMALISED = """
import numpy as np

PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias", "gamma": "1.weight", "beta": "1.bias",
    "mean": "1.running_mean", "var": "1.running_var", "W2": "2.weight.T", "b2": "2.bias",
}


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def forward(params, x):
    h = x @ params["W1"] + params["b1"]
    mean, var = params["mean"], params["var"]
    h = (h - mean) / np.sqrt(var + 1e-5)
    return softmax((params["gamma"] * h + params["beta"]) @ params["W2"] + params["b2"])
"""


def compared(outcome) -> list[str]:
    return [check.key for check in outcome.result.checks]


# ---------------------------------------------------------------------- right homeworks


def test_probabilities_are_right(check):
    found = check(*RETURNED)
    assert found.status == 0
    assert NOTE in found.result.notes
    assert compared(found)[:2] == ["probabilities", "loss"]
    assert found.result.checks[0].own.startswith("forward, line")
    assert len([key for key in found.required if "prob" in key or "logits" in key]) == 1


def test_the_logarithms_of_probabilities_are_right(check):
    changes = [
        (PROBABILITIES[0], PROBABILITIES[1].replace("softmax", "log_softmax")),
        (
            "def loss",
            "def log_softmax(z):\n    z = z - z.max(axis=1, keepdims=True)\n"
            "    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))\n\n\ndef loss",
        ),
        (OWN_LOSS[0], "-forward(params, x)[np.arange(len(y)), y].mean()"),
    ]
    found = check(*changes)
    assert found.status == 0
    assert compared(found)[0] == "log_probabilities"
    assert " ".join(found.result.notes) == (
        "forward returns logarithms of probabilities, so they are compared with log-softmax "
        "of PyTorch's logits."
    )
    half = check(*changes, ("return z - np.log", "return z - 0.5 * np.log"))
    assert half.result.first_divergence.key == "logits"


def test_logits_are_logits(check):
    found = check()
    assert compared(found)[0] == "logits"
    assert not any("probabilities" in note for note in found.result.notes)


def test_the_layout_is_found_beside_probabilities(check):
    """One of two square weights is transposed, which is believed only if everything agrees."""
    square = "nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)"
    found = check(
        PROBABILITIES,
        ("PARAMETERS = ", "NOT_DECLARED = "),
        ("nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5)", square),
        ('x @ params["W1"]', 'x @ params["W1"].T'),
        ("def loss", "def not_asked"),
        ("def gradients", "def not_asked_either"),
    )
    assert found.status == 0, found.result
    assert compared(found) == ["probabilities"]


@pytest.mark.parametrize("stable", [False, True])
def test_a_sigmoid_is_right(check, stable):
    z = '(x @ params["W1"] + params["b1"])'
    other = (f"1 / (1 + np.exp(-{z}))", f"(1 + np.tanh({z} / 2)) / 2")
    found = check(*[other] * stable, text=SIGMOID)
    assert found.status == 0
    assert compared(found)[0] == "probabilities"
    assert NOTE.replace("softmax", "sigmoid") in found.result.notes


def test_in_evaluation_mode(check):
    found = check(text=NORMALISED)
    assert found.status == 0
    assert compared(found) == ["probabilities/evaluation"]
    assert found.result.checks[0].relative_error < 1e-12
    wrong = check(("+ 1e-5", "+ 1e-3"), text=NORMALISED)
    assert wrong.result.first_divergence.key == "probabilities/evaluation"


def test_in_training_mode(check):
    own = ('params["mean"], params["var"]', "h.mean(axis=0), h.var(axis=0)")
    found = check(own, text=NORMALISED)
    assert found.status == 0
    assert compared(found) == ["probabilities"]


def test_float32_is_not_called_wrong(check):
    division = "e / e.sum(axis=1, keepdims=True)"
    found = check(*RETURNED, (f"return {division}", f"return ({division}).astype(np.float32)"))
    assert found.result.checks[0].passed
    assert found.result.checks[0].tolerance > 1e-7


def test_with_a_golden_file(check, golden):
    from compare.check.golden import read_golden

    assert check(*RETURNED, golden=read_golden(golden)).result.checks[0].key == "probabilities"


# ---------------------------------------------------------------------- wrong homeworks


@pytest.mark.parametrize(
    "change",
    [
        ("e / e.sum(axis=1, keepdims=True)", "e / e.sum(axis=0, keepdims=True)"),
        ("e / e.sum(axis=1, keepdims=True)", "e"),
        ("e / e.sum(axis=1, keepdims=True)", "e / e.sum()"),
        ('@ params["W2"] + params["b2"]', '@ params["W2"]'),
        ("np.exp(z - z.max(axis=1, keepdims=True))", "np.exp(0.5 * (z - z.max(axis=1, keepdims=True)))"),  # noqa: E501
        ("np.exp(z - z.max(axis=1, keepdims=True))", "np.exp(z - z.max(axis=1, keepdims=True)) + 1e-7"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_wrong_softmax_fails(check, change):
    found = check(*RETURNED, change)
    assert found.status == 1
    assert not found.result.checks[0].passed


def test_an_overflow_keeps_its_name(check):
    found = check(*RETURNED, ("np.exp(z - z.max(axis=1, keepdims=True))", "np.exp(z)"))
    first = found.result.first_divergence
    assert (first.key, first.diagnosis.code) == ("probabilities", "softmax-overflow")


def test_a_mistake_before_the_softmax_has_a_name(check):
    found = check(*RETURNED, ('x @ params["W1"] + params["b1"]', 'x @ params["W1"]'))
    first = found.result.first_divergence
    assert (first.key, first.diagnosis and first.diagnosis.code) == (
        "probabilities",
        "missing-bias",
    )


def test_a_wrong_sigmoid_fails(check):
    assert check(("np.exp(-(x", "np.exp(-2 * (x"), text=SIGMOID).status == 1


def test_it_weighs_what_logits_weigh(check):
    found = check(*RETURNED, ('@ params["W2"] + params["b2"]', '@ params["W2"]'))
    weighed = {mark.key: mark.weight for mark in marks(found, {"logits": 7})}
    assert weighed["probabilities"] == 7
    assert shares(["probabilities/evaluation"], {"logits": 3}) == {"probabilities/evaluation": 3}


# ---------------------------------------------------------------------- against PyTorch


def logits_of(rows: int, spread: float) -> np.ndarray:
    return spread * np.random.default_rng(rows).standard_normal((rows, 4))


LABELS, CHANCES = np.zeros(3, np.int64), np.zeros((3, 4))


@pytest.mark.parametrize("added", [0.0, 1000.0])
def test_forms_are_pytorchs(added):
    z = logits_of(3, 8.0) + added
    tensor = torch.tensor(z)
    for form, targets, right in (
        ("logits", LABELS, tensor),
        ("probabilities", LABELS, torch.softmax(tensor, dim=1)),
        ("log_probabilities", LABELS, torch.log_softmax(tensor, dim=1)),
        ("probabilities", CHANCES, torch.sigmoid(tensor)),
    ):
        np.testing.assert_allclose(in_form(form, z, targets), right.numpy(), rtol=1e-12)


def test_sizes_bound_what_rounding_logits_does():
    """Logits moved by 1e-9 of their sizes move each value by at most 1e-9 of its size."""
    random = np.random.default_rng(0)
    for spread in (1.0, 10.0):
        z = logits_of(3, spread)
        sizes = np.abs(z) + 1
        for form, targets in (
            ("probabilities", LABELS), ("log_probabilities", LABELS), ("probabilities", CHANCES),
        ):  # fmt: skip
            moved = z + 1e-9 * sizes * random.choice((-1, 1), z.shape)
            change = np.abs(in_form(form, moved, targets) - in_form(form, z, targets))
            size = form_sizes(form, z, sizes, targets)
            assert (change <= 1.01e-9 * size).all()
            assert (change > 1e-12 * size).any()


def test_what_looks_like_probabilities():
    p = in_form("probabilities", logits_of(3, 2.0), LABELS)
    assert form_of(p, LABELS) == "probabilities"
    assert form_of(np.log(p), LABELS) == "log_probabilities"
    assert form_of(p + 1e-5, LABELS) == "logits"
    assert form_of(p / p.sum(axis=0), LABELS) == "logits"
    assert form_of(logits_of(3, 2.0), LABELS) == "logits"
    assert form_of(np.full((3, 4), np.nan), LABELS) == "logits"
    assert form_of(p, CHANCES) == "probabilities"
    assert form_of(p + 1, CHANCES) == "logits"


def test_a_network_that_ends_in_a_softmax_itself():
    """Where PyTorch's outputs are probabilities, too, they are compared as they are."""
    one = Assignment("net", lambda nn: nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1)))
    reference = Reference(one)
    p = reference.exact.logits(np.random.default_rng(0).standard_normal((3, 4)))
    case = Case({}, np.zeros((3, 4)), LABELS, {"logits": p}, {"logits": np.ones(())})
    assert find_form([case], [Observed({"logits": p})], "cross_entropy") == "logits"
    other = Case({}, np.zeros((3, 4)), LABELS, {"logits": p - 1}, {"logits": np.ones(())})
    assert find_form([other], [Observed({"logits": p})], "cross_entropy") == "probabilities"
    assert find_form([other], [Observed({"logits": p})], "mse") == "logits"
