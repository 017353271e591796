"""The report of a measurement, from made-up records: every number in it is chosen here."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reports_tests.test_report_languages import english_words, numbers
from rich.console import Console

from compare.bench.records import (
    BenchRecord,
    CaseRecord,
    ContenderRecord,
    HarnessRecord,
    Protocol,
    RatioRecord,
    Times,
)
from compare.commands.bench import show_bench
from compare.languages import using
from compare.records.run import Environment
from reports.bench import against, contents, write_bench_report
from reports.documents import markdown
from reports.figures.style import Figure

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20


def times(median_s: float) -> Times:
    low, quartile, upper, high = (median_s * share for share in (0.8, 0.9, 1.1, 1.3))
    return Times(
        low_s=low, quartile_s=quartile, median_s=median_s, upper_quartile_s=upper, high_s=high
    )


def timed(name: str, ms: float, mebibytes: int | None = None) -> ContenderRecord:
    ratio = RatioRecord(value=ms, low=0.95 * ms, high=1.05 * ms)
    return ContenderRecord(
        name=name,
        step=times(ms / 1e3),
        phases_s=dict.fromkeys(("forward", "backward", "update"), ms / 3e3),
        over_numpy=None if name == "numpy" else ratio,
        memory_bytes=None if mebibytes is None else mebibytes * MEBIBYTE,
    )


def a_case(torch_ms: float = 2.0, best_ms: float = 0.5, rows: int = 32) -> CaseRecord:
    return CaseRecord(
        title=f"bn_mlp, Adam, batch {rows}",
        kind="step",
        settings={"architecture": "bn_mlp", "batch_size": rows, "algorithm": "Adam"},
        contenders=[
            timed("numpy", 1.0, mebibytes=3),
            timed("torch", torch_ms, mebibytes=4),
            timed("torch-fused", best_ms),
            timed("floor", 0.25),
            timed("autograd", 7.0),
            ContenderRecord(name="scikit-learn", reason="it failed"),
        ],
    )


def a_convolution() -> CaseRecord:
    contenders = [timed("numpy", 1.0), timed("loops", 300.0)]
    return CaseRecord(title="one", kind="convolution", settings={}, contenders=contenders)


def a_record(**changes: Any) -> BenchRecord:
    plain = {
        "schema": 2,
        "created": "2026-05-04T03:02:01+00:00",
        "command": "nncompare bench --out /somewhere/else",
        "commit": "abc",
        "environment": Environment(
            processor="A processor", cores=2, memory_bytes=2**30, system="Linux", python="3.11",
            numpy="2.4", numpy_blas="openblas", numpy_threads=2, torch="2.13", torch_blas="MKL",
            torch_threads=2, nncompare="0.1",
        ),
        "protocol": Protocol(
            threads=2, repeats=15, seconds=1.5, pause_s=0.05, load=0.1,
            variables={"OMP_WAIT_POLICY": "PASSIVE"},
        ),
        "cases": [a_case(), a_case(1.05, 1.04, 128), a_convolution()],
        "harness": [
            HarnessRecord(
                title="mnist_bn_mlp, SGD", threads=1, steps=6000, certified_steps=60,
                epochs_s={"lockstep": [3.0, 2.0], "numpy": [1.0, 1.0], "torch": [1.0, 1.0]},
            )
        ],
    }  # fmt: skip
    return BenchRecord.model_validate({**plain, **changes})


def text_of(record: BenchRecord, folder: Path) -> str:
    write_bench_report(record, folder)
    return (folder / "report.md").read_text(encoding="utf-8")


def test_all_files_are_made_and_say_what_was_measured(tmp_path):
    paths = write_bench_report(a_record(), tmp_path / "r")
    names = [path.relative_to(tmp_path / "r").as_posix() for path in paths]
    assert names[:4] == ["report.md", "report.html", "report.pdf", "bench.json"]
    assert names[4:] == ["figures/times.png", "figures/times.svg"]
    assert (tmp_path / "r" / "report.pdf").read_bytes().startswith(b"%PDF")
    again = write_bench_report(a_record(), tmp_path / "s")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]

    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert "Measured on 4 May 2026." in text
    assert (
        "| bn\\_mlp, Adam, batch 32 | numpy | 1.00 | 0.333 | 0.333 | 0.333 | – | – | 3.0 |" in text
    )
    assert "|  | torch | 2.00 | 0.667 | 0.667 | 0.667 | 2.00 (1.90 to 2.10) | – | 4.0 |" in text
    assert "|  | floor | 0.250 |" in text
    assert "|  | loops | 300 | 100 | 100 | 100 | 300.00 (285.00 to 315.00) | – | – |" in text
    assert "| 6,000 | 60 | 1 | 5.0 | 2.0 | 2.0 | 1.25 (1.00 to 1.50) |" in text
    assert "- scikit-learn: it failed (2 cases)." in text
    assert "a pause of 50 ms, in which idle threads fall asleep. Every block" in text
    assert "The environment has `OMP_WAIT_POLICY=PASSIVE`." in text
    assert "/somewhere/else" not in text
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"\*\*{kind} (\d+)\.\*\*", text)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert len(re.findall(r"^\d+\. B\. Efron", text, re.MULTILINE)) == 1
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == [
        "1 How it was measured", "2 A training step", "3 A convolution alone",
        "4 The harness itself", "5 Not timed", "References",
    ]  # fmt: skip


def test_what_was_not_measured_has_no_section(tmp_path):
    record = a_record(cases=[], harness=[])
    record.protocol.load = 9.74
    write_bench_report(record, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["1 How it was measured", "References"]
    assert "In short" not in text
    assert "busy when this began** (load 9.7)" in text


def test_sentences_say_the_opposite_of_the_opposite():
    def ratios(*bounds: tuple[float, float, float]) -> list[Any]:
        return [
            ContenderRecord(name="x", over_numpy=RatioRecord(value=v, low=low, high=high))
            for v, low, high in bounds
        ]

    assert against("X", [None]) == ""
    faster = against("X", ratios((1.5, 1.4, 1.6), (2.0, 1.9, 2.1)))
    assert "faster in 2 of 2 cases, slower in 0, and neither in 0" in faster
    mixed = against("X", ratios((0.5, 0.4, 0.6), (1.01, 0.9, 1.1)))
    assert "faster in 0 of 2 cases, slower in 1, and neither in 1" in mixed
    assert "from 0.50 to 1.01" in mixed


@pytest.mark.parametrize(("load", "busy"), [(9.74, True), (0.1, False), (None, False)])
def test_the_terminal_says_all_of_it(load, busy):
    record = a_record()
    record.protocol.load = load
    console = Console(width=80, record=True, file=io.StringIO())
    show_bench(record, console)
    said = console.export_text()
    assert ("busy when this began (load 9.7)" in said) == busy
    assert "autograd" in said
    assert "Lock step, mnist_bn_mlp, SGD: 1.25 times the two plain trainings" in said


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


def test_a_korean_report_leaves_no_english_and_has_the_same_numbers() -> None:
    record, figure = a_record(), Figure("times", 1, "", "", b"", b"")
    english = markdown(contents(record, [figure]), "reader", "bench.md.j2")
    with using("ko"):
        text = markdown(contents(record, [figure]), "reader", "bench.md.j2")
    assert numbers(text) == numbers(english)
    names = {"scikit", "learn", "autograd", "loops", "bn", "mlp", "batch", "one", "mnist", "torch",
             "fused", "numpy", "floor", "Linux", "openblas", "MKL", "it", "failed", "bench",
             "OMP", "WAIT", "POLICY", "MiB"}  # fmt: skip
    assert set(english_words(text.partition("## 참고 문헌")[0])) - names == set()
