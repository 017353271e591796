"""The terminal's table of many trainings, at 80 columns, and the lines of the claims."""

from __future__ import annotations

import io

from planted.runs import planted_run
from rich.console import Console

from compare.console.summary import MOST_ROWS, show_summary
from compare.records.run import FailureRecord

SCALES = {"std": {"key": "model.std", "log_steps": {"first": 1.0, "last": 1e-4, "count": 40}}}
CLAIM = {"quantity": "test accuracy", "relation": "at least", "value": 0.01}


def shown(run) -> str:
    out = io.StringIO()
    show_summary(run, Console(file=out, width=80))
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│\n").split("│")]
            for line in text.splitlines() if line.startswith("│")]  # fmt: skip


def by_std(backend: str, variant: dict[str, str], seed: int) -> float:
    return 0.1 + 0.5 * float(variant["std"].split()[1]) + 0.01 * seed


def test_the_best_have_a_row_each_with_means_over_seeds() -> None:
    text = shown(planted_run(by_std, vary=SCALES))
    found = rows(text)
    assert len(found) == MOST_ROWS
    assert found[0][:1] == ["1"]
    assert found[0][3:5] == ["0.6100", "0.6100"]
    accuracies = [float(row[3]) for row in found]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "the best 16 of 40 by NumPy's final test accuracy, means over 3 seeds" in text
    table = text.partition("Shown:")[0]
    assert max(map(len, table.splitlines())) <= 80


def test_every_claim_has_a_line() -> None:
    claims = (CLAIM, {**CLAIM, "value": 0.99}, {**CLAIM, "value": 0.15})
    text = shown(planted_run(by_std, vary=SCALES, claims=claims))
    assert "Claim supported: “it is so”." in text
    assert "Claim not supported: “it is so”." in text
    assert "about the full experiment" not in text
    part = shown(planted_run(by_std, vary=SCALES, claims=claims, max_steps=1))
    assert "The 3 claims about the full experiment are not answered by a part of it." in part
    assert "Claim " not in part


def test_a_claim_on_which_the_sides_differ_says_so() -> None:
    run = planted_run(lambda backend, *_: 0.9 if backend == "numpy" else 0.001, claims=(CLAIM,))
    assert "Claim undecided: “it is so” (NumPy supported, PyTorch not supported)." in shown(run)


def test_failed_trainings_are_named_and_many_are_counted() -> None:
    failures = [FailureRecord(label="SGD", seed=k, error="it broke") for k in range(9)]
    text = shown(planted_run(lambda *_: 0.5, failures=failures))
    assert "SGD, seed 3 failed: it broke" in text
    assert "… and 4 more failed trainings." in text
    assert "SGD, seed 7" not in text


def test_without_test_rows_the_training_set_has_its_columns() -> None:
    run = planted_run(lambda *_: 0.5, quantity="training-set accuracy")
    run.record.data.test_rows = 0
    assert [row[4] for row in rows(shown(run))] == ["0.5000"] * 6
