"""The report of a measurement, from made-up records: every number in it is chosen here."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from compare.analysis.timings import Ratio
from compare.bench.aims import aims
from compare.bench.records import (
    SCHEMA,
    BenchRecord,
    Case,
    Growth,
    GrowthFit,
    HarnessRecord,
    LayerRecord,
    Measured,
    MemoryRecord,
    Profile,
    Protocol,
    RatioRecord,
    StartRecord,
    Times,
)
from compare.bench.terminal import show_bench
from compare.records.run import Environment
from reports.bench import write_bench_report
from reports.bench.sentences import against, protocol

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20


def times(median_s: float) -> Times:
    low, quartile, upper, high = (median_s * share for share in (0.8, 0.9, 1.1, 1.3))
    return Times(
        low_s=low, quartile_s=quartile, median_s=median_s, upper_quartile_s=upper, high_s=high
    )


def measured(name: str, group: Any, ms: float, numpy_ms: float = 1.0, **more: Any) -> Measured:
    ratio = ms / numpy_ms
    return Measured(
        name=name,
        title=more.pop("title", name),
        group=group,
        version="1.2.3",
        status="measured",
        rounds=3,
        steps=4,
        step=times(ms / 1e3),
        phases={phase: times(ms / 3e3) for phase in ("forward", "backward", "update")},
        blocks_s=[ms / 1e3] * 3,
        over_numpy=RatioRecord(value=ratio, low=0.95 * ratio, high=1.05 * ratio),
        **more,
    )


def memory(mebibytes: float) -> MemoryRecord:
    used = int(mebibytes * MEBIBYTE)
    return MemoryRecord(used_bytes=used, process_bytes=used + 50 * MEBIBYTE, method="VmHWM")


def a_case(torch_ms: float = 2.0, best_ms: float = 0.5, rows: int = 32, **more: Any) -> Case:
    return Case(
        title=f"bn_mlp, Adam, batch {rows}",
        kind="step",
        workload={
            "architecture": "bn_mlp", "batch_size": rows, "algorithm": "Adam", "arguments": {},
            "seed": 0,
        },
        best_eager="torch-fused",
        contenders=[
            measured("numpy", "numpy", 1.0, title="NumPy", memory=memory(3)),
            measured("torch", "torch", torch_ms, title="PyTorch", memory=memory(4)),
            measured("torch-fused", "torch", best_ms, title="PyTorch, fused"),
            measured("floor", "floor", 0.25, title="matrix products alone"),
            measured("autograd", "peer", 7.0),
            Measured(
                name="tinygrad", title="tinygrad", group="peer", version=None,
                status="not installed", reason="the package tinygrad is not installed",
            ),
        ],
        **more,
    )  # fmt: skip


def a_record(**changes: Any) -> BenchRecord:
    plain = {
        "schema": SCHEMA,
        "created": "2026-05-04T03:02:01+00:00",
        "command": "nncompare bench --out /somewhere/else",
        "commit": "abc",
        "wall_s": 12.0,
        "environment": Environment(
            processor="A processor", cores=2, memory_bytes=2**30, system="Linux", python="3.11",
            numpy="2.4", numpy_blas="openblas", numpy_threads=2, torch="2.13", torch_blas="MKL",
            torch_threads=2, nncompare="0.1",
        ),
        "protocol": Protocol(
            name="processes", threads=2, repeats=15, seconds=1.5, pause_s=0.05, compiler=True,
            environment={"OMP_WAIT_POLICY": "PASSIVE"},
        ),
        "cases": [a_case(), a_case(1.05, 1.04, 128)],
        "profiles": [
            Profile(
                title="bn_mlp, Adam, batch 32",
                workload={},
                layers=[
                    LayerRecord(
                        name=str(place), kind=kind, forward_s={"numpy": 1e-4, "torch": 2e-4},
                        backward_s={"numpy": 3e-4, "torch": 4e-4},
                    )
                    for place, kind in enumerate(("Linear", "BatchNorm1d", "CrossEntropyLoss"))
                ],
            )
        ],
        "growth": [
            Growth(
                what="width",
                title="a net",
                sizes=[8, 16, 32],
                fits=[
                    GrowthFit(
                        name=name, title=title, median_s=[1e-3, 2e-3, 4e-3], exponent=1.0, low=0.9,
                        high=1.1, last=1.25,
                    )
                    for name, title in (("numpy", "NumPy"), ("torch", "PyTorch"))
                ],
            )
        ],
        "harness": [
            HarnessRecord(
                experiment="mnist_bn_mlp", optimizer="SGD", threads=1, steps=6000,
                certified_steps=60, lockstep_s=[3.0, 2.0],
                plain_s={"numpy": [1.0, 1.0], "torch": [1.0, 1.0]},
                over_plain=RatioRecord(value=1.25, low=1.1, high=1.4),
            )
        ],
        "start": [StartRecord(command="nncompare --help", seconds=[0.2, 0.3], median_s=0.25)],
    }  # fmt: skip
    return BenchRecord.model_validate({**plain, **changes})


def text_of(record: BenchRecord, folder: Path) -> str:
    write_bench_report(record, folder)
    return (folder / "report.md").read_text(encoding="utf-8")


def test_all_files_are_made(tmp_path):
    paths = write_bench_report(a_record(), tmp_path / "r")
    names = [path.relative_to(tmp_path / "r").as_posix() for path in paths]
    assert names[:4] == ["report.md", "report.html", "report.pdf", "bench.json"]
    assert {f"figures/{n}.png" for n in ("ratios", "times", "spread", "layers-1", "growth")} <= set(
        names
    )
    assert (tmp_path / "r" / "report.pdf").read_bytes().startswith(b"%PDF")
    again = {
        path.name: path.read_bytes() for path in write_bench_report(a_record(), tmp_path / "s")
    }
    assert again == {path.name: path.read_bytes() for path in paths}


def test_the_numbers_of_the_record_are_in_the_report(tmp_path):
    text = text_of(a_record(), tmp_path)
    assert "Measured on 4 May 2026." in text
    lines = text.splitlines()
    first = next(line for line in lines if line.startswith("| bn\\_mlp, Adam, batch 32"))
    assert (
        "| 1.00 | 2.00 | 2.00 (1.90 to 2.10) | 0.500 (fused) | 0.50 (0.47 to 0.53) | – |" in first
    )
    assert "| 1.00 | 0.250 | 25% |" in text
    assert "| autograd | 1.2.3 | 1.00 | 7.00 | 7.00 (6.65 to 7.35) | – |" in text
    assert "| 3.0 | 4.0 | 0.75 | 53 | 54 |" in text
    assert "| width | a net | 8 to 32 | NumPy | 1.00 | 0.90 to 1.10 | 1.25 |" in text
    assert "| 6,000 | 60 | 1 | 5.0 | 2.0 | 2.0 | 1.25 | 1.10 to 1.40 |" in text
    assert "| `nncompare --help` | 0.25 | 0.20 | 0.30 | 2 |" in text
    assert "| all |  |  | 1.20 |  | 1.80 |" in text
    assert "tinygrad, in 2 cases: not installed: the package tinygrad is not installed." in text
    assert "OMP_WAIT_POLICY=PASSIVE" in text
    assert "/somewhere/else" not in text


def test_figures_and_tables_are_numbered_and_cited_in_order(tmp_path):
    text = text_of(a_record(), tmp_path)
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"\*\*{kind} (\d+)\.\*\*", text)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert len(re.findall(r"^\d+\. B\. Efron", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("part", ["cases", "profiles", "growth", "harness", "start"])
def test_what_was_not_measured_has_no_section(part, tmp_path):
    text = text_of(a_record(**{part: []}), tmp_path)
    titles = {
        "cases": ("A training step", "Other code", "Memory"),
        "profiles": ("Layer by layer",),
        "growth": ("Growth",),
        "harness": (),
        "start": (),
    }[part]
    for title in titles:
        assert title not in text
    assert "## 1 How it was measured" in text


def test_nothing_at_all_is_a_report_too(tmp_path):
    parts = ("cases", "profiles", "growth", "harness", "start")
    text = text_of(a_record(**{part: [] for part in parts}), tmp_path)
    assert "The data is made up" not in text
    assert "Aims" not in text


def test_sentences_say_the_opposite_of_the_opposite():
    assert against("X", []) == ""
    faster = against("X", [Ratio(1.5, 1.4, 1.6), Ratio(2.0, 1.9, 2.1)])
    assert "faster in 2 of 2 cases, slower in 0, and neither in 0" in faster
    mixed = against("X", [Ratio(0.5, 0.4, 0.6), Ratio(1.01, 0.9, 1.1)])
    assert "faster in 0 of 2 cases, slower in 1, and neither in 1" in mixed
    assert "from 0.50 to 1.01" in mixed


@pytest.mark.parametrize(("load", "busy"), [(9.74, True), (0.1, False), (None, False)])
def test_a_busy_machine_is_said(load, busy):
    record = a_record()
    record.protocol.load = load
    assert ("busy when this began** (load 9.7)" in protocol(record)) == busy
    console = Console(width=80, record=True, file=io.StringIO())
    show_bench(record, console)
    assert ("busy when this began (load 9.7)" in console.export_text()) == busy


def test_aims_reached_and_missed():
    found = {aim.what: aim for aim in aims(a_record())}
    assert found["bn_mlp, Adam, batch 32: PyTorch's default"].reached
    assert not found["bn_mlp, Adam, batch 32: PyTorch's best setting"].reached
    assert not found["bn_mlp, Adam, batch 128: PyTorch's default"].reached  # 1.05 < 1.15
    assert found["bn_mlp, Adam, batch 128: PyTorch's best setting"].reached
    assert found["bn_mlp, Adam, batch 32: autograd"].reached
    assert found["bn_mlp, Adam, batch 32: NumPy's peak memory over PyTorch's"].found == 0.75
    assert not found["mnist_bn_mlp, SGD: lock step over the plain trainings"].reached
    assert found["nncompare --help, seconds"].reached
    assert len(found) == 10


def test_networks_of_other_sizes_have_no_aim():
    case = a_case()
    case.workload["arguments"] = {"sizes": [4, 3]}
    found = aims(a_record(cases=[case], harness=[], start=[]))
    assert not any("PyTorch's default" in aim.what for aim in found)


def test_neither_torch_nor_numpy_nn_is_imported(tmp_path):
    (tmp_path / "bench.json").write_text(a_record().text())
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from compare.bench.records import read_bench\n"
        "from reports.bench import write_bench_report\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "write_bench_report(read_bench(folder / 'bench.json'), folder)\n"
        "assert not {'torch', 'numpy_nn', 'torch_nn'} & set(sys.modules), 'loaded'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
