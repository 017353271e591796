"""A run directory whose parts contradict each other is refused in one sentence that names them."""

from __future__ import annotations

import json
import shutil

import pytest

from compare.records.run import read_run
from experiments.errors import InputError


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def refusal(run) -> str:
    with pytest.raises(InputError) as caught:
        read_run(run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(run, table: str, function) -> None:
    file = run / f"{table}.csv"
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([header, *function(rows), ""]), encoding="utf-8")


def of_sgd(rows):
    return [row for row in rows if "SGD" in row.split(",")]


TABLES = {
    "half a history": (
        "history", lambda rows: rows[: len(rows) // 2], "losses of 6 steps|0 steps",
    ),
    "a step is missing": (
        "history", lambda rows: [r for r in rows if ",3,step," not in r], "5 steps of numpy",
    ),
    "an evaluation is missing": (
        "history",
        lambda rows: [r for r in rows if not r.startswith("torch") or ",test," not in r],
        "the two backends of SGD, seed 0 have other evaluations",
    ),
    "rows of one label alone": ("parity", of_sgd, "0 rows of Adam, seed 0"),
    "doubled rows": ("parity", lambda rows: [r for r in rows for _ in "12"], "but run.json says"),
    "doubled rows of drift": ("drift", lambda rows: [r for r in rows for _ in "12"], "row 2"),
    "reversed": ("parity", lambda rows: rows[::-1], "expected one after"),
    "reversed times": ("timing", lambda rows: rows[::-1], "expected one after"),
    "another label": (
        "timing", lambda rows: [r.replace("SGD", "RMS") for r in rows], "rows of RMS, seed 0",
    ),
    "a step below 0": (
        "drift", lambda rows: [rows[0].replace(",1,", ",-4,"), *rows[1:]], "found '-4'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_tables(copy, case):
    table, function, says = TABLES[case]
    change(copy, table, function)
    message = refusal(copy)
    assert message.startswith(f"{copy / table}.csv is damaged: ")
    assert any(part in message for part in says.split("|")), message


RECORDS = {
    "kinks of no step": (lambda t: t["trainings"][0]["kinks"][0].update(step=99), "has kinks"),
    "negative steps": (lambda t: t["trainings"][0].update(steps=-1), "trainings.0.steps: "),
    "negative rows": (lambda t: t["trainings"][0].update(parity_rows=-9), "parity_rows: "),
    "negative data": (lambda t: t["data"].update(test_rows=-1), "data.test_rows: "),
    "more rows than there are": (
        lambda t: t["trainings"][1].update(parity_rows=10**6), "but run.json says 1,000,000",
    ),
    "fewer": (lambda t: t["trainings"][1].update(parity_rows=3), "but run.json says 3"),
    "a training twice": (
        lambda t: t["trainings"].append(t["trainings"][0]), "'SGD' with seed 0 is there twice",
    ),
    "complete without one": (lambda t: t["trainings"].pop(), "no finished Adam, seed 0"),
    "complete, not finished": (
        lambda t: t["trainings"][0].update(finished=False), "no finished SGD, seed 0",
    ),
    "a training of nothing": (
        lambda t: t["trainings"][0].update(seed=5), "0 rows of SGD, seed 5",
    ),
    "other steps": (lambda t: t["trainings"][0].update(steps=5), "losses of 6 steps of numpy"),
}  # fmt: skip


@pytest.mark.parametrize("case", RECORDS)
def test_records(copy, case):
    spoil, says = RECORDS[case]
    tree = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    spoil(tree)
    (copy / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    message = refusal(copy)
    assert says in message
    assert "is damaged" in message


def test_tables_that_are_newer_than_an_unfinished_record(copy):
    """As a kill leaves them between the tables and run.json."""
    tree = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    tree["status"] = "incomplete"
    tree["trainings"][1].update(finished=False, steps=2, parity_rows=5, kinks=[])
    (copy / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    read_run(copy)
    tree["trainings"].pop()
    (copy / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    read_run(copy)
