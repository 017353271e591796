"""Gradients of parameters: summed over the calls of their module, and judged together."""

from __future__ import annotations

from collections import Counter

import numpy as np

from compare.parity import tolerances
from compare.trace.format import Trace
from compare.trace.judging import Pair
from compare.trace.mapping import NameMap, taken_over
from compare.trace.rerun import Arrays, as_array, distance, judge
from compare.trace.result import ADDED, INHERITED, SAME, UNJUDGED, WITHIN, Site


class Sums:
    """The gradients that one step's parameters should have in the second trace."""

    def __init__(self, a: Trace, b: Trace, names: NameMap, step: int, blamed: set[str]) -> None:
        self.a, self.b, self.names, self.step, self.blamed = a, b, names, step, blamed
        self.owners = Counter(
            full for m in a.modules.values() if not m.container for full in m.parameters.values()
        )
        self.accumulated = {
            name
            for trace in (a, b)
            for entry in trace.index.steps
            if entry.number == step
            for name in entry.accumulated
        }
        self.exact: dict[str, Arrays] = {}
        self.noise: dict[str, Arrays] = {}
        self.reasons: dict[str, str] = {}
        self.totals: dict[str, float | None] = {}
        self.calls: Counter[str] = Counter()

    def _recorded(self, pair: Pair) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Local name → the gradient in both traces."""
        found = {}
        for local, full in pair.one.module.parameters.items():
            other = self.names.parameters.get(full)
            if other is None or self.owners[full] > 1 or {full, other.name} & self.accumulated:
                continue
            x = f"step/{self.step}/gradient/{full}"
            y = f"step/{self.step}/gradient/{other.name}"
            if x in self.a and y in self.b:
                theirs = taken_over(self.b.tensor(y), other)
                found[local] = (as_array(self.a.tensor(x)), as_array(theirs))
        return found

    def total(self, pair: Pair) -> float | None:
        """How far the gradients of the module are apart; None where there are none to compare."""
        name = pair.one.module.name
        if name not in self.totals:
            gaps = [distance(x, y) for x, y in self._recorded(pair).values()]
            self.totals[name] = max(gaps) if gaps and name not in self.blamed else None
        return self.totals[name]

    def wants(self, pair: Pair) -> bool:
        """Whether the parameters of this module differ, and are to be judged."""
        return bool(self.total(pair))

    def add(self, pair: Pair, exact: Arrays, noise: Arrays) -> None:
        """What one call adds, and how unsure it is."""
        if not self.wants(pair):
            return
        name = pair.one.module.name
        self.calls[name] += 1
        sums, unsure = self.exact.setdefault(name, {}), self.noise.setdefault(name, {})
        for local in pair.one.module.parameters:
            if (q := f"gradient by {local}") in exact:
                sums[q] = sums.get(q, 0.0) + exact[q]
                unsure[q] = unsure.get(q, 0.0) + noise[q]

    def fail(self, pair: Pair, reason: str) -> None:
        """A call could not be run again: the sum is not known."""
        self.reasons[pair.one.module.name] = reason

    def site(self, pair: Pair) -> Site | None:
        """The verdict on a module, when the backward pass has reached its first call."""
        total, name = self.total(pair), pair.one.module.name
        if total is None:
            return None
        if total == 0:
            return pair.site("parameters", SAME)
        exact, noise = self.exact.pop(name, {}), self.noise.pop(name, {})
        if name in self.reasons or not exact:
            note = self.reasons.get(name, "no gradient reached its output")
            return pair.site("parameters", UNJUDGED, total=total, note=note)
        checks, added = [], 0.0
        for local, (_, theirs) in self._recorded(pair).items():
            if (q := f"gradient by {local}") in exact:
                unit = tolerances.FORMATS[pair.two.precision]
                sums = self.calls[name] * unit * np.abs(exact[q])
                checks.append(judge(q, theirs, exact[q], noise[q] + sums))
                added = max(added, distance(exact[q], theirs))
        worst = max(checks, key=lambda check: check.times)
        if worst.passed:
            far = total > tolerances.TRACE_UNITS * pair.unit()
            return pair.site(
                "parameters", INHERITED if far else WITHIN, total=total, added=added,
                times=worst.times,
            )  # fmt: skip
        return pair.site(
            "parameters", ADDED, total=total, added=added, quantity=worst.quantity,
            place=worst.place, expected=worst.expected, found=worst.found, times=worst.times,
            note=worst.note,
            cause="its outputs and what it sends back agree, but the gradient of its own does not",
        )  # fmt: skip
