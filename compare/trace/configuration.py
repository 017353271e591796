"""What was set differently in two traces: the usual answer to why two runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from compare.trace import trees
from compare.trace.format import CallEntry, Trace
from compare.trace.mapping import NameMap, taken_over
from compare.trace.recording import LOSS
from compare.trace.result import Setting

TOPICS = {"eps": "ε", "p": "dropout", "dropout": "dropout", "reduction": "reduction"}
Pairs = Sequence[tuple[CallEntry, CallEntry]]


def same_but_for_rounding(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether two tensors are equal once the wider is rounded to the format of the narrower."""
    if x.shape != y.shape:
        return False
    if x.dtype != y.dtype and x.is_floating_point() and y.is_floating_point():
        narrow = x.dtype if torch.finfo(x.dtype).eps >= torch.finfo(y.dtype).eps else y.dtype
        x, y = x.to(narrow), y.to(narrow)
    if x.is_floating_point() and y.is_floating_point():
        return bool(torch.equal(x.nan_to_num(nan=0.0), y.nan_to_num(nan=0.0))) and bool(
            torch.equal(x.isnan(), y.isnan())
        )
    return bool(torch.equal(x, y))


def same_setting(x: Any, y: Any) -> bool:
    """Whether two settings mean the same: 3 and [3, 3] do, for the axes of an image."""
    for one, other in ((x, y), (y, x)):
        if isinstance(one, list) and one and not isinstance(other, list):
            return all(part == other for part in one)
    return bool(x == y)


def differences(a: Trace, b: Trace, names: NameMap, pairs: Pairs) -> list[Setting]:
    """All that was set differently, what decides first."""
    return [
        *_initial(a, b, names),
        *_batch(a, b, pairs),
        *_modes(pairs),
        *_products(pairs),
        *_settings(a, b, names),
        *_optimizer(a, b),
        *_accumulation(a, b),
        *_general(a, b),
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name or "the model" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _initial(a: Trace, b: Trace, names: NameMap) -> Iterator[Setting]:
    """Parameters and buffers before the first step."""
    for word in ("parameter", "buffer"):
        changed, compared, transposed = [], 0, []
        for name, other in names.parameters.items():
            one, two = _start(a, word, name), _start(b, word, other.name)
            if one is None or two is None:
                continue
            compared += 1
            if not same_but_for_rounding(one, taken_over(two, other)):
                changed.append(name)
                if two.dim() == 2 and same_but_for_rounding(one, two.t()):
                    transposed.append(name)
        if changed:
            sentence = f"{len(changed)} of {compared} {word}s differ before the first step: "
            sentence += _listed(changed)
            if transposed:
                sentence += f" (b holds the transpose of {_listed(transposed)})"
            yield Setting("initialisation", sentence)


def _start(trace: Trace, word: str, name: str) -> torch.Tensor | None:
    step = min((step.number for step in trace.index.steps), default=0)
    stored = f"step/{step}/{word}/{name}"
    return trace.tensor(stored) if stored in trace else None


def _batch(a: Trace, b: Trace, pairs: Pairs) -> Iterator[Setting]:
    """What is given to the model and, beside the model's output, to the loss."""
    first = min((call.step for call, _ in pairs), default=0)
    for call, other in pairs:
        if call.step != first or call.module not in ("", LOSS):
            continue
        for leaf, (x, y) in enumerate(zip(given(call), given(other), strict=False)):
            if "/output/" in x or "/output/" in y:
                continue
            one, two = a.tensor(x), b.tensor(y)
            if same_but_for_rounding(one, two):
                continue
            where = f"input {leaf} of {'the model' if not call.module else 'the loss'}"
            yield Setting("batch", f"{where} {_how(one, two)}")


def given(call: CallEntry) -> list[str]:
    """The names of the tensors that a call was given."""
    every = [*call.inputs, *call.keywords.values()]
    return [name for tree in every for name in trees.names_in(tree)]


def _how(one: torch.Tensor, two: torch.Tensor) -> str:
    if one.shape != two.shape:
        return f"has the shape {tuple(one.shape)} in a, {tuple(two.shape)} in b"
    if one.dim() and len(one):
        rows = [sorted(map(tuple, t.double().reshape(len(t), -1).tolist())) for t in (one, two)]
        if rows[0] == rows[1]:
            return "has the same rows in another order: shuffled"
    return "has other values"


def _modes(pairs: Pairs) -> Iterator[Setting]:
    for a_trains in (True, False):
        names = list(
            dict.fromkeys(
                call.module
                for call, other in pairs
                if call.training is a_trains and other.training is not a_trains and call.module
            )
        )
        if names:
            words = ("training", "evaluation") if a_trains else ("evaluation", "training")
            sentence = f"{words[0]} mode in a, {words[1]} mode in b: {_listed(names)}"
            yield Setting("mode", sentence)


def _products(pairs: Pairs) -> Iterator[Setting]:
    groups: dict[str, list[str]] = {}
    for call, other in pairs:
        if call.products != other.products and not call.container:
            x, y = (c.products or "float32" for c in (call, other))
            sentence = f"float32 is multiplied as {x} in a, as {y} in b"
            groups.setdefault(sentence, []).append(call.module)
    for sentence, modules in groups.items():
        yield Setting("precision", f"{sentence}: {_listed(list(dict.fromkeys(modules)))}")


def _settings(a: Trace, b: Trace, names: NameMap) -> Iterator[Setting]:
    groups: dict[tuple[str, str], list[str]] = {}
    for name, other in names.modules.items():
        one, two = a.modules[name], b.modules[other]
        if one.kind != two.kind:
            if "unknown" not in (one.kind, two.kind) and not (one.container and two.container):
                sentence = f"{one.kind} in a, {two.kind} in b"
                groups.setdefault(("class", sentence), []).append(name)
            continue
        for key in sorted(one.settings.keys() | two.settings.keys()):
            x, y = one.settings.get(key), two.settings.get(key)
            if not same_setting(x, y):
                sentence = f"{key} is {_word(x)} in a, {_word(y)} in b"
                groups.setdefault((TOPICS.get(key, "settings"), sentence), []).append(name)
    for (topic, sentence), modules in groups.items():
        yield Setting(topic, f"{sentence}: {_listed(modules)}")


def _word(value: Any) -> str:
    return "not set" if value is None else str(value)


def _optimizer(a: Trace, b: Trace) -> Iterator[Setting]:
    one, two = a.index.optimizer, b.index.optimizer
    if one is None or two is None:
        return
    if one.get("kind") != two.get("kind"):
        yield Setting("optimizer", f"{one.get('kind')} in a, {two.get('kind')} in b")
        return
    ours, theirs = one.get("groups", []), two.get("groups", [])
    if len(ours) != len(theirs):
        yield Setting("optimizer", f"{len(ours)} parameter groups in a, {len(theirs)} in b")
        return
    for number, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        for key in sorted((x.keys() | y.keys()) - {"parameters"}):
            if x.get(key) != y.get(key):
                which = f" (group {number})" if len(ours) > 1 else ""
                sentence = f"{key} is {_word(x.get(key))} in a, {_word(y.get(key))} in b{which}"
                yield Setting("optimizer", sentence)


def _accumulation(a: Trace, b: Trace) -> Iterator[Setting]:
    first = [next((s.number for s in t.index.steps if s.accumulated), None) for t in (a, b)]
    if (first[0] is None) != (first[1] is None):
        side, step = ("a", first[0]) if first[1] is None else ("b", first[1])
        yield Setting(
            "gradients", f"{side} adds to gradients that were not zeroed, first in step {step}"
        )


def _general(a: Trace, b: Trace) -> Iterator[Setting]:
    ours, theirs = a.index.configuration, b.index.configuration
    for key in [k for k in ours if k in theirs]:
        if ours[key] != theirs[key]:
            both = (ours[key], theirs[key])
            x, y = (", ".join(map(str, v)) if isinstance(v, list) else v for v in both)
            yield Setting(key, f"{x} in a, {y} in b")
    starts = [next((s.random for s in t.index.steps), None) for t in (a, b)]
    if None not in starts and starts[0] != starts[1] and ours.get("seed") == theirs.get("seed"):
        yield Setting("random numbers", "the generators stood elsewhere when the step began")
    for key in ("program", "torch"):
        x, y = a.index.made_by.get(key), b.index.made_by.get(key)
        if x and y and x != y:
            yield Setting("versions", f"{key} {x} in a, {y} in b")
