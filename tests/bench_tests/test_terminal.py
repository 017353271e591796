"""A measurement on a terminal of 80 columns: nothing is cut off."""

from __future__ import annotations

from rich.console import Console

from compare.bench.contenders import CONTENDERS
from compare.bench.records import CaseRecord, ContenderRecord, RatioRecord, Times
from compare.commands.bench import case_table, milliseconds


def timed(name: str, ms: float) -> ContenderRecord:
    s = 1e-3 * ms
    step = Times(low_s=s, quartile_s=s, median_s=1.1 * s, upper_quartile_s=1.2 * s, high_s=1.3 * s)
    ratio = None if name == "numpy" else RatioRecord(value=12.345, low=11.111, high=13.999)
    return ContenderRecord(name=name, step=step, over_numpy=ratio, memory_bytes=1234 * 2**20)


def test_the_widest_rows_fit():
    best = "torch-channels-last-fused"
    names = [name for name, entry in CONTENDERS.items() if entry.step]
    timed_ones = [timed(name, 12.2 if name == best else 12.3) for name in names]
    absent = ContenderRecord(name="x", reason="a reason " * 20)
    case = CaseRecord(
        title="deep_convnet, Adam, batch 495,141",
        kind="step",
        settings={},
        contenders=[*timed_ones, absent],
    )
    console = Console(width=80, file=None, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(case_table(case))
    text = captured.get()
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    row = next(line for line in text.splitlines() if "*" in line)
    assert row.split() == [best, "*", "13.4", "12.2–14.6", "12.35", "11.11–14.00", "1234.0"]
    first = next(line for line in text.splitlines() if line.startswith("numpy"))
    assert first.split() == ["numpy", "13.5", "12.3–14.8", "1234.0"]  # no ratio to itself
    assert "x: a reason" in text


def test_three_digits():
    assert [milliseconds(s) for s in (1.234e-4, 1.234e-3, 1.234e-2, 0.1234, 12.34)] == [
        "0.123", "1.23", "12.3", "123", "12340",
    ]  # fmt: skip
