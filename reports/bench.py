"""The report of a measurement of speed, made from its record alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compare.bench.records import BenchRecord, CaseRecord, ContenderRecord, RatioRecord
from compare.records.atomic import write_atomically
from reports.figures.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    Drawing,
    Figure,
    paper,
    rendered,
    style,
)
from reports.report import write_documents
from reports.tables import environment, pipe_table
from reports.text import command_line, count, day, escaped, fixed, milliseconds, number, plural

TITLE = "The speed of NumPy and PyTorch, side by side"
MEBIBYTE = 2**20
NONE = "–"
PHASES = ("forward", "backward", "update")
# Contender → label, colour, marker; `torch` in every setting. Told apart in grey too.
LOOKS = {
    "numpy": ("NumPy", BLUE, "o"),
    "torch": ("PyTorch, each setting", VERMILLION, "s"),
    "floor": ("matrix products alone", GREY, "v"),
}
OTHER = ("other code", GREEN, "x")


def write_bench_report(record: BenchRecord, folder: Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``report.pdf`` and ``bench.json`` into a folder.

    The same record gives the same bytes.

    Returns:
        These four, then the figures beside ``report.md``.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    figures = draw_figures(record)
    documents = write_documents(folder, TITLE, contents(record, figures), figures, "bench.md.j2")
    write_atomically(folder / "bench.json", record.text())
    return [*documents[:3], folder / "bench.json", *documents[3:]]


def contents(record: BenchRecord, figures: list[Figure]) -> dict[str, Any]:
    """The names that the template uses."""
    steps = [case for case in record.cases if case.kind == "step"]
    tables = {
        "environment": environment(record),
        "steps": contenders_table(steps),
        "convolutions": contenders_table(c for c in record.cases if c.kind == "convolution"),
        "harness": harness_table(record),
    }
    return {
        "title": TITLE,
        "date": day(record.created),
        "command": command_line(record.command) or "(not recorded)",
        "in_short": [
            sentence
            for sentence in (
                against("PyTorch as it comes", _ratios(steps, lambda case: "torch")),
                against("PyTorch's fastest eager setting", _ratios(steps, lambda c: c.best_eager)),
                against("PyTorch compiled", _ratios(steps, lambda case: "torch-compile")),
            )
            if sentence
        ],
        "protocol": record.protocol,
        "absent": absent(record),
        "tables": {name: table for name, table in tables.items() if table},
        "figures": {figure.name: figure for figure in figures},
    }


def against(whom: str, ratios: list[RatioRecord]) -> str:
    """In how many cases NumPy is faster, slower, or neither; nothing without cases.

    A case counts as faster or slower where the whole interval lies on that side of 1.
    """
    if not ratios:
        return ""
    faster = sum(ratio.low > 1 for ratio in ratios)
    slower = sum(ratio.high < 1 for ratio in ratios)
    values = [ratio.value for ratio in ratios]
    return (
        f"Against {whom} NumPy is faster in {faster} of {plural(len(ratios), 'case')}, slower in "
        f"{slower}, and neither in {len(ratios) - faster - slower}; the ratio of the medians "
        f"(above 1 where NumPy is faster) reaches from {min(values):.2f} to {max(values):.2f}."
    )


def _ratios(
    cases: list[CaseRecord], chosen: Callable[[CaseRecord], str | None]
) -> list[RatioRecord]:
    measured = [case.measured(chosen(case)) for case in cases]
    return [c.over_numpy for c in measured if c is not None and c.over_numpy is not None]


def absent(record: BenchRecord) -> list[str]:
    """The contenders that were not timed, and why; each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in record.cases:
        for contender in case.contenders:
            if contender.status != "measured":
                key = (contender.title, f"{contender.status}: {contender.reason}")
                reasons.setdefault(key, []).append(case.title)
    found = []
    for (title, reason), cases in reasons.items():
        where = cases[0] if len(cases) == 1 else plural(len(cases), "case")
        found.append(f"{escaped(title)}, in {escaped(where)}: {escaped(reason)}.")
    return found


def contenders_table(cases: Any) -> str:
    """Every contender of every case: times, the ratio to NumPy's, agreement and memory."""
    rows = []
    for case in cases:
        title = escaped(case.title)
        for contender in case.contenders:
            if contender.status == "measured":
                rows.append((title, *_cells(contender)))
                title = ""
    columns = ("case", "code", "ms", *PHASES, "ratio (95% interval)", "difference", "peak MiB")
    return pipe_table(columns, rows, "llrrrrrrr")


def _cells(contender: ContenderRecord) -> tuple[str, ...]:
    ratio, found, memory = contender.over_numpy, contender.agreement, contender.memory_bytes
    if contender.name == "numpy":
        ratio = found = None
    times = [contender.step, *(contender.phases.get(phase) for phase in PHASES)]
    return (
        escaped(contender.title),
        *(NONE if one is None else milliseconds(one.median_s) for one in times),
        NONE if ratio is None else f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
        NONE if found is None else number(found.gradient_error, 2),
        NONE if memory is None else fixed(memory / MEBIBYTE, 1),
    )


def harness_table(record: BenchRecord) -> str:
    """Lock step over the two plain trainings."""
    rows = [
        (
            escaped(f"{cost.experiment}, {cost.label}"),
            *(count(n) for n in (cost.steps, cost.certified_steps, cost.threads)),
            *(fixed(sum(s), 1) for s in (cost.lockstep_s, *cost.plain_s.values())),
            f"{cost.over_plain.value:.2f}",
            f"{cost.over_plain.low:.2f} to {cost.over_plain.high:.2f}",
        )
        for cost in record.harness
    ]
    columns = (
        *("training", "steps", "certified", "threads", "lock step (s)", "NumPy alone (s)"),
        *("PyTorch alone (s)", "ratio", "95% interval"),
    )
    return pipe_table(columns, rows, "lrrrrrrrr")


def draw_figures(record: BenchRecord) -> list[Figure]:
    """The times of the training steps, where there are any."""
    cases = [case for case in record.cases if case.kind == "step" and case.measured("numpy")]
    if not cases:
        return []
    with style():
        return [rendered(_times(cases), 1)]


def _times(cases: list[CaseRecord]) -> Drawing:
    """A row of dots for each case, with the middle half of the steps."""
    canvas, axes = paper(2.6 + 0.62 * len(cases))
    axis, labels = axes[0, 0], {}
    for place, case in enumerate(cases):
        for contender in case.contenders:
            step = contender.step
            if step is None:
                continue
            name = "torch" if contender.name.startswith("torch") else contender.name
            label, colour, marker = LOOKS.get(name, OTHER)
            below, above = step.median_s - step.quartile_s, step.upper_quartile_s - step.median_s
            labels[label] = axis.errorbar(
                1e3 * step.median_s,
                place,
                xerr=[[1e3 * below], [1e3 * above]],
                fmt=marker,
                color=colour,
                alpha=0.7,
                capsize=2,
            )
    axis.set_yticks(range(len(cases)), [case.title for case in cases])
    axis.set_ylim(len(cases) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("time of one training step (ms)")
    canvas.legend(list(labels.values()), list(labels), loc="outside upper center", ncols=4)
    return Drawing(
        "times",
        canvas,
        "Median time of a training step; the bars hold the middle half of the steps.",
        "Dots of the time of a step for each case and contender, on a logarithmic axis.",
    )
