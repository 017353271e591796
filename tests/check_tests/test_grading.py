"""What a mistake costs, what checks weigh, what is accepted, and a course's file."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from planted.homeworks import MEANING

from compare.check.contract import Assignment
from compare.check.grading import as_csv, as_gradescope, grade
from compare.check.result import (
    OWN_DERIVATIVE,
    Check,
    Outcome,
    Result,
    as_json,
    as_text,
    verdict_line,
)
from compare.check.scoring import (
    Consequence,
    Scoring,
    biases_before_normalisation,
    consequences,
    marks,
    score,
    shares,
    unused_weights,
)
from compare.mistakes.case import Diagnosis
from compare.mistakes.codes import CODES

SUM = ("dz / len(y)", "dz")
OFFSET = ("[np.arange(len(y)), y]).mean()", "[np.arange(len(y)), y] + 1e-7).mean()")
SHIFTED = ("dz[np.arange(len(y)), y] -= 1", "dz[np.arange(len(y)), (y + 1) % 5] -= 1")
KEYS = (
    "logits", "loss", "gradient/4.weight", "gradient/4.bias", "gradient/2.weight",
    "gradient/2.bias", "gradient/0.weight", "gradient/0.bias", "update/0.weight", "update/0.bias",
)  # fmt: skip


def checks(failed: dict[str, str | None], keys=KEYS) -> list[Check]:
    """A check for each key. A failed one has a mistake that shows first at a key, or no name."""
    found = []
    for key in keys:
        kind, _, name = key.partition("/")
        cause = failed.get(key)
        diagnosis = Diagnosis(f"mistake at {cause}", "") if cause else None
        found.append(
            Check(
                kind,
                name or kind,
                key not in failed,
                0.0,
                1.0,
                diagnosis=diagnosis,
                shown_first_in=cause,
            )
        )
    return found


def unnamed(*keys: str) -> dict[str, str | None]:
    return dict.fromkeys(keys)


GRADIENTS = [key for key in KEYS if key.startswith("gradient")]
LAST, EARLIER = GRADIENTS[0], GRADIENTS[2:]
UPDATES = KEYS[-2:]


@pytest.mark.parametrize(
    ("failed", "own_derivative", "surely", "perhaps"),
    [
        # One mistake with a name: all that it accounts for follows from where it shows first.
        (dict.fromkeys(GRADIENTS, LAST), False, dict.fromkeys(GRADIENTS[1:], LAST), {}),
        # Two of them.
        (
            {"loss": "loss", **dict.fromkeys(EARLIER, EARLIER[0])},
            False,
            dict.fromkeys(EARLIER[1:], EARLIER[0]),
            {},
        ),
        # Gradients without a name, none of which agrees from some layer down to the first.
        (unnamed(*GRADIENTS), False, {}, dict.fromkeys(GRADIENTS[1:], GRADIENTS[0])),
        (unnamed(*EARLIER), False, {}, dict.fromkeys(EARLIER[1:], EARLIER[0])),
        # A gradient that agrees shows that the layers after it passed on the right signal.
        (unnamed("gradient/4.weight", *EARLIER), False, {}, dict.fromkeys(EARLIER[1:], EARLIER[0])),
        (unnamed("gradient/4.weight", "gradient/2.weight"), False, {}, {}),
        # The gradient of a mistake with a name agrees as soon as the mistake is mended.
        (
            {"gradient/4.weight": "gradient/4.weight", **unnamed("gradient/4.bias", *EARLIER)},
            False,
            {},
            dict.fromkeys(EARLIER[1:], EARLIER[0]),
        ),
        # A mistake with a name does not explain what it does not account for.
        (
            {**dict.fromkeys(GRADIENTS[:2], GRADIENTS[0]), **unnamed("gradient/0.weight")},
            False,
            {GRADIENTS[1]: GRADIENTS[0]},
            {},
        ),
        # Forward values: the loss comes from the logits, the gradients perhaps from neither.
        (unnamed("logits", "loss"), False, {}, {"loss": "logits"}),
        (
            unnamed("logits", "loss", *GRADIENTS),
            False,
            {},
            {"loss": "logits", **dict.fromkeys(GRADIENTS[1:], GRADIENTS[0])},
        ),
        # Gradients that are the derivative of the homework's own loss are right ones of it.
        (
            unnamed("logits", "loss", *GRADIENTS),
            True,
            dict.fromkeys(GRADIENTS, "logits"),
            {"loss": "logits"},
        ),
        (
            {"loss": "loss", **dict.fromkeys(GRADIENTS, GRADIENTS[0])},
            True,
            dict.fromkeys(GRADIENTS, "loss"),
            {},
        ),
        # Updates begin from given gradients; one rule makes them all.
        (unnamed("gradient/0.bias", "update/0.bias"), False, {}, {}),
        (unnamed(*UPDATES), False, {}, {UPDATES[1]: UPDATES[0]}),
    ],
)  # fmt: skip
def test_what_follows_from_what(failed, own_derivative, surely, perhaps) -> None:
    found = consequences(checks(failed), own_derivative=own_derivative)
    assert {key: root for key, (root, sure) in found.items() if sure} == surely
    assert {key: root for key, (root, sure) in found.items() if not sure} == perhaps


def test_layers_that_are_run_alone_do_not_follow_from_each_other() -> None:
    keys = ("activation/0", "activation/2", "logits", "loss", "gradient/logits", "gradient/2.input",
            "gradient/2.weight", "gradient/0.input", "gradient/0.weight")  # fmt: skip
    found = consequences(checks(unnamed(*keys), keys), own_derivative=True)
    assert found == {"logits": Consequence("activation/0", False)}
    everywhere = {
        "gradient/2.weight": "gradient/2.weight",
        "gradient/0.weight": "gradient/2.weight",
    }
    assert consequences(checks(everywhere, keys)) == {
        "gradient/0.weight": Consequence("gradient/2.weight", True)
    }


def test_gradients_of_a_network_of_layers_do() -> None:
    network = ("gradient/network/2.weight", "gradient/network/0.weight", "gradient/network/0.bias")
    keys = ("activation/0", "loss", "gradient/2.weight", "gradient/0.weight", *network)
    found = consequences(checks(unnamed(*network), keys), always_zero=("0.bias",))
    assert found == dict.fromkeys(network[1:], Consequence(network[0], False))
    found = consequences(checks(unnamed(network[0], network[2]), keys), always_zero=("0.bias",))
    assert found == {}


def test_a_gradient_that_is_zero_anyhow_shows_nothing() -> None:
    def net(nn):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

    from compare.check.architecture import RecordedArchitecture, record_architecture

    build = RecordedArchitecture(record_architecture(net), "net")
    zero = biases_before_normalisation(Assignment("net", build))
    assert zero == ("0.bias",)
    keys = tuple(f"gradient/{name}" for name in ("1.weight", "1.bias", "0.weight", "0.bias"))
    failed = checks(unnamed(*keys[:3]), keys)
    assert consequences(failed) == {}
    assert set(consequences(failed, always_zero=zero)) == {"gradient/1.bias", "gradient/0.weight"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"gradient": 5}, [1, 1, 2.5, 2.5]),
        ({"gradient": 5, "loss": 0}, [1, 0, 2.5, 2.5]),
        ({"gradient/0.bias": 3}, [1, 1, 1, 3]),
        ({"gradient": 5, "gradient/0.bias": 3}, [1, 1, 5, 3]),
        ({"update": 9}, [1, 1, 1, 1]),
    ],
)
def test_a_kind_shares_its_weight(weights, expected) -> None:
    keys = ["logits", "loss", "gradient/0.weight", "gradient/0.bias"]
    assert list(shares(keys, weights).values()) == expected


@pytest.mark.parametrize(
    ("changes", "weights", "expected"),
    [
        ([], {}, 1),
        ([SUM], {}, 5 / 6),
        ([SUM], {"gradient": 6}, 1 - 1.5 / 8),
        ([SUM, OFFSET], {}, 4 / 6),
        ([SHIFTED], {}, 1 - (1 + 3 / 2) / 6),
        ([("dh.sum(axis=0)", "dh.mean(axis=0)")], {}, 5 / 6),
        ([("dz / len(y)", "0.7 * dz / len(y)")], {}, 5 / 6),
        ([("dz / len(y)", "0 * dz")], {}, 3 / 6),
    ],
    ids=["right", "one root", "weights", "two roots", "no name", "one bias", "a factor", "zeros"],
)
def test_the_score(check, changes, weights, expected) -> None:
    assert score(marks(check(*changes), weights)) == pytest.approx(expected)


def test_right_gradients_of_a_wrong_loss_cost_nothing(check) -> None:
    outcome = check(
        ("x @ params[\"W1\"] + params[\"b1\"]", "x @ params[\"W1\"] + 1.1 * params[\"b1\"]"),
        ("dh.sum(axis=0)", "1.1 * dh.sum(axis=0)"),
    )  # fmt: skip
    assert OWN_DERIVATIVE in outcome.result.invariants
    found = {mark.key: mark.lost for mark in marks(outcome)}
    assert found.pop("logits") == 1
    assert found.pop("loss") == 0.5
    assert set(found.values()) == {0}


def test_what_is_asked_for_and_not_there_counts(check) -> None:
    outcome = check(("def gradients", "def others"), required=("forward", "loss", "gradients"))
    assert grade(outcome)["score"] == "0.3333"
    assert grade(outcome)["checks"] == 6
    outcome = check(optimizer="SGD", settings={"lr": 0.1})
    assert (grade(outcome)["status"], grade(outcome)["score"]) == ("not checked", "0.6000")


def test_nothing_weighs_anything() -> None:
    assert score([]) == 0
    outcome = Outcome("a.py", Result((Check("loss", "loss", True, 0.0, 1.0),)))
    assert score(marks(outcome, {"loss": 0})) == 0


def test_gradescope_says_what_follows(check) -> None:
    tree = json.loads(as_gradescope(check(SUM), Scoring({"gradient": 6}, 40)))
    tests = {test["name"]: test for test in tree["tests"]}
    assert tree["score"] == pytest.approx(40 * (1 - 1.5 / 8))
    assert sum(test["score"] for test in tree["tests"]) == pytest.approx(tree["score"])
    first, after = tests["gradient of 2.weight"], tests["gradient of 0.weight"]
    assert (first["score"], first["max_score"]) == (0, 7.5)
    assert (after["score"], after["max_score"], after["status"]) == (7.5, 7.5, "failed")
    sentence = "Follows from the gradient of 2.weight: no further points lost."
    assert sentence in after["output"]
    assert "ollows from" not in first["output"]


def test_what_has_no_name_is_shown_all_the_same(check) -> None:
    outcome = check(SHIFTED)
    tests = {test["name"]: test for test in json.loads(as_gradescope(outcome))["tests"]}
    first, after = tests["gradient of 2.weight"], tests["gradient of 0.weight"]
    assert first["output"].startswith("Gradient of 2.weight, at element [")
    assert "expected " in first["output"]
    assert "None of the known mistakes gives exactly these values." in first["output"]
    assert "May follow from the gradient of 2.weight: only half" in after["output"]
    row = grade(outcome)
    assert row["diagnosis"] == ""
    assert "at element [" in str(row["explanation"])
    assert "None of the known mistakes" in str(row["explanation"])


def test_an_accepted_convention_counts_as_passed(check) -> None:
    outcome = check(OFFSET, accept=("log-offset-mismatch",))
    assert outcome.status == 0
    assert verdict_line(outcome) == (
        "homework.py agrees with PyTorch in 5 of 6 checks, the rest is accepted "
        "(log-offset-mismatch)."
    )
    tree = json.loads(as_json(outcome.result))
    assert (tree["passed"], tree["first_divergence"]) == (True, None)
    loss = tree["checks"][1]
    assert (loss["passed"], loss["accepted"]) == (False, True)
    row = grade(outcome)
    assert (row["status"], row["score"], row["passed"]) == ("agrees", "1.0000", 6)
    assert (row["accepted"], row["mistakes"]) == ("log-offset-mismatch", "")
    test = json.loads(as_gradescope(outcome))["tests"][1]
    assert (test["status"], test["score"]) == ("passed", test["max_score"])
    assert "Accepted: log-offset-mismatch: " in test["output"]
    assert "Accepted: log-offset-mismatch. " in as_text(outcome)


DERIVATIVE = (
    "dz = dz / len(y)",
    "q = dz[np.arange(len(y)), y] + 1\n    dz = dz * (q / (q + 1e-7))[:, None] / len(y)",
)


def test_a_convention_in_both_directions_is_accepted_in_both(check) -> None:
    outcome = check(OFFSET, DERIVATIVE, accept=("log-offset-mismatch",))
    assert (outcome.status, outcome.result.accepted) == (0, ("log-offset-mismatch",))
    assert sum(one.accepted for one in outcome.result.checks) == 5


def test_what_is_not_accepted_still_differs(check) -> None:
    outcome = check(OFFSET, SUM, accept=("log-offset-mismatch",))
    assert outcome.status == 1
    assert verdict_line(outcome) == (
        "homework.py differs from PyTorch in 4 of 6 checks, first in the gradient of 2.weight; "
        "1 accepted (log-offset-mismatch)."
    )
    row = grade(outcome)
    assert (row["accepted"], row["mistakes"]) == ("log-offset-mismatch", "sum-not-mean")
    assert check(OFFSET, accept=("sum-not-mean",)).status == 1


def test_the_codes_are_those_of_the_documentation() -> None:
    assert set(CODES) == set(MEANING)


def test_a_weight_that_nothing_has_is_noticed(check) -> None:
    outcome = check()
    weights = {"gradient/0.weight": 1, "gradient/9.weight": 3, "update": 2}
    assert unused_weights([outcome], weights) == ["gradient/9.weight"]
    assert unused_weights([Outcome("a.py", Result(error="no"))], weights) == []


def test_the_grade_book_has_points(check) -> None:
    row = grade(replace(check(SUM), name="=dan.py"), Scoring(points=12))
    assert row["points"] == "10.00"
    (read,) = csv.DictReader(io.StringIO(as_csv([row])))
    assert (read["submission"], read["mistakes"]) == ("'=dan.py", "sum-not-mean")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--accept", "log-ofset"], "--accept expects codes of docs/mistakes.md, but got 'log-of"),
        (["--accept", "log-ofset"], "Did you mean 'log-offset-mismatch'?"),
        (["--weight", "gradients=5"], "--weight: expected one of activation, "),
        (["--weight", "gradients=5"], "Did you mean 'gradient'?"),
        (["--weight", "gradient"], "--weight expects KIND=NUMBER, such as gradient=5, but got "),
        (["--weight", "loss=-1"], "--weight: loss should weigh 0 or more, but got -1."),
        (["--points", "0"], "--points expects a number above 0, but got 0."),
        (["--course", "nowhere.toml"], "nowhere.toml: there is no such course file."),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(nncompare, write, arguments, sentence) -> None:
    ended = nncompare("check", write(), *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("acept = []", "course.toml: unknown key 'acept'. Did you mean 'accept'?"),
        ("points = '40'", "course.toml: points should be a valid number, but is '40'."),
        ("points = -1", "course.toml: points should be greater than 0, but is -1."),
        ("accept = 'a'", "course.toml: accept should be a valid list, but is 'a'."),
        ("accept = ['sum']", "course.toml: accept expects codes of docs/mistakes.md, but got "),
        ("accept = ['sum']", "Did you mean 'sum-not-mean'?"),
        ("weights = {gradiant = 1}", "course.toml: weights: expected one of activation"),
        ("weights = {loss = 'x'}", "course.toml: weights.loss should be a valid number, but is "),
        ("loss = 'hinge'", "course.toml: loss expects one of cross_entropy"),
        ("require = ['backward']", "course.toml: require expects some of forward"),
        ("settings = {lr = 0.1}", "course.toml: settings are those of an optimizer, but the key "),
        ("points =", "course.toml is not valid TOML: "),
    ],
)  # fmt: skip
def test_a_course_file_that_does_not_fit(nncompare, write, tmp_path, text, sentence) -> None:
    (tmp_path / "course.toml").write_text(text)
    ended = nncompare("check", write(), "--course", tmp_path / "course.toml")
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err


COURSE = """
accept = ["log-offset-mismatch"]
weights = {loss = 2, gradient = 5, update = 3}
points = 40
loss = "cross_entropy"
require = ["forward", "loss", "gradients"]
timeout = 20
optimizer = "Adam"
settings = {lr = 0.01}
"""


def test_a_course_file(nncompare, write, adam, tmp_path) -> None:
    (tmp_path / "course.toml").write_text(COURSE)
    out = tmp_path / "results.json"
    arguments = (
        "check", write(adam, OFFSET), "--course", tmp_path / "course.toml", "--gradescope", out,
    )  # fmt: skip
    assert nncompare(*arguments).status == 0
    worth = {test["name"]: test["max_score"] for test in json.loads(out.read_text())["tests"]}
    assert worth["loss"] == pytest.approx(40 * 2 / 11)
    assert worth["gradient of 0.bias"] == pytest.approx(40 * 5 / 4 / 11)
    assert worth["update of 0.bias"] == pytest.approx(40 * 3 / 4 / 11)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--accept", "sum-not-mean"], 1),
        (["--accept", "sum-not-mean,log-offset-mismatch"], 0),
        (["--accept", "sum-not-mean", "--accept", "log-offset-mismatch"], 0),
        (["--set", "lr=0.02"], 1),
        (["--loss", "mse"], 2),
        (["--optimizer", "Adam"], 0),
        (["--optimizer", "AdamW"], 1),
        (["--require", "network"], 2),
    ],
)
def test_the_command_line_goes_before_the_course_file(
    nncompare, write, adam, tmp_path, arguments, status
) -> None:
    (tmp_path / "course.toml").write_text(COURSE)
    homework = write(adam, OFFSET)
    ended = nncompare("check", homework, "--course", tmp_path / "course.toml", *arguments)
    assert ended.status == status


BOTH = (
    "def gradients(params, x, y):",
    "def loss_and_gradients(params, x, y):\n"
    "    return loss_alone(params, x, y), derivatives(params, x, y)\n\n\n"
    "def derivatives(params, x, y):",
)


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        (("loss", "gradients"), ""),
        (("forward", "loss_and_gradients"), ""),
        (("update",), "homework.py defines no update(params, grads, state), which is asked for."),
        (("hidden",), "homework.py defines no hidden(params), which is asked for."),
    ],
)
def test_one_function_may_give_loss_and_gradients(check, required, missing) -> None:
    outcome = check(BOTH, ("def loss(", "def loss_alone("), required=required)
    assert (outcome.result.error or "") == missing
    assert outcome.status == (2 if missing else 0), outcome.result
