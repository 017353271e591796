"""What the speed report says in sentences, made from the numbers."""

from __future__ import annotations

from collections.abc import Callable

from compare.analysis.timings import Ratio
from compare.bench.aims import aims
from compare.bench.records import BenchRecord, Case
from reports.text import count, escaped, plural


def in_short(record: BenchRecord) -> list[str]:
    """The findings, a sentence each."""
    steps = [case for case in record.cases if case.kind == "step"]
    found = [
        against("PyTorch as it comes", _ratios(steps, lambda case: "torch")),
        against("PyTorch's fastest eager setting", _ratios(steps, lambda case: case.best_eager)),
        against("PyTorch compiled", _ratios(steps, lambda case: "torch-compile")),
    ]
    aimed = aims(record)
    if aimed:
        reached = sum(aim.reached for aim in aimed)
        of_all = f"{reached} of {plural(len(aimed), 'aim')}"
        found.append(f"{of_all} {'is' if reached == 1 else 'are'} reached; section 9 lists them.")
    return [sentence for sentence in found if sentence]


def against(whom: str, ratios: list[Ratio]) -> str:
    """In how many cases NumPy is faster, slower, or neither; nothing without cases.

    A case counts as faster or slower where the whole interval lies on that side of 1.
    """
    if not ratios:
        return ""
    faster = sum(ratio.low > 1 for ratio in ratios)
    slower = sum(ratio.high < 1 for ratio in ratios)
    undecided = len(ratios) - faster - slower
    values = [ratio.value for ratio in ratios]
    among = f"Against {whom} NumPy is faster in {faster} of {plural(len(ratios), 'case')}"
    return (
        f"{among}, slower in {slower}, and neither in {undecided}; the ratio of the medians "
        f"(above 1 where NumPy is faster) reaches from {min(values):.2f} to {max(values):.2f}."
    )


def _ratios(cases: list[Case], chosen: Callable[[Case], str | None]) -> list[Ratio]:
    measured = [case.of(chosen(case)) for case in cases]
    return [m.over_numpy.ratio for m in measured if m is not None and m.over_numpy is not None]


def protocol(record: BenchRecord) -> str:
    """How it was measured."""
    told = record.protocol
    threads = plural(told.threads, "thread")
    if told.name == "processes":
        where = (
            f"Each library works in a process of its own, with {threads}, and is asked in turn. "
            "In one process the thread pools of the libraries would meet: after its work a pool "
            "spins on the cores for a while and slows whoever comes next."
        )
    else:
        where = f"All libraries work in one process, with {threads} each."
    pause = (
        f" Before each block there is a pause of {1e3 * told.pause_s:.0f} ms, in which idle "
        "threads fall asleep."
        if told.pause_s
        else ""
    )
    variables = ", ".join(f"`{name}={value}`" for name, value in told.environment.items())
    return (
        f"{where} In each of {count(told.repeats)} rounds every contender makes one block of "
        "steps, in an order drawn anew; the blocks of one contender last about "
        f"{told.seconds:g} s together. The first steps of a block are not timed: the pools wake "
        f"and the caches fill.{pause} Every block begins from the same weights, so that all "
        "blocks do the same arithmetic."
        + (f" In the environment stands {variables}." if variables else "")
        + (
            f" **The machine was busy when this began** (load {told.load:.1f}): the figures are "
            "those of a machine that does other work."
            if told.busy
            else ""
        )
    )


def absent(record: BenchRecord) -> list[str]:
    """Who was not timed, and why; each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in record.cases:
        for measured in case.contenders:
            if measured.status != "measured":
                key = (measured.title, f"{measured.status}: {measured.reason}")
                reasons.setdefault(key, []).append(case.title)
    found = []
    for (title, reason), cases in reasons.items():
        where = cases[0] if len(cases) == 1 else plural(len(cases), "case")
        found.append(f"{escaped(title)}, in {escaped(where)}: {escaped(reason)}.")
    return found
