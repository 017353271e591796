"""``nncompare bench`` as a person gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from compare import cli
from compare.bench import workers
from compare.bench.cases import COVERTYPE_ROWS, DEFAULT_OPTIMIZERS, TrainingStep, training_steps
from compare.bench.measurement import run_bench
from compare.bench.records import BenchRecord, Protocol, read_bench
from experiments.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NETWORK = '''def tiny(nn):
    """A network of a user's own."""
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
'''


def nncompare(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compare", *words],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    )  # fmt: skip


@pytest.mark.slow
def test_from_the_command_line_to_the_report(tmp_path):
    """A network of one's own, each library in a process of its own."""
    (tmp_path / "net.py").write_text(NETWORK)
    words = (
        "bench --architecture net.py:tiny --batch-size 4 --optimizer SGD --contender floor"
        " --repeats 3 --seconds 0.01 --part steps --json b.json --out r"
    )
    done = nncompare(*words.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "Report:" not in line)
    assert "net.py:tiny, SGD, batch 4" in done.stdout
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "r" / "bench.json").read_bytes()
    record = read_bench(tmp_path / "b.json")
    assert [c.name for c in record.cases[0].contenders] == ["numpy", "torch", "floor"]
    assert all(c.step is not None for c in record.cases[0].contenders)
    assert record.command.startswith("nncompare bench --architecture net.py:tiny")
    before = (tmp_path / "r" / "report.pdf").read_bytes()
    cli.report([tmp_path / "r"])
    assert (tmp_path / "r" / "report.pdf").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--batch-size 1", "Invalid value for '--batch-size': "),
        ("--threads 0", "Invalid value for '--threads': "),
        ("--repeats 2", "Invalid value for '--repeats': "),
        ("--seconds -1", "Invalid value for '--seconds': "),
        ("--seconds nan", "Invalid value for '--seconds': "),
        ("--architecture vgg", "There is no architecture 'vgg': expected one of bn_mlp"),
        ("--architecture no.py:net", "there is no Python file no.py."),
        ("--optimizer adam", "--optimizer expects one of SGD, Adadelta, "),
        ("--contender pytorch", "--contender expects one of numpy, torch, "),
        ("--part step", "--part expects one of steps, convolutions, "),
        ("--part memory", "--part memory is measured at the steps: give --part steps, too."),
        ("--json no/b.json", "--json no/b.json: there is no folder "),
        ("--json .", "Invalid value for '--json': "),
        ("--out net.py", "Invalid value for '--out': "),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    (tmp_path / "net.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nncompare", "bench", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.py"]


def test_the_default_cases():
    """Each network at every batch size, and Forest Covertype whole."""
    steps = training_steps([], [], [])
    named = {(s.architecture, s.algorithm) for s in steps}
    assert named == {(name, a) for name, found in DEFAULT_OPTIMIZERS.items() for a in found}
    for name, algorithm in named:
        sizes = [s.batch_size for s in steps if (s.architecture, s.algorithm) == (name, algorithm)]
        assert sizes == [32, 128, 512, *([COVERTYPE_ROWS] if name == "covertype_dnn" else [])]
    assert training_steps(["cnn", "cnn"], [8, 8], ["SGD"]) == [TrainingStep("cnn", 8, "SGD")]


@pytest.fixture(scope="module")
def record() -> BenchRecord:
    step = TrainingStep("softmax_mlp", 4, "SGD", {"sizes": (6, 5, 3)})
    here = SimpleNamespace(call=workers.call, close=lambda: None)
    return run_bench(
        (step,),
        ("numpy", "torch"),
        ("steps",),
        Protocol(repeats=3, seconds=0.003),
        worker=lambda n: here,
    )


def test_what_was_written_is_read_back(record, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(record.text())
    assert read_bench(path).text() == record.text()
    tree = json.loads(record.text())
    assert tree["schema"] == 2
    assert tree["cases"][0]["settings"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 3}, "(schema: Input should be 2)"),
        ({"schema": 1}, "(schema: Input should be 2)"),
        ({"cases": 3}, "(cases: Input should be a valid array)"),
        ({"more": 1}, "(more: Extra inputs are not permitted)"),
    ],
)
def test_other_files_are_refused(record, change, problem, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({**json.loads(record.text()), **change}))
    with pytest.raises(InputError) as error:
        read_bench(path)
    assert f"{problem}: measure again with nncompare bench." in str(error.value)


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[]"])
def test_what_is_no_measurement(content, tmp_path):
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"bench\.json"):
        read_bench(path)
