"""Comparing two traces: what was set differently, then every call in the order of execution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from compare.parity import tolerances
from compare.trace import trees
from compare.trace.configuration import differences, given
from compare.trace.format import CallEntry, Trace, read_trace
from compare.trace.judging import Pair, inherited
from compare.trace.mapping import NameMap, checked_map, propose, read_map
from compare.trace.parameters import Sums
from compare.trace.rerun import distance
from compare.trace.result import BETWEEN, UNJUDGED, DiffRecord
from compare.trace.sides import Side
from compare.trace.updates import update_sites
from experiments.errors import InputError


def diff(
    a: str | Path,
    b: str | Path,
    *,
    model_a: nn.Module | None = None,
    model_b: nn.Module | None = None,
    mapping: str | Path | None = None,
) -> DiffRecord:
    """Compare two traces: what was set differently, and which module is the first to add error.

    Every module of the first trace is run again, in float64, on the inputs that the second
    recorded. What it then gives is what the second should have; a module whose output differs only
    as its inputs do is not blamed.

    Args:
        a: The trace to judge by: a folder that :func:`nncompare.record` wrote, or a state_dict in
            a ``.safetensors`` file.
        b: The trace to judge.
        model_a: The first model itself, to run modules again whose classes are not torch's own.
        model_b: The second.
        mapping: A JSON file that says which names of the two belong together.

    Returns:
        The record: ``status`` is 0 where they agree, 1 where they differ and 2 where nothing could
        be compared; ``first`` is the first divergence, ``text()`` says it all.

    Raises:
        experiments.errors.InputError: A trace or the mapping is missing, damaged or of another
            version.
    """
    one, two = read_trace(Path(a)), read_trace(Path(b))
    names = names_of(one, two, mapping)
    return _Walk(one, two, names, _named(model_a), _named(model_b)).run()


def names_of(a: Trace, b: Trace, mapping: str | Path | None) -> NameMap:
    """Which names belong together: proposed, or of a file and completed."""
    if mapping is None:
        return propose(a, b)
    return checked_map(read_map(Path(mapping)), a, b, Path(mapping))


def _named(model: nn.Module | None) -> Mapping[str, nn.Module]:
    if model is None:
        return {}
    if not isinstance(model, nn.Module):
        raise InputError(f"a model should be a torch.nn.Module, but is a {type(model).__name__}.")
    return dict(model.named_modules())


class _Walk:
    """Goes through two traces in the order of execution."""

    def __init__(
        self,
        a: Trace,
        b: Trace,
        names: NameMap,
        live_a: Mapping[str, nn.Module],
        live_b: Mapping[str, nn.Module],
    ) -> None:
        self.a, self.b, self.names = a, b, names
        self.record = DiffRecord(*_labels(a, b))
        self.pairs = list(self._aligned(live_a, live_b))
        self.numbers = {p.one.call.number: p.two.call.number for p in self.pairs}
        self.drift = self.forward_drift = 0.0
        self.batch_differs = False

    def run(self) -> DiffRecord:
        """Compare everything."""
        calls = [(p.one.call, p.two.call) for p in self.pairs]
        record = self.record
        record.configuration = differences(self.a, self.b, self.names, calls)
        self.batch_differs = any(setting.topic == "batch" for setting in record.configuration)
        record.compared = self._compared_parameters()
        for step in sorted({p.one.call.step for p in self.pairs}):
            pairs = [p for p in self.pairs if p.one.call.step == step]
            self._forward(pairs)
            self._backward(pairs, step)
            record.sites += update_sites(self.a, self.b, self.names, step)
        self._notes()
        return record

    # ---- Alignment

    def _aligned(
        self, live_a: Mapping[str, nn.Module], live_b: Mapping[str, nn.Module]
    ) -> Iterator[Pair]:
        """The calls of both, paired by module, step and how many-th call it is."""
        theirs = dict(_keyed(self.b))
        first = min((call.step for call in self.a.index.calls), default=0)
        for (name, step, index), call in _keyed(self.a):
            other = self.names.modules.get(name)
            match = theirs.get((other, step, index)) if other is not None else None
            if match is not None:
                one, two = Side(self.a, call, live_a), Side(self.b, match, live_b)
                yield Pair(one, two, self.names, index, step == first)

    def _compared_parameters(self) -> int:
        if not (self.a.index.steps and self.b.index.steps):
            return 0
        one, two = self.a.index.steps[0].number, self.b.index.steps[0].number
        return sum(
            f"step/{one}/parameter/{x}" in self.a and f"step/{two}/parameter/{y.name}" in self.b
            for x, y in self.names.parameters.items()
        )

    @property
    def agree_so_far(self) -> bool:
        """Whether no difference has come in yet."""
        return not self.record.findings and not self.batch_differs

    def allowed(self, pair: Pair, backward: bool = False) -> float:
        """How far what reaches a module may be apart where the code before it is the same.

        A difference of the forward pass moves some values across the kink of a ReLU, or makes
        another one the largest. Among many values the share is as large as the difference, and
        their gradients are wholly others: the root mean square is as its root.
        """
        found = max(tolerances.TRACE_GROWTH * self.drift, tolerances.TRACE_UNITS * pair.unit())
        if backward:
            found = max(found, tolerances.TRACE_KINKS * math.sqrt(self.forward_drift))
        return found

    # ---- Forward

    def _forward(self, pairs: list[Pair]) -> None:
        before: Pair | None = None
        # A call of a container ends when those in it have ended: the innermost first.
        leaves = [p for p in pairs if not p.one.call.container]
        containers = [p for p in pairs if p.one.call.container]
        for pair in leaves + sorted(containers, key=lambda p: -_depth(p.one.module.name)):
            if pair.one.call.container and not self._judges_container(pair):
                continue
            if not pair.one.call.container:
                self._between(pair, before)
            site = inherited(pair.forward(self.agree_so_far), pair.unit())
            self.record.sites.append(site)
            if not site.is_finding and site.verdict != UNJUDGED and np.isfinite(site.total):
                self.drift = self.forward_drift = max(self.drift, site.total)
            before = pair
            pair.forget()

    def _judges_container(self, pair: Pair) -> bool:
        """Whether it can be run, and nothing in it is blamed already."""
        name = pair.one.module.name
        inside = [
            site
            for site in self.record.findings
            if site.verdict != BETWEEN and (not name or site.module.startswith(f"{name}."))
        ]
        live = name in pair.one.live and (name or pair.one.call.random is None)
        return bool(live) and not inside

    def _between(self, pair: Pair, before: Pair | None) -> None:
        """Say if a module is given something else though all before it agree."""
        one, two = pair.one.call, pair.two.call
        x, y = given(one), given(two)
        title = pair.one.module.name or "the model"
        if len(x) != len(y) or _scalars(one) != _scalars(two):
            if self.agree_so_far:
                what = f"{len(x)} tensors and {_told(one)} in a, {len(y)} and {_told(two)} in b"
                note = f"{title} is called with {what}: look at the code of {_caller(pair, None)}."
                cause = "it is called with other arguments"
                self.record.sites.append(pair.between(float("inf"), note, cause=cause))
            return
        for leaf, (p, q) in enumerate(zip(x, y, strict=True)):
            if not self.agree_so_far:
                return
            if self._handed_on(p, q):
                continue
            apart = _apart(self.a.tensor(p), self.b.tensor(q))
            if apart > self.allowed(pair):
                self.record.sites.append(
                    pair.between(apart, self._between_words(pair, before, leaf, apart))
                )
                return

    def _between_words(self, pair: Pair, before: Pair | None, leaf: int, apart: float) -> str:
        title = pair.one.module.name
        prior = f"Every module up to {before.one.module.name} agrees, but" if before else "But"
        return (
            f"{prior} input {leaf} of {title} is {apart:.3g} apart, relative to a's: the "
            f"difference comes from the code of {_caller(pair, before)}, between the two."
        )

    def _handed_on(self, x: str, y: str) -> bool:
        """Whether both are the output of one module, with nothing in between."""
        parts, others = x.split("/"), y.split("/")
        return (
            len(parts) == len(others) == 4
            and parts[2] == others[2] == "output"
            and parts[3] == others[3]
            and self.numbers.get(int(parts[1])) == int(others[1])
        )

    # ---- Backward

    def _backward(self, pairs: list[Pair], step: int) -> None:
        names = {site.module for site in self.record.findings}
        sums = Sums(self.a, self.b, self.names, step, names)
        blamed = {(s.module, s.step, s.call) for s in self.record.findings}
        before: Pair | None = None
        for pair in reversed([p for p in pairs if not p.one.call.container]):
            if self.agree_so_far:
                self._between_gradients(pair, before)
            if (pair.one.module.name, pair.one.call.step, pair.index) in blamed:
                continue
            site = pair.backward(sums)
            if site is not None:
                site = inherited(site, pair.unit())
                self.record.sites.append(site)
                if not site.is_finding and np.isfinite(site.total):
                    self.drift = max(self.drift, site.total)
                before = pair
            if pair.index == 0 and (found := sums.site(pair)) is not None:
                self.record.sites.append(found)
            pair.forget()

    def _between_gradients(self, pair: Pair, before: Pair | None) -> None:
        apart = pair.gradient_apart()
        if apart <= self.allowed(pair, backward=True):
            return
        title = pair.one.module.name
        if before is None:
            where = "it comes from the loss, or from what is between it and the model"
            start = "All outputs agree, but"
        else:
            where = f"the difference comes from the code of {_caller(pair, before)}"
            start = f"The backward pass agrees down to {before.one.module.name}, but"
        note = (
            f"{start} the gradient that reaches the output of {title} is {apart:.3g} apart, "
            f"relative to a's: {where}."
        )
        self.record.sites.append(pair.between(apart, note, "backward", _factor(pair)))

    # ---- Notes

    def _notes(self) -> None:
        notes, record = self.record.notes, self.record
        for trace, other, matched in (
            (self.a, "b", set(self.numbers)),
            (self.b, "a", set(self.numbers.values())),
        ):
            lost = [c.module for c in trace.index.calls if c.number not in matched]
            if lost:
                label = "a" if trace is self.a else "b"
                names = list(dict.fromkeys(lost))
                shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" * (len(names) > 4))
                notes.append(
                    f"{len(lost)} calls of {label} have no counterpart in {other}: {shown}. Name "
                    "it with --map, if there is one."
                )
        renamed = [n for n in self.names.by_order if n in {p.one.module.name for p in self.pairs}]
        if renamed:
            pairs = ", ".join(f"{n} → {self.names.modules[n]}" for n in renamed[:4])
            more = f" and {len(renamed) - 4} more" * (len(renamed) > 4)
            notes.append(
                f"Matched by order, class and shape, the names being different: {pairs}{more}."
            )
        unjudged = {s.kind for s in record.sites if s.verdict == UNJUDGED and s.note}
        if unjudged:
            notes.append(
                f"Not judged after the first difference, as it could not be run again: "
                f"{', '.join(sorted(unjudged))}. With the model itself (--model-a) it can be."
            )
        if any(s.verdict == BETWEEN for s in record.sites) or unjudged:
            notes.append(
                "After the first difference, the code between modules is not judged: correct it, "
                "record again and compare again."
            )


def _labels(a: Trace, b: Trace) -> tuple[str, str]:
    """What to call the two: by the names of their folders, or their paths if these are equal."""
    if a.path.name != b.path.name:
        return a.path.name, b.path.name
    return str(a.path), str(b.path)


def _keyed(trace: Trace) -> Iterator[tuple[tuple[str, int, int], CallEntry]]:
    """(module, step, how many-th call) and the call."""
    counts: dict[tuple[str, int], int] = {}
    for call in sorted(trace.index.calls, key=lambda c: c.number):
        index = counts.get((call.module, call.step), 0)
        counts[call.module, call.step] = index + 1
        yield (call.module, call.step, index), call


def _depth(name: str) -> int:
    return name.count(".") + 1 if name else 0


def _scalars(call: CallEntry) -> list[object]:
    every = [*call.inputs, *(call.keywords[key] for key in sorted(call.keywords))]
    return [s for tree in every for s in trees.scalars_in(tree)]


def _told(call: CallEntry) -> str:
    words = ", ".join(str(s) for s in _scalars(call))
    return f"({words})"


def _caller(pair: Pair, before: Pair | None) -> str:
    """The module whose code lies between two calls."""
    name = pair.one.module.name
    parts = name.split(".")[:-1]
    if before is not None:
        others = before.one.module.name.split(".")[:-1]
        common = 0
        while common < min(len(parts), len(others)) and parts[common] == others[common]:
            common += 1
        parts = parts[:common]
    return ".".join(parts) or "the model"


def _apart(x: torch.Tensor, y: torch.Tensor) -> float:
    return distance(x.double().numpy(), y.double().numpy())


def _factor(pair: Pair) -> str:
    """If one gradient is a multiple of the other, by how much."""
    for leaf, gradient in pair.one.question.gradients.items():
        other = pair.two.question.gradients.get(leaf)
        if other is None or other.shape != gradient.shape or not gradient.numel():
            continue
        x, y = gradient.double().flatten(), other.double().flatten()
        ratio = float((x @ y) / (x @ x)) if float(x @ x) else 0.0
        if ratio and _apart(x * ratio, y) < tolerances.TRACE_UNITS * pair.unit():
            return f"b's gradient is {ratio:.6g} times a's: another reduction, or a scaled loss"
    return ""
