"""Penalties: what is measured, what is said of it, and what it adds to loss and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.backends.protocol import Arrays
from compare.mistakes.case import Case
from compare.mistakes.penalty import Penalty, penalties, penalty_in_gradient, reproduces
from compare.parity.tolerances import HOMEWORK

BOTH, LOSS, GRADIENT = frozenset({"loss", "gradient"}), frozenset({"loss"}), frozenset({"gradient"})
DERIVATIVE = "the derivative of ½λΣW² is λW"


@pytest.mark.parametrize(
    ("penalty", "code", "explanation"),
    [
        (Penalty(0.1, 0.1, True), "l2-penalty",
         "the loss has a penalty of ½ · 0.1 · ΣW² and each weight gradient 0.1 · W, which belong "
         "together; but nobody asked for a penalty"),
        (Penalty(0.1, 0.0, True), "l2-missing-in-gradient",
         f"the loss has a penalty of ½ · 0.1 · ΣW² that no gradient has: {DERIVATIVE}"),
        (Penalty(0.1, 0.0, True, None, LOSS), "l2-missing-in-gradient",
         f"the loss has a penalty of ½ · 0.1 · ΣW² and nobody asked for a penalty: {DERIVATIVE}"),
        (Penalty(0.0, 1 / 3, False), "l2-missing-in-gradient",
         "each weight gradient has 0.333333 · W that the loss does not have"),
        (Penalty(0.0, 0.2, False, None, GRADIENT), "l2-missing-in-gradient",
         "each weight gradient has 0.2 · W and nobody asked for a penalty"),
        (Penalty(0.1, 0.2, True), "l2-missing-in-gradient",
         f"the loss has a penalty of ½ · 0.1 · ΣW², and each gradient 0.2 · W: {DERIVATIVE}"),
        (Penalty(0.1, 0.1, True, None, BOTH, 5), "l2-penalty",
         "the loss has a penalty of ½ · 0.5/N · ΣW² and each weight gradient 0.5/N · W, which "
         "belong together; but nobody asked for a penalty"),
        (Penalty(0.0, 0.1, True, "0.weight"), "l2-missing-in-gradient",
         f"the gradient of 0.weight has 0.1 · W that the loss does not have: {DERIVATIVE}"),
        (Penalty(0.0, 0.1, True, "0.weight", GRADIENT), "l2-missing-in-gradient",
         f"the gradient of 0.weight has 0.1 · W that nobody asked for: {DERIVATIVE}"),
        (Penalty(0.1, 0.1, True, "0.weight"), "l2-penalty",
         "the loss has a penalty of ½ · 0.1 · ΣW² of 0.weight and the gradient of 0.weight has "
         "0.1 · W, which belong together; but nobody asked for a penalty"),
        (Penalty(0.2, 0.1, True, "0.weight"), "l2-missing-in-gradient",
         "the loss has a penalty of ½ · 0.2 · ΣW² of 0.weight and the gradient of 0.weight has "
         f"0.1 · W: {DERIVATIVE}"),
        (Penalty(0.0, 0.1, False, "0"), "l2-missing-in-gradient",
         "the gradients of layer 0 have 0.1 · W and 0.1 · b that the loss does not have: the "
         "derivatives of ½λ(ΣW² + Σb²) are λW and λb"),
        (Penalty(0.2, 0.1, False, "0"), "l2-missing-in-gradient",
         "the loss has a penalty of ½ · 0.2 · (ΣW² + Σb²) of layer 0 and the gradients of layer 0 "
         "have 0.1 · W and 0.1 · b: the derivatives of ½λ(ΣW² + Σb²) are λW and λb"),
        (Penalty(0.1, 0.1, False, "0"), "l2-penalty",
         "the loss has a penalty of ½ · 0.1 · (ΣW² + Σb²) of layer 0 and the gradients of layer 0 "
         "have 0.1 · W and 0.1 · b, which belong together; but nobody asked for a penalty"),
    ],
)  # fmt: skip
def test_what_is_said(penalty: Penalty, code: str, explanation: str) -> None:
    assert (penalty.code, penalty.explanation) == (code, explanation)


def case(rows: int = 5, seed: int = 0) -> Case:
    """A network of two Linear layers, and what PyTorch computes of it."""
    random = np.random.default_rng([seed, rows])
    shapes = {"0.weight": (4, 3), "0.bias": (4,), "1.weight": (2, 4), "1.bias": (2,)}
    parameters = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    x, t = random.standard_normal((rows, 3)), random.integers(0, 2, rows)
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in parameters.items()}
    hidden = F.linear(torch.from_numpy(x), tensors["0.weight"], tensors["0.bias"]).tanh()
    loss = F.cross_entropy(
        F.linear(hidden, tensors["1.weight"], tensors["1.bias"]), torch.from_numpy(t)
    )
    loss.backward()
    expected = {"loss": np.asarray(loss.detach())}
    expected |= {f"gradient/{k}": v.grad.numpy() for k, v in tensors.items()}  # type: ignore[union-attr]
    return Case(parameters, x, t, expected, {k: np.ones(()) for k in expected})


def planted(
    one: Case, in_loss: float, in_gradient: float, names: list[str], leave: str = ""
) -> Arrays:
    """The expected values with a penalty of some parameters, by PyTorch's derivative."""
    answer = {k: v.copy() for k, v in one.expected.items() if not k.startswith(leave or " ")}
    for name in names:
        weight = torch.tensor(one.parameters[name], requires_grad=True)
        half = 0.5 * (weight**2).sum()
        half.backward()
        if "loss" in answer:
            answer["loss"] = answer["loss"] + in_loss * half.item()
        if f"gradient/{name}" in answer:
            assert weight.grad is not None
            answer[f"gradient/{name}"] += in_gradient * weight.grad.numpy()
    return answer


WEIGHTS, ALL = ["0.weight", "1.weight"], ["0.weight", "0.bias", "1.weight", "1.bias"]
PLANTS: list[tuple[Penalty, list[str]]] = [
    (Penalty(0.1, 0.1, True), WEIGHTS),
    (Penalty(0.1, 0.0, True), WEIGHTS),
    (Penalty(0.0, 0.1, True), WEIGHTS),
    (Penalty(0.1, 0.03, True), WEIGHTS),
    (Penalty(-0.2, 0.03, True), WEIGHTS),
    (Penalty(0.1, 0.1, False), ALL),
    (Penalty(0.1, 0.0, False), ALL),
    (Penalty(0.0, 0.2, False), ALL),
    (Penalty(0.1, 0.0, True, None, LOSS), WEIGHTS),
    (Penalty(0.0, 0.1, True, None, GRADIENT), WEIGHTS),
    (Penalty(0.0, 0.1, True, "1.weight"), ["1.weight"]),
    (Penalty(0.1, 0.1, True, "1.weight"), ["1.weight"]),
    (Penalty(0.3, 0.1, True, "1.weight"), ["1.weight"]),
    (Penalty(0.0, 0.1, True, "0.weight", GRADIENT), ["0.weight"]),
    (Penalty(0.0, 0.1, False, "0"), ["0.weight", "0.bias"]),
    (Penalty(0.1, 0.1, False, "1"), ["1.weight", "1.bias"]),
    (Penalty(0.3, 0.1, False, "1"), ["1.weight", "1.bias"]),
]


def close(a: Penalty, b: Penalty) -> bool:
    return (
        (a.weights_only, a.only, a.seen, a.rows) == (b.weights_only, b.only, b.seen, b.rows)
        and (a.belongs_together == b.belongs_together)
        and a.loss == pytest.approx(b.loss, rel=1e-9, abs=1e-12)
        and a.gradient == pytest.approx(b.gradient, rel=1e-9, abs=1e-12)
    )


@pytest.mark.parametrize(("penalty", "names"), PLANTS)
def test_a_planted_penalty_is_measured(penalty: Penalty, names: list[str]) -> None:
    one = case()
    leave = {LOSS: "gradient/", GRADIENT: "loss", BOTH: ""}[penalty.seen]
    answer = planted(one, penalty.loss, penalty.gradient, names, leave)
    found = list(penalties([one], [answer]))
    assert any(close(other, penalty) for other in found), found
    # What it adds to the right values is what was planted, and what else is there stays.
    right = {k: one.expected[k] for k in answer}
    penalty.add_to(right, one.parameters, 5)
    assert right.keys() == answer.keys()
    for name, value in answer.items():
        if penalty.seen == LOSS and name == "loss":
            continue  # it is added beside the gradients, of which there are none
        np.testing.assert_allclose(right[name], value, rtol=1e-12, err_msg=name)


def test_one_that_is_divided_by_the_rows_is_tried_on_other_batches() -> None:
    """λ/N of 5 rows is measured as λ, and is less by 5/7 in a batch of 7 rows."""
    one, other = case(5), case(7)
    answer = planted(one, 0.1, 0.1, WEIGHTS)
    found = [p for p in penalties([one, other], [answer, {}]) if p.rows]
    (mine,) = [p for p in found if close(p, Penalty(0.1, 0.1, True, None, BOTH, 5))]
    right = dict(other.expected)
    mine.add_to(right, other.parameters, 7)
    expected = planted(other, 0.1 * 5 / 7, 0.1 * 5 / 7, WEIGHTS)
    for name, value in expected.items():
        np.testing.assert_allclose(right[name], value, rtol=1e-9)


def test_nothing_is_suggested_where_nothing_is_off() -> None:
    one = case()
    assert list(penalties([one], [dict(one.expected)])) == []
    tiny = {**one.expected, "loss": one.expected["loss"] + 1e-13}
    assert list(penalties([one], [tiny])) == []


def test_a_loss_that_is_right_to_rounding_has_no_penalty() -> None:
    one = case()
    answer = planted(one, 0.0, 0.1, WEIGHTS)
    answer["loss"] = answer["loss"] + 0.9 * HOMEWORK * one.sizes["loss"]
    assert {p.loss for p in penalties([one], [answer])} == {0.0}
    answer["loss"] = answer["loss"] + 0.2 * HOMEWORK * one.sizes["loss"]
    assert {p.loss for p in penalties([one], [answer])} != {0.0}


def test_a_layer_within_another_is_measured_alone() -> None:
    one = case()
    nested = {k: f"body.{k}" for k in one.parameters}
    expected = {
        f"gradient/{nested[k.removeprefix('gradient/')]}" if "/" in k else k: v
        for k, v in one.expected.items()
    }
    inner = Case(
        {nested[k]: v for k, v in one.parameters.items()}, one.inputs, one.targets, expected,
        {k: np.ones(()) for k in expected},
    )  # fmt: skip
    answer = planted(inner, 0.0, 0.1, ["body.1.weight", "body.1.bias"])
    found = list(penalties([inner], [answer]))
    assert any(close(p, Penalty(0.0, 0.1, False, "body.1")) for p in found)


def test_a_gradient_that_is_missing_or_of_another_shape_counts_as_right() -> None:
    one = case()
    answer = planted(one, 0.0, 0.1, ["1.weight"])
    answer["gradient/0.weight"] = answer["gradient/0.weight"].T
    del answer["gradient/1.bias"]
    found = [p for p in penalties([one], [answer]) if p.only is not None]
    assert [p.only for p in found] == ["1.weight", "1"]
    assert close(found[0], Penalty(0.0, 0.1, True, "1.weight"))


# ---- of a recorded step


def stage(by: float = 0.25, of_bias: float = 0.0) -> dict[str, Any]:
    random = np.random.default_rng(0)
    state = {"weight": random.standard_normal((3, 2)), "bias": random.standard_normal(3)}
    right = {
        "forward/4/output": random.standard_normal((5, 3)),
        "gradient/4.weight": random.standard_normal((3, 2)),
        "gradient/4.bias": random.standard_normal(3),
    }
    found = {k: v.copy() for k, v in right.items()}
    found["gradient/4.weight"] += by * state["weight"]
    found["gradient/4.bias"] += of_bias * state["bias"]
    return {"name": "4", "state": state, "found": found, "right": right}


SENTENCE = (
    "the gradient of 4.weight has 0.25 · W that the loss does not have: λW is the derivative of "
    "½λΣW², which belongs into both or, as weight_decay, into the optimizer"
)


@pytest.mark.parametrize("of_bias", [0.0, 0.25])
def test_a_gradient_that_is_off_by_a_multiple_of_the_weight(of_bias: float) -> None:
    diagnosis = penalty_in_gradient(**stage(of_bias=of_bias))
    assert diagnosis is not None
    assert (diagnosis.code, diagnosis.explanation) == ("l2-missing-in-gradient", SENTENCE)


@pytest.mark.parametrize("what", ["bias", "output", "weight", "nothing", "shape", "vector", "few"])
def test_a_stage_that_is_off_otherwise_has_no_penalty(what: str) -> None:
    given = stage(of_bias=0.1 if what == "bias" else 0.0, by=0.0 if what == "nothing" else 0.25)
    if what == "output":
        given["found"]["forward/4/output"][0, 0] += 1e-3
    elif what == "weight":
        given["found"]["gradient/4.weight"][0, 0] += 1e-3
    elif what == "shape":
        given["found"]["gradient/4.bias"] = given["found"]["gradient/4.bias"][:2]
    elif what == "vector":
        for values in (given["found"], given["right"]):
            values["gradient/4.weight"] = values["gradient/4.weight"].ravel()
        given["state"]["weight"] = given["state"]["weight"].ravel()
    elif what == "few":
        given["state"]["weight"] = given["state"]["weight"][:, :1]
        for values in (given["found"], given["right"]):
            values["gradient/4.weight"] = values["gradient/4.weight"][:, :1]
    assert penalty_in_gradient(**given) is None


def test_agreeing_to_rounding_of_the_largest_value() -> None:
    value = np.array([1.0, -1000.0])
    assert reproduces(value + np.array([1e-9, 0.0]), value)
    assert not reproduces(value + np.array([1e-4, 0.0]), value)
    assert reproduces(np.zeros(2), np.zeros(2))
