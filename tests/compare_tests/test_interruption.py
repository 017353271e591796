"""A run that is ended from outside keeps what it recorded, and can be gone on with.

Each run is a process of its own that brings itself to the place where it is hit.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compare.records.run import read_run, read_run_record

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# The report is another package's affair. The signal comes in the middle of a step of the second
# training, or in the middle of writing a file.
PROGRAM = """
import os, signal, sys, types
report = types.ModuleType("reports.report")
report.write_report = lambda path: [path / "report" / "report.md"]
sys.modules["reports.report"] = report
number, where = int(sys.argv.pop(1)), sys.argv.pop(1)
from compare.records import atomic, directory as run_directory
from compare.training import lockstep
from compare.cli import main
if number == signal.SIGHUP:
    signal.signal(number, signal.SIG_DFL)  # also where these tests run under nohup
hit = lambda: os.kill(os.getpid(), number)
if where == "step":
    step = lockstep.LockStep._step
    def struck(self, backend, epoch, at, indices, held):
        result = step(self, backend, epoch, at, indices, held)
        if self.label == "Adam" and at == 4 and backend is self.numpy:
            hit()
        return result
    lockstep.LockStep._step = struck
elif where == "write":
    run_directory.BETWEEN_CHECKPOINTS_S = run_directory.LEAST_WRITES_BETWEEN = 0.0
    fsync, count = os.fsync, []
    def struck(handle):
        count.append(handle)
        if len(count) == 21:
            hit()
        fsync(handle)
    atomic.os.fsync = struck
main()
"""


def start(number: int, where: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number)), where, "run", *arguments],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def content(run: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(run)): f.read_bytes()
        for f in run.rglob("*")
        if f.is_file() and f.name not in ("timing.csv", "run.json")
    }


@pytest.fixture(scope="module")
def whole(tiny, train, tmp_path_factory) -> Path:
    return train(tiny(), tmp_path_factory.mktemp("whole") / "r")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c(tiny_arguments, whole, nncompare, tmp_path, number):
    out = tmp_path / "my runs" / "r"
    earlier = shutil.copytree(whole, tmp_path / "my runs" / "earlier")
    before = content(earlier)
    ended = start(number, "step", [*tiny_arguments, "--out", str(out)])
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines() == [
        f"nncompare: what was recorded is kept in {out} and marked incomplete; the same command "
        f"with --out {shlex.quote(str(out))} --resume goes on with it",
        "nncompare: interrupted",
    ]
    run = read_run(out)
    assert run.record.status == "incomplete"
    assert [(t.label, t.finished) for t in run.record.trainings] == [
        ("SGD", True), ("Adam", False),
    ]  # fmt: skip
    assert run.record.trainings[1].steps == 4
    assert not list(out.rglob("*.part"))
    assert content(earlier) == before
    assert nncompare("run", *tiny_arguments, "--out", out, "--resume").status == 0
    assert content(out) == content(whole)
    assert read_run_record(out).status == "complete"


@pytest.mark.slow
@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGINT])
def test_a_hangup_and_an_impatient_ctrl_c(tiny_arguments, whole, nncompare, tmp_path, first):
    """The second one comes while the records are written for the first."""
    out = tmp_path / "r"
    program = PROGRAM.replace(
        "main()\n",
        "write = run_directory.RunDirectory.write\n"
        "def twice(self, record):\n"
        "    if record.trainings and not record.trainings[-1].finished:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    write(self, record)\n"
        "if number == signal.SIGINT: run_directory.RunDirectory.write = twice\n"
        "main()\n",
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(int(first)), "step", "run", *tiny_arguments,
         "--out", str(out)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1] == "nncompare: interrupted"
    read_run(out)
    assert not (out / "run.lock").exists()
    assert nncompare("run", *tiny_arguments, "--out", out, "--resume").status == 0
    assert content(out) == content(whole)


def test_nohup_stays_in_force(monkeypatch):
    from compare import cli

    set_to = {}
    monkeypatch.setattr(cli.signal, "signal", set_to.__setitem__)
    for before in (signal.SIG_IGN, signal.SIG_DFL):
        set_to.clear()
        monkeypatch.setattr(cli.signal, "getsignal", lambda number, before=before: before)
        cli._end_like_ctrl_c()
        assert (signal.SIGHUP in set_to) == (before is signal.SIG_DFL)
        assert set_to[signal.SIGTERM] is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.parametrize("where", [pytest.param("step", marks=pytest.mark.slow), "write"])
def test_a_killed_process(tiny_arguments, whole, nncompare, tmp_path, where):
    """SIGKILL leaves no time for anything: the files are those of the last whole state."""
    out = tmp_path / "r"
    earlier = shutil.copytree(whole, tmp_path / "earlier")
    ended = start(signal.SIGKILL, where, [*tiny_arguments, "--out", str(out)])
    assert ended.returncode == -signal.SIGKILL
    run = read_run(out)  # every file can be read to its end
    assert run.record.status == "incomplete"
    assert len(list(out.rglob("*.part"))) == (1 if where == "write" else 0)
    assert content(earlier) == content(whole)
    assert nncompare("run", *tiny_arguments, "--out", out, "--resume").status == 0
    assert content(out) == content(whole)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_whole(tiny_arguments, tmp_path):
    """As on a full disk: one sentence, status 2, and nothing half-written."""
    program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n{PROGRAM}"
    out = tmp_path / "r"
    ended = subprocess.run(
        [sys.executable, "-c", program, "0", "", "run", *tiny_arguments, "--out", str(out)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("nncompare: ")
    assert ended.stderr.endswith("could not be written: File too large.\n")
    assert ended.stderr.count("\n") == 1
    for file in out.rglob("*"):
        assert file.is_dir() or file.stat().st_size < 9000
    assert not list(out.rglob("*.part"))
