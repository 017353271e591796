"""A measurement on a terminal of 80 columns: nothing is cut off."""

from __future__ import annotations

from rich.console import Console

from compare.bench.contenders import CONTENDERS
from compare.bench.records import CaseRecord, ContenderRecord, RatioRecord, Times
from compare.console.bench import case_table, milliseconds


def measured(name: str) -> ContenderRecord:
    entry = CONTENDERS[name]
    ms = 0.0123
    step = Times(
        low_s=ms, quartile_s=ms, median_s=1.1 * ms, upper_quartile_s=1.2 * ms, high_s=1.3 * ms
    )
    return ContenderRecord(
        name=name, title=entry.title, version="1", status="measured", step=step,
        over_numpy=RatioRecord(value=12.345, low=11.111, high=13.999),
        memory_bytes=1234 * 2**20,
    )  # fmt: skip


def test_the_widest_rows_fit():
    names = [name for name, entry in CONTENDERS.items() if entry.step]
    absent = ContenderRecord(name="x", title="x", version=None, reason="a reason " * 20)
    case = CaseRecord(
        title="deep_convnet, Adam, batch 495,141",
        kind="step",
        settings={},
        best_eager="torch-channels-last-fused",
        contenders=[*map(measured, names), absent],
    )
    console = Console(width=80, file=None, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(case_table(case))
    said = captured.get()
    assert "…" not in said
    assert all(len(line) <= 80 for line in said.splitlines())
    best = next(line for line in said.splitlines() if "*" in line)
    expected = ["channels", "last,", "fused", "*", "13.5", "12.3–14.8", "12.35", "11.11–14.00"]
    assert best.split() == [*expected, "1234.0"]
    first = next(line for line in said.splitlines() if line.startswith("NumPy"))
    assert first.split() == ["NumPy", "13.5", "12.3–14.8", "1234.0"]  # no ratio to itself
    assert "x: not run: a reason" in said


def test_three_digits():
    assert [milliseconds(s) for s in (1.234e-4, 1.234e-3, 1.234e-2, 0.1234, 12.34)] == [
        "0.123", "1.23", "12.3", "123", "12340",
    ]  # fmt: skip
