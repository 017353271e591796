"""What the README shows is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_nn
import torch_nn
from experiments.architectures import bn_mlp

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The nncompare commands of the README, without comments and paths of environments."""
    lines = [line.partition("#")[0].strip() for _, text in BLOCKS for line in text.splitlines()]
    found = [re.sub(r"^\.venv[/\\]\w+[/\\]", "", line) for line in lines]
    return sorted({line for line in found if line.startswith("nncompare ")})


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    call(f"nncompare run mnist_softmax --sample --max-steps 2 --out {shlex.quote(str(path))}")
    return path


def call(command: str, cwd: Path = ROOT) -> str:
    words = [sys.executable, "-m", "compare", *shlex.split(command)[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_commands():
    assert len(commands()) >= 6


@pytest.mark.parametrize("command", commands())
def test_the_commands_run(command, tmp_path, run_directory):
    if "DIR " in f"{command} " and "RUN_DIR" not in command:
        folder = os.environ.get("NNCOMPARE_DATA")
        if not folder:
            pytest.skip("needs the full data in NNCOMPARE_DATA")
        command = command.replace("DIR", shlex.quote(folder))
    homework = ROOT / "examples" / "rows.py"
    command = command.replace("HOMEWORK.py", shlex.quote(str(homework)))
    command = command.replace("RUN_DIR", shlex.quote(str(run_directory)))
    if command.startswith("nncompare run"):
        command += " --max-steps 2"
    if command.startswith("nncompare bench"):
        command += (
            " --architecture softmax_mlp --batch-size 8 --optimizer SGD --contender torch"
            " --part steps --repeats 3 --seconds 0.01"
        )
    assert call(command, tmp_path).strip()


def test_the_architecture_is_the_one_in_the_package():
    """The function that the README prints builds the network of the package, on both sides."""
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
