"""Homeworks whose training loop updates inside: ``step(params, x, y, state)``."""

from __future__ import annotations

import json
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted.in_process import check_in_process

from compare.check.cases import make_cases
from compare.check.checking import check_homework
from compare.check.contract import Assignment
from compare.check.declared_loss import with_reduction, with_weight_decay
from compare.check.golden import read_golden
from compare.check.reading import Options
from compare.check.reference import Reference
from compare.check.result import Outcome, as_json, as_text
from compare.check.scoring import marks
from compare.check.step_evaluation import STEPS, plain_rate, with_read_off
from compare.check.step_reference import _largest_output, _noise, with_steps
from compare.mistakes.case import Case
from compare.parity.tolerances import STEP_NOISE
from compare.testing import assert_parity
from experiments.errors import InputError

NAMES = 'PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}\n'

BACKWARD = """
import numpy as np

def architecture(nn):
    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4))

def backward(params, x, y):
    h = np.maximum(x @ params["W1"] + params["b1"], 0)
    z = h @ params["W2"] + params["b2"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    dz = e / e.sum(axis=1, keepdims=True)
    dz[np.arange(len(y)), y] -= 1
    dz = dz / len(y)
    dh = dz @ params["W2"].T * (h > 0)
    return {"W1": x.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0)}
"""

SGD = (
    'OPTIMIZER = "sgd"\nSETTINGS = {"lr": 0.1}'
    + BACKWARD
    + """
def step(params, x, y):
    grads = backward(params, x, y)
    return {k: params[k] - 0.1 * grads[k] for k in grads}
"""
)

MOMENTUM = (
    'OPTIMIZER = "SGD"\nSETTINGS = {"lr": 0.1, "momentum": 0.9}'
    + BACKWARD
    + """
def step(params, x, y, state):
    grads = backward(params, x, y)
    for k in grads:
        state[k] = 0.9 * state.get(k, 0) + grads[k]
        params[k] -= 0.1 * state[k]
    return params
"""
)

ADAM = (
    'OPTIMIZER = "Adam"\nSETTINGS = {"lr": 0.01, "betas": (0.9, 0.98)}'
    + BACKWARD
    + """
def step(params, x, y, state):
    grads = backward(params, x, y)
    t = state["t"] = state.get("t", 0) + 1
    for k, g in grads.items():
        m = state["m" + k] = 0.9 * state.get("m" + k, 0) + 0.1 * g
        v = state["v" + k] = 0.98 * state.get("v" + k, 0) + 0.02 * g**2
        params[k] = params[k] - 0.01 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.98**t)) + 1e-8)
    return params
"""
)

NORMALISED = """
import numpy as np

OPTIMIZER = "OPT"
SETTINGS = {"lr": 0.1}
PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias", "gamma": "1.weight", "beta": "1.bias",
    "mean": "1.running_mean", "var": "1.running_var", "W2": "3.weight.T", "b2": "3.bias",
}

def architecture(nn):
    return nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4))

def step(params, x, y, state):
    a, n = x @ params["W1"] + params["b1"], len(x)
    mean, var = a.mean(axis=0), a.var(axis=0)
    std = np.sqrt(var + 1e-5)
    hat = (a - mean) / std
    out = params["gamma"] * hat + params["beta"]
    h = np.maximum(out, 0)
    z = h @ params["W2"] + params["b2"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    dz = e / e.sum(axis=1, keepdims=True)
    dz[np.arange(n), y] -= 1
    dz /= n
    dh = dz @ params["W2"].T * (out > 0)
    dhat = dh * params["gamma"]
    da = (dhat - dhat.mean(axis=0) - hat * (dhat * hat).mean(axis=0)) / std
    grads = {
        "W1": x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0),
        "gamma": (dh * hat).sum(axis=0), "beta": dh.sum(axis=0),
    }
    new = dict(params)
    t = state["t"] = state.get("t", 0) + 1
    for k, g in grads.items():
        if OPTIMIZER == "SGD":
            new[k] = params[k] - 0.1 * g
        elif OPTIMIZER == "Adagrad":
            state[k] = state.get(k, 0) + g**2
            new[k] = params[k] - 0.1 * g / (np.sqrt(state[k]) + 1e-10)
        elif OPTIMIZER == "RMSprop":
            state[k] = 0.99 * state.get(k, 0) + 0.01 * g**2
            new[k] = params[k] - 0.1 * g / (np.sqrt(state[k]) + 1e-8)
        else:
            m = state["m" + k] = 0.9 * state.get("m" + k, 0) + 0.1 * g
            v = state["v" + k] = 0.999 * state.get("v" + k, 0) + 0.001 * g**2
            new[k] = params[k] - 0.1 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    new["mean"] = 0.9 * params["mean"] + 0.1 * mean
    new["var"] = 0.9 * params["var"] + 0.1 * var * n / (n - 1)
    return new
"""

FIT = """
import numpy as np

OPTIMIZER, SETTINGS = "SGD", {"lr": 0.05}
PARAMETERS = {"W1": "0.weight", "b1": "0.bias[:, None]", "W2": "2.weight", "b2": "2.bias[:, None]"}
BATCH_AXIS = 1
LOSS = "mse"


def architecture(nn):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


class Net:
    def __init__(self, inputs, hidden, outputs):
        random = np.random.default_rng()
        self.W1, self.b1 = random.standard_normal((hidden, inputs)), np.zeros((hidden, 1))
        self.W2, self.b2 = random.standard_normal((outputs, hidden)), np.zeros((outputs, 1))

    def fit(self, x, y, epochs=1, lr=0.05):
        for _ in range(epochs):
            order = np.random.permutation(x.shape[1])
            x, y = x[:, order], y[:, order]
            h = np.tanh(self.W1 @ x + self.b1)
            d = 2 * (self.W2 @ h + self.b2 - y) / y.size
            dh = self.W2.T @ d * (1 - h**2)
            self.W2 -= lr * d @ h.T
            self.b2 -= lr * d.sum(axis=1, keepdims=True)
            self.W1 -= lr * dh @ x.T
            self.b1 -= lr * dh.sum(axis=1, keepdims=True)


def step(params, x, y, state):
    net = Net(3, 4, 2)
    for name, array in params.items():
        setattr(net, name, array)
    net.fit(x, y)
    return {name: getattr(net, name) for name in params}
"""


@pytest.fixture
def checked(tmp_path):
    def checked_text(text: str, *changes: tuple[str, str], **options) -> Outcome:
        text = textwrap.dedent(text)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        file = tmp_path / "homework.py"
        file.write_text(text)
        return check_in_process(file, Options(**options))

    return checked_text


def keys(outcome: Outcome) -> set[str]:
    return {check.key for check in outcome.result.checks}


def codes(outcome: Outcome) -> set[str]:
    return {c.diagnosis.code for c in outcome.result.checks if c.diagnosis is not None}


RIGHT = {
    "sgd": NAMES + SGD,
    "momentum": NAMES + MOMENTUM,
    "adam": NAMES + ADAM,
    "fit": FIT,
}


def normalised(optimizer: str) -> str:
    return NORMALISED.replace('"OPT"', f'"{optimizer}"')


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "fit"])
def test_right_steps(name, checked):
    outcome = checked(RIGHT[name])
    assert outcome.status == 0, as_text(outcome)
    plain = name in ("sgd", "fit")
    assert {key.partition("/")[0] for key in keys(outcome)} == (
        {"gradient", "step"} if plain else {"step"}
    )
    assert outcome.result.notes == ()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Adagrad", "RMSprop"])
def test_right_steps_with_batch_normalisation(optimizer, checked):
    """The bias before the normalisation has a gradient that is 0 but for rounding."""
    outcome = checked(normalised(optimizer))
    assert outcome.status == 0, as_text(outcome)
    assert {"buffer/1.running_mean", "buffer/1.running_var", "step/1.weight"} <= keys(outcome)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_wrong_running_statistics(optimizer, checked):
    outcome = checked(normalised(optimizer), ("0.1 * mean", "0.2 * mean"))
    assert outcome.result.first_divergence.key == "buffer/1.running_mean"


def test_rows_in_another_order_give_the_same_answer(checked):
    """Sums then round otherwise, and the bias before the normalisation is nothing but rounding."""
    shuffle = "    order = np.random.permutation(len(x))\n    x, y = x[order], y[order]\n    a, n ="
    far = ("0.1 * g\n        elif", "5 * g\n        elif"), ('"lr": 0.1', '"lr": 5')
    outcome = checked(normalised("SGD"), ("    a, n =", shuffle), *far)
    assert outcome.status == 0, as_text(outcome)
    other = "    x = x + 1e-6 * np.random.standard_normal(x.shape)\n    a, n ="
    outcome = checked(normalised("SGD"), ("    a, n =", other))
    assert "step(params, x, y, state) gave another answer" in as_text(outcome)


@pytest.mark.parametrize("text", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_the_layout_of_a_square_weight(text, checked):
    """It is told by what the first step of the optimizer takes off: both layouts have its shape."""
    changes = ("Linear(6, 7)", "Linear(6, 6)"), ("Linear(7, 4)", "Linear(6, 4)")
    changes += ('x @ params["W1"]', 'x @ params["W1"].T'), ('"W1": x.T @ dh', '"W1": dh.T @ x')
    outcome = checked(text, *changes)
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; W1 is 0.weight, b1 is 0.bias, W2 "
        "is 2.weight.T, b2 is 2.bias."
    )


@pytest.mark.parametrize("text", [SGD, MOMENTUM, ADAM], ids=["sgd", "momentum", "adam"])
def test_names_and_layouts_are_found_out(text, checked):
    outcome = checked(text)
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; W1 is 0.weight.T, b1 is 0.bias, "
        "W2 is 2.weight.T, b2 is 2.bias."
    )


def test_an_object_in_the_state(tmp_path):
    """A class with a momentum inside lives in the state, in the homework's own process."""
    text = FIT.replace('{"lr": 0.05}', '{"lr": 0.05, "momentum": 0.5}')
    for name in ("W1", "b1", "W2", "b2"):
        start = text.index(f"            self.{name} -= lr * ")
        line = text[start : text.index("\n", start)]
        gradient = line.partition("lr * ")[2]
        moved = f"            self.move({name!r}, lr * ({gradient}))"
        text = text.replace(line, moved)
    text = text.replace("    def fit(", """    def move(self, name, change):
        self.speed[name] = 0.5 * self.speed.get(name, 0) + change
        setattr(self, name, getattr(self, name) - self.speed[name])

    def fit(""").replace("outputs):\n", "outputs):\n        self.speed = {}\n", 1)  # fmt: skip
    file = tmp_path / "homework.py"
    file.write_text(text.replace("net = Net(3, 4, 2)", 'net = state.setdefault("n", Net(3, 4, 2))'))
    outcome = check_homework(file)
    assert outcome.status == 0, as_text(outcome)
    assert {check.quantity for check in outcome.result.checks} == {"step"}
    file.write_text(text)  # a new object has no speed
    assert check_homework(file).status == 1


def test_the_gradient_of_a_sum_is_named(checked):
    outcome = checked(RIGHT["sgd"], ("dz = dz / len(y)", "dz = dz / 1"))
    assert outcome.status == 1
    assert codes(outcome) == {"sum-not-mean"}
    first = outcome.result.first_divergence
    assert first.key == "gradient/2.weight"
    assert first.ratio
    assert first.own == "step, line 19, for 'W2'"


EARLY = (
    "grads = backward(params, x, y)\n    return",
    """grads = backward(params, x, y)
    params["W2"] = params["W2"] - 0.1 * grads["W2"]
    late = backward(params, x, y)
    grads["W1"], grads["b1"] = late["W1"], late["b1"]
    params["W2"] = params["W2"] + 0.1 * grads["W2"]
    return""",
)


def test_a_layer_is_updated_before_the_gradients_of_earlier_ones(checked):
    outcome = checked(RIGHT["sgd"], EARLY)
    assert outcome.status == 1
    wrong = {check.key for check in outcome.result.checks if not check.passed}
    assert "gradient/2.weight" not in wrong
    assert {"gradient/0.weight", "gradient/0.bias", "step/0.weight"} <= wrong


def test_steps_may_follow_from_a_gradient(checked):
    found = {mark.key: mark for mark in marks(checked(RIGHT["sgd"], EARLY))}
    assert found["gradient/0.weight"].lost == 1
    assert found["step/2.bias"].follows.root == "gradient/0.weight"
    assert {mark.lost for key, mark in found.items() if key.startswith("step/")} == {0.5}


def test_a_count_of_steps_that_stands_still(checked):
    outcome = checked(RIGHT["adam"], ('state.get("t", 0) + 1', "1"))
    assert outcome.status == 1
    assert all(not check.passed for check in outcome.result.checks)
    assert len(codes(outcome)) <= 1


def test_epsilon_inside_the_root(checked):
    outcome = checked(
        RIGHT["adam"], ("(np.sqrt(v / (1 - 0.98**t)) + 1e-8)", "np.sqrt(v / (1 - 0.98**t) + 1e-8)")
    )
    assert outcome.status == 1
    assert codes(outcome) == {"adam-eps-placement"}


def test_steps_with_an_undeclared_momentum_differ(checked):
    """The first step is the same with a momentum; those after it are not."""
    outcome = checked(RIGHT["momentum"], (', "momentum": 0.9', ""))
    assert outcome.status == 1
    failed = {c.quantity for c in outcome.result.checks if not c.passed}
    assert failed == {"step"}


def test_options_win(checked):
    assert checked(RIGHT["sgd"], optimizer="SGD", settings={"lr": 0.2}).status == 1
    text = RIGHT["sgd"].replace('OPTIMIZER = "sgd"\nSETTINGS = {"lr": 0.1}', "")
    assert checked(text, optimizer="SGD", settings={"lr": 0.1}).status == 0
    assert checked(RIGHT["sgd"], optimizer="SGD").status == 0
    outcome = checked(text)
    assert outcome.status == 2
    assert outcome.result.error == (
        "homework.py defines step but does not say which optimizer it is: write OPTIMIZER = "
        '"SGD" and SETTINGS = {"lr": 0.1} into it, or pass --optimizer and --set.'
    )


def test_an_update_with_a_declared_optimizer(checked):
    text = NAMES + SGD.replace(
        "def step(params, x, y):\n    grads = backward(params, x, y)\n",
        "def update(params, grads, state):\n",
    )
    outcome = checked(text)
    assert outcome.status == 0, as_text(outcome)
    assert keys(outcome) == {f"update/{n}.{k}" for n in "02" for k in ("weight", "bias")}
    assert checked(text, ('"lr": 0.1', '"lr": 0.2')).status == 1


def test_a_step_beside_gradients(checked):
    """Then these are the homework's own, and steps are compared as they are."""
    text = (
        RIGHT["sgd"]
        .replace("def backward(", "def gradients(")
        .replace("backward(params", "gradients(params")
    )
    outcome = checked(text)
    assert outcome.status == 0, as_text(outcome)
    wrong = checked(text, ("params[k] - 0.1", "params[k] - 0.2"))
    assert {c.quantity for c in wrong.result.checks if not c.passed} == {"step"}
    assert wrong.result.first_divergence.own.startswith("step, line")


PLAIN = RIGHT["sgd"].partition("def step")[0].replace("def backward", "def gradients")
PLAIN = PLAIN.replace('OPTIMIZER = "sgd"\nSETTINGS = {"lr": 0.1}', "")


@pytest.mark.parametrize(
    "other",
    [
        "step = 0.01",
        "for step in range(3):\n    pass",
        "def step(z):\n    return z > 0",
        "def step(params, grads, lr):\n    ...",
        "SETTINGS = {'epochs': 3}",
        "OPTIMIZER = None",
        "OPTIMIZER = print",
    ],
)
def test_what_is_called_step_and_is_none(other, checked):
    outcome = checked(f"{PLAIN}\n{other}\n")
    assert outcome.status == 0, as_text(outcome)
    assert {check.quantity for check in outcome.result.checks} == {"gradient"}
    assert outcome.result.notes == ()


def test_a_step_that_may_be_meant_otherwise(checked):
    outcome = checked(PLAIN + "\ndef step(params, x, y):\n    ...\n")
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.notes[0] == (
        "step was not checked: name its optimizer with OPTIMIZER and SETTINGS or --optimizer."
    )


def test_a_declared_reduction_and_penalty(checked):
    """The steps go along the gradient of the declared loss, also where a mistake is looked for."""
    text = "REDUCTION = 'sum'\nWEIGHT_DECAY = 0.1\n" + RIGHT["adam"]
    changes = (
        ("dz = dz / len(y)", "dz = dz / 1"),
        ('"W1": x.T @ dh', '"W1": x.T @ dh + 0.1 * params["W1"]'),
        ('"W2": h.T @ dz', '"W2": h.T @ dz + 0.1 * params["W2"]'),
    )
    outcome = checked(text, *changes)
    assert outcome.status == 0, as_text(outcome)
    inside = "(np.sqrt(v / (1 - 0.98**t)) + 1e-8)", "np.sqrt(v / (1 - 0.98**t) + 1e-8)"
    assert codes(checked(text, *changes, inside)) == {"adam-eps-placement"}


def test_required(checked):
    assert checked(RIGHT["sgd"], required=("step",)).status == 0
    text = RIGHT["sgd"].replace("def step(", "def other(").replace("def backward", "def gradients")
    outcome = checked(text, required=("step",), optimizer="SGD", settings={"lr": 0.1})
    assert outcome.status == 2
    assert (
        outcome.result.error
        == "homework.py defines no step(params, x, y, state), which is asked for."
    )
    kinds = {key.partition("/")[0] for key in outcome.required}
    assert kinds == {"gradient", "step"}


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_what_a_step_may_change_in_place(name, checked):
    begin = "    grads = backward"
    own = (begin, "    for p in params.values():\n        p *= 2\n        p /= 2\n" + begin)
    assert checked(RIGHT[name], own).status == 0
    outcome = checked(RIGHT[name], (begin, f"{begin}(params, x, y)\n    x += 1\n{begin}"))
    text = as_text(outcome)
    assert "step(params, x, y, state) changed its argument x in place" in text
    assert "params" not in text.replace("step(params", "")


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("None", "step returned None, but expected a dict"),
        ("3.0", "step returned a value of type float, but expected a dict"),
        ('{"W1": params["W1"]}', "step returned no array for "),
        ('{**params, "W1": params["W1"].T}', "the shape (7, 6), but expected (6, 7); it is transp"),
        ("{}[3]", "raised KeyError at line "),
    ],
)
def test_what_is_no_step(name, answer, sentence, checked):
    text = RIGHT[name]
    start = text.rindex("    return")
    outcome = checked(f"{text[:start]}    return {answer}\n")
    assert outcome.status == 2
    if "shape" in sentence:
        assert "shape (7, 6)" in outcome.result.error
        return
    assert sentence in outcome.result.error


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("OPTIMIZER = 3", 'homework.py: OPTIMIZER should be a name such as "SGD", but is 3.'),
        (
            "OPTIMIZER = 'SGD'\nSETTINGS = 0.1",
            'homework.py: SETTINGS should be a dict such as {"lr": 0.1}, but is 0.1.',
        ),
        (
            "SETTINGS = {'lr': 0.1}",
            'homework.py: SETTINGS are those of an optimizer: write OPTIMIZER = "SGD" beside it.',
        ),
        (
            "OPTIMIZER = 'SGD'\nSETTINGS = {'lr': print}",
            "homework.py: SETTINGS['lr'] should be a number, but is <built-in function print>.",
        ),
        (
            "OPTIMIZER = 'SGD'\nSETTINGS = {'lr': 0}",
            "The learning rate of a step should be a number above 0, but lr is 0.",
        ),
        (
            "OPTIMIZER = 'SDG'",
            "--optimizer SDG: PyTorch has no such optimizer; expected SGD, "
            "Adam, AdamW or another of torch.optim; did you mean SGD?",
        ),
        (
            "OPTIMIZER = 'SGD'\nSETTINGS = {'rate': 1}",
            "The optimizer SGD could not be made "
            "with {'rate': 1}: SGD.__init__() got an "
            "unexpected keyword argument 'rate'.",
        ),
    ],
)
def test_what_cannot_be_declared(line, sentence, checked):
    text = RIGHT["sgd"].replace('OPTIMIZER = "sgd"\nSETTINGS = {"lr": 0.1}', line)
    outcome = checked(text)
    assert outcome.status == 2
    assert outcome.result.error == sentence


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_float32(name, checked):
    in_single = (
        "    grads = backward(params, x, y)",
        "    params = {k: np.float32(v) for k, v in params.items()}\n"
        "    grads = backward(params, np.float32(x), y)",
    )
    outcome = checked(RIGHT[name], in_single)
    assert outcome.status == 0, as_text(outcome)
    assert max(check.tolerance for check in outcome.result.checks) > 1e-7
    wrong = checked(RIGHT[name], in_single, ("0.01 *" if name == "adam" else "- 0.1 *", "- 0.2 *"))
    assert wrong.status == 1


def test_parameters_in_float32_and_the_batch_in_float64(checked):
    outcome = checked(
        RIGHT["sgd"],
        (
            "    return {k: params[k] - 0.1 * grads[k] for k in grads}",
            "    for k in grads:\n        params[k] -= 0.1 * grads[k]\n    return params",
        ),
        (
            "    grads = backward(params, x, y)",
            "    params = {k: np.float32(v) for k, v in params.items()}\n"
            "    grads = backward(params, x, y)",
        ),
    )
    assert outcome.status == 0, as_text(outcome)


def test_golden_files_have_steps(checked, nncompare, write, tmp_path):
    net = write(text="def net(nn):\n    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(), "
                     "nn.Linear(7, 4))\n", name="net.py")  # fmt: skip
    out = tmp_path / "net.npz"
    command = ("golden", f"{net}:net", "-o", out)
    nncompare(*command, "--optimizer", "SGD", "--set", "lr=0.1")
    golden = read_golden(out)
    here, there = checked(RIGHT["sgd"]), checked(RIGHT["sgd"], golden=golden)
    assert there.status == 0, as_text(there)
    assert keys(here) == keys(there)
    assert checked(RIGHT["sgd"], EARLY, golden=golden).status == 1
    assert checked(RIGHT["adam"], golden=golden).status == 2
    reduced = checked("REDUCTION = 'sum'\n" + RIGHT["sgd"], golden=golden)
    assert "declares REDUCTION or WEIGHT_DECAY" in reduced.result.error
    nncompare(*command)
    outcome = checked(RIGHT["sgd"], golden=read_golden(out))
    assert outcome.result.error == (
        "homework.py defines step but does not say which optimizer it is: write OPTIMIZER = "
        '"SGD" and SETTINGS = {"lr": 0.1} into it, or pass --optimizer and --set.'
    )
    assert checked(RIGHT["sgd"], optimizer="SGD", golden=read_golden(out)).status == 2


def test_json(checked):
    tree = json.loads(as_json(checked(RIGHT["adam"]).result))
    assert {check["quantity"] for check in tree["checks"]} == {"step"}


# ---- What is expected, against torch


def net(nn):
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"lr": 0.01, "maximize": True}),
        ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ],
)
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_the_steps_are_those_of_torch(optimizer, settings, decay):
    reference = Reference(Assignment("net", net, "mse", optimizer, settings))
    case = make_cases(Assignment("net", net, "mse"))[0]
    case = with_weight_decay(with_reduction(case, "mse", "half sum"), decay)
    found = with_steps(reference, case)
    model = net(torch.nn).double()
    model.load_state_dict({k: torch.tensor(v) for k, v in case.parameters.items()})
    stepping = getattr(torch.optim, optimizer)(model.parameters(), **settings)
    x, y = torch.tensor(case.inputs), torch.tensor(case.targets)
    for _ in range(STEPS):
        stepping.zero_grad()
        weights = [p for p in model.parameters() if p.ndim > 1]
        penalty = decay / 2 * sum((w**2).sum() for w in weights)
        (((model(x) - y) ** 2).sum() / 2 + penalty).backward()
        stepping.step()
    assert found.steps == STEPS
    for name, parameter in model.named_parameters():
        error = np.abs(found.expected[f"step/{name}"] - parameter.detach().numpy())
        assert np.all(error <= 1e-9 * found.sizes[f"step/{name}"]), name
        if name != "0.bias":
            np.testing.assert_allclose(
                found.expected[f"step/{name}"], parameter.detach().numpy(), rtol=1e-9
            )


def test_a_training_that_diverges(checked):
    """What is compared are the steps before right code loses its digits, and a note says so."""
    outcome = checked(RIGHT["adam"], ('"lr": 0.01', '"lr": 3.0'), ("- 0.01 * m", "- 3.0 * m"))
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.notes[-1] == (
        "Of step 1 step was compared instead of 3: with this learning rate the outputs of "
        "the network then more than double."
    )
    wrong = checked(RIGHT["adam"], ('"lr": 0.01', '"lr": 3.0'), ("- 0.01 * m", "- 2.0 * m"))
    assert wrong.status == 1


def test_what_is_allowed_is_no_more_than_rounding_magnified():
    """With Adam an element counts with itself, unless its gradient is 0 but for rounding."""
    assignment = Assignment("net", net, "mse", "Adam", {"lr": 0.01})
    case = with_steps(Reference(assignment), make_cases(assignment)[0])
    size = np.abs(case.parameters["3.weight"]) + STEPS * 0.02
    assert np.median(case.sizes["step/3.weight"] / size) < 2
    assert (1e-9 * case.sizes["step/0.bias"] > 1e-8 * 0.01).any()
    assert (1e-9 * case.sizes["step/0.bias"] < 0.1 * 0.01).all()


@pytest.mark.parametrize("rate", [1.0, 1e-3, 1e-6])
def test_the_size_of_a_gradient_that_is_read_off(rate):
    """Rounding of the parameter passes, at any learning rate; a hundred times more does not."""
    case = make_cases(Assignment("net", net, "mse"))[0]
    found = with_read_off(case, rate)
    for key in ("0.weight", "3.weight"):
        before, gradient = case.parameters[key], case.expected[f"gradient/{key}"]
        error = np.abs((before - (before - rate * gradient)) / rate - gradient)
        added = found.sizes[f"gradient/{key}"] - case.sizes[f"gradient/{key}"]
        assert np.all(8 * error <= 1e-9 * added + 1e-15)
        assert np.all(1e-9 * added <= 100 * 2.0**-52 * np.abs(before) / rate)


def test_plain_rate():
    def rate(**settings):
        return plain_rate(Assignment("net", net, "mse", "SGD", settings))

    assert rate() == 1e-3
    assert rate(lr=0.1, momentum=0) == 0.1
    assert rate(lr=0.1, maximize=True) == -0.1
    assert rate(lr=0.1, momentum=0.9) is None
    assert rate(lr=0.1, weight_decay=0.1) is None
    assert plain_rate(Assignment("net", net, "mse", "Adam", {})) is None
    with pytest.raises(InputError):
        rate(lr=float("nan"))


def test_functions_that_are_defined_already():
    rate = 0.1

    def step(params, x, y):
        error = 2 * (x @ params["w"].T + params["b"] - y) / y.size
        return {
            "w": params["w"] - rate * error.T @ x,
            "b": params["b"] - rate * error.sum(axis=0),
        }

    settings = {
        "architecture": lambda nn: nn.Sequential(nn.Linear(3, 2)),
        "loss": "mse",
        "parameters": {"w": "0.weight", "b": "0.bias"},
        "optimizer": "SGD",
        "step": step,
    }
    assert_parity(**settings, settings={"lr": 0.1})
    with pytest.raises(AssertionError, match="the gradient of 0"):
        assert_parity(**settings, settings={"lr": 0.2})


def test_the_output_that_may_grow_is_that_of_the_last_linear():
    """What it gives is followed from step to step; without one, what the loss gets."""

    def without(nn):
        return nn.Sequential(nn.Conv1d(2, 3, 2), nn.Flatten(), nn.Tanh())

    for architecture, shape in ((net, (4, 6)), (without, (4, 2, 3))):
        reference = Reference(Assignment("net", architecture, "mse"))
        x = 9 * np.random.default_rng(0).standard_normal(shape)
        model = architecture(torch.nn).double()
        state = {k: 3 * v for k, v in reference.exact.state().model.items()}
        model.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
        linear = [name for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
        inner = torch.tensor(x)
        for name, module in model.named_children():
            inner = module(inner)
            if name in linear[-1:]:
                break
        step = reference.step(reference.exact, state, x, np.zeros(inner.shape))
        largest = inner.abs().max().item()
        assert _largest_output(reference, step) == pytest.approx(largest)


def test_how_far_the_gradients_of_a_right_homework_may_be():
    """So much of the size of each, of a penalty on weights too; not on biases."""
    size, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array(5.0)
    reference = SimpleNamespace(
        sizes=lambda step, targets: {"gradient/W": size, "gradient/b": bias}
    )
    step = SimpleNamespace(gradients={"W": np.ones((2, 2)), "b": np.ones(2)})
    weights = {"W": np.array([[-1.0, 2.0], [0.0, 1.0]]), "b": np.ones(2)}
    case = Case(weights, np.ones((3, 2)), np.zeros(3), {}, {}, loss_factor=-3.0, weight_decay=0.5)
    found = _noise(reference, step, case)
    np.testing.assert_allclose(found["W"], STEP_NOISE * (3 * size + 0.5 * np.abs(weights["W"])))
    np.testing.assert_allclose(found["b"], STEP_NOISE * np.array([15.0, 15.0]))
