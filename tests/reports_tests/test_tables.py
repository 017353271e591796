"""Markdown tables, and cells of them with each of their outcomes."""

from __future__ import annotations

import math

import pytest

from compare.analysis.intervals import Equality, Interval, equivalence_test
from reports.tables import claim_interval, claim_value, equality_answer
from reports.text import pipe_table


def test_a_table_without_rows_is_no_table() -> None:
    assert pipe_table(("a",), []) == ""
    assert pipe_table(("a", "b"), [("1", "2")], "lr") == "| a | b |\n| :-- | --: |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        ("test loss", 0.25, "0.2500"),
        ("loss rises", 3.0, "3.00"),
        ("test loss", -math.inf, "−∞"),
        ("test loss", 12345.0, "12300"),
        ("test loss", math.nan, "–"),
    ],
)
def test_values_of_a_claim(quantity: str, value: float, expected: str) -> None:
    assert claim_value(quantity, value) == expected


def test_intervals_of_a_claim() -> None:
    assert claim_interval("test loss", None) == "–"
    assert claim_interval("test loss", Interval(1.0, math.nan, math.nan, 1)) == "–"
    assert claim_interval("test loss", Interval(1.0, -0.5, 2.5, 3)) == "−0.5000 to 2.5000"


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.0, 0.0], "equivalent"),
        ([0.05, 0.051], "not equivalent"),
        ([0.05, -0.05], "undecided"),
        ([0.0], "there is only one"),
    ],
)
def test_answers_of_equality(differences: list[float], expected: str) -> None:
    test = equivalence_test(differences, 0.01)
    assert equality_answer(Equality("SGD", differences, test, "there is only one")) == expected
