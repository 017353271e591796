"""The table at the end of a run: the right figures, and nothing cut off at 80 columns."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from compare.console.summary import show_summary
from compare.records.run import read_run


def shown(run, **settings) -> tuple[bool, str]:
    out = io.StringIO()
    passed = show_summary(run, Console(file=out, width=80, **settings))
    return passed, out.getvalue()


@pytest.fixture
def run(finished):
    return read_run(finished)


def cells(text: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("│\n").split("│")]
            for line in text.splitlines() if line.startswith("│")]  # fmt: skip


def fail(run, index: int, error: float = 1.0):
    row = run.parity[index]._replace(numpy_error=error, tolerance=0.5, passed=False)
    run.parity[index] = row
    return row


def test_all_pass(run):
    passed, text = shown(run)
    assert passed
    rows = cells(text)
    assert [row[:2] for row in rows] == [
        ["NumPy", "SGD"], ["PyTorch", "SGD"], ["NumPy", "Adam"], ["PyTorch", "Adam"],
    ]  # fmt: skip
    count = len(run.parity_of(run.record.trainings[0]))
    assert [row[-1] for row in rows[:2]] == [f"pass {count}", "reference"]
    last = {(r.backend, r.label, r.metric): r.value for r in run.history if r.split == "test"}
    for row, key in zip(
        rows,
        [("numpy", "SGD"), ("torch", "SGD"), ("numpy", "Adam"), ("torch", "Adam")],
        strict=True,
    ):
        assert row[3] == f"{last[(*key, 'loss')]:.4f}"
        assert row[4] == f"{last[(*key, 'accuracy')]:.4f}"


def test_a_failure_is_named(run):
    row = fail(run, 5)
    passed, text = shown(run)
    assert not passed
    rows = cells(text)
    assert rows[0][-1] == "FAIL 1"
    assert rows[1][-1] == "reference"
    assert rows[2][-1].startswith("pass")
    assert f"SGD: 1 of {len(run.parity_of(run.record.trainings[0]))} comparisons fail" in text
    assert row.site.removeprefix("initial/") in text.splitlines()[-1]


def test_a_failure_of_the_second_training(run):
    fail(run, len(run.parity) - 1)
    passed, text = shown(run)
    assert not passed
    assert [row[-1].split()[0] for row in cells(text)] == [
        "pass", "reference", "FAIL", "reference",
    ]  # fmt: skip
    assert text.splitlines()[-1].startswith("Adam: 1 of ")


def test_no_training_is_no_pass(run):
    run.record.trainings.clear()
    assert not shown(run)[0]


def test_a_training_without_comparisons_is_no_pass(run):
    run.parity.clear()
    for training in run.record.trainings:
        training.parity_rows = 0
    assert not shown(run)[0]


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_cut_off_at_80_columns(run, terminal):
    """Also with several seeds, many failures, slow steps and losses that run away."""
    for training in run.record.trainings:
        training.seed = 4294967295
    run.record.trainings.append(run.record.trainings[0].model_copy(update={"seed": 0}))
    big = [r._replace(value=-1.23456789e30, seed=4294967295) for r in run.history]
    timing = [r._replace(numpy_s=1.0, torch_s=1.0, seed=4294967295) for r in run.timing]
    parity = [r._replace(passed=False, seed=4294967295) for r in run.parity] * 1000
    run = replace(run, history=big, timing=timing, parity=parity)
    _, text = shown(run, force_terminal=terminal)
    assert "…" not in text
    assert "4294967295" in text
    assert "-1.23e+30" in text
    assert "1000.00" in text
    assert "FAIL" in text
    if not terminal:
        assert max(map(len, text.split("SGD, seed 4294967295: ")[0].splitlines())) <= 80


def test_a_title_is_not_read_as_markup(run):
    experiment = run.record.experiment.model_copy(update={"title": "[bold] on [/] data"})
    run.record.experiment = experiment
    assert "[bold] on [/] data" in shown(run)[1]


def test_values_that_are_missing_or_no_numbers(run):
    rows = [r._replace(value=math.nan) for r in run.history if r.backend == "numpy"]
    text = shown(replace(run, history=rows, timing=[]))[1]
    assert cells(text)[0][2:6] == ["nan", "nan", "nan", "–"]
    assert cells(text)[1][2:6] == ["–", "–", "–", "–"]
