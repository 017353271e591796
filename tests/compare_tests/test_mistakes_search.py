"""Mistakes planted in a network written from scratch are placed and named.

The network below shares no code with the catalogue: it is what a student writes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from compare.backends.protocol import Arrays
from compare.mistakes.case import Case
from compare.mistakes.search import Finding, Network, explain
from compare.parity.tolerances import componentwise_error
from experiments.architectures import bn_mlp, softmax_mlp

ROWS = (5, 8, 1)


class Student:
    """A from-scratch network; ``flags`` say which mistakes it makes."""

    def __init__(self, batch_norm: bool, loss: str, flags: dict[str, Any]) -> None:
        self.batch_norm, self.loss, self.flags = batch_norm, loss, flags

    def flag(self, name: str, right: Any = False) -> Any:
        return self.flags.get(name, right)

    def answer(self, params: Arrays, x: np.ndarray, y: np.ndarray) -> Arrays:
        numbers = sorted({int(k.split(".")[0]) for k in params})
        a, caches = x, []
        for number in numbers:
            w = params[f"{number}.weight"]
            if w.ndim == 2:
                used = w.T if self.flag("transposed", -1) == number else w
                z = a @ used.T + params[f"{number}.bias"]
                caches.append(("linear", number, a, used))
                a = z
                if not self.batch_norm and number != numbers[-1]:
                    a = self.activate(a, caches)
            else:
                eps = self.flag("eps", 1e-5)
                mu, var = a.mean(0), a.var(0, ddof=self.flag("ddof", 0))
                denominator = np.sqrt(var) + eps if self.flag("outside") else np.sqrt(var + eps)
                a_hat = (a - mu) / denominator
                caches.append(("norm", number, a_hat, denominator))
                a = self.activate(a_hat * w + params[f"{number}.bias"], caches)
        out = {"logits": a}
        value, d = self.loss_and_gradient(a, y)
        if self.flag("penalty"):
            value += (
                self.flag("penalty") / 2 * sum(np.sum(p**2) for p in params.values() if p.ndim > 1)
            )
        out["loss"] = np.array(value)
        for kind, number, *saved in reversed(caches):
            if kind == "linear":
                below, used = saved
                gw, gb = d.T @ below, d.sum(0)
                if self.flag("sign", -1) == number:
                    gw = -gw
                if self.flag("no_bias", -1) == number:
                    gb = np.zeros_like(gb)
                if self.flag("gradient_transposed", -1) == number:
                    gw = gw.T
                gw = gw + self.flag("gradient_penalty", 0.0) * params[f"{number}.weight"]
                out[f"gradient/{number}.weight"], out[f"gradient/{number}.bias"] = gw, gb
                d = d @ used
            elif kind == "norm":
                a_hat, denominator = saved
                w = params[f"{number}.weight"]
                out[f"gradient/{number}.weight"] = (d * a_hat).sum(0)
                out[f"gradient/{number}.bias"] = d.sum(0)
                if self.flag("constants"):
                    d = d * w / denominator
                else:
                    d = w / denominator * (d - d.mean(0) - a_hat * (d * a_hat).mean(0))
            else:
                d = np.where(saved[0] > 0, d, d * self.flag("slope_backward", self.slope))
        return out

    @property
    def slope(self) -> float:
        return 0.01 if self.batch_norm else 0.0

    def activate(self, a: np.ndarray, caches: list) -> np.ndarray:
        caches.append(("activation", None, a))
        return np.where(a > 0, a, a * self.flag("slope", self.slope))

    def loss_and_gradient(self, z: np.ndarray, y: np.ndarray):
        n = len(z)
        if self.loss == "MSELoss":
            d = z - y
            half = 0.5 if self.flag("half_value") else 1.0
            return half * np.mean(d * d), self.flag("two", 2.0) * d / d.size
        onehot = np.zeros_like(z)
        onehot[np.arange(n), y] = 1

        def soft(v):
            axis = None if self.flag("no_axis") else 1
            e = np.exp(v - np.max(v, axis=axis, keepdims=True))
            return e / np.sum(e, axis=axis, keepdims=True)

        p = soft(soft(z)) if self.flag("twice") else soft(z)
        chosen = p[np.arange(n), y] + self.flag("offset", 0.0)
        value = -np.log(chosen).mean()
        return value, (p - onehot) / n * self.flag("factor", lambda z: 1.0)(z)


def problem(batch_norm: bool, loss: str, flags: dict[str, Any], algorithm=None, settings=None):
    sizes = (6, 4, 4, 3)
    architecture = functools.partial(bn_mlp if batch_norm else softmax_mlp, sizes=sizes)
    network = Network(architecture, loss, algorithm, settings)
    student = Student(batch_norm, loss, flags)
    random = np.random.default_rng(0)
    cases, answers = [], []
    for rows in ROWS[:2] if batch_norm else ROWS:
        state = {k: np.array(v) for k, v in network.model.state_dict().items()}
        state = {
            k: v if v.dtype.kind != "f" else v + 0.3 * random.standard_normal(v.shape)
            for k, v in state.items()
        }
        for k in state:
            if k.endswith("running_var"):
                state[k] = np.abs(state[k]) + 0.5
        x = 3 * random.standard_normal((rows, 6))
        y = random.standard_normal((rows, 3)) if loss == "MSELoss" else random.integers(0, 3, rows)
        parameters = {k: v for k, v in state.items() if k.endswith(("weight", "bias"))}
        bare = Case(state, x, y, {}, {})
        expected = network.answer(bare)
        cases.append(Case(state, x, y, expected, {k: np.abs(v).max() for k, v in expected.items()}))
        answers.append(student.answer(parameters, x, y))
    return network, cases, answers


def named(network: Network, cases: list[Case], answers: list[Arrays]) -> list[Finding]:
    order = ["logits", "loss"]
    keys = [k for k in answers[0] if k.startswith("gradient/")]
    order += keys + [k for k in answers[0] if k.startswith("update/")]

    def differs(quantity: str, number: int, right: Arrays) -> bool:
        size = np.max(np.abs(right[quantity]), initial=1e-12)
        return componentwise_error(answers[number][quantity], right[quantity], size) > 1e-9

    return explain(network, cases, answers, differs, order)


PLANTED = {
    "no axis": (False, "CrossEntropyLoss", {"no_axis": True}, "softmax-without-axis", "loss"),
    "offset": (False, "CrossEntropyLoss", {"offset": 1e-7}, "log-offset-mismatch", "loss"),
    "sum": (
        False,
        "CrossEntropyLoss",
        {"factor": lambda z: len(z)},
        "sum-not-mean",
        "gradient/4.weight",
    ),
    "divided twice": (
        False,
        "CrossEntropyLoss",
        {"factor": lambda z: 1 / len(z)},
        "divided-twice",
        "gradient/4.weight",
    ),
    "divided by classes": (
        True,
        "CrossEntropyLoss",
        {"factor": lambda z: 1 / z.shape[1]},
        "divided-by-classes",
        "gradient/6.weight",
    ),
    "half": (False, "MSELoss", {"two": 1.0}, "half-mismatch", "gradient/4.weight"),
    "half of the value": (False, "MSELoss", {"half_value": True}, "half-mismatch", "loss"),
    "twice": (False, "CrossEntropyLoss", {"twice": True}, "double-softmax", "loss"),
    "sign": (False, "CrossEntropyLoss", {"sign": 2}, "sign-flip", "gradient/2.weight"),
    "transposed": (False, "CrossEntropyLoss", {"transposed": 2}, "transposed", "logits"),
    "gradient transposed": (
        False,
        "CrossEntropyLoss",
        {"gradient_transposed": 2},
        "transposed",
        "gradient/2.weight",
    ),
    "no bias": (
        False,
        "CrossEntropyLoss",
        {"no_bias": 0},
        "missing-bias-gradient",
        "gradient/0.bias",
    ),
    "outside": (True, "CrossEntropyLoss", {"outside": True}, "eps-outside-sqrt", "logits"),
    "another epsilon": (True, "CrossEntropyLoss", {"eps": 1e-8}, "eps-outside-sqrt", "logits"),
    "constants": (
        True,
        "CrossEntropyLoss",
        {"constants": True},
        "batchnorm-missing-terms",
        "gradient/3.weight",
    ),
    "slope": (
        True,
        "CrossEntropyLoss",
        {"slope": 0.2, "slope_backward": 0.2},
        "wrong-slope",
        "logits",
    ),
    "slope backward": (
        True,
        "CrossEntropyLoss",
        {"slope_backward": 0.1},
        "wrong-slope",
        "gradient/4.weight",
    ),
    "penalty": (False, "CrossEntropyLoss", {"penalty": 0.013}, "l2-missing-in-gradient", "loss"),
    "penalty by half": (
        False,
        "CrossEntropyLoss",
        {"penalty": 0.02, "gradient_penalty": 0.01},
        "l2-missing-in-gradient",
        "loss",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(name):
    batch_norm, loss, flags, code, quantity = PLANTED[name]
    findings = named(*problem(batch_norm, loss, flags))
    assert [finding.diagnosis.code for finding in findings][:1] == [code]
    assert findings[0].quantity == quantity
    assert len(findings[0].diagnosis.explanation) > 40


@pytest.mark.parametrize("batch_norm", [False, True])
def test_nothing_is_named_where_nothing_is_wrong(batch_norm):
    assert named(*problem(batch_norm, "CrossEntropyLoss", {})) == []


def test_what_is_not_in_the_list_gets_no_name():
    scaled = {"factor": lambda z: 1.7}
    assert named(*problem(False, "CrossEntropyLoss", scaled)) == []


def test_a_penalty_in_both_directions_is_no_mismatch():
    both = {"penalty": 0.02, "gradient_penalty": 0.02}
    (finding,) = named(*problem(False, "CrossEntropyLoss", both))
    assert finding.diagnosis.code == "l2-penalty"


def test_of_equal_explanations_the_one_in_fewer_places_is_named():
    """N times too large everywhere: the loss is not divided, rather than every layer's gradient."""
    found = named(*problem(False, "CrossEntropyLoss", {"factor": len}))
    assert [f.places for f in found] == [("loss",)]


def test_a_batch_of_one_row_first_hides_nothing():
    """In it a sum, a mean and a mean of a mean are the same."""
    network, cases, answers = problem(False, "CrossEntropyLoss", {"factor": len})
    found = named(network, cases[::-1], answers[::-1])
    assert [f.diagnosis.code for f in found] == ["sum-not-mean"]


def test_what_holds_in_the_first_case_alone_is_not_named():
    network, cases, answers = problem(False, "CrossEntropyLoss", {})
    answers[0]["gradient/0.weight"] *= -1
    for answer in answers:
        answer["gradient/2.weight"] *= -1
    found = named(network, cases, answers)
    assert [(f.quantity, f.places, f.diagnosis.code) for f in found] == [
        ("gradient/2.weight", ("2",), "sign-flip")
    ]
    assert found[0].accounts_for == {"gradient/2.weight"}


def test_after_one_without_a_name_the_others_are_looked_at():
    network, cases, answers = problem(False, "CrossEntropyLoss", {"no_bias": 0})
    for answer in answers:
        answer["gradient/4.weight"] *= 1.7
    found = named(network, cases, answers)
    assert [f.diagnosis.code for f in found] == ["missing-bias-gradient"]


def test_mistakes_are_told_in_the_order_of_execution():
    network, cases, answers = problem(False, "CrossEntropyLoss", {"no_bias": 0, "sign": 2})
    for answer in answers:
        answer["loss"] = answer["loss"] + 0.02  # no penalty: it does not follow the weights
    found = named(network, cases, answers)
    assert [f.diagnosis.code for f in found] == ["sign-flip", "missing-bias-gradient"]


def test_one_case_is_enough_for_a_name():
    network, cases, answers = problem(False, "CrossEntropyLoss", {"sign": 0})
    found = named(network, cases[:1], answers[:1])
    assert [one.diagnosis.code for one in found] == ["sign-flip"]
