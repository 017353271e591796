"""The scripts behind the documentation's tables still start, and the one behind k still runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = [
    "calibrate_k.py", "make_covertype_sample.py", "make_mnist_sample.py", "mutants.py", "results.py",
]  # fmt: skip


def main(name: str, *words: str, monkeypatch) -> None:
    """Call the script's own ``main`` in this process, as if it were started with these words."""
    path = SCRIPTS / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their own module up there.
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [name, *words])
    module.main()


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_help(name, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ending:
        main(name, "--help", monkeypatch=monkeypatch)
    assert ending.value.code == 0
    assert name in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_help_in_a_process_of_its_own(name):
    assert name in run(str(SCRIPTS / name), "--help")


def test_one_step_of_the_calibration(monkeypatch, capsys):
    words = ("--seeds", "1", "--steps", "1")
    main("calibrate_k.py", *words, monkeypatch=monkeypatch)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("  ")[0] for line in rows] == [
        "bn_mlp, SGD", "bn_mlp, Adam", "softmax, SGD", "softmax, Adam",
    ]  # fmt: skip
    assert all(line.split()[4] == "0" for line in rows)  # none fails
    more = ("--architecture", "pass_fail_mlp", "--optimizer", "SGD")
    main("calibrate_k.py", *words, *more, monkeypatch=monkeypatch)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("  ")[0] for line in rows] == [
        "pass_fail_mlp, SGD, float32", "pass_fail_mlp, SGD, float64",
    ]  # fmt: skip


@pytest.mark.slow
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
