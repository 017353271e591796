"""The report of a measurement of speed, made from its record alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compare.bench.records import BenchRecord, CaseRecord, ContenderRecord, RatioRecord
from compare.languages import translated
from compare.records.atomic import write_atomically
from experiments.errors import InputError
from reports.documents import USUAL
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
from reports.report import english_pdf, write_documents
from reports.tables import environment
from reports.text import command_line, count, day, escaped, fixed, number, pipe_table, plural

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


def write_bench_report(
    record: BenchRecord, folder: Path, formats: Sequence[str] = USUAL
) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``report.pdf`` and ``bench.json`` into a folder.

    The same record gives the same bytes.

    Args:
        record: Of the measurement.
        folder: It is made where it is not there.
        formats: Those of :data:`reports.documents.FORMATS` that are made; a measurement has no
            notebook.

    Returns:
        The documents, ``bench.json``, then the figures beside ``report.md``.

    Raises:
        InputError: The folder cannot be made or written to, or a notebook is asked for.
    """
    if "ipynb" in formats:
        raise InputError(
            f"--format ipynb: expected the folder of a run, but {folder} holds a measurement of "
            "speed, which has no notebook."
        )
    figures = draw_figures(record)
    documents = write_documents(
        folder,
        translated(TITLE),
        contents(record, figures),
        figures,
        "bench.md.j2",
        formats=formats,
        pdf=english_pdf(lambda: _in_english(record)) if "pdf" in formats else None,
    )
    write_atomically(folder / "bench.json", record.text())
    return [*documents[: len(formats)], folder / "bench.json", *documents[len(formats) :]]


def _in_english(record: BenchRecord) -> tuple[str, dict[str, Any], list[Figure], str]:
    figures = draw_figures(record)
    return TITLE, contents(record, figures), figures, "bench.md.j2"


def contents(record: BenchRecord, figures: list[Figure]) -> dict[str, Any]:
    """The names that the template uses."""
    steps = [case for case in record.cases if case.kind == "step"]
    convolutions = [case for case in record.cases if case.kind == "convolution"]
    summaries = (
        against("PyTorch as it comes", [case.timed("torch") for case in steps]),
        against("PyTorch's fastest eager setting", [case.best_eager for case in steps]),
        against("PyTorch compiled", [case.timed("torch-compile") for case in steps]),
    )
    tables = {
        "environment": environment(record),
        "steps": contenders_table(steps),
        "convolutions": contenders_table(convolutions),
        "harness": harness_table(record),
    }
    return {
        "title": translated(TITLE),
        "date": day(record.created),
        "command": command_line(record.command) or "(not recorded)",
        "in_short": [sentence for sentence in summaries if sentence],
        "protocol": record.protocol,
        "absent": absent(record),
        "tables": {name: table for name, table in tables.items() if table},
        "figures": {figure.name: figure for figure in figures},
    }


def against(opponent: str, contenders: list[ContenderRecord | None]) -> str:
    """In how many cases NumPy is faster, slower, or neither; nothing without cases.

    A case counts as faster or slower where the whole interval lies on that side of 1.
    """
    ratios = [c.over_numpy for c in contenders if c is not None and c.over_numpy is not None]
    if not ratios:
        return ""
    faster = sum(ratio.low > 1 for ratio in ratios)
    slower = sum(ratio.high < 1 for ratio in ratios)
    values = [ratio.value for ratio in ratios]
    return translated(
        f"Against {opponent} NumPy is faster in {faster} of {plural(len(ratios), 'case')}, slower "
        f"in {slower}, and neither in {len(ratios) - faster - slower}; the ratio of the medians "
        f"(above 1 where NumPy is faster) reaches from {min(values):.2f} to {max(values):.2f}.",
        "bench",
    )


def absent(record: BenchRecord) -> list[str]:
    """The contenders that were not timed, and why, with the number of cases."""
    reasons = Counter(
        f"{escaped(contender.name)}: {escaped(contender.reason)}"
        for case in record.cases
        for contender in case.contenders
        if contender.step is None
    )
    return [
        translated(f"{reason} ({plural(cases, 'case')}).", "bench")
        for reason, cases in reasons.items()
    ]


def contenders_table(cases: list[CaseRecord]) -> str:
    """Every contender of every case: times, the ratio to NumPy's, agreement and memory."""
    rows = []
    for case in cases:
        title = escaped(case.title)
        for contender in case.contenders:
            if contender.step is None:
                continue
            ratio, memory_bytes = contender.over_numpy, contender.memory_bytes
            difference = contender.gradient_error
            times = [contender.step.median_s, *map(contender.phases_s.get, PHASES)]
            rows.append(
                (
                    title,
                    escaped(contender.name),
                    *(NONE if seconds is None else number(1e3 * seconds) for seconds in times),
                    NONE if ratio is None else with_interval(ratio),
                    NONE if difference is None else number(difference, 2),
                    NONE if memory_bytes is None else fixed(memory_bytes / MEBIBYTE, 1),
                )
            )
            title = ""
    columns = ("case", "code", "ms", *PHASES, "ratio (95% interval)", "difference", "peak MiB")
    return pipe_table(columns, rows, "llrrrrrrr")


def with_interval(ratio: RatioRecord) -> str:
    """``1.23 (1.10 to 1.40)``."""
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def harness_table(record: BenchRecord) -> str:
    """Lock step over the two plain trainings."""
    rows = [
        (
            escaped(cost.title),
            *(count(number) for number in (cost.steps, cost.certified_steps, cost.threads)),
            *(fixed(sum(seconds), 1) for seconds in cost.epochs_s.values()),
            with_interval(cost.over_plain),
        )
        for cost in record.harness
    ]
    seconds = ("lock step (s)", "NumPy alone (s)", "PyTorch alone (s)")
    columns = ("training", "steps", "certified", "threads", *seconds, "ratio (range of epochs)")
    return pipe_table(columns, rows, "lrrrrrrr")


def draw_figures(record: BenchRecord) -> list[Figure]:
    """The times of the training steps, where there are any."""
    cases = [case for case in record.cases if case.kind == "step"]
    if not cases:
        return []
    with style():
        return [rendered(_times(cases), 1)]


def _times(cases: list[CaseRecord]) -> Drawing:
    """A row of dots for each case, with the middle half of the steps."""
    canvas, axes = paper(2.6 + 0.62 * len(cases))
    axis, labels = axes[0, 0], {}
    timed = [(y, c, c.step) for y, case in enumerate(cases) for c in case.contenders if c.step]
    for y, contender, step in timed:
        name = "torch" if contender.name.startswith("torch") else contender.name
        label, colour, marker = LOOKS.get(name, OTHER)
        quartiles = [step.median_s - step.quartile_s], [step.upper_quartile_s - step.median_s]
        labels[label] = axis.errorbar(
            1e3 * step.median_s,
            y,
            xerr=1e3 * np.array(quartiles),
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
