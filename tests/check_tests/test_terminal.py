"""A result on a terminal of 80 columns, and in a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from compare.console.check import show_outcome

MISTAKES = [("dz = dz / len(y)", "dz = dz"), ("dh.sum(axis=0)", "0 * params['b1']")]


@pytest.fixture
def outcome(check):
    return check(*MISTAKES)


def test_lines_are_broken_between_words(outcome):
    text = io.StringIO()
    show_outcome(outcome, Console(file=text, width=80, force_terminal=True, color_system=None))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(text.getvalue().split())
    for check in outcome.result.checks:
        if check.diagnosis is not None:
            assert check.diagnosis.explanation[1:] in words
    start = next(i for i, line in enumerate(lines) if line.startswith("Mistake: sum-not-mean."))
    assert lines[start + 1].startswith("  ")  # what goes on is indented
    assert sum(line.startswith("Mistake: ") for line in lines) == 2


def test_a_sentence_is_one_line_of_a_file(outcome):
    text = io.StringIO()
    show_outcome(outcome, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert outcome.result.invariants[0] in lines[1]
    assert any(line.startswith("Mistake: sum-not-mean.") and len(line) > 80 for line in lines)
