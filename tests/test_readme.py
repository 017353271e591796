"""What the README shows is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import numpy_nn
import torch_nn
from compare import cli
from experiments.architectures import bn_mlp

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The nncompare commands of the README, without comments and paths of environments."""
    lines = [line.partition("#")[0].strip() for _, text in BLOCKS for line in text.splitlines()]
    found = [re.sub(r"^\.venv[/\\]\w+[/\\]", "", line) for line in lines]
    return sorted({line for line in found if line.startswith("nncompare ")})


# What takes longer than some seconds although it is cut short: loading PyTorch in other processes,
# 60 networks, the full data, times that are measured.
SLOW = ("--jobs", "--data-dir", "activation_histograms", "bench")
FIRST = "nncompare run mnist_bn_mlp --sample"
"""The first command that the README gives."""


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Path, str]:
    """The folder that the first command writes, and what it prints."""
    folder = tmp_path_factory.mktemp("run") / "run"
    return folder, call(f"{FIRST} --max-steps 2 --out {shlex.quote(str(folder))}")


def call(command: str, cwd: Path = ROOT) -> str:
    words = [sys.executable, "-m", "compare", *shlex.split(command)[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled_in(command: str, run: Path) -> str:
    """The command with files in the places of its capital letters, and cut short."""
    if "DIR " in f"{command} " and "RUN_DIR" not in command:
        folder = os.environ.get("NNCOMPARE_DATA")
        if not folder:
            pytest.skip("needs the full data in NNCOMPARE_DATA")
        command = command.replace("DIR", shlex.quote(folder))
    command = command.replace("HOMEWORK.py", shlex.quote(str(ROOT / "examples" / "rows.py")))
    command = command.replace("RUN_DIR", shlex.quote(str(run)))
    if command.startswith("nncompare run"):
        command += " --max-steps 2"
    if command.startswith("nncompare bench"):
        command += (
            " --architecture softmax_mlp --batch-size 8 --optimizer SGD --contender torch"
            " --part steps --repeats 3 --seconds 0.01"
        )
    return command


def test_there_are_commands():
    assert len(commands()) >= 6
    assert FIRST in commands()


@pytest.mark.parametrize("words", commands())
def test_the_options_exist(words):
    """For the slow commands too: they are parsed, and not run."""
    name, *rest = shlex.split(words)[1:]
    program = typer.main.get_command(cli.app)
    program.commands[name].make_context(name, rest)


def test_the_first_command_writes_a_report(first_run):
    folder, printed = first_run
    assert "Report:" in printed
    for name in ("report.md", "report.html", "report.pdf"):
        assert (folder / "report" / name).stat().st_size > 1000


@pytest.mark.parametrize(
    "words", [line for line in commands() if line != FIRST and not any(w in line for w in SLOW)]
)
def test_a_command_runs(words, command_line, markdown_alone, first_run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(first_run[0], folder)
    monkeypatch.chdir(tmp_path)
    done = command_line(*shlex.split(filled_in(words, folder))[1:])
    assert done.status == 0, done.err
    assert done.out.strip()


@pytest.mark.slow
@pytest.mark.parametrize("words", commands())
def test_a_command_runs_in_a_process_of_its_own(words, first_run, tmp_path):
    assert call(filled_in(words, first_run[0]), tmp_path).strip()


def test_the_architecture_is_the_one_in_the_package():
    """The function that the README prints builds the network of the package, in both namespaces."""
    source = next(text for language, text in BLOCKS if language == "python")
    source = source.partition("\nbn_mlp(")[0]
    names: dict[str, object] = {}
    exec("from itertools import pairwise\n" + source, names)
    for nn in (numpy_nn, torch_nn):
        assert repr(names["bn_mlp"](nn)) == repr(bn_mlp(nn))  # type: ignore[operator]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_folder_of_the_table_exists():
    folders = re.findall(r"^\| `(\w+)/`", README, re.MULTILINE)
    assert sorted(folders) == ["compare", "experiments", "numpy_nn", "reports", "torch_nn"]
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
