"""Networks that begin with an Embedding: their inputs are whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.sequences import draw_tokens
from experiments.errors import InputError

FUNCTIONS = """
import numpy as np

PARAMETERS = {"E": "0.weight", "W": "2.weight.T", "b": "2.bias"}


def architecture(nn):
    return nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(24, 3))


def forward(params, x):
    assert x.dtype == np.int64
    return params["E"][x].reshape(len(x), -1) @ params["W"] + params["b"]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(params, x, y):
    return -np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()


def gradients(params, x, y):
    d = softmax(forward(params, x))
    d[np.arange(len(y)), y] -= 1
    d = d / len(y)
    h = params["E"][x].reshape(len(x), -1)
    dh = (d @ params["W"].T).reshape(*x.shape, -1)
    dE = np.zeros_like(params["E"])
    np.add.at(dE, x, dh)
    return {"E": dE, "W": h.T @ d, "b": d.sum(axis=0)}
"""

BIGRAM = [
    ("nn.Embedding(7, 4), nn.Flatten(), nn.Linear(24, 3)", "nn.Embedding(7, 4), nn.Linear(4, 3)"),
    ("2.weight.T", "1.weight.T"),
    ("2.bias", "1.bias"),
]

LAYERS = """
import numpy as np

PARAMETERS = {"E": "0.weight", "W": "2.weight.T", "b": "2.bias"}


def architecture(nn):
    return nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(24, 3))


class Embedding:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x = x
        return self.W[x]

    def backward(self, d):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.x, d)


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW, self.db = self.x.T @ d, d.sum(axis=0)
        return d @ self.W.T


class SoftmaxLoss:
    def forward(self, z, t):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        self.p, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.log(self.p[np.arange(len(t)), t]).mean()

    def backward(self):
        d = self.p.copy()
        d[np.arange(len(self.t)), self.t] -= 1
        return d / len(self.t)


def network(params):
    return [Embedding(params["E"]), Affine(params["W"], params["b"])], SoftmaxLoss()
"""

ADD_AT = "np.add.at(dE, x, dh)"


def test_right_functions(check):
    found = check(text=FUNCTIONS)
    assert found.status == 0, found.result
    assert len(found.result.checks) == 5


def test_right_functions_whose_names_are_not_declared(check):
    found = check(("PARAMETERS = ", "NOT_DECLARED = "), text=FUNCTIONS)
    assert found.status == 0, found.result
    assert found.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; E is 0.weight, W is 2.weight.T, b "
        "is 2.bias."
    )


def test_a_square_table_is_not_transposed_for_a_mistakes_sake(check):
    found = check(
        *BIGRAM,
        ("nn.Embedding(7, 4), nn.Linear(4, 3)", "nn.Embedding(6, 6), nn.Linear(6, 6)"),
        ("PARAMETERS = ", "NOT_DECLARED = "),
        (ADD_AT, "dE[x] = dh"),
        text=FUNCTIONS,
    )
    failed = [check.key for check in found.result.checks if not check.passed]
    assert failed == ["gradient/0.weight"]
    assert found.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; E is 0.weight, W is 1.weight.T, b "
        "is 1.bias."
    )


def test_one_token_in_each_row(check):
    found = check(*BIGRAM, text=FUNCTIONS)
    assert found.status == 0, found.result


def test_the_batch_in_columns(check):
    rows = 'params["E"][x].reshape(len(x), -1) @ params["W"] + params["b"]'
    columns = rows.replace("[x]", "[x.T]").replace("len(x)", "x.shape[1]")
    found = check(
        (f"return {rows}", f"return ({columns}).T"),
        ("PARAMETERS", "BATCH_AXIS = 1\nPARAMETERS"),
        ("def loss", "def not_asked"),
        ("def gradients", "def not_asked_either"),
        text=FUNCTIONS,
    )
    assert found.status == 0, found.result
    assert [check.key for check in found.result.checks] == ["logits"]


@pytest.mark.parametrize("changes", [[], BIGRAM])
@pytest.mark.parametrize("wrong", ["dE[x] = dh", "dE[x] += dh", "np.add.at(dE, x, dh / len(y))"])
def test_a_wrong_gradient_of_the_table(check, changes, wrong):
    found = check(*changes, (ADD_AT, wrong), text=FUNCTIONS)
    failed = [check.key for check in found.result.checks if not check.passed]
    assert failed == ["gradient/0.weight"]


def test_counting_tokens_by_the_largest(check):
    count = 'np.zeros((x.max() + 1, params["E"].shape[1]))'
    found = check(('np.zeros_like(params["E"])', count), text=FUNCTIONS)
    assert found.status == 0, found.result


def test_a_homework_in_float64_is_not_taken_for_one_in_float32(check):
    """Rounding tokens to float32 changes nothing, which is no evidence."""
    found = check((ADD_AT, f"{ADD_AT}\n    dE *= 1 + 1e-8"), text=FUNCTIONS)
    assert [check.key for check in found.result.checks if not check.passed] == ["gradient/0.weight"]
    assert {check.tolerance for check in found.result.checks} == {1e-9}


def test_tokens_changed_in_place(check):
    found = check(
        ("    dE = np", "    x = x.copy()\n    x += 1\n    x -= 1\n    dE = np"),
        text=FUNCTIONS,
    )
    assert found.status == 0
    found = check(
        ("    dE = np", "    x -= x.min(axis=1, keepdims=True)\n    dE = np"),
        text=FUNCTIONS,
    )
    assert any(
        note
        == (
            "gradients(params, x, y) changed its argument x in place: the next call gets "
            "something else; work on a copy."
        )
        for note in found.result.notes
    )


# ---------------------------------------------------------------------- layer classes


def test_right_layers(check):
    found = check(text=LAYERS)
    assert found.status == 0, found.result
    keys = [check.key for check in found.result.checks]
    assert "gradient/0.weight" in keys
    assert "gradient/0.input" not in keys


def test_layers_whose_embedding_returns_a_gradient(check):
    last = "        np.add.at(self.dW, self.x, d)\n"
    found = check((last, f"{last}        return 0 * d\n"), text=LAYERS)
    assert found.status == 0, found.result


def test_a_layer_with_a_gradient_needs_to_return_it(check):
    found = check(("        return d @ self.W.T", "        pass"), text=LAYERS)
    assert found.status == 2
    assert found.result.error == (
        "Affine (2) raised TypeError: Affine.backward returned None, and the layer has no "
        ".dinputs; is a return missing?"
    )


@pytest.mark.parametrize("wrong", ["self.dW[self.x] = d", "self.dW[self.x] += d"])
def test_a_wrong_layer(check, wrong):
    found = check(("np.add.at(self.dW, self.x, d)", wrong), text=LAYERS)
    failed = [check.key for check in found.result.checks if not check.passed]
    assert failed[0] == "gradient/0.weight"


# ---------------------------------------------------------------------- the batches


@pytest.mark.parametrize(
    ("shape", "rows", "tokens"),
    [
        ((6,), 5, 7), ((6,), 1, 7), ((6,), 23, 50), ((), 5, 7), ((), 23, 4), ((2,), 4, 1000),
        ((1,), 1, 9), ((), 1, 9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_tokens(shape, rows, tokens, seed):
    random = np.random.default_rng(seed)
    x = draw_tokens(shape, rows, tokens, random)
    assert x.shape == (rows, *shape)
    assert x.dtype == np.int64
    assert x.min() >= 0
    assert x.max() == tokens - 1 or x.size == 1
    for group in x if shape and shape[0] > 1 else [x.ravel()]:
        assert len(np.unique(group)) < len(group) or len(group) == 1
    if x.size > 3 * tokens:
        assert len(np.unique(x)) == tokens


def test_values_are_pytorchs():
    def net(nn):
        return nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(24, 3))

    seen = set()
    for case in make_cases(Assignment("net", net)):
        weights = {k: torch.tensor(v, requires_grad=True) for k, v in case.parameters.items()}
        x = torch.tensor(case.inputs)
        table = torch.nn.functional.one_hot(x, 7).double() @ weights["0.weight"]
        z = table.flatten(1) @ weights["2.weight"].T + weights["2.bias"]
        torch.nn.functional.cross_entropy(z, torch.tensor(case.targets)).backward()
        for key, weight in weights.items():
            right = weight.grad.numpy()
            size = case.sizes[f"gradient/{key}"]
            assert (np.abs(case.expected[f"gradient/{key}"] - right) <= 1e-12 * size).all()
        seen |= set(case.inputs.ravel().tolist())
    assert seen == set(range(7))


def test_outputs_of_each_step_are_no_classes():
    def net(nn):
        return nn.Sequential(nn.Embedding(7, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3))

    with pytest.raises(InputError, match=r"put nn\.LastStep\(\) or nn\.Flatten\(\)"):
        make_cases(Assignment("net", net))
