"""Whether a module adds error, or passes on what its inputs brought.

The module of the first trace is run in float64 on what the second trace gave to its own. If it
gives what the second recorded, within the rounding that such a module makes, the two modules are
the same function, and every difference between their outputs is inherited. Otherwise the
parameters, buffers, mode and settings of the second are put in, one after the other, to find the
one that explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from compare.parity import tolerances
from compare.trace.configuration import given, same_but_for_rounding
from compare.trace.mapping import NameMap, taken_over
from compare.trace.rerun import (
    Arrays,
    Build,
    Judged,
    NotRunError,
    Question,
    distance,
    judged,
)
from compare.trace.result import ADDED, BETWEEN, INHERITED, SAME, UNJUDGED, WITHIN, Site
from compare.trace.settings import DROPOUTS
from compare.trace.sides import Side


class GradientSums(Protocol):
    """Who adds up the gradients of parameters."""

    def wants(self, pair: Pair) -> bool:
        """Whether the parameters of this module are to be judged."""

    def add(self, pair: Pair, exact: Arrays, noise: Arrays) -> None:
        """What one call adds, and how unsure it is."""

    def fail(self, pair: Pair, reason: str) -> None:
        """A call could not be run again."""


class Pair:
    """One call in both traces."""

    def __init__(self, one: Side, two: Side, names: NameMap, index: int, first: bool) -> None:
        """Take both sides.

        Args:
            one: The first trace's.
            two: The second's.
            names: Which parameter is which.
            index: The how many-th call of this module in this step it is.
            first: Whether it is in the first recorded step, so that parameters were not yet
                trained: later ones differ as the gradients before them do.
        """
        self.one, self.two, self.names, self.index, self.first = one, two, names, index, first

    # ---- What the traces say

    def site(self, direction: str, verdict: str, **more: Any) -> Site:
        """A site of this call."""
        module = self.one.module
        return Site(
            module.name, self.two.module.name, module.short, self.one.call.step, self.index,
            direction, verdict, **more,
        )  # fmt: skip

    def total(self) -> float:
        """How far the outputs are apart."""
        return _furthest(self.one.answers(), self.two.answers())

    def inputs_apart(self) -> float:
        """How far the inputs are apart; of another number of tensors, infinitely."""
        x, y = given(self.one.call), given(self.two.call)
        if len(x) != len(y):
            return float("inf")
        ours, theirs = self.one.question.tensors, self.two.question.tensors
        gaps = [_gap(ours[p], theirs[q]) for p, q in zip(x, y, strict=True)]
        return max(gaps, default=0.0)

    def unit(self) -> float:
        """The unit of roundoff of the narrower format."""
        formats = tolerances.FORMATS
        return max(formats[self.one.precision], formats[self.two.precision])

    def is_same(self) -> bool:
        """Whether all that was asked and answered is equal to the last bit."""
        ours, theirs = self.one.question, self.two.question
        names = zip(given(self.one.call), given(self.two.call), strict=False)
        if len(ours.leaves) != len(theirs.leaves) or self.one.precision != self.two.precision:
            return False
        if not all(_equal(ours.tensors[x], theirs.tensors[y]) for x, y in names):
            return False
        p, q = ours.parameters, self._parameters_of_two()
        if p.keys() != q.keys() or not all(_equal(p[n], q[n]) for n in p):
            return False
        return _all_equal(self.one.answers(), self.two.answers())

    def _parameters_of_two(self) -> dict[str, torch.Tensor]:
        """The second's parameters under the first's names, turned as the first holds them."""
        start = f"step/{self.two.call.step}/parameter/"
        found = {}
        for local, full in self.one.parameter_names.items():
            other = self.names.parameters.get(full)
            if other is not None and start + other.name in self.two.trace:
                found[local] = taken_over(self.two.trace.tensor(start + other.name), other)
        return found

    def _buffers_of_two(self) -> dict[str, torch.Tensor]:
        """The second's buffers; the first's where it has none, as a counter of batches."""
        ours, theirs = self.one.buffers, self.two.buffers
        return {name: theirs.get(name, own) for name, own in ours.items()}

    # ---- The question that decides

    def question(self) -> Question:
        """The second's inputs for the first's module, with the first's parameters and mode.

        Values that are equal but for rounding are taken from the second, which holds them in the
        format that its answer was computed in.
        """
        asked = self.two.question
        theirs = self._parameters_of_two()
        parameters = {
            name: theirs[name]
            if name in theirs and (not self.first or same_but_for_rounding(tensor, theirs[name]))
            else tensor
            for name, tensor in self.one.parameters.items()
        }
        others = self._buffers_of_two()
        fresh = self.first and self.index == 0
        buffers = {
            name: others[name]
            if not fresh or same_but_for_rounding(tensor, others[name])
            else tensor
            for name, tensor in self.one.buffers.items()
        }
        return replace(
            asked,
            parameters=parameters,
            buffers=buffers,
            training=self.one.call.training,
        )

    def forward(self, inputs_agree: bool) -> Site:
        """Judge the outputs.

        Args:
            inputs_agree: Whether no module and nothing between modules has brought a difference
                yet: only then can a module be judged that cannot be run again.
        """
        if self.is_same():
            return self.site("forward", SAME)
        if self.one.module.short in DROPOUTS and self.one.module.kind == self.two.module.kind:
            return self._dropout(inputs_agree)
        if self.one.call.random is not None or self.two.call.random is not None:
            return self._without_rerun("it draws random numbers", inputs_agree)
        if self.one.build is None:
            reason = f"{self.one.module.kind} cannot be made again from its settings"
            return self._without_rerun(reason, inputs_agree)
        try:
            verdict = self._judged(self.one.build, self.question())
        except NotRunError as error:
            return self._without_rerun(f"it could not be run again: {error}", inputs_agree)
        worst, exact = verdict
        if worst is None:
            reason = "it has other outputs than the other trace's"
            return self._without_rerun(reason, inputs_agree)
        total = self.total()
        added = _furthest(exact, self.two.answers())
        if worst.passed:
            return self.site("forward", WITHIN, total=total, added=added, times=worst.times)
        return self._finding("forward", worst, total, added, self._cause())

    def _finding(
        self, direction: str, worst: Judged, total: float, added: float, cause: str
    ) -> Site:
        return self.site(
            direction,
            ADDED,
            total=total,
            added=added,
            quantity=worst.quantity,
            place=worst.place,
            expected=worst.expected,
            found=worst.found,
            times=worst.times,
            cause=cause,
            note=worst.note,
        )

    def _judged(self, build: Build, question: Question) -> tuple[Judged | None, Arrays]:
        """The worst quantity of the second trace, and what was expected."""
        found = self.two.answers()
        checks, exact, _ = judged(build, question, self.two.precision, found, backward=False)
        if [n for n in exact if n.startswith("output")] != [
            n for n in found if n.startswith("output")
        ]:
            return None, exact
        return max(checks, key=lambda check: check.times, default=None), exact

    def _passes(self, build: Build | None, question: Question) -> bool:
        if build is None:
            return False
        try:
            worst, _ = self._judged(build, question)
        except NotRunError:
            return False
        return worst is not None and worst.passed

    def _cause(self) -> str:
        """What of the second's, put in the first's module, explains the second's answer."""
        asked = self.question()
        for question, build, words in self._substitutions(asked):
            if self._passes(build, question):
                return words
        everything = self.two.question
        if self._passes(self.two.build, everything):
            return "several of its parameters and settings differ"
        if self._own_is_off():
            return (
                "a's own output is not what its recorded class and settings give: "
                "something else was computed there"
            )
        one, two = self.one.module, self.two.module
        if one.kind != two.kind and self.two.build is None:
            return f"it is a {one.short} in a, and in b a {two.kind}, which is no class of torch's"
        return "b computes something else than its recorded class and settings say"

    def _substitutions(self, asked: Question) -> Iterator[tuple[Question, Build | None, str]]:
        """Questions with one thing of the second's, what answers them, and the words for it."""
        build = self.one.build
        theirs, mine = self._parameters_of_two(), asked.parameters
        changed = [n for n in mine if n in theirs and not same_but_for_rounding(mine[n], theirs[n])]
        if changed:
            turned = [
                n
                for n in changed
                if theirs[n].dim() == 2 and same_but_for_rounding(mine[n], theirs[n].t())
            ]
            words = f"b has another {', '.join(changed)}"
            if turned == changed:
                words = f"b holds the transpose of {', '.join(turned)}"
            yield (
                replace(asked, parameters={**mine, **{n: theirs[n] for n in changed}}),
                build,
                words,
            )
        others = self._buffers_of_two()
        stale = [n for n, t in asked.buffers.items() if not same_but_for_rounding(t, others[n])]
        if stale:
            yield (
                replace(asked, buffers={**asked.buffers, **{n: others[n] for n in stale}}),
                build,
                f"b has another {', '.join(stale)} (a buffer)",
            )
        if self.one.call.training is not self.two.call.training:
            modes = ("training", "evaluation")
            ours, other = modes if self.one.call.training else modes[::-1]
            words = f"it is in {ours} mode in a, in {other} mode in b"
            yield replace(asked, training=self.two.call.training), build, words
            if stale:
                yield replace(asked, training=self.two.call.training, buffers=others), build, words
        if self.one.module.kind == self.two.module.kind:
            x, y = self.one.module.settings, self.two.module.settings
            for key in sorted(x.keys() & y.keys()):
                if x[key] != y[key]:
                    words = f"{key} is {x[key]} in a, {y[key]} in b"
                    yield asked, self.one.build_with({key: y[key]}), words
        else:
            words = f"it is a {self.one.module.short} in a, a {self.two.module.short} in b"
            yield self.two.question, self.two.build, words

    def _own_is_off(self) -> bool:
        """Whether the first's module does not give the first's output."""
        mirrored = Pair(self.one, self.one, _identity(self.one), self.index, self.first)
        return not mirrored._passes(self.one.build, self.one.question)

    # ---- Modules that are not run again

    def _without_rerun(self, reason: str, inputs_agree: bool) -> Site:
        """Compare outputs, which says something only where the inputs agree."""
        total, apart, unit = self.total(), self.inputs_apart(), self.unit()
        if not inputs_agree and apart > 0:
            return self.site(
                "forward", UNJUDGED, total=total, note=f"{reason}, and its inputs differ"
            )
        one, two = self.one.call, self.two.call
        alike = self.one.trace.index.made_by == self.two.trace.index.made_by
        equal = apart == 0 and alike and self.one.precision == self.two.precision
        factor = tolerances.TRACE_EQUAL_UNITS if equal else tolerances.TRACE_UNITS
        allowed = max(factor * unit, tolerances.TRACE_GROWTH * apart)
        if total <= allowed:
            return self.site("forward", WITHIN, total=total, note=reason)
        cause = ""
        if one.training is not two.training:
            modes = ("training", "evaluation") if one.training else ("evaluation", "training")
            cause = f"it is in {modes[0]} mode in a, in {modes[1]} mode in b"
        elif one.random != two.random:
            cause = "the two drew other random numbers"
        elif self.one.module.kind == self.two.module.kind:
            x, y = self.one.module.settings, self.two.module.settings
            changed = [k for k in x if k in y and x[k] != y[k]]
            cause = "; ".join(f"{k} is {x[k]} in a, {y[k]} in b" for k in changed)
        else:
            cause = f"it is a {self.one.module.short} in a, a {self.two.module.short} in b"
        note = (
            f"its outputs are {total:.3g} apart, relative to a's, and its inputs {apart:.3g} "
            f"({reason}: only outputs are compared)"
        )
        return self.site("forward", ADDED, total=total, cause=cause, note=note)

    def _dropout(self, inputs_agree: bool) -> Site:
        """Dropouts agree if they drop the same elements and scale the others by the same."""
        total = self.total()
        one, two = self.one, self.two
        p, q = (float(side.module.settings.get("p", 0.5)) for side in (one, two))
        if one.call.training is not two.call.training and max(p, q) > 0:
            modes = ("training", "evaluation") if one.call.training else ("evaluation", "training")
            cause = f"it is in {modes[0]} mode in a, in {modes[1]} mode in b"
            return self.site("forward", ADDED, total=total, cause=cause)
        if not one.call.training or one.module.short in DROPOUTS[4:]:
            if one.call.training:
                return self._without_rerun("it draws random numbers", inputs_agree)
            return self._eval_dropout(total)
        if p != q:
            cause = f"p is {p:g} in a, {q:g} in b"
            return self.site("forward", ADDED, total=total, cause=cause)
        kept = [_kept(side) for side in (one, two)]
        if kept[0] is None or kept[1] is None or kept[0].shape != kept[1].shape:
            return self._without_rerun("it draws random numbers", inputs_agree)
        alive = [np.asarray(next(iter(s.question.tensors.values())) != 0) for s in (one, two)]
        both = alive[0] & alive[1]
        changed = int((kept[0] != kept[1])[both].sum())
        if changed:
            cause = "the two drew other random numbers"
            note = (
                f"{changed:,} of {int(both.sum()):,} elements are dropped in one of the two alone"
            )
            return self.site("forward", ADDED, total=total, cause=cause, note=note)
        x, y = (next(iter(two.question.tensors.values())), two.answers()["output"])
        scaled = x.double().numpy() * kept[1] / (1 - p if p < 1 else 1.0)
        gap = distance(scaled, y)
        if gap > 4 * self.unit():
            cause = "b's output is no dropout of its input"
            return self.site("forward", ADDED, total=total, added=gap, cause=cause)
        return self.site("forward", WITHIN, total=total, added=gap)

    def _eval_dropout(self, total: float) -> Site:
        gap = distance(
            next(iter(self.two.question.tensors.values())).double().numpy(),
            self.two.answers()["output"],
        )
        if gap:
            cause = "it changes its input in evaluation mode in b"
            return self.site("forward", ADDED, total=total, added=gap, cause=cause)
        return self.site("forward", WITHIN, total=total, added=0.0)

    # ---- Backward

    def backward(self, sums: GradientSums) -> Site | None:
        """Judge what is sent back by the inputs; None where nothing was recorded.

        Args:
            sums: Takes what the module's parameters should have as gradients from this call.
        """
        ours, theirs = self.one.input_gradients(), self.two.input_gradients()
        if not self.two.question.gradients:
            return None
        has_site = bool(ours and theirs)
        total = _furthest(ours, theirs) if has_site else 0.0
        is_same = has_site and _all_equal(ours, theirs) and self._same_gradients()
        if not sums.wants(self) and (is_same or not has_site):
            return self.site("backward", SAME) if is_same else None
        if self._is_dropout() and (exact := self._dropped(theirs)) is not None:
            gap = _furthest(exact, theirs)
            if gap <= 4 * self.unit():
                return self.site("backward", WITHIN, total=total, added=gap)
            cause = "b's gradient is not that of its dropout"
            return self.site("backward", ADDED, total=total, added=gap, cause=cause)
        reason = "it cannot be run again"
        if self.one.build is not None and not (self.one.call.random or self.two.call.random):
            try:
                checks, exact, noise = judged(
                    self.one.build, self.question(), self.two.precision, theirs, backward=True
                )
            except NotRunError as error:
                reason = str(error)
            else:
                sums.add(self, exact, noise)
                if is_same:
                    return self.site("backward", SAME)
                return self._judged_backward(checks, exact, theirs, total) if has_site else None
        sums.fail(self, reason)
        if is_same:
            return self.site("backward", SAME)
        return self.site("backward", UNJUDGED, total=total, note=reason) if has_site else None

    def _judged_backward(
        self, checks: Sequence[Judged], exact: Arrays, theirs: Arrays, total: float
    ) -> Site | None:
        if not checks:
            return None
        worst = max(checks, key=lambda check: check.times)
        added = _furthest({q: exact[q] for q in theirs if q in exact}, theirs)
        if worst.passed:
            return self.site("backward", WITHIN, total=total, added=added, times=worst.times)
        cause = "its forward pass agrees, but b sends back another gradient"
        return self._finding("backward", worst, total, added, cause)

    def forget(self) -> None:
        """Let go of the tensors."""
        for side in (self.one, self.two):
            side.forget()

    def _is_dropout(self) -> bool:
        module = self.one.module
        return module.short in DROPOUTS[:4] and module.kind == self.two.module.kind

    def _dropped(self, theirs: Arrays) -> Arrays | None:
        """The gradient by the input of the second's dropout, from what it kept."""
        kept, gradient = _kept(self.two), self.two.question.gradients.get(0)
        if kept is None or gradient is None or len(theirs) != 1:
            return None
        p = float(self.two.module.settings.get("p", 0.5))
        scale = kept / (1 - p) if self.two.call.training and p < 1 else np.ones_like(kept)
        x = next(iter(self.two.question.tensors.values())).double().numpy()
        (name, found), *_ = theirs.items()
        exact = gradient.double().numpy() * scale
        # Where the input is 0, nobody can tell what was dropped.
        return {name: np.where((x == 0) & ~kept, found, exact)}

    def gradient_apart(self) -> float:
        """How far the gradients that reach the outputs are apart."""
        ours, theirs = self.one.question.gradients, self.two.question.gradients
        return max((_gap(g, theirs[i]) for i, g in ours.items() if i in theirs), default=0.0)

    def _same_gradients(self) -> bool:
        ours, theirs = self.one.question.gradients, self.two.question.gradients
        return ours.keys() == theirs.keys() and all(_equal(g, theirs[i]) for i, g in ours.items())

    def between(self, apart: float, note: str, direction: str = "forward", cause: str = "") -> Site:
        """The site of a difference that no module brought."""
        return self.site(direction, BETWEEN, total=apart, note=note, cause=cause)


def inherited(site: Site, unit: float) -> Site:
    """What agrees with the referee, but not with the other trace, has inherited it."""
    if site.verdict == WITHIN and site.total > tolerances.TRACE_UNITS * unit:
        return replace(site, verdict=INHERITED)
    return site


def _kept(side: Side) -> np.ndarray | None:
    """Which elements a dropout kept."""
    answers = side.answers()
    tensors = list(side.question.tensors.values())
    if len(tensors) != 1 or "output" not in answers:
        return None
    if tensors[0].shape != answers["output"].shape:
        return None
    found: np.ndarray = answers["output"] != 0
    return found


def _identity(side: Side) -> NameMap:
    from compare.trace.mapping import ParameterName

    names = [*side.parameter_names.values(), *side.module.buffers.values()]
    return NameMap({side.module.name: side.module.name}, {n: ParameterName(n) for n in names})


def _equal(x: torch.Tensor, y: torch.Tensor) -> bool:
    return x.dtype == y.dtype and same_but_for_rounding(x, y)


def _all_equal(ours: Arrays, theirs: Arrays) -> bool:
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[q], theirs[q], equal_nan=ours[q].dtype.kind == "f") for q in ours
    )


def _gap(x: torch.Tensor, y: torch.Tensor) -> float:
    return distance(x.double().numpy(), y.double().numpy())


def _furthest(ours: Arrays, theirs: Arrays) -> float:
    """The largest distance of an output; buffers count only where nothing else is there."""
    gaps = [distance(a, theirs[q]) for q, a in ours.items() if q in theirs]
    return max(gaps, default=float("inf") if ours or theirs else 0.0)
