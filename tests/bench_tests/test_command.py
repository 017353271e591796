"""``nncompare bench`` as a person gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compare import cli
from compare.bench.measurement import Asked, run_bench
from compare.bench.records import SCHEMA, read_bench
from compare.bench.schedule import Schedule
from compare.bench.workloads import (
    COVERTYPE_ROWS,
    DEFAULT_ARCHITECTURES,
    Convolution,
    TrainingStep,
)
from compare.commands.bench import _steps, bench_command
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


def test_from_the_command_line_to_the_report(tmp_path):
    """A network of one's own, each library in a process of its own."""
    (tmp_path / "net.py").write_text(NETWORK)
    done = nncompare(
        *[
            "bench",
            "--architecture",
            "net.py:tiny",
            "--batch-size",
            "4",
            "--optimizer",
            "SGD",
            "--contender",
            "floor",
        ],
        *[
            "--repeats",
            "3",
            "--seconds",
            "0.01",
            "--part",
            "steps",
            "--part",
            "layers",
            "--json",
            "b.json",
            "--out",
            "r",
        ],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "Report:" not in line)
    assert "net.py:tiny, SGD, batch 4" in done.stdout
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "r" / "bench.json").read_bytes()
    record = read_bench(tmp_path / "b.json")
    assert record.protocol.name == "processes"
    assert [m.name for m in record.cases[0].contenders] == ["numpy", "torch", "floor"]
    assert [layer.kind for layer in record.profiles[0].layers] == [
        "Linear", "ReLU", "Linear", "CrossEntropyLoss",
    ]  # fmt: skip
    assert record.command.startswith("nncompare bench --architecture net.py:tiny")
    before = (tmp_path / "r" / "report.pdf").read_bytes()
    cli.report(tmp_path / "r")
    assert (tmp_path / "r" / "report.pdf").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--batch-size 1", "--batch-size expects a number of at least 2, but got 1."),
        ("--threads 0", "--threads expects a number of at least 1, but got 0."),
        ("--repeats 2", "--repeats expects a number of at least 3, but got 2."),
        ("--seconds -1", "--seconds expects seconds from 0 to 3600, but got -1.0."),
        ("--pause nan", "--pause expects seconds from 0 to 3600, but got nan."),
        ("--architecture vgg", "There is no architecture 'vgg': expected one of bn_mlp"),
        ("--architecture no.py:net", "there is no Python file no.py."),
        ("--optimizer adam", "--optimizer expects one of Adadelta, "),
        ("--contender pytorch", "--contender expects one of numpy, torch, "),
        ("--part step", "--part expects one of steps, convolutions, "),
        ("--protocol none", "--protocol expects one of processes, one-process, but got 'none'."),
        ("--json no/b.json", "--json no/b.json: there is no folder "),
        ("--json .", "--json . is a folder: expected a file."),
        ("--out net.py", "--out net.py is a file: expected a folder."),
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
    """Every network of the aims at every batch size, and Forest Covertype whole."""
    steps = _steps([], [], [])
    named = {(s.architecture, s.algorithm) for s in steps}
    assert named == {(name, a) for name, found in DEFAULT_ARCHITECTURES.items() for a in found}
    for name, algorithm in named:
        sizes = [s.batch_size for s in steps if (s.architecture, s.algorithm) == (name, algorithm)]
        assert sizes == [32, 128, 512, *([COVERTYPE_ROWS] if name == "covertype_dnn" else [])]
    assert _steps(["cnn", "cnn"], [8, 8], ["SGD"]) == (TrainingStep("cnn", 8, "SGD"),)


SMALL = TrainingStep("softmax_mlp", 4, "SGD", {"sizes": (6, 5, 3)})
QUICK = Schedule(3, 0.003, 0.0)


def test_every_part_in_one_process():
    lines: list[str] = []
    asked = Asked(
        (SMALL,),
        (Convolution(2, 2, 4, 2),),
        ("steps", "convolutions", "layers"),
        ("numpy", "torch", "loops"),
        1,
        QUICK,
        apart=False,
    )
    record = run_bench(asked, lines.append)
    assert record.protocol.name == "one-process"
    assert [case.kind for case in record.cases] == ["step", "convolution"]
    assert [m.name for m in record.cases[1].contenders] == ["numpy", "torch", "loops"]
    assert record.cases[1].of("loops") is not None
    assert len(lines) == 3
    assert record.environment.numpy_threads == 1
    assert (record.growth, record.harness, record.start) == ([], [], [])


def test_what_was_written_is_read_back(tmp_path):
    record = run_bench(Asked((SMALL,), (), ("steps",), ("numpy",), 1, QUICK, apart=False))
    path = tmp_path / "bench.json"
    path.write_text(record.text())
    assert read_bench(path) == record
    tree = json.loads(record.text())
    assert tree["schema"] == SCHEMA
    assert tree["cases"][0]["workload"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tree: {**tree, "schema": SCHEMA + 1}, "expected 1: use a newer nncompare."),
        (lambda tree: {**tree, "schema": "1"}, "has schema '1', expected 1: measure again."),
        (lambda tree: {**tree, "cases": 3}, "is damaged: cases: Input should be"),
        (lambda tree: [tree], "has schema None"),
    ],
)
def test_other_files_are_refused(change, sentence, tmp_path):
    record = run_bench(Asked((SMALL,), (), ("steps",), ("numpy",), 1, QUICK, apart=False))
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(change(json.loads(record.text()))))
    with pytest.raises(InputError) as error:
        read_bench(path)
    assert sentence in str(error.value)


@pytest.mark.parametrize("content", [None, "{", b"\xff"])
def test_no_json(content, tmp_path):
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"bench\.json"):
        read_bench(path)


def test_pytorch_that_breaks_is_no_comparison(monkeypatch):
    """A peer may fail; without NumPy or PyTorch there is nothing to compare, and it is said."""
    from compare.bench.contenders.torch_steps import TorchSteps

    def broken(self):
        raise RuntimeError("out of order")

    monkeypatch.setattr(TorchSteps, "evidence", broken)
    with pytest.raises(RuntimeError, match="out of order"):
        run_bench(Asked((SMALL,), (), ("steps",), ("numpy", "torch"), 1, QUICK, apart=False))


def test_the_command_needs_no_files(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status = bench_command(
        architectures=["pass_fail_mlp"], batch_sizes=[4], optimizers=["RMSprop"],
        contenders=["torch-fused"], parts=["steps"], harness=False, threads=1, repeats=3,
        seconds=0.003, pause=None, protocol="one-process", json=None, out=None,
    )  # fmt: skip
    assert status == 0
    said = capsys.readouterr().out
    assert "PyTorch, fused: not run: PyTorch's RMSprop has no fused=True here." in " ".join(
        said.split()
    )
