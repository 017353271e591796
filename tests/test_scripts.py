"""The scripts behind the documentation's tables still start, and the one behind k still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    ["calibrate_k.py", "make_covertype_sample.py", "make_mnist_sample.py", "mutants.py",
     "results.py"],
)  # fmt: skip
def test_help(name):
    assert name in run(str(SCRIPTS / name), "--help")


def test_the_calibration_of_k():
    lines = run(str(SCRIPTS / "calibrate_k.py"), "--seeds", "1", "--steps", "2").splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "bn_mlp, SGD", "bn_mlp, Adam", "softmax, SGD", "softmax, Adam",
    ]  # fmt: skip
    assert all(line.split()[4] == "0" for line in lines[1:])  # none fails
    words = ("--seeds", "1", "--steps", "1", "--architecture", "cnn", "--dtype", "float32")
    lines = run(str(SCRIPTS / "calibrate_k.py"), *words).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "cnn, SGD, float32",
        "cnn, Adam, float32",
    ]
