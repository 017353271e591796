"""What is said of a result: every sentence, the table, JSON, Gradescope and the grade book."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import pytest

from compare.check.grading import COLUMNS, as_cell, as_gradescope, explanation, grade
from compare.check.isolation import Isolation
from compare.check.result import (
    OWN_DERIVATIVE,
    UNFINISHED_SEARCH,
    Check,
    Outcome,
    Result,
    add_notes,
    as_json,
    as_text,
    distance,
    divergence_sentence,
    exact_number,
    mistake_sentences,
    table_as_text,
    verdict_line,
    verdict_word,
    where,
)
from compare.check.scoring import Consequence, Scoring, consequence_sentence, key_title, marks
from compare.mistakes.case import Diagnosis

HALVED = Diagnosis("half-the-loss", "ε is halved")
SUMMED = Diagnosis("sum-not-mean", "the gradients are summed over the batch")


def right(quantity: str, name: str | None = None) -> Check:
    return Check(quantity, name or quantity, True, 2e-16, 1e-9)


def wrong(quantity: str, name: str | None = None, **more) -> Check:
    said = {"worst": (3, 17), "found_there": 0.1, "expected_there": -0.25, **more}
    return Check(quantity, name or quantity, False, 0.0625, 1e-9, **said)


@pytest.mark.parametrize(
    ("key", "title"),
    {
        "logits": "logits",
        "logits/evaluation": "logits in evaluation mode",
        "probabilities": "probabilities",
        "probabilities/evaluation": "probabilities in evaluation mode",
        "log_probabilities": "logarithms of the probabilities",
        "loss": "loss",
        "loss/network": "loss of the whole network",
        "gradient/0.weight": "gradient of 0.weight",
        "gradient/logits": "gradient of the logits",
        "gradient/2.input": "gradient of the input of layer 2",
        "gradient/network/0.weight": "gradient of 0.weight in the whole network",
        "update/0.bias": "update of 0.bias",
        "step/0.bias": "training steps of 0.bias",
        "buffer/1.running_mean": "running statistic 1.running_mean",
        "activation/3": "output of layer 3",
        "activation/3.kept": "share of values kept by layer 3",
        "activation/3.evaluation": "output of layer 3 in evaluation mode",
    }.items(),
)
def test_a_quantity_in_words(key, title) -> None:
    assert key_title(key) == title
    kind, _, name = key.partition("/")
    check = right(kind, name or None)
    assert check.key == key
    assert check.in_network is ("network" in key)


def outcome(*checks: Check, **more) -> Outcome:
    return Outcome("ada.py", Result(checks, **more))


ACCEPTED = wrong("loss", diagnosis=HALVED, accepted=True)


@pytest.mark.parametrize(
    ("found", "status", "line"),
    [
        (outcome(error="why."), 2, "ada.py could not be checked: why."),
        (outcome(right("loss")), 0, "ada.py agrees with PyTorch in all 1 check."),
        (outcome(right("logits"), right("loss")), 0,
         "ada.py agrees with PyTorch in all 2 checks."),
        (outcome(right("logits"), ACCEPTED), 0,
         "ada.py agrees with PyTorch in 1 of 2 checks, the rest is accepted (half-the-loss)."),
        (outcome(right("logits"), wrong("loss")), 1,
         "ada.py differs from PyTorch in 1 of 2 checks, first in the loss."),
        (outcome(wrong("logits"), ACCEPTED), 1,
         "ada.py differs from PyTorch in 1 of 2 checks, first in the logits; 1 accepted "
         "(half-the-loss)."),
    ],
)  # fmt: skip
def test_the_verdict(found, status, line) -> None:
    assert (verdict_line(found), found.status) == (line, status)


def test_nothing_compared_is_not_checked() -> None:
    assert outcome().status == 2
    assert not outcome().result.passed


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (wrong("loss"), "relative error 6.25e-02; allowed 1.0e-09; the smallest tolerance that "
                        "would pass is 6.25e-02"),
        (replace(wrong("loss"), relative_error=math.inf),
         "relative error: infinite, as only zeros are summed there; no tolerance would pass"),
        (replace(wrong("loss"), relative_error=math.inf, found_there=math.nan),
         "relative error: not finite; allowed 1.0e-09; no tolerance would pass"),
    ],
)  # fmt: skip
def test_a_distance(check, sentence) -> None:
    assert distance(check) == sentence


def test_a_place_and_a_number() -> None:
    assert where(wrong("loss")) == "element [3, 17]"
    assert where(wrong("loss", worst=(0,))) == "element [0]"
    assert where(wrong("loss", worst=())) == "its value"
    assert exact_number(0.1) == "0.1"
    assert exact_number(1 / 3) == "0.3333333333333333"
    words = [verdict_word(one) for one in (right("loss"), ACCEPTED, wrong("loss"))]
    assert words == ["agrees", "accepted", "differs"]


FIRST = wrong("gradient", "2.weight", diagnosis=SUMMED, ratio="5 times the right one",
              own="gradients, line 7, for 'W2'")  # fmt: skip


def test_a_divergence_in_a_sentence() -> None:
    said = (
        "Gradient of 2.weight, at element [3, 17]: expected -0.25, found 0.1; relative error "
        "6.25e-02; allowed 1.0e-09; the smallest tolerance that would pass is 6.25e-02."
    )
    assert (
        divergence_sentence(FIRST)
        == f"{said} Every element of it is exactly 5 times the right one."
    )
    assert divergence_sentence(replace(FIRST, ratio="")) == said


def test_all_that_is_said() -> None:
    found = outcome(
        right("logits"), ACCEPTED, FIRST,
        *(wrong("gradient", name, diagnosis=SUMMED) for name in ("2.bias", "0.weight")),
        invariants=("An invariant.",), notes=("A note.", "Why."),
    )  # fmt: skip
    assert as_text(found).splitlines() == [
        "ada.py differs from PyTorch in 3 of 5 checks, first in the gradient of 2.weight; 1 "
        "accepted (half-the-loss).",
        "An invariant.",
        "",
        "First divergence: the gradient of 2.weight, worst at element [3, 17]",
        "  expected  -0.25",
        "  found     0.1",
        "  relative error 6.25e-02; allowed 1.0e-09; the smallest tolerance that would pass is "
        "6.25e-02",
        "  In your code: gradients, line 7, for 'W2'.",
        "Every element of it is exactly 5 times the right one.",
        "Accepted: half-the-loss. ε is halved. (Seen in the loss.)",
        "Mistake: sum-not-mean. The gradients are summed over the batch. (Seen in the gradient of "
        "2.weight, gradient of 2.bias, gradient of 0.weight.)",
        "Note: A note.",
        "Note: Why.",
    ]  # fmt: skip
    assert table_as_text(found).splitlines() == [
        "logits                agrees     2.0e-16   1.0e-09",
        "loss                  accepted   6.2e-02   1.0e-09",
        *(f"gradient of {name:8}  DIFFERS    6.2e-02   1.0e-09"
          for name in ("2.weight", "2.bias", "0.weight")),
    ]  # fmt: skip
    assert table_as_text(outcome()) == ""
    refused = outcome(error="Why.", notes=("A note.", "Why."))
    assert as_text(refused) == "ada.py could not be checked: Why.\nNote: A note."


def test_mistakes_without_a_name_and_seen_in_many() -> None:
    nameless = "Mistake: none of the known mistakes gives exactly these values."
    assert mistake_sentences(outcome(wrong("loss"))) == [nameless]
    assert mistake_sentences(outcome(wrong("loss"), notes=(UNFINISHED_SEARCH,))) == [
        "Mistake: none of the known mistakes that were tried gives exactly these values."
    ]
    assert mistake_sentences(outcome(right("loss"))) == []
    names = ("4.weight", "4.bias", "2.weight", "2.bias")
    four = [wrong("gradient", name, diagnosis=SUMMED) for name in names]
    assert mistake_sentences(outcome(wrong("loss"), *four)) == [
        "Mistake: none of the known mistakes gives exactly the loss.",
        "Mistake: sum-not-mean. The gradients are summed over the batch. (Seen in the gradient of "
        "4.weight, gradient of 4.bias, gradient of 2.weight, gradient of 2.bias.)",
    ]
    five = [*four, wrong("gradient", "0.weight", diagnosis=replace(SUMMED))]
    assert mistake_sentences(outcome(*five)) == [
        "Mistake: sum-not-mean. The gradients are summed over the batch. (Seen in the gradient of "
        "4.weight, gradient of 4.bias, gradient of 2.weight and 2 more.)"
    ]
    ended = [wrong("loss", diagnosis=Diagnosis("a", "it is so."))]
    assert mistake_sentences(outcome(*ended)) == ["Mistake: a. It is so. (Seen in the loss.)"]


def test_one_factor_in_every_gradient_is_said_once() -> None:
    twice = {"ratio": "twice the right one", "diagnosis": SUMMED}
    both = [wrong("gradient", name, **twice) for name in ("2.weight", "0.weight")]
    every, each = (
        "Every gradient is exactly twice the right one.",
        "Every element of it is exactly twice the right one.",
    )
    assert mistake_sentences(outcome(right("loss"), *both))[0] == every
    other = replace(both[1], ratio="half the right one")
    for found in (
        (both[0],),  # one gradient is not every gradient
        (wrong("loss", **twice), *both),  # more than the gradients differs
        (both[0], other),
        (both[0], right("gradient", "0.bias")),
    ):
        assert mistake_sentences(outcome(*found))[0] == each
    assert mistake_sentences(outcome(replace(both[0], ratio=""), other))[0].startswith("Mistake: ")


def test_what_is_accepted() -> None:
    checks = (wrong("loss", diagnosis=HALVED), wrong("gradient", "0.bias", diagnosis=HALVED),
              wrong("logits"), right("gradient", "0.weight"))  # fmt: skip
    result = Result(checks).accepting(("half-the-loss",))
    assert [check.accepted for check in result.checks] == [True, True, False, False]
    assert result.accepted == ("half-the-loss",)
    assert result.first_divergence == checks[2]
    assert not result.passed
    assert not any(check.accepted for check in result.accepting(()).checks)
    assert Result(checks, invariants=(OWN_DERIVATIVE,)).own_derivative
    assert not result.own_derivative


def test_notes_are_not_said_twice() -> None:
    notes = ["a"]
    add_notes(notes, ["b", "a", "b", "c"])
    assert notes == ["a", "b", "c"]


def test_json_has_every_key() -> None:
    check = replace(FIRST, relative_error=math.inf, tolerance=math.nan)
    tree = json.loads(
        as_json(Result((right("loss"), check), error="ö"), 7, Isolation("full", "bwrap"))
    )
    assert tree == {
        "schema": 1,
        "passed": False,
        "checks": [
            {"quantity": "loss", "name": "loss", "passed": True, "relative_error": 2e-16,
             "tolerance": 1e-9, "accepted": False, "diagnosis": None},
            {"quantity": "gradient", "name": "2.weight", "passed": False,
             "relative_error": sys.float_info.max, "tolerance": sys.float_info.max,
             "accepted": False,
             "diagnosis": {"code": "sum-not-mean",
                           "explanation": "the gradients are summed over the batch"}},
        ],
        "first_divergence": {"quantity": "gradient", "name": "2.weight"},
        "error": "ö",
        "seed": 7,
        "isolation": {"level": "full", "tool": "bwrap"},
    }  # fmt: skip
    text = as_json(Result((right("loss"),)))
    assert text.startswith('{\n  "schema": 1,\n')
    assert text.endswith("}\n")
    assert json.loads(text)["first_divergence"] is None
    assert "isolation" not in json.loads(text)
    assert '"ö"' in as_json(Result(error="ö"))


SURE, PERHAPS = Consequence("gradient/2.weight", True), Consequence("gradient/2.weight", False)


def test_what_follows_in_a_sentence() -> None:
    assert consequence_sentence(SURE) == (
        "Follows from the gradient of 2.weight: no further points lost."
    )
    assert consequence_sentence(PERHAPS) == (
        "May follow from the gradient of 2.weight: only half of the points lost."
    )


def test_a_gradescope_file_has_every_key() -> None:
    after = wrong("gradient", "0.weight", diagnosis=SUMMED, shown_first_in="gradient/2.weight")
    checks = (right("logits"), replace(ACCEPTED, diagnosis=HALVED), FIRST, after,
              wrong("update", "0.bias"))  # fmt: skip
    found = replace(outcome(*checks), required=("logits", "step/0.bias"))
    text = as_gradescope(found, Scoring({}, 30.0))
    tree = json.loads(text)
    assert text.startswith('{\n  "score": 15.0,\n')
    assert text.endswith("}\n")
    far = (
        "at element [3, 17]: expected -0.25, found 0.1; relative error 6.25e-02; allowed 1.0e-09; "
        "the smallest tolerance that would pass is 6.25e-02."
    )
    outputs = {
        "logits": (5.0, "passed", "relative error 2.00e-16; allowed 1.0e-09; the smallest "
                   "tolerance that would pass is 2.00e-16"),
        "loss": (5.0, "passed", f"Loss, {far}\nAccepted: half-the-loss: ε is halved"),
        "gradient of 2.weight": (0.0, "failed", f"Gradient of 2.weight, {far} Every element of it "
                                 "is exactly 5 times the right one.\nsum-not-mean: the gradients "
                                 "are summed over the batch"),
        "gradient of 0.weight": (5.0, "failed", f"Gradient of 0.weight, {far}\nsum-not-mean: the "
                                 "gradients are summed over the batch\nFollows from the gradient "
                                 "of 2.weight: no further points lost."),
        "update of 0.bias": (0.0, "failed", f"Update of 0.bias, {far}\nNone of the known mistakes "
                             "gives exactly these values."),
        "training steps of 0.bias": (0.0, "failed", "There was no answer: it was not asked for."),
    }  # fmt: skip
    assert tree.pop("output") == as_text(found)
    assert tree == {
        "score": 15.0,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [
            {"name": name, "score": score, "max_score": 5.0, "status": status, "output": output,
             "visibility": "visible"}
            for name, (score, status, output) in outputs.items()
        ],
    }  # fmt: skip


def test_gradescope_where_nothing_could_be_checked() -> None:
    found = outcome(error="Too late.")
    (test,) = json.loads(as_gradescope(found, Scoring(points=12)))["tests"]
    assert test == {"name": "could be checked", "score": 0.0, "max_score": 12, "status": "failed",
                    "output": "Too late.", "visibility": "visible"}  # fmt: skip
    asked = json.loads(as_gradescope(replace(found, required=("loss",))))
    assert asked["score"] == 0
    assert asked["tests"] == [
        {"name": "loss", "score": 0.0, "max_score": 100.0, "status": "failed",
         "output": "There was no answer: Too late.", "visibility": "visible"}
    ]  # fmt: skip
    weightless = json.loads(as_gradescope(outcome(right("loss")), Scoring({"loss": 0})))
    assert (weightless["score"], weightless["tests"][0]["max_score"]) == (0, 0)
    rounded = json.loads(as_gradescope(outcome(*(right("gradient", n) for n in "abc"))))["tests"]
    assert [test["score"] for test in rounded] == [33.333333] * 3


def test_a_row_of_the_grade_book() -> None:
    found = replace(outcome(right("logits"), ACCEPTED, FIRST), seed=41, required=("step/0.bias",))
    row = grade(found, Scoring({}, 10.0))
    assert row == {
        "submission": "ada.py", "status": "differs", "score": "0.5000", "passed": 2, "checks": 4,
        "first_divergence": "gradient of 2.weight", "diagnosis": "sum-not-mean",
        "explanation": "the gradients are summed over the batch", "points": "5.00",
        "accepted": "half-the-loss", "mistakes": "sum-not-mean", "seed": 41,
    }  # fmt: skip
    assert tuple(row) == COLUMNS
    refused = grade(outcome(error="Why."))
    assert refused == {
        "submission": "ada.py", "status": "not checked", "score": "0.0000", "passed": 0,
        "checks": 0, "first_divergence": "", "diagnosis": "", "explanation": "Why.",
        "points": "0.00", "accepted": "", "mistakes": "", "seed": "",
    }  # fmt: skip
    assert grade(outcome(right("loss")))["status"] == "agrees"
    nameless = Result((wrong("loss"),))
    assert explanation(nameless) == (
        "Loss, at element [3, 17]: expected -0.25, found 0.1; relative error 6.25e-02; allowed "
        "1.0e-09; the smallest tolerance that would pass is 6.25e-02. None of the known mistakes "
        "gives exactly these values."
    )
    assert explanation(Result((right("loss"),))) == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a", "a"), ("=1", "'=1"), (" +1", "' +1"), ("-1", "'-1"), ("@x", "'@x"),
        ("\tx", "'\tx"), ("\nx", "'\nx"), ("\rx", "'\nx"), ("a\r\nb\rc", "a\nb\nc"),
        ("", ""), (" ", " "), (3, 3), (-3, "'-3"), ("a=1", "a=1"),
        *((f"{c}1", f"'{c}1") for c in "＝＋－＠"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(value, cell) -> None:
    assert as_cell(value) == cell


def test_what_is_lost() -> None:
    after = wrong("gradient", "0.weight", diagnosis=SUMMED, shown_first_in="gradient/2.weight")
    unnamed = [wrong("gradient", name) for name in ("2.weight", "0.weight")]
    found = {mark.key: (mark.lost, mark.follows) for mark in marks(outcome(FIRST, after))}
    assert found == {"gradient/2.weight": (1.0, None), "gradient/0.weight": (0.0, SURE)}
    found = {mark.key: (mark.lost, mark.follows) for mark in marks(outcome(*unnamed))}
    assert found == {"gradient/2.weight": (1.0, None), "gradient/0.weight": (0.5, PERHAPS)}
