"""Submissions of a class: which are found, and who checks them."""

from __future__ import annotations

import os
import queue
from pathlib import Path

import pytest

from compare.check import grader, grading
from compare.check.child_process import ChildEndedError, ChildTimeoutError
from compare.check.contract import Assignment
from compare.check.grader import Grader
from compare.check.grading import (
    GradeBook,
    Submission,
    _main_file,
    _others,
    _with_names_apart,
    as_csv,
    check_submissions,
    csv_line,
    find_submissions,
)
from compare.check.reading import Options
from compare.check.reference_process import Question
from compare.check.result import Outcome, Result
from experiments.errors import InputError

HEAD = (
    "submission,status,score,passed,checks,first_divergence,diagnosis,explanation,points,accepted,"
    "mistakes,seed\n"
)


def folder_with(tmp_path: Path, *files: str) -> Path:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
        else:
            path.mkdir(exist_ok=True)
    return tmp_path


NONE = "the folder holds no Python file and no notebook; expected --file NAME, or one file only."


@pytest.mark.parametrize(
    ("files", "file", "found"),
    [
        (["b.py", "a.ipynb", "c.txt", ".d.py", "_e.py"], None,
         [("a.ipynb", "a.ipynb", None), ("b.py", "b.py", None)]),
        (["ada/x.py", "bob/notes.txt"], None, [("ada", "ada/x.py", None), ("bob", None, NONE)]),
        (["ada/x.py", "bob/notes.txt", "z.py"], None,
         [("ada", "ada/x.py", None), ("z.py", "z.py", None)]),
        (["bob/notes.txt"], None, []),
        (["ada/deep/er/x.py"], None, [("ada", "ada/deep/er/x.py", None)]),
        (["ada/x.py", "ada/y.py"], None,
         [("ada", None, "the folder holds x.py, y.py; expected --file NAME, or one file only.")]),
        (["ada/x.py", "ada/y.py"], "y.py", [("ada", "ada/y.py", None)]),
        (["ada/x.py", "bob/notes.txt"], "y.py",
         [("ada", None, "the folder holds x.py; expected y.py."),
          ("bob", None, "the folder holds no Python file and no notebook; expected y.py.")]),
        (["ada/x.py", "ada/main.py"], None, [("ada", "ada/main.py", None)]),
        (["ada/solution.py", "ada/homework.ipynb"], None, [("ada", "ada/homework.ipynb", None)]),
        (["ada/x.py", "ada/x.ipynb", "ada/__pycache__/z.py", "ada/.ipynb_checkpoints/x.ipynb"],
         None, [("ada", "ada/x.py", None)]),
        ([".hidden/x.py", "_own/x.py", "ada/x.py"], None, [("ada", "ada/x.py", None)]),
    ],
)  # fmt: skip
def test_submissions_in_a_folder(tmp_path, files, file, found) -> None:
    folder = folder_with(tmp_path, *files)
    assert find_submissions(folder, file) == [
        Submission(name, path and folder / path, problem) for name, path, problem in found
    ]


@pytest.mark.parametrize(
    "name", [f"{n}{e}" for n in ("homework", "main", "solution", "submission")
             for e in (".py", ".ipynb")]
)  # fmt: skip
def test_the_main_file_of_several(name) -> None:
    others = [Path("a.py"), Path("b.py"), Path(name)]
    assert _main_file(others, None) == Path(name)
    assert _main_file(others, "b.py") == Path("b.py")
    assert _main_file(others, "c.py") is None
    assert _main_file([Path("a.ipynb"), Path("a.py")], None) == Path("a.py")


def test_names_are_printable_and_apart() -> None:
    names = ("a", "a", "b\n", "b\r", "a", "c")
    found = _with_names_apart([Submission(name, None) for name in names])
    assert [one.name for one in found] == ["a", "a (2)", "b\ufffd", "b\ufffd (2)", "a (3)", "c"]


def test_the_files_that_a_homework_does_not_see() -> None:
    files = [Path("/c/a.py"), Path("/c/b.py"), Path("/c/d/x.py"), None, Path("/c/d/y.py")]
    all_of_them = [Submission(str(n), file) for n, file in enumerate(files)]
    assert _others(all_of_them[0], all_of_them) == (Path("/c/b.py"), Path("/c/d"))
    assert _others(all_of_them[2], all_of_them) == (
        Path("/c/a.py"), Path("/c/b.py"), Path("/c/d/y.py"),
    )  # fmt: skip
    assert _others(all_of_them[3], all_of_them) == ()


def test_a_grade_book_grows_by_whole_lines(tmp_path, monkeypatch) -> None:
    path = tmp_path / "new" / "g.csv"
    path.parent.mkdir()
    path.write_text("before")
    book = GradeBook(path)
    assert path.read_text() == as_csv([]) == HEAD
    book.add({"submission": "ö\udcff.py", "score": "1"})
    lines = path.read_bytes()
    assert lines == f"{HEAD}ö?.py,,1,,,,,,,,,\n".encode()
    assert csv_line({"submission": 'a"b', "explanation": "x,\ny"}) == ('"a""b",,,,,,,"x,\ny",,,,\n')
    assert as_csv([{"submission": "a"}]) == f"{HEAD}a,,,,,,,,,,,\n"

    class Full:
        """A file on a full disk: half of what is written arrives."""

        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_) -> None:
            self.file.close()

        def tell(self) -> int:
            return self.file.tell()

        def write(self, data) -> None:
            self.file.write(data[:5])
            self.file.flush()
            raise OSError(28, "No space left on device")

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: Full(real(self, *a, **k)))
    with pytest.raises(InputError) as error:
        book.add({"submission": "b.py"})
    monkeypatch.undo()
    assert str(error.value) == f"{path} could not be written: No space left on device."
    assert path.read_bytes() == lines  # nothing of the line is left
    os.remove(path)
    path.mkdir()
    with pytest.raises(InputError) as error:
        book.add({"submission": "b.py"})
    assert str(error.value) == f"{path} could not be written: Is a directory."
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as error:
        GradeBook(tmp_path / "file" / "x" / "g.csv")
    assert str(error.value).startswith(
        f"{tmp_path / 'file' / 'x' / 'g.csv'} could not be written: "
    )


class FakeGrader:
    """Checks nothing; what is asked of all of them is kept."""

    made: list[FakeGrader] = []  # noqa: RUF012

    def __init__(self, options) -> None:
        self.options, self.asked, self.closed = options, [], False
        self.made.append(self)

    def check(self, file, others) -> Outcome:
        self.asked.append((file, others))
        return Outcome("file", Result(error=str(file.name)))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("jobs", "count"), [(2, 2), (9, 3), (1, 1), (None, 3)])
def test_submissions_are_checked_in_order(monkeypatch, jobs, count) -> None:
    FakeGrader.made = []
    begun = []
    monkeypatch.setattr(grading, "Grader", FakeGrader)
    monkeypatch.setattr(grading, "shared_answers", lambda: begun.append("torch"))
    monkeypatch.setattr(grading.os, "cpu_count", lambda: 5)
    every = [Submission("a", Path("a.py")), Submission("b", None, "why"),
             Submission("c", Path("c.py"))]  # fmt: skip
    seen = []
    options = Options(seed=3)
    found = check_submissions(
        every, options, lambda one, outcome: seen.append((one, outcome)), jobs
    )
    assert found == [
        Outcome("a", Result(error="a.py")), Outcome("b", Result(error="why")),
        Outcome("c", Result(error="c.py")),
    ]  # fmt: skip
    assert seen == list(zip(every, found, strict=True))
    assert len(FakeGrader.made) == count
    assert all(one.closed and one.options is options for one in FakeGrader.made)
    asked = sorted(pair for one in FakeGrader.made for pair in one.asked)
    assert asked == [(Path("a.py"), (Path("c.py"),)), (Path("c.py"), (Path("a.py"),))]
    assert begun == ["torch"]
    golden = Options(golden="golden")  # type: ignore[arg-type]
    check_submissions(every[:1], golden, lambda *_: None, jobs)
    assert begun == ["torch"]


class Child:
    """A process that answers as it is told."""

    made: list[Child] = []  # noqa: RUF012

    def __init__(self, module: str) -> None:
        self.module, self.sent, self.limits, self.closed = module, [], [], False
        self.answers: list = []
        self.grown = False
        self.made.append(self)

    def send(self, message) -> None:
        self.sent.append(message)

    def receive(self, limit_s):
        self.limits.append(limit_s)
        answer = self.replies.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def has_grown(self) -> bool:
        return self.big

    def close(self) -> None:
        self.closed = True

    replies: list = []  # noqa: RUF012
    big = False


QUESTION = Question(Assignment("net", print))


class Answering:
    def ask(self, question):
        if question is not QUESTION:
            raise InputError("PyTorch cannot run it.")
        return ["cases"]


@pytest.fixture
def child(monkeypatch):
    Child.made, Child.big = [], False
    monkeypatch.setattr(grader, "ChildProcess", Child)
    monkeypatch.setattr(grader, "shared_answers", Answering)
    return Child


def test_a_grader_asks_for_its_process(child) -> None:
    outcome = Outcome("a.py", Result())
    child.replies = [QUESTION, Question(Assignment("other", print)), outcome, outcome]
    options = Options(timeout_s=10.0, answers="answers")  # type: ignore[arg-type]
    one = Grader(options)
    assert one.check(Path("a.py"), (Path("b.py"),)) is outcome
    (process,) = child.made
    assert process.module == "compare.check.grader"
    assert process.sent[0] == Options(timeout_s=10.0)
    assert process.sent[1:] == [
        (Path("a.py"), (Path("b.py"),)), ["cases"], "PyTorch cannot run it.",
    ]  # fmt: skip
    assert process.limits == [940.0] * 3
    assert one.check(Path("c.py")) is outcome  # the same process again
    assert (len(child.made), process.sent[-1], process.closed) == (1, (Path("c.py"), ()), False)
    one.close()
    assert process.closed
    one.close()


def test_a_process_that_has_grown_is_not_used_again(child) -> None:
    outcome = Outcome("a.py", Result())
    child.replies, child.big = [outcome, outcome], True
    one = Grader(Options())
    one.check(Path("a.py"))
    assert child.made[0].closed
    one.check(Path("a.py"))
    assert len(child.made) == 2


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ChildEndedError("it ended with SIGKILL"),
         "The process that checked it did not survive: it ended with SIGKILL."),
        (ChildTimeoutError(), "The process that checked it had not finished after 1020 s."),
    ],
)  # fmt: skip
def test_a_grader_that_ends_is_one_outcome(child, error, sentence) -> None:
    child.replies = [error, Outcome("b.py", Result())]
    one = Grader(Options())
    assert one.check(Path("x/a.py")) == Outcome("a.py", Result(error=sentence))
    assert child.made[0].closed
    assert one.check(Path("b.py")).name == "b.py"
    assert len(child.made) == 2


def test_a_grader_that_is_interrupted_is_closed(child) -> None:
    child.replies = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Grader(Options()).check(Path("a.py"))
    assert child.made[0].closed


def test_what_a_graders_process_does(monkeypatch) -> None:
    """It checks what arrives, hides what the grader says, and lets no error end it."""
    arrived: queue.SimpleQueue = queue.SimpleQueue()
    for message in (Options(others=(Path("c.py"),), seed=4), (Path("a.py"), (Path("b.py"),)),
                    (Path("x/d.py"), ()), (Path("e.py"), ())):  # fmt: skip
        arrived.put(message)
    sent, asked = [], []
    loss = "an instructor's function"
    outcomes = [
        Outcome("a.py", Result(), Assignment("net", print, torch_loss=loss)),  # type: ignore[arg-type]
        ValueError("odd"), SystemExit(),
    ]  # fmt: skip

    def check_homework(file, options) -> Outcome:
        asked.append((file, options))
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(grader, "serve", lambda: (arrived, "answers"))
    monkeypatch.setattr(grader, "write_message", lambda *told: sent.append(told))
    monkeypatch.setattr(grader.signal, "signal", lambda *_: None)
    monkeypatch.setattr("compare.check.checking.check_homework", check_homework)
    with pytest.raises(SystemExit):
        grader.main()
    assert sent == [
        ("answers", Outcome("a.py", Result(), Assignment("net", print))),
        ("answers", Outcome("d.py", Result(error="ValueError: odd."))),
    ]
    (first, options), (_, other), _ = asked
    assert (first, options.others) == (Path("a.py"), (Path("c.py"), Path("b.py")))
    assert (options.seed, other.others) == (4, (Path("c.py"),))
    assert options.answers is not None
