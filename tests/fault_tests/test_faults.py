"""Every call that writes, reads or starts something may fail: one sentence, and no file is half.

The calls are found by doing each operation once; which places of the code have such calls is read
off its syntax, so that a new place is missed by nobody.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from fault_tests.faults import ROOT, STARTS, WRITES, Faults
from fault_tests.operations import KINDS, OPERATIONS, attempt, calls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its calls are those of Linux")

CASES = [(name, kind) for name in OPERATIONS for kind in KINDS]
QUICK = {("check", STARTS)}
MOST = {"run": 40, "report": 40, "report as documents": 20}
"""So many of the calls of a long operation, evenly spread."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(*c, marks=[] if c in QUICK else [pytest.mark.slow]) for c in CASES],
)
def test_each_call_fails_once(name, kind):
    if name == "export":
        pytest.importorskip("onnx", reason="onnx is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    operation = OPERATIONS[name]
    count = len(calls(operation, kind))
    numbers = range(0, count, -(-count // MOST[name])) if name in MOST and count else range(count)
    assert [wrong for number in numbers if (wrong := attempt(operation, kind, number))] == []


@pytest.mark.parametrize("part", ["header", "line"])
def test_a_grade_book_has_whole_lines(tmp_path, monkeypatch, part):
    """On a full disk what was there stays, and of a line there is nothing."""

    from compare.check.grading import GradeBook, as_csv
    from experiments.errors import InputError

    path = tmp_path / "grades.csv"
    path.write_text("old\n")
    if part == "header":
        with Faults(WRITES, 1).injected(), pytest.raises(InputError, match="No space left"):
            GradeBook(path)
        assert path.read_text() == "old\n"
        return
    book = GradeBook(path)
    with Faults(WRITES, 1).injected(), pytest.raises(InputError, match="No space left"):
        book.add({"submission": "ann.py"})
    assert path.read_text() == as_csv([])


# Names whose call writes a file, renames one, or starts a process. write_atomically is not among
# them: wherever it is called, its own calls are those that fail.
CALLS = {
    "write_text", "write_bytes", "replace", "fsync", "mkdir", "mkdtemp", "mkstemp", "Popen",
    "TemporaryDirectory", "save_file", "ProcessPoolExecutor", "rename", "run",
}  # fmt: skip
MODULES = {"replace": "os", "fsync": "os", "rename": "os", "run": "subprocess"}
"""``str.replace`` and ``dataclasses.replace`` write nothing."""
ELSEWHERE = {
    "compare/bench/harness.py:lockstep_epochs": "a folder for a while, in a measurement",
    "compare/bench/workers.py:peak_memory": "writes to the system's own /proc, and may fail",
    "compare/check/isolation.py:kill": "where it fails, the processes are ended one by one",
    "compare/check/isolation.py:_make": "a control group; without it there is one limit less",
    "compare/check/namespaces.py:main": "in the process that is isolated; its end is an error",
    "compare/check/namespaces.py:_make_root": "in the process that is isolated, as above",
    "compare/check/sandbox.py:_kill": "asks Windows to end a process",
    "compare/trace/format.py:__init__": "test_a_trace_is_whole_or_absent",
    "compare/trace/format.py:_flush": "test_a_trace_is_whole_or_absent",
    "compare/trace/format.py:finish": "test_a_trace_is_whole_or_absent",
    "compare/training/processes.py:__init__": "a folder for a while, before anything is trained",
    "compare/training/fork_server.py:_start": "tests/compare_tests/test_fork_server.py ends it",
    "compare/training/processes.py:_new_process": "tests/compare_tests/test_processes.py ends it",
    "experiments/datasets/download.py:_retrieve": "test_a_download_is_whole_or_absent",
    "experiments/datasets/download.py:_put": "test_a_download_is_whole_or_absent",
    "reports/typefaces.py:font_folder": "a folder for a while, for writing of other languages",
}
"""Places that the operations do not reach, and why or where they are tested."""


def places() -> set[str]:
    """Every function of the project with such a call."""
    found = set()

    def visit(node: ast.AST, file: str, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call):
                called = child.func
                name = getattr(called, "attr", getattr(called, "id", ""))
                of = getattr(getattr(called, "value", None), "id", "")
                if name in CALLS and MODULES.get(name, of) == of:
                    found.add(f"{file}:{inner}")
            visit(child, file, inner)

    for room in ("compare", "experiments", "reports"):
        for path in (ROOT / room).rglob("*.py"):
            file = path.relative_to(ROOT).as_posix()
            visit(ast.parse(path.read_text("utf-8")), file, "")
    return found


@pytest.mark.slow
def test_every_place_is_reached_or_tested_elsewhere():
    reached = {
        site
        for name, operation in OPERATIONS.items()
        for kind in (WRITES, STARTS)
        for site in calls(operation, kind)
    }
    assert places() - reached == set(ELSEWHERE) - reached
    assert set(ELSEWHERE) <= places()


def test_a_new_place_is_noticed(monkeypatch, tmp_path):
    """The list is read off the code: a call that is added to it is found."""
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "new.py").write_text("import os\ndef f(p):\n    os.replace(p, p)\n")
    monkeypatch.setattr("fault_tests.test_faults.ROOT", tmp_path, raising=False)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert places() == {"compare/new.py:f"}


def test_a_trace_is_whole_or_absent(tmp_path):
    import torch

    import nncompare
    from experiments.errors import InputError

    model = torch.nn.Linear(3, 2)

    def record(path: Path) -> None:
        with nncompare.record(path, model, force=True):
            model(torch.ones(2, 3)).sum().backward()

    def files() -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in (tmp_path / "old").iterdir()}

    record(tmp_path / "old")
    faults, refused = Faults(WRITES), 0
    with faults.injected():
        record(tmp_path / "whole")
    assert len(faults.sites) >= 6
    for number in range(len(faults.sites) + 1):
        before, ended = files(), []
        with Faults(WRITES, number).injected():
            try:
                record(tmp_path / "old")
            except InputError as error:
                ended.append(str(error))
        refused += len(ended)
        assert all("No space left" in sentence for sentence in ended)
        assert not ended or files() == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["old", "whole"]
    assert refused >= 6


def test_a_download_is_whole_or_absent(tmp_path, monkeypatch):
    import hashlib

    from experiments.datasets import download as module
    from experiments.errors import InputError

    content = b"content" * 100
    digest = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(module, "_content", lambda url, digest: content)
    faults, mirrors = Faults(WRITES), ["https://example.org/"]
    with faults.injected():
        module.download({"whole": digest}, tmp_path / "c", mirrors)
    assert len(faults.sites) >= 5
    for number in range(len(faults.sites)):
        folder = tmp_path / f"c{number}"
        with Faults(WRITES, number).injected(), pytest.raises(InputError, match="No space left"):
            module.download({"whole": digest}, folder, mirrors)
        assert not folder.exists() or list(folder.iterdir()) == []
