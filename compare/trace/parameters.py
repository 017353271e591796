"""Gradients of parameters: summed over the calls of their module, and judged together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from compare.parity import tolerances
from compare.trace.format import Trace
from compare.trace.judging import Pair
from compare.trace.mapping import NameMap, taken_over
from compare.trace.rerun import (
    Arrays,
    Judged,
    NotRunError,
    answer,
    as_array,
    distance,
    expected_noise,
    judge,
)
from compare.trace.result import ADDED, INHERITED, SAME, UNJUDGED, WITHIN, Site


def gradient_sites(
    pairs: Sequence[Pair], a: Trace, b: Trace, names: NameMap, findings: Sequence[Site]
) -> Iterator[Site]:
    """One site for each module whose parameters have gradients in both traces."""
    if not pairs:
        return
    step = pairs[0].one.call.step
    blamed = {site.module for site in findings}
    owners = Counter(full for m in a.modules.values() if not m.container
                     for full in m.parameters.values())  # fmt: skip
    accumulated = {n for t in (a, b) for s in t.index.steps if s.number == step
                   for n in s.accumulated}  # fmt: skip
    modules: dict[str, list[Pair]] = {}
    for pair in pairs:
        if not pair.one.call.container:
            modules.setdefault(pair.one.module.name, []).append(pair)
    for name, calls in modules.items():
        if name in blamed:
            continue
        wanted: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for local, full in calls[0].one.module.parameters.items():
            other = names.parameters.get(full)
            if other is None or owners[full] > 1 or {full, other.name} & accumulated:
                continue
            x, y = f"step/{step}/gradient/{full}", f"step/{step}/gradient/{other.name}"
            if x in a and y in b:
                wanted[local] = (
                    as_array(a.tensor(x)), as_array(taken_over(b.tensor(y), other))
                )  # fmt: skip
        if wanted:
            yield _site(calls, wanted)


def _site(calls: Sequence[Pair], wanted: dict[str, tuple[np.ndarray, np.ndarray]]) -> Site:
    last = calls[-1]
    total = max(distance(x, y) for x, y in wanted.values())
    if total == 0:
        return last.site("parameters", SAME)
    if any(p.one.build is None or p.one.call.random or p.two.call.random for p in calls):
        return last.site("parameters", UNJUDGED, total=total, note="it cannot be run again")
    exact: Arrays = {}
    noise: Arrays = {}
    try:
        for pair in calls:
            if not pair.two.question.gradients:
                continue
            build = pair.one.build
            assert build is not None
            found = answer(build, pair.question(), "float64", backward=True)
            unsure = expected_noise(build, pair.question(), pair.two.precision, backward=True)
            for local in wanted:
                q = f"gradient by {local}"
                if q in found:
                    exact[q] = exact.get(q, 0.0) + found[q]
                    noise[q] = noise.get(q, 0.0) + unsure[q]
    except NotRunError as error:
        return last.site("parameters", UNJUDGED, total=total, note=str(error))
    checks: list[Judged] = []
    added = 0.0
    for local, (_, theirs) in wanted.items():
        q = f"gradient by {local}"
        if q in exact:
            unit = tolerances.FORMATS[last.two.precision]
            sums = len(calls) * unit * np.abs(exact[q])
            checks.append(judge(q, theirs, exact[q], noise[q] + sums))
            added = max(added, distance(exact[q], theirs))
    if not checks:
        return last.site("parameters", UNJUDGED, total=total, note="no gradient reached its output")
    worst = max(checks, key=lambda check: check.times)
    if worst.passed:
        far = total > tolerances.TRACE_UNITS * last.unit()
        return last.site(
            "parameters", INHERITED if far else WITHIN, total=total, added=added, times=worst.times
        )
    return last.site(
        "parameters", ADDED, total=total, added=added, quantity=worst.quantity, place=worst.place,
        expected=worst.expected, found=worst.found, times=worst.times, note=worst.note,
        cause="its outputs and what it sends back agree, but the gradient of its own does not",
    )  # fmt: skip
