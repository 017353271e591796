"""Sentences and cells about claims and equality, with each of their outcomes."""

from __future__ import annotations

import inspect
import math

import pytest

from compare.analysis.claims import ClaimResult, Decision
from compare.analysis.intervals import Equality, Interval, equivalence_test
from compare.spec.report import Claim
from reports import verdicts as say

YES, NO, OPEN = Decision.SUPPORTED, Decision.NOT_SUPPORTED, Decision.UNDECIDED
HIGHER = Claim(
    says="A is best",
    by="me",
    quantity="test accuracy",
    of={"x": "A"},
    relation="higher than",
    than={"x": "B"},
)
LEAST = Claim(
    says="it works", by="me", quantity="test loss", relation="at most", value=0.5, epoch=3
)


def answered(numpy: Decision, torch: Decision, together: Decision) -> ClaimResult:
    return ClaimResult(HIGHER, {}, {"numpy": numpy, "torch": torch}, together)


def equal(differences: list[float], label: str = "") -> Equality:
    return Equality(label, differences, equivalence_test(differences, 0.01), "there is only one")


SAME, APART, WIDE = [0.0, 0.0], [0.05, 0.051], [0.05, -0.05]

CASES: list[tuple[str, tuple, str]] = [
    ("asked_of_more", ([],), ""),
    ("asked_of_more", (["used a sample", "stopped"],), "this run used a sample and stopped."),
    ("read_as", (HIGHER, "A", ["B"]), "the final test accuracy of “A” is higher than that of “B”."),
    ("read_as", (HIGHER, "A", ["B", "C"]), "that of “B” and “C”, each by itself."),
    ("read_as", (LEAST, "A", []), "test loss after epoch 3 of all trainings is at most 0.5, on"),
    ("answer", (answered(YES, YES, YES),), "**Supported**, on both sides."),
    ("answer", (answered(NO, NO, NO),), "**Not supported**, on both sides."),
    ("answer", (answered(YES, NO, OPEN),), "NumPy: supported, PyTorch: not supported."),
    ("in_a_line", (answered(YES, YES, YES), []), "“A is best” (me): **supported** (NumPy supp"),
    ("in_a_line", (answered(NO, NO, NO), ["x"]), "**not supported** in this run, which is not"),
    ("value", ("test loss", 0.25), "0.2500"),
    ("value", ("loss rises", 3.0), "3.00"),
    ("value", ("test loss", -math.inf), "−∞"),
    ("value", ("test loss", 12345.0), "12300"),
    ("value", ("test loss", math.nan), "–"),
    ("interval", ("test loss", None), "–"),
    ("interval", ("test loss", Interval(1.0, math.nan, math.nan, 1)), "–"),
    ("interval", ("test loss", Interval(1.0, -0.5, 2.5, 3)), "−0.5000 to 2.5000"),
    ("equality", (equal(SAME), "test accuracy", 0.01, 1), "is **equivalent**: NumPy's less"),
    ("equality", (equal(SAME), "test accuracy", 0.01, 3), "in the mean of 3 trainings each"),
    ("equality", (equal(APART), "test accuracy", 0.01, 1), "is **not equivalent**"),
    ("equality", (equal(WIDE), "test accuracy", 0.01, 1), "is **not shown**"),
    ("equality", (equal([0.0]), "test accuracy", 0.01, 1), "cannot be tested: there is only one"),
    ("equalities", ([equal(SAME), equal(SAME)],), "2 of 2 trainings are equivalent."),
    ("equalities", ([equal(SAME), equal(APART)],), "1 of 2 trainings is equivalent, 1 is not."),
    ("equalities", ([equal(SAME), equal(WIDE)],), "equivalent, and 1 is undecided."),
    ("equalities", ([equal([0.0])],), ""),
    ("equality_answer", (equal(SAME),), "equivalent"),
    ("equality_answer", (equal(APART),), "not equivalent"),
    ("equality_answer", (equal(WIDE),), "undecided"),
    ("equality_answer", (equal([0.0]),), "there is only one"),
    ("probability", (0.0004,), "p < 0.001"),
    ("probability", (0.0412,), "p = 0.041"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_a_verdict_says_what_its_numbers_say(name: str, arguments: tuple, expected: str) -> None:
    said = getattr(say, name)(*arguments)
    assert expected in said if expected else said == ""


def test_every_verdict_has_cases() -> None:
    own = {
        name
        for name, function in inspect.getmembers(say, inspect.isfunction)
        if function.__module__ == say.__name__ and not name.startswith("_")
    }
    assert own == {name for name, _, _ in CASES}
