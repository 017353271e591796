"""Markdown tables, and cells of them with each of their outcomes."""

from __future__ import annotations

import math

import pytest

from compare.analysis.intervals import Equality, Interval, equivalence_test
from compare.records.run import Control
from compare.records.tables import ParityRow
from reports.network import site_of
from reports.parity_tables import controls_table, parity_table
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


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ("the bias is not added: y = x Wᵀ + b", "`missing`: the bias is not added"),
        ("ε is 1, outside the root; it is 2", "`missing`: ε is 1"),
        ("m is not corrected", "`missing`: m is not corrected"),
        ("", "`missing`"),
    ],
)
def test_a_mistake_is_told_in_words(explanation: str, expected: str) -> None:
    found = Control(
        part="Linear", rows=8, tried=2, noticed=2, least="missing", explanation=explanation,
        over_bound=160.0,
    )  # fmt: skip
    assert f"| {expected} | 160 |" in controls_table([found])
    nothing = Control(part="Linear", rows=8, tried=2, noticed=0)
    assert controls_table([nothing]).splitlines()[-1] == "| `Linear` | 2 | 0 | – | – |"


def test_sites_of_evaluation_are_a_kind_of_their_own() -> None:
    row = ParityRow("SGD", 0, 9, "float32", "evaluation/1/output", 1e-7, 1e-7, 1e-6, True)
    assert site_of(row) == ("evaluation", "evaluation", "1", "1/output")
    whole = row._replace(dtype="float64", site="whole/evaluation/loss/output")
    assert site_of(whole) == ("evaluation", "evaluation", "loss", "loss/output")
    made = parity_table({"SGD": [row, whole]}, what="training")
    assert made.splitlines()[2:] == [
        "| SGD | evaluation mode | 2 | 0 | 10.0% | 9 | `evaluation/1/output` |"
    ]
