"""The parts of a verdict: distances, the rule of float32, layers and their network, overflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compare.check import judge as judging
from compare.check.dropout_layers import (
    apply_dropout,
    dropout_inputs,
    dropout_mask,
    expect_dropout,
    share_tolerance,
)
from compare.check.forward_forms import expect_form, find_form, in_same_form, name_form
from compare.check.judge import (
    OVERFLOW,
    _check,
    _check_in,
    _in_order,
    _relative,
    _with_overflow,
    decided_by_network,
    float32_quantities,
    judge,
)
from compare.check.result import Check, Observed
from compare.mistakes.case import Case
from compare.parity import tolerances


def case(expected: dict, sizes: dict | None = None, **more) -> Case:
    arrays = {key: np.asarray(value, float) for key, value in expected.items()}
    given = {
        key: np.abs(a) if sizes is None else np.asarray(sizes[key]) for key, a in arrays.items()
    }
    single = {key: a.astype(np.float32).astype(float) for key, a in arrays.items()}
    return Case({}, np.ones((3, 2)), np.array([0, 1, 1]), arrays, given, expected32=single, **more)


def seen(**values) -> Observed:
    return Observed({key.replace("__", "/"): np.asarray(v, float) for key, v in values.items()})


RIGHT = [[1.0, -2.0], [4.0, 8.0]]


def test_one_quantity_in_one_case() -> None:
    one = case({"gradient/0.weight": RIGHT}, {"gradient/0.weight": 4.0})
    found = np.array(RIGHT)
    found[1, 0] += 2e-9
    check = _check_in("gradient/0.weight", one, found, one.expected["gradient/0.weight"], False)
    assert (check.quantity, check.name, check.passed) == ("gradient", "0.weight", True)
    assert check.relative_error == pytest.approx(5e-10, rel=1e-6)
    assert (check.tolerance, check.worst) == (tolerances.HOMEWORK, (1, 0))
    assert (check.found_there, check.expected_there) == (found[1, 0], 4.0)
    found[1, 0] += 3e-9
    check = _check_in("gradient/0.weight", one, found, one.expected["gradient/0.weight"], False)
    assert (check.passed, check.worst) == (False, (1, 0))
    declared = replace(one, tolerances={"gradient/0.weight": 1e-3})
    for single in (False, True):
        check = _check_in("gradient/0.weight", declared, found, found, single)
        assert (check.tolerance, check.relative_error, check.passed) == (1e-3, 0.0, True)
    loss = case({"loss": 2.0})
    check = _check_in("loss", loss, np.array(3.0), loss.expected["loss"], False)
    assert (check.quantity, check.name, check.worst) == ("loss", "loss", ())
    assert (check.relative_error, check.found_there, check.expected_there) == (0.5, 3.0, 2.0)


def test_the_tolerance_of_float32() -> None:
    one = case({"loss": [0.1, 0.7]})
    apart = max(abs(float(np.float32(x)) - x) / x for x in (0.1, 0.7))
    check = _check_in("loss", one, one.expected["loss"], one.expected["loss"], True)
    assert check.tolerance == tolerances.float32_bound(apart)
    assert check.tolerance > tolerances.HOMEWORK


def test_relative_errors() -> None:
    found, right = (
        np.array([1.0, 2.0, np.nan, 0.0, 1.0, np.inf]),
        np.array([1.0, 4, 1, 0, 0, np.inf]),
    )
    sizes = np.array([0.0, 2.0, 1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(_relative(found, right, sizes), [0, 1, np.inf, 0, np.inf, 0])


def test_the_case_that_is_furthest_beyond_its_tolerance() -> None:
    cases = [case({"loss": 1.0}), case({"loss": 1.0}, tolerances={"loss": 1.0}), case({})]
    observed = [seen(loss=1 + 1e-8), seen(loss=3.0), seen(loss=5.0)]
    check = _check("loss", cases, observed, False)
    assert (check.passed, check.found_there) == (False, 1 + 1e-8)
    assert check.ratio == ""
    wrong = _check("loss", [case({"loss": [1.0, 2.0]})], [seen(loss=[2.0, 4.0])], False)
    assert wrong.ratio == "2 times the right one"
    assert _check("loss", cases[1:], [seen(loss=1.5), seen()], False).passed


def test_quantities_in_the_order_of_execution() -> None:
    keys = ("step/0", "update/0", "gradient/2", "gradient/0", "loss", "log_probabilities",
            "logits/evaluation", "buffer/1", "activation/1", "unseen")  # fmt: skip
    cases = [case(dict.fromkeys(keys[:-1], 1.0)), case({"logits": 1.0})]
    observed = [Observed(dict.fromkeys((*keys, "logits", "extra"), np.ones(1)))]
    assert _in_order(cases, observed) == [
        "log_probabilities", "logits/evaluation", "buffer/1", "activation/1", "logits", "loss",
        "gradient/2", "gradient/0", "update/0", "step/0",
    ]  # fmt: skip


def rounded(values) -> np.ndarray:
    return np.float32(values).astype(float)


@pytest.mark.parametrize(
    ("values", "sizes", "single"),
    [
        ({"loss": rounded([0.1]), "logits": rounded([0.3, 0.7])}, None, {"loss", "logits"}),
        ({"loss": [0.1], "logits": rounded([0.3, 0.7])}, None, {"logits"}),
        ({"loss": [0.1], "logits": [0.3, 0.7]}, None, set()),
        ({"loss": [0.5], "logits": [0.25, 2.0]}, None, set()),  # float16 has them: no evidence
        ({"loss": [0.5], "logits": rounded([0.3, 0.7])}, None, {"loss", "logits"}),
        ({"loss": rounded([0.1]), "logits": [0.3, rounded(0.7)]}, None, {"loss"}),
        ({"loss": rounded([0.1]), "logits": [np.nan, rounded(0.7)]}, None, {"loss", "logits"}),
        ({"loss": [0.1], "logits": rounded([0.3, 0.7])}, 1e12, set()),  # all of it is noise
        ({"loss": rounded([0.1]), "logits": rounded([0.3])}, None, {"loss"}),
    ],
)
def test_what_is_computed_in_float32(values, sizes, single) -> None:
    right = {"loss": [0.1], "logits": [0.3, 0.7]}
    one = case(right, None if sizes is None else dict.fromkeys(right, sizes))
    observed = Observed({key: np.asarray(value, float) for key, value in values.items()})
    found = float32_quantities(["loss", "logits"], [one], [observed])
    if values["logits"].__len__() == 1:
        single = {"loss", "logits"}  # of another shape: no evidence against it
    assert found == single
    observed.single = True
    assert float32_quantities(["loss", "logits"], [one], [observed]) == {"loss", "logits"}


def test_float32_has_to_hold_in_every_case() -> None:
    cases = [case({"loss": [0.1]})] * 2
    observed = [seen(loss=rounded([0.1])), seen(loss=[0.1])]
    assert float32_quantities(["loss"], cases, observed) == frozenset()
    assert float32_quantities(["loss"], cases, observed[::-1]) == frozenset()


def check(key: str, passed: bool, ratio: str = "") -> Check:
    kind, _, name = key.partition("/")
    return Check(kind, name or kind, passed, 0.0, 1.0, ratio=ratio)


LAYERS = [check("activation/0", True), check("activation/2", True)]


def test_layers_and_the_network_that_they_make() -> None:
    alone = check("gradient/0.weight", False, "5 times")
    whole = check("gradient/network/0.weight", True)
    sentence = (
        "A convention of these layers: the gradient of 0.weight alone is 5 times. In the whole "
        "network this cancels, and all its gradients are right."
    )
    checks = (*LAYERS, alone, whole)
    assert decided_by_network(checks) == ((*LAYERS, whole), [sentence])
    two = check("gradient/logits", False, "0.2 times")
    assert decided_by_network((*LAYERS, two, alone, whole)) == ((*LAYERS, whole), [
        "A convention of these layers: the gradient of the logits alone is 0.2 times; the gradient "
        "of 0.weight alone is 5 times. In the whole network this cancels, and all its gradients "
        "are right."
    ])  # fmt: skip
    wrong = check("gradient/network/0.weight", False)
    assert decided_by_network((*LAYERS, alone, wrong)) == ((*LAYERS, alone), [])
    for kept in (
        (*LAYERS, alone),  # there is no network
        (*LAYERS, check("gradient/0.weight", True), whole),
        (*LAYERS, check("gradient/0.weight", False), whole),  # by no factor
        (*LAYERS, check("gradient/0.input", False, "5 times"), whole),  # of the first layer
        (*LAYERS, check("loss", False, "5 times"), whole),
        (*LAYERS, check("gradient/0.weight", True), wrong),
    ):
        assert decided_by_network(kept) == (kept, [])
    inner = (*LAYERS, check("gradient/2.input", False, "5 times"), whole)
    assert decided_by_network(inner)[0] == (*LAYERS, whole)
    assert decided_by_network(inner, frozenset({"mask/2"})) == (inner, [])


def test_what_overflows_at_large_logits_alone() -> None:
    usual, large = case({"loss": 2.0}), case({"loss": 2.0}, large_logits=True)

    def named(*values: float) -> bool:
        observed = [seen(loss=value) for value in values]
        cases = [usual, large]
        first = _check("loss", cases, observed, False)
        (found,) = _with_overflow((first,), cases, observed, frozenset())
        assert found.shown_first_in == ("loss" if found.diagnosis else None)
        assert found.diagnosis in (None, OVERFLOW)
        return found.diagnosis is OVERFLOW

    assert named(2.0, np.inf)
    assert named(2.0, np.nan)
    assert not named(2.0, 3.0)
    assert not named(2.5, np.inf)
    assert not named(2.0, 2.0)
    assert OVERFLOW.code == "softmax-overflow"
    assert OVERFLOW.explanation == (
        "with logits near 1000 the result is no finite number, for exp of them overflows: subtract "
        "the largest logit of each row before exp, which changes nothing else"
    )


def test_a_verdict_without_an_assignment() -> None:
    one = Observed({"loss": np.array(3.0)}, "It broke.", ["a", "b"])
    two = Observed({"loss": np.array(2.0)}, None, ["b", "c"])
    result = judge([case({"loss": 2.0})] * 2, [one, two])
    assert (result.notes, result.error, result.invariants) == (("a", "b", "c"), "It broke.", ())
    assert [(c.key, c.passed, c.ratio) for c in result.checks] == [
        ("loss", False, "")
    ]  # fmt: skip
    assert judge([case({"loss": 2.0})], [two]).passed
    assert judging.SAMPLE == 64


# --------------------------------------------------------------------------- forms and Dropout

Z = np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0], [0.0, 0.1, 4.0]])
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("outputs", "loss", "form"),
    [
        (Z, "cross_entropy", "logits"), (P, "cross_entropy", "probabilities"),
        (np.log(P), "cross_entropy", "log_probabilities"), (P, "mse", "logits"),
        (P, "bce", "logits"),
    ],
)  # fmt: skip
def test_the_form_of_outputs(outputs, loss, form) -> None:
    one = case({"logits": Z}, evaluation=Z + 1)
    large = replace(one, large_logits=True)
    observed = [Observed({"logits": outputs}), Observed({"logits": Z}), Observed()]
    assert find_form([one, large, one], observed, loss) == form
    mixed = [Observed({"logits": outputs}), Observed({"logits": Z})]
    assert find_form([one, one], mixed, loss) == "logits"
    assert find_form([], [], loss) == "logits"


def test_cases_in_another_form() -> None:
    one = case({"logits": Z, "loss": 1.0}, evaluation=Z + np.eye(3))
    layers = case({"loss": 1.0}, given={"input/0": Z})
    cases = expect_form([one, layers], "probabilities")
    np.testing.assert_allclose(cases[0].expected["logits"], P, rtol=1e-12)
    np.testing.assert_allclose(cases[0].expected32["logits"], P, rtol=1e-6)
    assert cases[0].expected32["logits"].dtype == np.float64
    shifted = np.exp(Z + np.eye(3))
    np.testing.assert_allclose(
        cases[0].evaluation, shifted / shifted.sum(axis=1, keepdims=True), rtol=1e-12
    )
    assert cases[0].expected["loss"] == 1
    assert cases[1] is layers
    assert expect_form([one], "logits") == [one]
    observed = [Observed({"logits": P, "loss": 1}), Observed({"logits": Z})]
    found, notes = name_form(cases, observed, "probabilities", "cross_entropy")
    assert notes == [
        "forward returns probabilities, so they are compared with softmax of PyTorch's logits."
    ]
    assert list(found[0].expected) == list(found[0].sizes) == ["probabilities", "loss"]
    assert list(found[0].expected32) == list(observed[0].values) == ["probabilities", "loss"]
    assert found[1] is layers
    assert list(observed[1].values) == ["logits"]
    in_evaluation = [replace(one, expected={"logits/evaluation": Z})]
    found, notes = name_form(in_evaluation, [Observed()], "log_probabilities", "bce_with_logits")
    assert list(found[0].expected) == ["log_probabilities/evaluation"]
    assert notes == [
        "forward returns logarithms of probabilities, so they are compared with log-sigmoid of "
        "PyTorch's logits."
    ]
    assert name_form([one], observed, "logits", "mse") == ([one], [])


def test_logits_in_the_form_of_a_homework() -> None:
    classes = np.array([0, 1, 2])
    np.testing.assert_allclose(in_same_form(P, Z, classes), P, rtol=1e-12)
    assert in_same_form(Z + 1, Z, classes) is Z
    assert in_same_form(P, Z, np.full((3, 3), 0.3)) is Z
    labels, sigmoids = np.eye(P.shape[1])[classes], 1 / (1 + np.exp(-Z))
    np.testing.assert_allclose(in_same_form(sigmoids, Z, labels), sigmoids, rtol=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_a_dropout_with_a_given_mask(p) -> None:
    x, mask = np.array([1.0, -2.0, 3.0]), np.array([True, False, True])
    expected = np.zeros(3) if p == 1 else np.array([1.0, 0.0, 3.0]) / (1 - p)
    np.testing.assert_array_equal(apply_dropout(x, mask, p), expected)
    assert share_tolerance(p, 10_000) == pytest.approx(7 * np.sqrt(p * (1 - p)) / 100 + 1e-4)


def test_what_a_dropout_is_given() -> None:
    one = case({}, given={"input/2": np.random.default_rng(0).random((5, 3, 7))})
    found = dropout_inputs(one, "2")
    assert found.x.shape == found.dy.shape == (477, 3, 7)  # at least 10 000 values
    assert np.abs(found.x).min() >= 1e-3
    np.testing.assert_array_equal(dropout_inputs(one, "2").x, found.x)
    other = replace(one, given={"input/2": one.given["input/2"] + 1})
    assert not np.array_equal(dropout_inputs(other, "2").x, found.x)
    same = replace(one, given={"input/3": one.given["input/2"]})
    assert not np.array_equal(dropout_inputs(same, "3").x, found.x)
    assert not np.array_equal(found.x, found.dy)
    assert abs(found.x.mean()) < 0.05
    assert found.x.std() == pytest.approx(1.0, abs=0.05)
    wide = case({}, given={"input/2": np.ones((5, 20_000))})
    assert dropout_inputs(wide, "2").x.shape == (2, 20_000)
    np.testing.assert_array_equal(dropout_mask(np.array([0.0, -0.0, 2.0])), [False, False, True])


def test_pytorchs_dropout_for_the_masks_that_were_drawn() -> None:
    one = case({"activation/1": Z, "activation/2": Z, "gradient/2.input": Z, "loss": 1.0},
               given={"input/2": Z, "grad_output/2": Z})  # fmt: skip
    x, dy = dropout_inputs(one, "2")
    mask = np.random.default_rng(1).random(x.shape) < 0.6
    values = {"activation/2": np.where(mask, 9.0, 0.0), "activation/2.kept": np.array(0.6)}
    kept = expect_dropout([one], [Observed(values)], {"2": 0.4, "5": 0.5})[0]
    assert list(kept.expected) == list(kept.sizes) == list(kept.expected32) == [
        "activation/1", "activation/2", "activation/2.kept", "activation/2.evaluation",
        "gradient/2.input", "loss",
    ]  # fmt: skip
    np.testing.assert_allclose(kept.expected["activation/2"], x * mask / 0.6, rtol=1e-12)
    np.testing.assert_allclose(kept.expected["gradient/2.input"], dy * mask / 0.6, rtol=1e-12)
    np.testing.assert_array_equal(kept.expected["activation/2.evaluation"], x)
    assert kept.expected["activation/2.kept"] == pytest.approx(0.6)
    assert kept.sizes["activation/2.kept"] == 1
    np.testing.assert_array_equal(kept.sizes["activation/2.evaluation"], np.abs(x))
    single = kept.expected32["activation/2.evaluation"]
    np.testing.assert_array_equal(single, x.astype(np.float32).astype(float))
    assert kept.tolerances == {"activation/2.kept": share_tolerance(0.4, mask.size)}
    assert set(kept.given) == {"input/2", "grad_output/2", "mask/2"}
    np.testing.assert_array_equal(kept.given["mask/2"], mask)
    np.testing.assert_array_equal(kept.given["grad_output/2"], dy)
    assert expect_dropout([one], [Observed({"activation/2": Z})], {"2": 0.4}) == [one]


def test_an_overflow_in_float32_is_judged_by_its_rule() -> None:
    usual, large = case({"loss": [0.1]}), case({"loss": [0.1]}, large_logits=True)
    away = [0.1 * (1 + 2e-9)]  # more than float64 may be away, and less than float32
    observed = [seen(loss=away), seen(loss=[np.inf])]
    first = _check("loss", [usual, large], observed, True)
    (found,) = _with_overflow((first,), [usual, large], observed, frozenset({"loss"}))
    assert found.diagnosis is OVERFLOW
    (found,) = _with_overflow((first,), [usual, large], observed, frozenset())
    assert found.diagnosis is None


def test_two_dropouts_of_one_input_get_other_arrays() -> None:
    given = {f"input/{name}": np.ones((2, 5)) for name in ("1", "2")}
    one = case({}, given=given)
    assert not np.array_equal(dropout_inputs(one, "1").x, dropout_inputs(one, "2").x)
