"""Dropout as a layer class: compared with the mask that it has drawn itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compare.check.architecture import load_architecture
from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.dropout_layers import (
    DROPOUT_VALUES,
    apply_dropout,
    dropout_mask,
    share_tolerance,
)
from compare.check.golden import Golden, read_golden, write_golden
from compare.check.grading import grade

RIGHT = (Path(__file__).parent.parent / "planted" / "dropout.py").read_text(encoding="utf-8")
START, END = RIGHT.index("class Dropout:"), RIGHT.index("class SoftmaxWithLoss:")
SCALED = "return x * self.mask / (1 - self.dropout_ratio)"
BACK = "return dout * self.mask / (1 - self.dropout_ratio)"
EVALUATION = "        return x\n"
ALL = 22

# Everything in attributes, and an argument that has to be given, as in "Neural Networks from
# Scratch"; the rest of the network needs it as well.
ATTRIBUTES = """class Dropout:
    def __init__(self, rate):
        self.rate = 1 - rate
    def forward(self, inputs, training):
        if not training:
            self.output = inputs.copy()
            return
        self.binary_mask = np.random.binomial(1, self.rate, size=inputs.shape) / self.rate
        self.output = inputs * self.binary_mask
    def backward(self, dvalues):
        self.dinputs = dvalues * self.binary_mask
"""
SWITCH = """class Dropout:
    def __init__(self, p):
        self.p, self.training = p, False
    def forward(self, x):
        if not self.training:
            return x
        self.dropped = np.random.random_sample(x.shape) < self.p
        return np.where(self.dropped, 0, x / (1 - self.p))
    def backward(self, dy):
        return np.where(self.dropped, 0, dy / (1 - self.p))
"""
METHODS = """class Dropout:
    def __init__(self, p):
        self.p, self.on = p, False
    def train(self): self.on = True
    def eval(self): self.on = False
    def forward(self, x):
        self.scale = (np.random.random_sample(x.shape) >= self.p) / (1 - self.p) if self.on else 1
        return x * self.scale
    def backward(self, dy):
        return dy * self.scale
"""
ALWAYS = """class Dropout:
    def __init__(self, p):
        self.p = p
    def forward(self, x):
        self.m = np.random.random_sample(x.shape) >= self.p
        return x * self.m / (1 - self.p)
    def backward(self, dy):
        return dy * self.m / (1 - self.p)
"""


def in_style(text: str) -> str:
    return RIGHT[:START] + text + "\n\n" + RIGHT[END:]


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        (RIGHT, ALL),
        (in_style(ATTRIBUTES), ALL),
        (in_style(SWITCH), ALL),
        (in_style(METHODS), ALL),
        (in_style(ALWAYS), ALL - 1),
        (RIGHT.replace("Dropout(0.3)", "Dropout(p=0)").replace("(p=0)]", "(0)]"), ALL),
        (RIGHT.replace("def forward(self, x):", "def forward(self, x, train_flg):"), ALL),
        (RIGHT.replace("forward(self, x, t):", "forward(self, x, t, training):"), ALL),
    ],
    ids=["argument", "attributes", "switch", "methods", "always", "p = 0", "needed by all",
         "needed by the loss"],
)  # fmt: skip
def test_right_in_every_style(check, text, checks) -> None:
    outcome = check(text=text)
    assert (outcome.status, outcome.result.error) == (0, None)
    assert (outcome.result.invariants, outcome.result.notes) == ((), ())
    assert len(outcome.result.checks) == checks
    assert grade(outcome)["score"] == "1.0000"


def test_in_columns(check) -> None:
    changes = [
        ("x @ self.W + self.b", "self.W @ x + self.b"),
        ("self.x.T @ dout", "dout @ self.x.T"),
        ("dout.sum(axis=0)", "dout.sum(axis=1, keepdims=True)"),
        ("dout @ self.W.T", "self.W.T @ dout"),
        ("weight.T", "weight"),
        ("bias", "bias[:, None]"),
        ("], SoftmaxWithLoss()", "]"),
        ("PARAMETERS", "BATCH_AXIS = 1\nPARAMETERS"),
    ]
    outcome = check(*changes, text=RIGHT)
    assert (outcome.status, outcome.result.error) == (0, None)


def test_in_float32(check) -> None:
    outcome = check(("(self, x, train_flg=True):", "(self, x, train_flg=True):\n"
                     "        x = x.astype(np.float32)"), text=RIGHT)  # fmt: skip
    assert (outcome.status, outcome.result.error) == (0, None)
    assert outcome.result.checks[2].tolerance > 1e-7


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ([(SCALED, "return x * self.mask"), (BACK, "return dout * self.mask")],
         "2", "unscaled-dropout"),
        ([(SCALED, "return x * self.mask")], "2", "unscaled-dropout"),
        ([(BACK, "return dout * self.mask")], "2.input", "unscaled-dropout"),
        ([(BACK, "return dout / (1 - self.dropout_ratio)")], "2.input", None),
        ([(SCALED, "return x * self.mask / self.dropout_ratio")], "2", None),
        ([("> self.dropout_ratio", "< self.dropout_ratio")], "2.kept", None),
        ([("> self.dropout_ratio", "> 0.35")], "2.kept", None),
        ([("np.random.rand(*x.shape) > self.dropout_ratio", "x == x")], "2.kept", None),
        ([(EVALUATION, "        return x * (1 - self.dropout_ratio)\n")], "2.evaluation", None),
    ],
    ids=["unscaled", "forward", "backward", "no mask", "divided by p", "share of p", "another p",
         "keeps all", "scaled in evaluation too"],
)  # fmt: skip
def test_a_mistake_is_placed_and_named(check, changes, place, code) -> None:
    outcome = check(*changes, text=RIGHT)
    assert outcome.status == 1
    first = outcome.result.first_divergence
    assert first.name == place
    assert (first.diagnosis.code if first.diagnosis else None) == code
    failed = [c.name for c in outcome.result.checks if not c.passed]
    assert all(name.partition(".")[0] == "2" for name in failed)


def test_the_older_convention_is_told_from_a_forgotten_factor(check) -> None:
    """Masks without 1/(1 − p) in training, and 1 − p in evaluation."""
    changes = [
        (SCALED, "return x * self.mask"),
        (BACK, "return dout * self.mask"),
        (EVALUATION, "        return x * (1.0 - self.dropout_ratio)\n"),
    ]
    outcome = check(*changes, text=RIGHT)
    failed = [c for c in outcome.result.checks if not c.passed]
    assert [c.name for c in failed] == ["2", "2.evaluation", "2.input"]
    assert {c.diagnosis.code for c in failed} == {"unscaled-dropout"}
    assert failed[0].diagnosis.explanation == (
        "the values that are kept are not divided by 1 − p = 0.7; evaluation multiplies by "
        "it instead. The two ways have the same mean, but PyTorch's is the other one: y = x "
        "m / (1 − p) in training, and y = x in evaluation"
    )


def test_the_same_mask_twice_is_noted(check) -> None:
    outcome = check(("np.random.rand(", "np.random.seed(1)\n            self.mask = "
                     "np.random.rand("), text=RIGHT)  # fmt: skip
    assert outcome.status == 0
    assert outcome.result.notes == (
        "Dropout (2) drew the same mask twice: draw a new one at each forward.",
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            (BACK, "return (dout * self.mask).T"),
            "what backward of Dropout (2) returned has the "
            "shape (12, 834), but expected (834, 12); if "
            "your batch is the columns, write BATCH_AXIS = "
            "1.",
        ),
        (
            (BACK, "dout * self.mask"),
            "Dropout (2) raised TypeError: Dropout.backward returned "
            "None, and the layer has no .dinputs; is a return missing?",
        ),
        (
            ("np.random.rand(*x.shape)", "np.random.rand(3, 4, 5)"),
            "Dropout (2) raised ValueError at line "
            "36: operands could not be broadcast "
            "together with shapes (834,12) (3,4,5).",
        ),
    ],
)
def test_one_clear_sentence(check, change, sentence) -> None:
    outcome = check(change, text=RIGHT)
    assert outcome.status == 2
    assert outcome.result.error == sentence


def test_with_a_golden_file(tmp_path, write, check) -> None:
    homework = write(text=RIGHT)
    build = load_architecture(f"{homework}:architecture")
    assignment = Assignment("net", build)
    golden = Golden(assignment, make_cases(assignment, layers=True))
    write_golden(tmp_path / "net.npz", golden)
    outcome = check(text=RIGHT, golden=read_golden(tmp_path / "net.npz"))
    assert (outcome.status, len(outcome.result.checks)) == (0, ALL)


def test_it_is_what_pytorch_makes_of_the_mask() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((50, 7))
    for p in (0.0, 0.3, 0.9, 1.0):
        expected = torch.nn.functional.dropout(torch.tensor(x), p).numpy()
        found = apply_dropout(x, dropout_mask(expected), p)
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_chance_alone_is_no_mistake() -> None:
    """A thousand right layers of each p, and not one beyond the bound."""
    random = np.random.default_rng(0)
    for p in (0.0, 0.05, 0.5, 0.9, 1.0):
        shares = random.binomial(DROPOUT_VALUES, 1 - p, 1000) / DROPOUT_VALUES
        assert np.abs(shares - (1 - p)).max() < share_tolerance(p, DROPOUT_VALUES)
        assert share_tolerance(p, DROPOUT_VALUES) < 0.04
