"""nncompare check FOLDER: a line for each, and nobody's mistake is another's."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from compare.check.grading import COLUMNS, Submission, as_csv, find_submissions
from compare.check.result import Outcome, Result
from compare.check.scoring import EQUAL
from compare.commands.class_report import class_markdown, page_names, write_class_report
from reports.figures.scores import score_counts

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
        "0.8333",
        "0.0000",
    ]
    assert rows["dan.py"]["points"] == "83.33"
    assert rows["dan.py"]["mistakes"] == "sum-not-mean"
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


SUM = ("dz / len(y)", "dz")
SHIFTED = ("dz[np.arange(len(y)), y] -= 1", "dz[np.arange(len(y)), (y + 1) % 5] -= 1")
OFFSET = ("[np.arange(len(y)), y]).mean()", "[np.arange(len(y)), y] + 1e-7).mean()")
ODD = "o'brien & <b>söhne [x](y) *a* | 100%.py"


@pytest.fixture
def outcomes(check):
    """Seven outcomes under names of their own."""
    right, total, shifted = check(), check(SUM), check(SHIFTED)
    accepted = check(OFFSET, accept=("log-offset-mismatch",))
    broken = Outcome("", Result(error="line 3: <script> is *no* Python."))
    no_bias = check(("dh.sum(axis=0)", "0 * params['b1']"))
    named = {"ada.py": right, "bob.py": total, "cyd.py": shifted, "dan.py": accepted,
             "eve.py": broken, ODD: total, "gus.py": no_bias}  # fmt: skip
    return [replace(outcome, name=name) for name, outcome in named.items()]


def test_the_page_of_the_class(outcomes, tmp_path) -> None:
    pages = page_names([Submission(outcome.name, Path()) for outcome in outcomes])
    paths = write_class_report(outcomes, pages, tmp_path, EQUAL)
    assert [path.name for path in paths] == ["class.html", "class.csv"]
    html = (tmp_path / "class.html").read_text(encoding="utf-8")
    assert "7 submissions: 2 agrees, 4 differs, 1 not checked." in html
    assert html.index("<code>sum-not-mean</code>") < html.index(
        "<code>missing-bias-gradient</code>"
    )
    assert html.index("Accepted conventions") < html.index("<code>log-offset-mismatch</code>")
    assert html.index("without a name") < html.rindex("gradient of 2.weight")
    assert "o&#39;brien &amp; &lt;b&gt;söhne [x](y) *a* | 100%.py" in html
    assert 'href="ada.html"' in html
    assert "line 3: &lt;script&gt; is *no* Python." in html
    assert "<svg" in html or "data:image/svg" in html
    with (tmp_path / "class.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 7


def test_mistakes_are_listed_with_who_made_them(outcomes) -> None:
    text = class_markdown(outcomes, [1.0] * 7, {"bob.py": "bob"}, 40)
    row = next(line for line in text.splitlines() if line.startswith("| `sum-not-mean`"))
    assert row.startswith("| `sum-not-mean` | 2 | [bob\\.py](bob.html), o\\'brien")
    section = text.partition("## First divergences without a name")[2].partition("## ")[0]
    assert "cyd" in section
    assert "bob" not in section


def test_a_class_of_nobody(tmp_path) -> None:
    write_class_report([], {}, tmp_path / "new", EQUAL)
    assert "There are no submissions." in (tmp_path / "new" / "class.html").read_text("utf-8")
    assert (tmp_path / "new" / "class.csv").read_text().splitlines() == [",".join(COLUMNS)]


def test_no_page_takes_the_name_of_another() -> None:
    names = ["ada.py", "bob.py", "bob", "class.py", "Cyd.py", "cyd"]
    pages = page_names([Submission(name, Path()) for name in names])
    assert list(pages) == names
    assert pages["ada.py"] == "ada"
    assert len({page.lower() for page in (*pages.values(), "class")}) == 7


def test_a_folder_has_a_page_for_the_class(command_line, write, golden, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for name, changes in {"class": [SUM], "ada": []}.items():
        write(*changes).rename(tmp_path / "in" / f"{name}.py")
    ended = command_line("check", tmp_path / "in", "--golden", golden, "--report", tmp_path / "out",
                         "--weight", "gradient/7.weight=2")  # fmt: skip
    assert ended.status == 1
    assert "Note: gradient/7.weight has a weight, but nothing of that name" in ended.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ada.html", "ada.pdf", "class.csv", "class.html", "class.py-page.html", "class.py-page.pdf",
    ]  # fmt: skip
    html = (tmp_path / "out" / "class.html").read_text(encoding="utf-8")
    assert 'href="class.py-page.html"' in html
    page = (tmp_path / "out" / "class.py-page.html").read_text(encoding="utf-8")
    assert "Follows from the gradient of 2.weight: no further points lost." in page
    assert "<strong>83.33</strong>" in page


@pytest.mark.parametrize(
    ("score", "bar"),
    [(0.0, 0), (0.099, 0), (0.1, 1), (0.3, 3), (1 - 0.1, 9), (0.999, 9), (1.0, 10)],
)
def test_bars_of_the_scores(score, bar) -> None:
    assert score_counts([score]).index(1) == bar
