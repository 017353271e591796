"""A class: each submission apart from the others, and a grade book that keeps its lines."""

from __future__ import annotations

import csv
import io
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare.check.child_process import ChildTimeoutError
from compare.check.grader import Grader
from compare.check.grading import (
    COLUMNS,
    GradeBook,
    Submission,
    as_cell,
    as_csv,
    check_submissions,
    csv_line,
    find_submissions,
)
from compare.check.reading import Options
from compare.check.reference_process import shared_answers
from experiments.errors import InputError

KILL = (
    "    h = hidden",
    "    import os, signal\n    os.kill(PARENT, signal.SIGKILL)\n    h = hidden",
)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a grade book."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def options(golden) -> Options:
    """Without PyTorch, which plays no part here."""
    from compare.check.golden import read_golden

    return Options(golden=read_golden(golden), timeout_s=20.0)


def test_a_grader_that_dies_costs_one_line(write, options, monkeypatch):
    """A submission that reaches the process that checks it, as it can where nothing isolates it."""
    homework, grader = write(), Grader(options)
    try:
        assert grader.check(homework).status == 0
        first = grader._child._process.pid
        sent = grader._child.send

        def die(message: object) -> None:
            sent(message)
            os.kill(first, signal.SIGKILL)

        monkeypatch.setattr(grader._child, "send", die)
        ended = grader.check(homework)
        assert ended.result.error == (
            "The process that checked it did not survive: it ended with SIGKILL."
        )
        assert grader.check(homework).status == 0
        assert grader._child._process.pid != first
    finally:
        grader.close()


def test_a_silent_grader_is_ended(write, options, monkeypatch):
    """After four times the limit of a homework and a quarter of an hour."""
    waited = []

    class Silent:
        def __init__(self, module: str) -> None:
            assert module == "compare.check.grader"

        def send(self, message: object) -> None:
            pass

        def receive(self, timeout_s: float) -> object:
            waited.append(timeout_s)
            raise ChildTimeoutError

        def close(self) -> None:
            waited.append("closed")

    monkeypatch.setattr("compare.check.grader.ChildProcess", Silent)
    found = Grader(options).check(write())
    assert (found.status, waited) == (2, [980.0, "closed"])
    assert found.result.error == "The process that checked it had not finished after 980 s."


def test_the_others_are_graded_when_one_kills_its_parent(command_line, write, tmp_path):
    (folder := tmp_path / "in").mkdir()
    for name in ("ada", "bob", "cyd"):
        changes = [KILL] if name == "bob" else []
        write(*((old, new.replace("PARENT", "os.getppid()")) for old, new in changes)).rename(
            folder / f"{name}.py"
        )
    # Apart from the machine it reaches nobody.
    ended = command_line(
        *("check", folder, "--csv", tmp_path / "g.csv", "--timeout", "20", "--isolation", "off")
    )
    rows = read(tmp_path / "g.csv")
    assert [row["submission"] for row in rows] == ["ada.py", "bob.py", "cyd.py"]
    assert [rows[0]["status"], rows[2]["status"]] == ["agrees", "agrees"]
    assert rows[1]["status"] != "agrees"
    assert "Traceback" not in ended.err
    assert "drawn with the seed 20240601: --seed 20240601 asks them again." in ended.out
    assert rows[0]["seed"] == "20240601"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="this system does not list its processes")
def test_nothing_runs_on_when_the_class_is_interrupted(write, tmp_path, options):
    """A homework that loops for ever is ended with the grader that waits for it."""
    (tmp_path / "in").mkdir()
    write().rename(tmp_path / "in" / "ada.py")
    told = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    loop = ("import numpy as np", f"import os, numpy as np\n{told}\nwhile True: pass")
    write(loop).rename(tmp_path / "in" / "bob.py")

    def wait_for_bob(*_: object) -> None:
        given_up = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < given_up
            time.sleep(0.05)
        raise KeyboardInterrupt

    seen = replace(options, isolation="off")  # apart from the machine it could not tell its number
    with pytest.raises(KeyboardInterrupt):
        check_submissions(find_submissions(tmp_path / "in"), seen, wait_for_bob)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_every_line_is_there_when_the_next_begins(write, options, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("ada", "bob"):
        write().rename(tmp_path / "in" / f"{name}.py")
    book, seen = GradeBook(tmp_path / "new" / "g.csv"), []

    def add(one: Submission, outcome: object) -> None:
        book.add({**dict.fromkeys(COLUMNS, ""), "submission": one.name})
        seen.append((tmp_path / "new" / "g.csv").read_text().count("\n"))

    check_submissions(find_submissions(tmp_path / "in"), options, add, jobs=1)
    assert seen == [2, 3]


def test_the_grade_book_is_there_when_the_class_is_interrupted(write, options, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("ada", "bob"):
        write().rename(tmp_path / "in" / f"{name}.py")
    book = GradeBook(tmp_path / "g.csv")

    def add(one: Submission, outcome: object) -> None:
        book.add({**dict.fromkeys(COLUMNS, ""), "submission": one.name})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_submissions(find_submissions(tmp_path / "in"), options, add)
    assert (tmp_path / "g.csv").read_text().splitlines()[1].startswith("ada.py")


def test_a_grade_book_that_cannot_be_written(command_line, write, tmp_path):
    (tmp_path / "in").mkdir()
    write().rename(tmp_path / "in" / "ada.py")
    ended = command_line("check", tmp_path / "in", "--csv", tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"nncompare: {tmp_path} could not be written: ")
    with pytest.raises(InputError, match="could not be written"):
        GradeBook(tmp_path / "in" / "ada.py" / "g.csv")


ODD_NAMES = (b"a\xff.py", b"b\nb.py", b"c\x1b[2Jc.py", b"=d.py", b"e" * 250 + b".py", b"..f.py")


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_odd_names_cost_nothing_but_their_page(command_line, write, golden, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    text = write().read_bytes()
    for name in ODD_NAMES[:-1]:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(text)
    monkeypatch.setattr("compare.commands.check_report.pdf_document", lambda *_: b"")
    monkeypatch.setattr("compare.commands.check_report.html_document", lambda *_: "")
    monkeypatch.setattr("compare.commands.class_report.html_document", lambda *_: "")
    ended = command_line("check", folder, "--golden", golden, "--csv", tmp_path / "g.csv",
                         "--report", tmp_path / "out")  # fmt: skip
    assert (ended.status, "Traceback" in ended.err) == (0, False), ended
    assert "\x1b[2J" not in ended.out
    rows = read(tmp_path / "g.csv")
    assert len(rows) == 5
    assert {row["status"] for row in rows} == {"agrees"}
    assert "'=d.py" in {row["submission"] for row in rows}
    assert "could not be written" in ended.out  # the page of the longest name
    assert (tmp_path / "out" / "class.csv").exists()


def test_names_that_look_the_same_are_told_apart(tmp_path):
    for name in (b"a\xfe.py", b"a\xff.py"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    names = [one.name for one in find_submissions(tmp_path)]
    assert names == ["a\N{REPLACEMENT CHARACTER}.py", "a\N{REPLACEMENT CHARACTER}.py (2)"]


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\t=", "\r@", "\uff1d"]
)
def test_cells_that_a_spreadsheet_would_compute(start):
    expected = f"{start}1+1".replace("\r", "\n")
    assert as_cell(f"{start}1+1") == f"'{expected}"


@pytest.mark.parametrize("cell", ["ada", "", "a=b", 3, 0.25, "0.5", " a"])
def test_other_cells_stay(cell):
    assert as_cell(cell) == cell


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=5), min_size=len(COLUMNS), max_size=len(COLUMNS)))
def test_any_cells_are_one_row_that_computes_nothing(texts):
    """Read back as a spreadsheet reads it: as many cells, and none begins a formula."""
    texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    cells = dict(zip(COLUMNS, texts, strict=True))
    rows = list(csv.reader(io.StringIO(csv_line(cells), newline="")))
    assert len(rows) == 1
    assert [cell.removeprefix("'") for cell in rows[0]] == [
        text.removeprefix("'") for text in texts
    ]
    assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in rows[0] if cell)


def test_a_grade_book_of_nobody():
    assert as_csv([]).splitlines() == [",".join(COLUMNS)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_networks(write, tmp_path):
    """Twelve different networks, each with some 30 MB of cases."""
    import resource

    (tmp_path / "in").mkdir()
    old = "nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))"
    for number in range(12):
        width = 9000 + number
        new = f"nn.Sequential(nn.Linear(12, {width}), nn.ReLU(), nn.Linear({width}, 5))"
        write((old, new)).rename(tmp_path / "in" / f"{number:02}.py")
    shared_answers()
    peaks = []
    check_submissions(
        find_submissions(tmp_path / "in"),
        Options(timeout_s=60.0),
        lambda *_: peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
        jobs=1,
    )
    assert peaks[-1] - peaks[6] < 60_000  # kB
