"""Losses that an instructor gives as functions of PyTorch's tensors."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
import torch
from planted.in_process import check_in_process

from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.course import read_course
from compare.check.reading import Options
from compare.check.result import Outcome, as_json, as_text
from compare.check.torch_loss import load_torch_loss
from experiments.errors import InputError

LOSSES = """
import torch
from torch.nn import functional as F


def smoothed(output, target):
    return F.cross_entropy(output, target, label_smoothing=0.1)


def pseudo_huber(output, target):
    return (torch.sqrt(1 + (output - target) ** 2) - 1).sum(dim=1).mean()


def focal(output, target):
    p = torch.sigmoid(output)
    right = torch.where(target > 0.5, p, 1 - p)
    return -((1 - right) ** 2 * torch.log(right)).mean()


focal.targets = "binary"


def hinge(output, target):
    rows = torch.arange(len(target))
    margins = torch.relu(1 + output - output[rows, target][:, None])
    return (margins.sum() - len(target)) / len(target)


def squared(output, target):
    return F.mse_loss(output, target)


def raises(output, target):
    return output.no_such_thing()


def no_scalar(output, target):
    return (output - target) ** 2


def no_tensor(output, target):
    return 3.0


def no_gradient(output, target):
    return (output - target).detach().sum()


def no_number(output, target):
    return torch.log(-(output**2)).sum() + 0 * target.sum()


three = 3


def other(output, target):
    return output.sum() + target.sum()


other.targets = "images"
"""

# Loss and its gradient by the output z, as a student writes them.
FORMULAS = {
    "smoothed": """
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    t = 0.9 * np.eye(z.shape[1])[y] + 0.1 / z.shape[1]
    return -(t * np.log(p)).sum() / n, (p - t) / n
""",
    "pseudo_huber": """
    d = z - y
    root = np.sqrt(1 + d**2)
    return (root - 1).sum() / n, d / root / n
""",
    "focal": """
    p = 1 / (1 + np.exp(-z))
    q = np.where(y > 0.5, p, 1 - p)
    sign = np.where(y > 0.5, 1, -1)
    dq = 2 * (1 - q) * np.log(q) - (1 - q) ** 2 / q
    return -((1 - q) ** 2 * np.log(q)).sum() / z.size, dq * sign * p * (1 - p) / z.size
""",
    "hinge": """
    rows = np.arange(len(y))
    margins = np.maximum(0, 1 + z - z[rows, y][:, None])
    margins[rows, y] = 0
    dz = (margins > 0).astype(float)
    dz[rows, y] = -dz.sum(axis=1)
    return margins.sum() / n, dz / n
""",
}

HOMEWORK = """
import numpy as np

PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}

def architecture(nn):
    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3))

def criterion(z, y):
    n = len(z)
FORMULA

def hidden(params, x):
    return np.maximum(x @ params["W1"] + params["b1"], 0)

def forward(params, x):
    return hidden(params, x) @ params["W2"] + params["b2"]

def loss(params, x, y):
    return criterion(forward(params, x), y)[0]

def gradients(params, x, y):
    h = hidden(params, x)
    dz = criterion(h @ params["W2"] + params["b2"], y)[1]
    dh = dz @ params["W2"].T * (h > 0)
    return {"W1": x.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0)}
"""

LAYERS = """
class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T

class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask

class Loss:
    def forward(self, z, y):
        value, self.dz = criterion(z, y)
        return value

    def backward(self):
        return self.dz

def network(params):
    first, last = Linear(params["W1"], params["b1"]), Linear(params["W2"], params["b2"])
    return [first, Relu(), last]LOSS
"""


@pytest.fixture
def losses(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(LOSSES)
    return path


@pytest.fixture
def checked(tmp_path, losses):
    def checked_text(text: str, loss: str, *changes: tuple[str, str], **options) -> Outcome:
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        file = tmp_path / "homework.py"
        file.write_text(text)
        return check_in_process(file, Options(loss=f"{losses}:{loss}", **options))

    return checked_text


def functions(loss: str) -> str:
    return HOMEWORK.replace("FORMULA", FORMULAS[loss])


def layers(loss: str, with_loss: bool) -> str:
    head = functions(loss).partition("def hidden")[0]
    return head + LAYERS.replace("LOSS", ", Loss()" if with_loss else "")


def codes(outcome: Outcome) -> set[str]:
    return {c.diagnosis.code for c in outcome.result.checks if c.diagnosis is not None}


@pytest.mark.parametrize("loss", FORMULAS)
def test_right_functions(loss, checked):
    outcome = checked(functions(loss), loss)
    assert outcome.status == 0, as_text(outcome)
    assert len(outcome.result.checks) == 6
    assert outcome.result.invariants == outcome.result.notes == ()
    assert max(check.relative_error for check in outcome.result.checks) < 1e-12


@pytest.mark.parametrize("with_loss", [False, True])
@pytest.mark.parametrize("loss", ["smoothed", "pseudo_huber"])
def test_right_layers(loss, with_loss, checked):
    outcome = checked(layers(loss, with_loss), loss)
    assert outcome.status == 0, as_text(outcome)
    found = {check.key for check in outcome.result.checks}
    assert "gradient/network/0.weight" in found
    assert ("gradient/logits" in found) == with_loss


def test_layouts_are_found_out(checked):
    text = functions("smoothed")
    declared = text[text.index("PARAMETERS") : text.index("def architecture")]
    outcome = checked(text, "smoothed", (declared, ""))
    assert outcome.status == 0, as_text(outcome)
    assert outcome.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; W1 is 0.weight.T, b1 is 0.bias, "
        "W2 is 2.weight.T, b2 is 2.bias."
    )


@pytest.mark.parametrize("loss", ["smoothed", "pseudo_huber", "hinge"])
def test_a_sum_has_no_name_but_a_factor(loss, checked):
    outcome = checked(functions(loss), loss, ("    n = len(z)", "    n = 1"))
    assert outcome.status == 1
    assert codes(outcome) == set()
    assert "N, the rows of the batch" in as_text(outcome)
    assert "the mean of the losses of its rows" not in as_text(outcome)
    assert not any("nncompare failed" in note for note in outcome.result.notes)


def test_a_mistake_of_a_layer_is_named_all_the_same(checked):
    outcome = checked(functions("smoothed"), "smoothed", (" * (h > 0)", ""))
    assert outcome.status == 1
    assert {code.partition("-")[0] for code in codes(outcome)} == {"relu"}


def test_a_wrong_constant(checked):
    outcome = checked(functions("smoothed"), "smoothed", ("0.9 *", "0.8 *"), ("0.1 /", "0.2 /"))
    assert outcome.result.first_divergence.key == "loss"
    assert codes(outcome) == set()


def test_a_penalty_and_a_step(checked):
    text = (
        functions("pseudo_huber")
        + """
def step(params, x, y):
    grads = gradients(params, x, y)
    return {k: params[k] - 0.1 * grads[k] for k in grads}
"""
    )
    options = {"optimizer": "SGD", "settings": {"lr": 0.1}}
    assert checked(text, "pseudo_huber", **options).status == 0
    penalty = (
        ("[0]\n", "[0] + 0.05 * sum(np.sum(params[k] ** 2) for k in ('W1', 'W2'))\n"),
        ('x.T @ dh, "b1"', 'x.T @ dh + 0.1 * params["W1"], "b1"'),
        ('h.T @ dz, "b2"', 'h.T @ dz + 0.1 * params["W2"], "b2"'),
    )
    outcome = checked("WEIGHT_DECAY = 0.1\n" + text, "pseudo_huber", *penalty, **options)
    assert outcome.status == 0, as_text(outcome)


def test_classes_come_one_hot_where_that_is_declared(checked):
    one_hot = ("[y] + 0.1", "[y.argmax(axis=1)] + 0.1")
    outcome = checked("ONE_HOT = True\n" + functions("smoothed"), "smoothed", one_hot)
    assert outcome.status == 0, as_text(outcome)


def test_json(checked):
    tree = json.loads(as_json(checked(functions("hinge"), "hinge").result))
    assert tree["passed"]


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        ("raises", "losses.py:raises raised AttributeError at line 34 of losses.py: 'Tensor' obj"),
        ("no_scalar", "should return a scalar tensor, the loss of a batch, but returned a tensor "),
        ("no_tensor", "but returned a value of type float."),
        ("no_gradient", "returned a tensor without a gradient"),
        ("no_number", "gave nan for outputs of the network"),
        ("absent", "losses.py defines no function absent()."),
        ("three", "losses.py defines no function three()."),
        ("other", "should be one of classes, values, binary, but are 'images'."),
    ],
)
def test_what_is_no_loss(loss, sentence, checked):
    outcome = checked(functions("smoothed"), loss)
    assert outcome.status == 2
    assert sentence in outcome.result.error
    assert outcome.result.error.count("\n") == 0


def test_files_that_are_no_losses(tmp_path, nncompare, write):
    homework = write()
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module")
    for name, sentence in (
        (f"{tmp_path / 'none.py'}:f", "there is no Python file"),
        (f"{broken}:f", "broken.py raised ModuleNotFoundError at line 1 of broken.py"),
        ("hinge", "--loss expects one of cross_entropy"),
    ):
        ended = nncompare("check", homework, "--loss", name)
        assert ended.status == 2
        assert sentence in " ".join((ended.out + ended.err).split())


def test_a_homework_may_not_name_a_file(checked, tmp_path):
    """It would run in the checking process."""
    homework = tmp_path / "own.py"
    ran = tmp_path / "ran"
    text = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\ndef f(output, target): ..."
    (tmp_path / "mine.py").write_text(text)
    homework.write_text('LOSS = "mine.py:f"\n' + functions("smoothed"))
    outcome = check_in_process(homework)
    assert outcome.status == 2
    assert outcome.result.error == (
        "own.py: LOSS = 'mine.py:f' names a file, which only --loss and a course's file may "
        "do; a homework's is one of cross_entropy, mse, bce, bce_with_logits."
    )
    assert not ran.exists()


def test_reduction_is_said_by_the_function(checked):
    outcome = checked("REDUCTION = 'sum'\n" + functions("smoothed"), "smoothed")
    assert outcome.status == 2
    assert "declares REDUCTION, which is of PyTorch's losses" in outcome.result.error


def test_the_command_a_course_and_golden_files(losses, tmp_path, nncompare):
    homework = tmp_path / "homework.py"
    homework.write_text(functions("smoothed"))
    loss = f"{losses}:smoothed"
    assert nncompare("check", homework, "--loss", loss).status == 0
    assert nncompare("check", homework, "--loss", loss, "--targets", "classes").status == 0
    assert nncompare("check", homework, "--loss", loss, "--targets", "labels").status == 2
    course = tmp_path / "course.toml"
    course.write_text('targets = "images"\n')
    with pytest.raises(InputError) as error:
        read_course(course)
    assert str(error.value) == (
        f"{course}: targets expects one of classes, values, binary, but got 'images'."
    )
    course.write_text('loss = "losses.py:smoothed"\ntargets = "classes"\n')
    assert nncompare("check", homework, "--course", course).status == 0
    assert read_course(course).targets == "classes"
    ended = nncompare("golden", "softmax_mlp", "-o", tmp_path / "g.npz", "--loss", loss)
    assert ended.status == 2
    assert "a golden file holds PyTorch's own losses alone" in " ".join(
        (ended.out + ended.err).split()
    )
    ended = nncompare("init", homework, "--loss", loss)
    assert "LOSS =" not in ended.out
    assert f"--loss {loss}" in ended.out


# ---- What is expected, against torch


def build(outputs: int, last: str = "Identity") -> RecordedArchitecture:
    def net(nn):
        return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, outputs), getattr(nn, last)())

    return RecordedArchitecture(record_architecture(net), "net")


@pytest.mark.parametrize(
    ("loss", "outputs", "kind"),
    [("smoothed", 3, "classes"), ("hinge", 5, "classes"), ("pseudo_huber", 3, "values"),
     ("pseudo_huber", 1, "values"), ("squared", 3, "values"), ("squared", 5, "values"),
     ("focal", 2, "binary")],
)  # fmt: skip
def test_targets_and_values(loss, outputs, kind, losses):
    network = build(outputs)
    own = load_torch_loss(f"{losses}:{loss}", None, network)
    assert own.targets == kind
    case = make_cases(Assignment("net", network, own.name, torch_loss=own))[0]
    assert case.targets.dtype.kind == ("i" if kind == "classes" else "f")
    assert case.targets.shape == (len(case.inputs), *([] if kind == "classes" else [outputs]))
    assert kind != "binary" or set(np.unique(case.targets)) == {0.0, 1.0}
    model = network(torch.nn).double()
    model.load_state_dict({k: torch.tensor(v) for k, v in case.parameters.items()})
    value = own.function(model(torch.tensor(case.inputs)), torch.tensor(case.targets))
    value.backward()
    np.testing.assert_allclose(case.expected["loss"], value.item(), rtol=1e-13)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            case.expected[f"gradient/{name}"], parameter.grad.numpy(), rtol=1e-11, atol=1e-15
        )


def test_binary_targets_of_probabilities(losses):
    assert load_torch_loss(f"{losses}:focal", None, build(1, "Sigmoid")).like == "bce"
    assert load_torch_loss(f"{losses}:pseudo_huber", "binary", build(2)).like == "bce_with_logits"
    with pytest.raises(InputError, match="defines no function"):
        load_torch_loss(f"{losses}:nothing", None, build(1))


def test_trying_says_nothing(losses):
    """PyTorch warns of targets whose shape is not the output's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_torch_loss(f"{losses}:squared", None, build(3)).targets == "values"
    assert caught == []


def test_a_file_runs_again_when_it_was_changed(losses):
    name = f"{losses}:hinge"
    first = load_torch_loss(name, None, build(3))
    assert load_torch_loss(name, None, build(3)).function is first.function
    losses.write_text(LOSSES.replace("1 + output -", "2 + output -"))
    os.utime(losses, (1e9, 1e9))  # clocks of file systems are coarse
    second = load_torch_loss(name, None, build(3))
    z, y = torch.zeros(2, 3), torch.tensor([0, 1])
    assert second.function(z, y) != first.function(z, y)
