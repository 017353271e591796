"""The tutorial, done as it says, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compare import cli
from compare.analysis.verdict import verdict
from compare.records.run import read_run

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"[Ss]ave this as `([\w.]+)`:\s+```\w+\n(.*?)```", TUTORIAL, re.DOTALL))
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    for line in block.splitlines()
]


def start(command: str, folder: Path) -> None:
    """Run a command in a process of its own."""
    program, *rest = shlex.split(command)
    words = {"nncompare": [sys.executable, "-m", "compare"], "python": [sys.executable]}[program]
    done = subprocess.run(
        [*words, *rest],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def call(command: str, folder: Path) -> None:
    """Run an nncompare command in this process."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", shlex.split(command))
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            signal.signal(signal.SIGTERM, before)
    assert ending.value.code == 0


WHOLE = pytest.param("whole", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["one step", WHOLE])
def tutorial(request, tmp_path_factory, only_markdown) -> Path:
    """A folder in which every file was saved and every command was run, in order.

    Everything as it says, or each training cut short after a step and report.md alone.
    """
    folder = tmp_path_factory.mktemp("tutorial")
    assert set(FILES) == {"make_wine.py", "wine_net.py", "wine.toml"}
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        if request.param == "whole" or not command.startswith("nncompare "):
            start(command, folder)
        else:
            with only_markdown():
                call(command + " --max-steps 1" * (" run " in command), folder)
    return folder


def test_nine_trainings_in_parity(tutorial):
    run = read_run(tutorial / "wine-run")
    assert run.record.status == "complete"
    assert len(run.record.trainings) == 9
    assert {t.label for t in run.record.trainings} == {"SGD", "Adam", "RMSprop"}
    assert run.record.data.class_names == ["class_0", "class_1", "class_2"]
    assert (run.record.data.train_rows, run.record.data.test_rows) == (118, 60)
    for training in run.record.trainings:
        assert training.finished
        assert verdict(run.parity_of(training)).passed


@pytest.mark.parametrize("tutorial", [WHOLE], indirect=True)
def test_the_networks_learned(tutorial):
    """Wine is easily told apart: every optimizer ends far above a third."""
    run = read_run(tutorial / "wine-run")
    last = {}
    for row in run.history:
        if (row.split, row.metric) == ("test", "accuracy"):
            last[row.backend, row.label, row.seed] = row.value
    assert len(last) == 18
    assert min(last.values()) > 0.8


def test_the_report_answers_the_claim(tutorial):
    text = (tutorial / "wine-run" / "report" / "report.md").read_text(encoding="utf-8")
    assert "Adam reaches a lower loss than SGD" in text


@pytest.mark.parametrize("tutorial", [WHOLE], indirect=True)
def test_there_are_three_documents(tutorial):
    for name in ("report.md", "report.html", "report.pdf"):
        assert (tutorial / "wine-run" / "report" / name).stat().st_size > 1000


def test_the_changes_of_the_command_line(tutorial):
    record = read_run(tutorial / "short-run").record
    assert [t.seed for t in record.trainings] == [7, 7, 7]
    assert record.experiment.training.epochs == 2
    assert record.experiment.optimizers["SGD"].lr == 0.1
