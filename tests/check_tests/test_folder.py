"""nncompare check FOLDER: a line for each, and nobody's mistake is another's."""

from __future__ import annotations

import csv

import pytest

from compare.check.grading import as_csv, find_submissions

LOOP = ("    h = hidden", "    while True: pass\n    h = hidden")
CRASH = ("    h = hidden", "    __import__('os').abort()\n    h = hidden")


@pytest.fixture
def handed_in(write, tmp_path):
    """Five submissions; the text of one is right."""
    folder = tmp_path / "handed in"
    folder.mkdir()
    homework = write()
    for name, changes in {
        "ada": [],
        "bob": [LOOP],
        "cyd": [CRASH],
        "dan": [("dz / len(y)", "dz")],
        "eve": [("import numpy", "import nump")],
    }.items():
        write(*changes).rename(folder / f"{name}.py")
    assert not homework.exists()
    return folder


def test_a_line_for_each(command_line, handed_in, tmp_path) -> None:
    ended = command_line(
        "check", handed_in, "--csv", tmp_path / "grades.csv", "--timeout", "3", "--jobs", "3"
    )
    assert ended.status == 2
    lines = ended.out.splitlines()
    assert [line[:6] for line in lines[:5]] == ["ada.py", "bob.py", "cyd.py", "dan.py", "eve.py"]
    assert lines[5] == "5 submissions: 1 agrees, 1 differs, 3 not checked."
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert [row["status"] for row in rows.values()] == [
        "agrees", "not checked", "not checked", "differs", "not checked",
    ]  # fmt: skip
    assert [row["score"] for row in rows.values()] == [
        "1.0000",
        "0.3333",
        "0.3333",
        "0.3333",
        "0.0000",
    ]
    assert rows["dan.py"]["first_divergence"] == "gradient of 2.weight"
    assert rows["dan.py"]["diagnosis"] == "sum-not-mean"
    assert "time limit" in rows["bob.py"]["explanation"]
    assert "SIGABRT" in rows["cyd.py"]["explanation"]


def test_folders_of_folders(tmp_path) -> None:
    for name in ("ada/hw.py", "bob/homework.py", "bob/layers.py", "cyd/a.py", "cyd/b.py",
                 "dan/notes.txt", ".git/x.py", "_old.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {s.name: s.file and s.file.name for s in find_submissions(tmp_path)}
    assert found == {"ada": "hw.py", "bob": "homework.py", "cyd": None, "dan": None}
    assert find_submissions(tmp_path)[3].problem == (
        "the folder holds no Python file and no notebook; expected --file NAME, or one file only."
    )
    named = {s.name: s.file and s.file.name for s in find_submissions(tmp_path, "b.py")}
    assert named["cyd"] == "b.py"
    assert named["ada"] is None
    (tmp_path / "eve.py").touch()
    assert "dan" not in {
        s.name for s in find_submissions(tmp_path)
    }  # beside files it may be anything


def test_an_empty_folder(nncompare, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    assert "holds no Python files" in nncompare("check", tmp_path).err


def test_a_grade_book_computes_nothing() -> None:
    text = as_csv([{"submission": "=1+1.py", "explanation": "fine"}])
    assert "'=1+1.py" in text
