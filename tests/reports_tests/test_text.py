"""Numbers, names and code as words."""

from __future__ import annotations

import math

import pytest

from reports.text import (
    capitalised,
    code,
    command_line,
    escaped,
    fixed,
    forward_lines,
    joined,
    latex,
    listing,
    number,
    one_line,
    percent,
    plural,
    probability,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1e-8, "10⁻⁸"),
        (1.17e-5, "1.17 × 10⁻⁵"),
        (-2.5e-7, "−2.50 × 10⁻⁷"),
        (0.00141, "0.00141"),
        (2.3, "2.30"),
        (123.4, "123"),
        (12345.6, "12300"),
        (1.5e7, "1.50 × 10⁷"),
        (math.nan, "not a number"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    assert number(value) == expected


def test_small_words() -> None:
    assert number(1e-8, 1) == "10⁻⁸"
    assert plural(1, "step") == "1 step"
    assert plural(2000, "batch", "batches") == "2,000 batches"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined([]) == ""
    assert joined(word for word in "ab") == "a and b"
    assert one_line("a\n\n  b ") == "a b"
    assert listing("x = 1\n", "python") == "`````python\nx = 1\n`````"
    assert probability(0.0004) == "p < 0.001"
    assert probability(0.0412) == "p = 0.041"
    assert percent(math.nan) == "not a number"
    assert fixed(None) == "–"
    assert fixed(-0.5, 1) == "−0.5"
    assert fixed(math.nan) == "not a number"
    assert capitalised("an MNIST") == "An MNIST"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a|b") == "`a\\|b`"


def test_text_of_a_record_is_escaped() -> None:
    assert escaped("a_b *c* $d$ [e] <f> `g` a|b") == (
        "a\\_b \\*c\\* \\$d\\$ \\[e\\] \\<f\\> \\`g\\` a\\|b"
    )
    assert escaped("# no heading") == "\\# no heading"
    assert escaped("1. no list") == "1\\. no list"
    assert escaped("- no list -- no dash") == "\\- no list \\-- no dash"
    assert escaped("one\n\ntwo") == "one two"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("nncompare run x --sample --out /a/b", "nncompare run x --sample"),
        ("nncompare run x --out=/a/b --resume", "nncompare run x"),
        ("nncompare run /home/me/x.toml", "nncompare run x.toml"),
        ("nncompare run x --data-dir /d/mnist", "nncompare run x --data-dir mnist"),
        ("nncompare run x --data-dir=C:\\\\d\\\\mnist", "nncompare run x --data-dir=mnist"),
        ("nncompare run x --data-dir /", "nncompare run x --data-dir DIR"),
        ("nncompare run 'it is", "nncompare run 'it is"),
        ("nncompare run x --set training.epochs=3", "nncompare run x --set training.epochs=3"),
    ],
)
def test_a_command_without_what_belongs_to_one_machine(command: str, expected: str) -> None:
    assert command_line(command) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-5, "10^{-5}"), (2e-6, "2\\cdot10^{-6}"), (0.1, "0.1"), (None, "None"), (8.0, "8")],
)
def test_numbers_in_formulas(value: object, expected: str) -> None:
    assert latex(value) == expected


EXCERPT = """def forward(self, x):
    # the sum
    return total(self, x)

def backward(self, dy):
    return back(dy)

# total: Adds up.
# back: Takes apart.
# forward: Called first."""


def test_the_forward_pass_of_an_excerpt_and_the_rest() -> None:
    assert forward_lines(EXCERPT) == (
        "def forward(self, x):\n    # the sum\n    return total(self, x)\n\n"
        "# total: Adds up.\n# forward: Called first."
    )
    assert forward_lines(EXCERPT, but=True) == (
        "def backward(self, dy):\n    return back(dy)\n\n# back: Takes apart."
    )
    only = "def forward(self, x):\n    return x"
    assert (forward_lines(only), forward_lines(only, but=True)) == (only, "")
    assert forward_lines("no python (") == ""
    assert forward_lines("no python (", but=True) == "no python ("
