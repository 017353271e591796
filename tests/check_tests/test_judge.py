"""From observed values to a verdict: what passes, what fails, where it is worst, in which order."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.dropout_layers import dropout_inputs, expect_dropout
from compare.check.isolation import Isolation
from compare.check.judge import judge
from compare.check.ratios import constant_ratio
from compare.check.result import (
    UNFINISHED_SEARCH,
    Check,
    Observed,
    Outcome,
    Result,
    as_json,
    as_text,
    check_title,
    distance,
    divergence_sentence,
    mistake_sentences,
    table_as_text,
    verdict_line,
    verdict_word,
    where,
)
from compare.mistakes.case import Case, Diagnosis
from compare.mistakes.search import Network
from compare.parity.tolerances import FLOOR_ULP, HOMEWORK, UNIT_ROUNDOFF, K


def case(expected: Arrays, sizes: Arrays | None = None, **more) -> Case:
    sizes = sizes or {key: np.abs(value) for key, value in expected.items()}
    return Case({}, np.zeros((2, 1)), np.zeros(2, int), expected, sizes, **more)


def one(found, expected, size=None, **more):
    """The check of one quantity in one case."""
    expected = np.asarray(expected, float)
    sizes = None if size is None else {"logits": np.asarray(size, float)}
    single = more.pop("single", False)
    only = case({"logits": expected}, sizes, **more)
    answer = Observed({"logits": np.asarray(found, float)}, single=single)
    (check,) = judge([only], [answer]).checks
    return check


def test_an_error_is_relative_to_what_was_summed():
    check = one([[1.0, 2.5], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.1]], [[1.0, 10.0], [1.0, 0.5]])
    assert (check.quantity, check.name, check.passed) == ("logits", "logits", False)
    assert check.relative_error == pytest.approx(0.2)
    assert check.tolerance == HOMEWORK
    assert check.worst == (1, 1)
    assert (check.found_there, check.expected_there) == (4.0, 4.1)


def test_one_size_may_stand_for_all():
    assert one([1.0, 2.5], [1.0, 2.0], 5.0).relative_error == pytest.approx(0.1)


@pytest.mark.parametrize(("error", "passed"), [(0.99, True), (1.01, False)])
def test_the_bound(error, passed):
    assert one([0.0, error * HOMEWORK], [0.0, 0.0], [1.0, 1.0]).passed is passed


def test_a_number():
    check = one(3.0, 2.0)
    assert (check.worst, check.relative_error) == ((), 0.5)


def test_an_empty_size_allows_the_very_value_alone():
    assert one([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]).relative_error == 0
    check = one([1e-30, 1.0], [0.0, 1.0], [0.0, 1.0])
    assert (check.relative_error, check.passed, check.worst) == (math.inf, False, (0,))


@pytest.mark.parametrize("found", [np.nan, np.inf])
def test_what_is_no_number_is_infinitely_far(found):
    check = one([1.0, found], [1.0, 1.0])
    assert (check.relative_error, check.passed, check.worst) == (math.inf, False, (1,))


def test_equal_infinities_are_equal():
    assert one([np.inf], [np.inf], [1.0]).relative_error == 0


def test_the_worst_case_counts():
    cases = [case({"loss": np.array(1.0)}) for _ in range(3)]
    answers = [Observed({"loss": np.array(v)}) for v in (1.1, 1.3, 1.2)]
    (check,) = judge(cases, answers).checks
    assert check.relative_error == pytest.approx(0.3)
    assert check.found_there == 1.3


def test_the_case_furthest_beyond_its_own_tolerance_counts():
    """In float32 each case has its own."""
    rounded = [{"loss": np.array(1.0 + e)} for e in (1e-4, 1e-6)]
    cases = [case({"loss": np.array(1.0)}, expected32=r) for r in rounded]
    answers = [Observed({"loss": np.array(1.0 + e)}, single=True) for e in (2e-4, 1e-5)]
    (check,) = judge(cases, answers).checks
    assert check.tolerance == pytest.approx(K * 1e-6)
    assert not check.passed


def test_float32_has_the_bound_of_float32():
    rounded = {"logits": np.array([1.0 + 1e-6, 4.0])}
    check = one([1.0 + 7e-6, 4.0], [1.0, 4.0], single=True, expected32=rounded)
    assert check.tolerance == pytest.approx(K * 1e-6)
    assert check.passed
    exact = {"logits": np.array([1.0, 4.0])}
    check = one([1.0, 4.0], [1.0, 4.0], single=True, expected32=exact)
    assert check.tolerance == K * FLOOR_ULP * UNIT_ROUNDOFF["float32"]
    zero = {"logits": np.array([1e-9, 4.0])}
    check = one([0.5, 4.0], [0.0, 4.0], [0.0, 4.0], single=True, expected32=zero)
    assert not check.passed


def test_one_case_in_float32_is_enough_for_all():
    rounded = {"loss": np.array(1.0 + 1e-7)}
    cases = [case({"loss": np.array(1.0)}, expected32=rounded)] * 2
    answers = [Observed({"loss": np.array(1.0 + 1e-7)}, single=s) for s in (False, True)]
    assert judge(cases, answers).passed


def test_a_quantity_may_have_a_tolerance_of_its_own():
    for single in (False, True):
        check = one([1.05], [1.0], single=single, tolerances={"logits": 0.1})
        assert (check.tolerance, check.passed) == (0.1, True)


def test_the_order_is_that_of_execution():
    names = ["update/0", "gradient/3", "gradient/0", "loss", "logits", "buffer/1", "activation/0"]
    values = {name: np.ones(2) for name in names}
    checks = judge([case(values)], [Observed(values)]).checks
    found = [c.quantity if c.quantity == c.name else f"{c.quantity}/{c.name}" for c in checks]
    # Forwards in the order in which they were evaluated, then loss, gradients, updates.
    assert found == [
        "logits", "buffer/1", "activation/0", "loss", "gradient/3", "gradient/0", "update/0",
    ]  # fmt: skip


def test_what_was_not_observed_is_no_check():
    only = case({"logits": np.ones(2), "loss": np.ones(())})
    found = judge([only, only], [Observed({"loss": np.ones(())}), Observed({"extra": np.ones(1)})])
    assert [check.quantity for check in found.checks] == ["loss"]
    assert judge([only, only], [Observed({"loss": np.ones(())})]).passed
    assert not judge([only], [Observed()]).passed


def test_problems_and_notes():
    only = case({"loss": np.ones(())})
    answers = [
        Observed({"loss": np.ones(())}, notes=["one", "two"]),
        Observed(problem="It raised.", notes=["two", "three"]),
        Observed(problem="It ended."),
    ]
    found = judge([only] * 3, answers)
    assert (found.error, found.notes) == ("It raised.", ("one", "two", "three"))
    assert not found.passed


def build(nn):
    return nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(0.1), nn.Linear(3, 3))


ASSIGNMENT = Assignment(
    "net",
    RecordedArchitecture(record_architecture(build), "net"),
    "cross_entropy",
    "SGD",
    {"lr": 0.1},
)


@pytest.fixture
def cases() -> list[Case]:
    """Two cases with what the right network makes of them."""
    random = np.random.default_rng(0)
    network = Network(ASSIGNMENT.build, "CrossEntropyLoss", "SGD", {"lr": 0.1})
    found = []
    for rows in (5, 6):
        state = {k: random.standard_normal(v.shape) for k, v in network.model.state_dict().items()}
        steps = tuple({k: random.standard_normal(v.shape) for k, v in state.items()} for _ in "ab")
        x, y = random.standard_normal((rows, 4)), random.integers(0, 3, rows)
        bare = Case(state, x, y, {}, {}, steps)
        expected = network.answer(bare)
        sizes = {k: np.full(v.shape, np.abs(v).max()) for k, v in expected.items()}
        found.append(replace(bare, expected=expected, sizes=sizes))
    return found


def answers_of(cases: list[Case], **changed) -> list[Observed]:
    """The right answers, with some changed by a function of the value and the case."""
    names = {name.replace("__", "/").replace("_", "."): f for name, f in changed.items()}
    return [
        Observed({k: names[k](v, c) if k in names else np.array(v) for k, v in c.expected.items()})
        for c in cases
    ]


def codes(result) -> dict[str, str | None]:
    return {
        f"{c.quantity}/{c.name}": c.diagnosis and c.diagnosis.code
        for c in result.checks
        if not c.passed
    }


def test_a_mistake_is_named_at_every_quantity_that_it_accounts_for(cases):
    names = [k for k in cases[0].expected if k.startswith("gradient/")]
    keys = {k.replace("/", "__").replace(".", "_"): lambda v, c: v * len(c.inputs) for k in names}
    result = judge(cases, answers_of(cases, **keys), ASSIGNMENT)
    assert codes(result) == dict.fromkeys(sorted(names, key=list(codes(result)).index),
                                          "sum-not-mean")  # fmt: skip
    assert len(codes(result)) == 4


def test_a_named_mistake_and_an_unknown_one(cases):
    found = answers_of(
        cases, gradient__0_bias=lambda v, c: 0 * v, update__0_weight=lambda v, c: v + 1
    )
    result = judge(cases, found, ASSIGNMENT)
    assert codes(result) == {"gradient/0.bias": "missing-bias-gradient", "update/0.weight": None}


def test_a_value_that_is_missing_is_no_evidence_against_a_mistake(cases):
    found = answers_of(cases, gradient__0_bias=lambda v, c: 0 * v)
    del found[1].values["gradient/0.bias"], found[0].values["logits"]
    assert codes(judge(cases, found, ASSIGNMENT)) == {"gradient/0.bias": "missing-bias-gradient"}
    assert codes(judge(cases, found[:1], ASSIGNMENT)) == {
        "gradient/0.bias": "missing-bias-gradient"
    }


def test_a_name_needs_every_case(cases):
    """Zero in one batch and right in the other is no missing gradient."""
    found = answers_of(cases, gradient__0_bias=lambda v, c: v * (len(v) and len(c.inputs) == 6))
    assert codes(judge(cases, found, ASSIGNMENT)) == {"gradient/0.bias": None}


def test_nothing_is_looked_for_where_nothing_differs(cases, monkeypatch):
    monkeypatch.setattr("compare.check.judge.explain", None)
    assert judge(cases, answers_of(cases), ASSIGNMENT).passed


def test_without_an_assignment_nothing_is_named(cases):
    found = answers_of(cases, gradient__0_bias=lambda v, c: 0 * v)
    result = judge(cases, found)
    assert codes(result) == {"gradient/0.bias": None}
    assert result.invariants == ()


def test_the_tolerance_of_float32_holds_for_names_too(cases):
    """Values that are wrong in a known way, and rounded."""

    def rounded(v):
        return v.astype(np.float32).astype(np.float64)

    cases = [replace(c, expected32={k: rounded(v) for k, v in c.expected.items()}) for c in cases]
    found = answers_of(cases, gradient__2_weight=lambda v, c: -v)
    for answer in found:
        answer.values = {k: rounded(v) for k, v in answer.values.items()}
        answer.single = True
    assert codes(judge(cases, found, ASSIGNMENT)) == {"gradient/2.weight": "sign-flip"}


def test_an_update_is_named_by_its_optimizer_and_its_settings(cases):
    def uphill(name):
        def update(value, case):
            # SGD with lr = 0.1 would be θ − 0.1 g.
            return case.parameters[name] + 0.1 * sum(g[name] for g in case.update_gradients)

        return update

    names = [k.removeprefix("update/") for k in cases[0].expected if k.startswith("update/")]
    keys = {f"update__{name.replace('.', '_')}": uphill(name) for name in names}
    found = judge(cases, answers_of(cases, **keys), ASSIGNMENT)
    assert set(codes(found).values()) == {"sign-flip"}
    assert len(codes(found)) == 4


def test_where_the_right_value_is_a_sum_of_zeros_that_of_a_mistake_may_not_be(cases):
    """An input that is always 0: the column of dW is 0, and λW is not, to its last digits."""
    network = Network(ASSIGNMENT.build, "CrossEntropyLoss")
    drawn = []
    for one in cases:
        x = one.inputs * [1, 0, 1, 1]
        bare = replace(one, inputs=x, update_gradients=(), expected={}, sizes={})
        expected = network.answer(bare)
        sizes = {key: np.abs(value) for key, value in expected.items()}
        drawn.append(replace(bare, expected=expected, sizes=sizes))
    found = answers_of(drawn, gradient__0_weight=lambda v, c: v + 0.01 * c.parameters["0.weight"])
    assert codes(judge(drawn, found, ASSIGNMENT)) == {"gradient/0.weight": "l2-missing-in-gradient"}


def test_a_dropout_is_named_with_the_mask_that_it_drew():
    def dropping(nn):
        return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.2))

    random = np.random.default_rng(0)
    x, dy, mask = random.standard_normal((9, 3)), random.standard_normal((9, 3)), np.eye(9, 3) == 0
    expected = {"activation/1": x * mask / 0.8, "gradient/1.input": dy * mask / 0.8}
    given = {"input/1": x, "grad_output/1": dy, "mask/1": mask}
    parameters = {"0.weight": np.ones((3, 4)), "0.bias": np.zeros(3)}
    only = replace(case(expected, given=given), parameters=parameters, inputs=np.ones((2, 4)))
    answer = Observed({"activation/1": x * mask, "gradient/1.input": dy * mask})
    assignment = Assignment("net", RecordedArchitecture(record_architecture(dropping), "net"))
    assert set(codes(judge([only], [answer], assignment)).values()) == {"unscaled-dropout"}


def test_a_network_may_be_a_plain_function(cases):
    found = answers_of(cases, gradient__0_bias=lambda v, c: 0 * v)
    plain = replace(ASSIGNMENT, build=build)
    assert codes(judge(cases, found, plain)) == {"gradient/0.bias": "missing-bias-gradient"}


def layers(nn):
    return nn.Sequential(
        nn.Linear(6, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.1), nn.Dropout(0.3), nn.Linear(4, 3)
    )


LAYERS = Assignment("layers", RecordedArchitecture(record_architecture(layers), "layers"))


@pytest.fixture(scope="module")
def layer_cases() -> list[Case]:
    """Every layer layer_cases, with PyTorch's answers."""
    return make_cases(LAYERS, functions=False, layers=True)


def answers_of_layers(cases: list[Case], **factors: float) -> list[Observed]:
    """Right answers, with the Dropout's numbers times some factors."""
    found = []
    for number, one in enumerate(cases):
        inputs = dropout_inputs(one, "3")
        mask = np.random.default_rng(number).random(inputs.x.shape) >= 0.3
        values = {k: np.array(v) for k, v in one.expected.items()}
        values["activation/3"] = inputs.x * mask / 0.7 * factors.get("forward", 1)
        values["activation/3.kept"] = np.array(mask.mean())
        values["activation/3.evaluation"] = inputs.x * factors.get("evaluation", 1)
        values["gradient/3.input"] = inputs.dy * mask / 0.7 * factors.get("backward", 1)
        found.append(Observed(values))
    return found


def judged(cases: list[Case], answers: list[Observed]) -> dict[str, str | None]:
    return codes(judge(expect_dropout(cases, answers, {"3": 0.3}), answers, LAYERS))


def test_right_layers_have_nothing_to_name(layer_cases):
    assert judged(layer_cases, answers_of_layers(layer_cases)) == {}


def test_the_conventions_of_dropout(layer_cases):
    older = answers_of_layers(layer_cases, forward=0.7, backward=0.7, evaluation=0.7)
    assert judged(layer_cases, older) == dict.fromkeys(
        ("activation/3", "activation/3.evaluation", "gradient/3.input"), "unscaled-dropout"
    )
    training = answers_of_layers(layer_cases, forward=0.7, backward=0.7)
    assert judged(layer_cases, training) == dict.fromkeys(
        ("activation/3", "gradient/3.input"), "unscaled-dropout"
    )


def steeper(values: Arrays, case: Case) -> None:
    """A slope of 0.2 in the LeakyReLU, and what becomes of it in all layers in a row."""
    a, w, b = (case.parameters[f"{k}"] for k in ("0.weight", "4.weight", "4.bias"))
    z = case.inputs @ a.T + case.parameters["0.bias"]
    normal = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)
    y = normal * case.parameters["1.weight"] + case.parameters["1.bias"]
    values["logits"] = np.where(y > 0, y, 0.2 * y) @ w.T + b
    x = case.given["input/2"]
    values["activation/2"] = np.where(x > 0, x, 0.2 * x)
    values["gradient/2.input"] = case.given["grad_output/2"] * np.where(x > 0, 1, 0.2)


def biased(values: Arrays, case: Case) -> None:
    n, old = len(case.inputs), case.parameters["1.running_var"]
    new = values["buffer/1.running_var"] - 0.9 * old
    values["buffer/1.running_var"] = 0.9 * old + new * (n - 1) / n


def summed(values: Arrays, case: Case) -> None:
    values["gradient/logits"] = values["gradient/logits"] * len(case.inputs)


def offset(values: Arrays, case: Case) -> None:
    z = case.expected["logits"]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    values["loss"] = -np.log(p[np.arange(len(p)), case.targets] + 1e-5).mean()


def no_bias(values: Arrays, case: Case) -> None:
    values["gradient/4.bias"] = 0 * values["gradient/4.bias"]


@pytest.mark.parametrize(
    ("change", "code", "places"),
    [
        (no_bias, "missing-bias-gradient", ["gradient/4.bias"]),
        (steeper, "wrong-slope", ["activation/2", "logits/logits", "gradient/2.input"]),
        (biased, "biased-variance", ["buffer/1.running_var"]),
        (summed, "sum-not-mean", ["gradient/logits"]),
        (offset, "log-offset-mismatch", ["loss/loss"]),
    ],
)
def test_a_mistake_in_a_single_layer(layer_cases, change, code, places):
    answers = answers_of_layers(layer_cases)
    for one, answer in zip(layer_cases, answers, strict=True):
        change(answer.values, one)
    assert judged(layer_cases, answers) == dict.fromkeys(places, code)


def test_what_numpy_nn_lacks_costs_the_names_alone(cases):
    def mish(nn):
        return nn.Sequential(nn.Linear(4, 3), nn.Mish(), nn.Linear(3, 3))

    found = answers_of(cases, gradient__0_bias=lambda v, c: 0 * v, loss=lambda v, c: -1 + 0 * v)
    found[0].notes.append("seen before")
    result = judge(
        cases,
        found,
        replace(ASSIGNMENT, build=RecordedArchitecture(record_architecture(mish), "mish")),
    )
    assert codes(result) == {"loss/loss": None, "gradient/0.bias": None}
    before, note = result.notes
    assert before == "seen before"
    assert (note[-1], note[-2] != ".", ";" in note) == (".", True, False)
    assert note.startswith("No mistake can be named here: ")
    assert "Mish" in note
    assert "never negative" in result.invariants[0]
    nothing = replace(ASSIGNMENT, optimizer="LBFGS")
    assert judge(cases, found, nothing).notes != ()


def test_invariants_come_with_the_result(cases):
    found = answers_of(cases, loss=lambda v, c: v - 100)
    assert (
        judge(cases, found, ASSIGNMENT).invariants[0]
        == "The loss is -98.09: a cross-entropy is never negative."
    )


def test_a_named_penalty_is_why_a_loss_is_large(cases):
    """Without its gradients the loss is larger than its logits allow, and nothing says why."""

    def squares(case: Case) -> float:
        return sum(float(np.sum(v**2)) for v in case.parameters.values() if v.ndim > 1)

    changed = {
        "loss": lambda v, c: v + 10 * squares(c),
        "gradient__0_weight": lambda v, c: v + 20 * c.parameters["0.weight"],
        "gradient__2_weight": lambda v, c: v + 20 * c.parameters["2.weight"],
    }
    result = judge(cases, answers_of(cases, **changed), ASSIGNMENT)
    assert set(codes(result).values()) == {"l2-penalty"}
    assert result.invariants == ()
    alone = answers_of(cases, loss=lambda v, c: v + 1000)
    assert judge(cases, alone, ASSIGNMENT).invariants[0] == (
        "The loss of 5 rows is 1002, more than these logits allow: each row costs at most "
        "ln 3 and the distance of its logit from the largest of its row, on average 2.552. "
        "Are the rows normalised one by one?"
    )


def test_what_overflows_does_not_hide_another_mistake(cases):
    cases[1] = replace(cases[1], large_logits=True)

    def overflown(value, case):
        return np.full_like(value, np.nan) if case.large_logits else value

    found = answers_of(cases, loss=overflown, gradient__0_bias=lambda v, c: overflown(0 * v, c))
    assert codes(judge(cases, found, ASSIGNMENT)) == {
        "loss/loss": "softmax-overflow",
        "gradient/0.bias": "missing-bias-gradient",
    }


FORMULAS = (
    "2", "0.5", "-1", "-2", "-0.5", "4", "0.25", "N", "1/N", "-N", "-1/N", "N/2", "2/N", "4/N",
    "1/(2N)", "N²", "1/N²", "C", "1/C", "N·C", "1/(N·C)", "C/2", "2/C", "N·C/2", "2/(N·C)", "-C",
    "-1/C", "N/C", "C/N",
)  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_factor_is_said_by_its_formula(formula):
    """The formula is computed from its text, with the rows of the batch and the outputs."""
    python = formula.replace("N²", "N**2").replace("·", "*").replace("2N", "2*N")
    random = np.random.default_rng(0)
    cases, answers, factors = [], [], []
    for rows in (7, 11):
        right = random.standard_normal((4, 3))
        expected = {"logits": np.ones((rows, 5)), "gradient/w": right}
        cases.append(replace(case(expected), inputs=np.zeros((rows, 1))))
        factors.append(eval(python, {"N": rows, "C": 5}))
        answers.append(Observed({"gradient/w": right * factors[-1]}))
    found = constant_ratio("gradient/w", cases, answers)
    assert (found.formula, found.rows) == (formula, 7)
    assert found.factor == pytest.approx(factors[0], rel=1e-13)
    words = judge(cases, answers).checks[0].ratio
    if formula == "-1":
        assert words == "the right one with the opposite sign"
    elif "N" not in formula and "C" not in formula:
        assert words == f"{formula} times the right one"
    else:
        number = f"{factors[0]:.10g}"
        meaning = {"N": ", the rows of the batch", "1/N": ", for N rows"}.get(formula, "")
        if "N" in formula and not meaning:
            meaning = ", for N = 7 rows"
        meaning += " and C outputs" if "C" in formula else ""
        assert words == f"{number} times the right one; {number} is {formula}{meaning}"


@pytest.mark.parametrize(
    ("factors", "ratio"),
    [
        ((3.7, 3.7), (3.7, "")),
        ((3.7, 3.8), None),
        ((1.0, 1.0), None),
        ((1.0, 3.0), None),
        ((0.0, 2.0), None),
        ((2.0, np.nan), None),
    ],
)
def test_a_factor_is_the_same_in_every_case(factors, ratio):
    right = {"gradient/w": np.array([1.0, -2.0])}
    cases = [case(right) for _ in factors]
    answers = [Observed({"gradient/w": f * right["gradient/w"]}) for f in factors]
    found = constant_ratio("gradient/w", cases, answers)
    assert (found and (round(found.factor, 12), found.formula)) == ratio
    noise = case({"gradient/w": np.full(2, 1e-30)}, {"gradient/w": np.ones(2)})
    other = Observed({"gradient/w": np.array([1e-29, 0.0])})
    assert constant_ratio("gradient/w", [noise, *cases], [other, *answers]) == found
    bent = Observed({"gradient/w": np.array([2.0, -4.1])})
    assert constant_ratio("gradient/w", cases, [bent, bent]) is None
    assert constant_ratio("gradient/w", [noise], [other]) is None
    assert constant_ratio("gradient/w", cases, [Observed({}), Observed({})]) is None


# ---------------------------------------------------------------------- in words

FLIP = Diagnosis("sign-flip", "the sign is the other one")
EPSILON = Diagnosis("epsilon-in-root", "ε stands inside the root.")
RIGHT_LOSS = Check("loss", "loss", True, 1e-12, 1e-9)


def wrong(quantity: str, name: str = "", **more) -> Check:
    values = {"worst": (3, 17), "found_there": -0.1, "expected_there": 0.5, **more}
    return Check(quantity, name or quantity, False, 0.25, 1e-9, **values)


def outcome_of(*checks: Check, **more) -> Outcome:
    return Outcome("hw.py", Result(checks, **more))


def test_a_result_in_words():
    first = wrong("gradient", "4.weight", diagnosis=FLIP, ratio="2 times the right one", own="dW2")
    found = outcome_of(RIGHT_LOSS, first, invariants=("It holds not.",), notes=("So it is.",))
    assert as_text(found).splitlines() == [
        "hw.py differs from PyTorch in 1 of 2 checks, first in the gradient of 4.weight.",
        "It holds not.",
        "",
        "First divergence: the gradient of 4.weight, worst at element [3, 17]",
        "  expected  0.5",
        "  found     -0.1",
        "  relative error 2.50e-01; allowed 1.0e-09; the smallest tolerance that would pass is "
        "2.50e-01",
        "  In your code: dW2.",
        "Every element of it is exactly 2 times the right one.",
        "Mistake: sign-flip. The sign is the other one. (Seen in the gradient of 4.weight.)",
        "Note: So it is.",
    ]
    assert table_as_text(found).splitlines() == [
        "loss                  agrees     1.0e-12   1.0e-09",
        "gradient of 4.weight  DIFFERS    2.5e-01   1.0e-09",
    ]
    assert divergence_sentence(first) == (
        "Gradient of 4.weight, at element [3, 17]: expected 0.5, found -0.1; relative error "
        "2.50e-01; allowed 1.0e-09; the smallest tolerance that would pass is 2.50e-01. Every "
        "element of it is exactly 2 times the right one."
    )
    tree = json.loads(as_json(found.result, 7, Isolation("standard", "unshare")))
    assert (tree["schema"], tree["passed"], tree["error"], tree["seed"]) == (1, False, None, 7)
    assert tree["first_divergence"] == {"quantity": "gradient", "name": "4.weight"}
    assert tree["isolation"] == {"level": "standard", "tool": "unshare"}
    assert tree["checks"][1] == {
        "quantity": "gradient", "name": "4.weight", "passed": False, "relative_error": 0.25,
        "tolerance": 1e-9, "accepted": False,
        "diagnosis": {"code": "sign-flip", "explanation": "the sign is the other one"},
    }  # fmt: skip
    right = json.loads(as_json(Result((RIGHT_LOSS,)), None, None))
    assert (right["passed"], right["first_divergence"], "isolation" in right) == (True, None, False)
    off = json.loads(as_json(Result((RIGHT_LOSS,)), None, Isolation("off")))
    assert off["isolation"] == {"level": "off", "tool": None}


def test_verdicts_in_words():
    flipped = wrong("gradient", "a", diagnosis=FLIP)
    accepted = replace(flipped, accepted=True)
    unnamed = wrong("logits")
    assert verdict_line(outcome_of(RIGHT_LOSS)) == "hw.py agrees with PyTorch in all 1 check."
    assert verdict_line(outcome_of(RIGHT_LOSS, RIGHT_LOSS)).endswith("in all 2 checks.")
    assert verdict_line(outcome_of(RIGHT_LOSS, accepted)) == (
        "hw.py agrees with PyTorch in 1 of 2 checks, the rest is accepted (sign-flip)."
    )
    assert verdict_line(outcome_of(unnamed, accepted)) == (
        "hw.py differs from PyTorch in 1 of 2 checks, first in the logits; 1 accepted (sign-flip)."
    )
    assert verdict_line(outcome_of(error="no.")) == "hw.py could not be checked: no."
    assert [outcome_of(*c).status for c in ((RIGHT_LOSS,), (accepted,), (flipped,), ())] == [
        0, 0, 1, 2,
    ]  # fmt: skip
    assert outcome_of(RIGHT_LOSS, error="no.").status == 2
    assert [verdict_word(c) for c in (RIGHT_LOSS, accepted, flipped)] == [
        "agrees", "accepted", "differs",
    ]  # fmt: skip
    both = Result((flipped, wrong("gradient", "b", diagnosis=EPSILON)))
    assert both.accepting(["sign-flip"]).accepted == ("sign-flip",)
    assert [c.accepted for c in both.accepting(["sign-flip"]).checks] == [True, False]
    assert Result((unnamed,)).accepting(["sign-flip"]).checks == (unnamed,)


def test_mistakes_in_words():
    gradients = [wrong("gradient", k, diagnosis=FLIP, ratio="r") for k in "abcde"]
    assert mistake_sentences(outcome_of(*gradients)) == [
        "Every gradient is exactly r.",
        "Mistake: sign-flip. The sign is the other one. (Seen in the gradient of a, gradient of b, "
        "gradient of c and 2 more.)",
    ]
    assert mistake_sentences(outcome_of(*gradients[:4]))[1].endswith("gradient of d.)")
    other = replace(gradients[1], ratio="s")
    assert mistake_sentences(outcome_of(gradients[0], other))[0].startswith("Every element of it")
    assert mistake_sentences(outcome_of(wrong("loss"), *gradients)) == [
        "Mistake: none of the known mistakes gives exactly the loss.",
        mistake_sentences(outcome_of(*gradients))[1],
    ]
    assert mistake_sentences(outcome_of(wrong("loss"))) == [
        "Mistake: none of the known mistakes gives exactly these values."
    ]
    assert mistake_sentences(outcome_of(wrong("loss"), notes=(UNFINISHED_SEARCH,))) == [
        "Mistake: none of the known mistakes that were tried gives exactly these values."
    ]
    root = wrong("update", "a", diagnosis=EPSILON, accepted=True)
    assert mistake_sentences(outcome_of(root)) == [
        "Accepted: epsilon-in-root. ε stands inside the root. (Seen in the update of a.)"
    ]
    assert mistake_sentences(outcome_of(RIGHT_LOSS)) == []


@pytest.mark.parametrize(
    ("quantity", "name", "title"),
    [
        ("logits", "logits", "logits"),
        ("probabilities", "probabilities", "probabilities"),
        ("log_probabilities", "evaluation", "logarithms of the probabilities in evaluation mode"),
        ("activation", "3", "output of layer 3"),
        ("activation", "3.kept", "share of values kept by layer 3"),
        ("activation", "3.evaluation", "output of layer 3 in evaluation mode"),
        ("activation", "network", "output of layer of the whole network"),
        ("gradient", "network/0.weight", "gradient of 0.weight in the whole network"),
        ("gradient", "logits", "gradient of the logits"),
        ("gradient", "0.input", "gradient of the input of layer 0"),
        ("gradient", "0.weight", "gradient of 0.weight"),
        ("buffer", "1.running_mean", "running statistic 1.running_mean"),
        ("step", "0.bias", "training steps of 0.bias"),
    ],
)
def test_quantities_in_words(quantity, name, title):
    assert check_title(Check(quantity, name, True, 0.0, 0.0)) == title


def test_distances_in_words():
    nan = wrong("loss", worst=(), found_there=np.nan)
    far = replace(nan, relative_error=math.inf)
    assert distance(far) == ("relative error: not finite; allowed 1.0e-09; no tolerance would pass")
    assert distance(replace(far, found_there=1.0)) == (
        "relative error: infinite, as only zeros are summed there; no tolerance would pass"
    )
    assert where(far) == "its value"
    huge = json.loads(as_json(Result((far,))))["checks"][0]["relative_error"]
    assert huge == np.finfo(np.float64).max
