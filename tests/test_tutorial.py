"""The tutorial, done as it says, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


def do(command: str, folder: Path) -> None:
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


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("--max-steps 1 --set parity.replicas=0", id="one step"),
        pytest.param("", id="as it says", marks=pytest.mark.slow),
    ],
)
def tutorial(request, tmp_path_factory) -> Path:
    """A folder in which every file was saved and every command was run, in order.

    The trainings end after one step, or at their end.
    """
    folder = tmp_path_factory.mktemp("tutorial")
    assert set(FILES) == {"make_wine.py", "wine_net.py", "wine.toml"}
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        short = command.startswith("nncompare run")
        do(f"{command} {request.param}" if short else command, folder)
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


@pytest.mark.parametrize("tutorial", [""], indirect=True, ids=["as it says"])
@pytest.mark.slow
def test_the_networks_learned(tutorial):
    """Wine is easily told apart: every optimizer ends far above a third."""
    run = read_run(tutorial / "wine-run")
    last = {}
    for row in run.history:
        if (row.split, row.metric) == ("test", "accuracy"):
            last[row.backend, row.label, row.seed] = row.value
    assert len(last) == 18
    assert min(last.values()) > 0.8


def test_there_is_a_report(tutorial):
    for name in ("report.md", "report.html", "report.pdf"):
        assert (tutorial / "wine-run" / "report" / name).stat().st_size > 1000
    assert "Adam reaches a lower loss than SGD" in (
        tutorial / "wine-run" / "report" / "report.md"
    ).read_text(encoding="utf-8")


def test_the_changes_of_the_command_line(tutorial):
    record = read_run(tutorial / "short-run").record
    assert [t.seed for t in record.trainings] == [7, 7, 7]
    assert record.experiment.training.epochs == 2
    assert record.experiment.optimizers["SGD"].lr == 0.1
