"""The optimizer's step: made again in float64 from what the second trace recorded.

Parameters, gradients and state are the second's, settings the first's: what differs then is the
optimizer's own doing, not that of the gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.parity import tolerances
from compare.parity.callables import FLOATS
from compare.trace.format import StepEntry, Trace
from compare.trace.mapping import NameMap, taken_over
from compare.trace.rerun import DTYPES, REPLAYS, as_array, distance, judge, last_bit
from compare.trace.result import ADDED, INHERITED, SAME, UNJUDGED, WITHIN, Site

ALLOWED = (
    "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adagrad", "Adadelta",
)  # fmt: skip
# How the step is computed, not what.
IGNORED = {"foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"}

State = dict[str, torch.Tensor]


def update_sites(a: Trace, b: Trace, names: NameMap, step: int) -> Iterator[Site]:
    """One site for each parameter that both traces have before and after the step."""
    ours, theirs = _entry(a, step), _entry(b, step)
    if not (a.index.optimizer and b.index.optimizer and ours and theirs):
        return
    kind = str(a.index.optimizer.get("kind"))
    groups = _groups(ours)
    for name, other in names.parameters.items():
        before, after = f"step/{step}/parameter/{other.name}", f"step/{step}/after/{other.name}"
        mine = f"step/{step}/after/{name}"
        if mine not in a or before not in b or after not in b:
            continue
        x, y = as_array(a.tensor(mine)), as_array(taken_over(b.tensor(after), other))
        total = distance(x, y)
        site = Site(name, other.name, kind, step, 0, "update", UNJUDGED, total=total)
        if total == 0:
            yield replace(site, verdict=SAME)
            continue
        settings = groups.get(name)
        gradient = _gradient(b, step, other.name)
        if settings is None or gradient is None or kind not in ALLOWED:
            yield replace(site, note="its optimizer or its gradient was not recorded")
            continue
        state = b.under(f"step/{step}/optimizer/{other.name}/")
        yield _judged(site, b.tensor(before), gradient, state, b.tensor(after), settings,
                      _cause(kind, settings, b, theirs, other.name))  # fmt: skip


def _entry(trace: Trace, step: int) -> StepEntry | None:
    return next((s for s in trace.index.steps if s.number == step), None)


def _groups(entry: StepEntry) -> dict[str, dict[str, Any]]:
    """Parameter → the settings of its group at this step."""
    return {
        str(name): {k: v for k, v in group.items() if k != "parameters"}
        for group in entry.groups
        for name in group.get("parameters", [])
    }


def _gradient(trace: Trace, step: int, name: str) -> torch.Tensor | None:
    """What the optimizer was given: after clipping, where that was recorded."""
    for word in ("update_gradient", "gradient"):
        if (stored := f"step/{step}/{word}/{name}") in trace:
            return trace.tensor(stored)
    return None


def _cause(kind: str, settings: Mapping[str, Any], b: Trace, entry: StepEntry, name: str) -> str:
    other = b.index.optimizer or {}
    if other.get("kind") != kind:
        return f"the optimizer is {kind} in a, {other.get('kind')} in b"
    theirs = _groups(entry).get(name, {})
    changed = [k for k in settings if k in theirs and settings[k] != theirs[k]]
    return "; ".join(f"{k} is {settings[k]} in a, {theirs[k]} in b" for k in changed)


def _judged(
    site: Site, start: torch.Tensor, gradient: torch.Tensor, state: State, after: torch.Tensor,
    settings: Mapping[str, Any], cause: str,
) -> Site:  # fmt: skip
    precision = next((n for n in FLOATS if DTYPES[n] == after.dtype), "float64")
    low = "float32" if precision == "float64" else precision
    random = np.random.default_rng(0)
    try:
        exact = _stepped(site.kind, settings, start, gradient, state, "float64")
        noise = np.zeros(exact.shape)
        for _ in range(REPLAYS):
            near = [last_bit(t, random, low) for t in (start, gradient)]
            moved = {k: last_bit(t, random, low) if t.dim() else t for k, t in state.items()}
            right = _stepped(site.kind, settings, near[0], near[1], moved, "float64")
            own = _stepped(site.kind, settings, near[0], near[1], moved, low)
            noise = np.maximum(noise, np.abs(own - right))
            noise = np.maximum(noise, np.abs(right - exact))
    except Exception as error:  # settings of a file: whatever torch says of them
        return replace(site, note=f"the step could not be made again: {error}".splitlines()[0])
    noise = noise * (2.0**-29 if precision == "float64" else 1.0) + 1e-300
    found = as_array(after)
    checked = judge("the parameter after the step", found, exact, noise)
    added = distance(exact, found)
    if checked.passed:
        far = site.total > tolerances.TRACE_UNITS * tolerances.FORMATS[precision]
        verdict = INHERITED if far else WITHIN
        return replace(site, verdict=verdict, added=added, times=checked.times)
    return replace(
        site, verdict=ADDED, added=added, times=checked.times, quantity=checked.quantity,
        place=checked.place, expected=checked.expected, found=checked.found, note=checked.note,
        cause=cause or "b's optimizer makes another step from the same gradient and state",
    )  # fmt: skip


def _stepped(
    kind: str, settings: Mapping[str, Any], start: torch.Tensor, gradient: torch.Tensor,
    state: State, precision: str,
) -> np.ndarray:  # fmt: skip
    """The parameter after a step of the optimizer in a format."""
    if "lr" not in settings:
        raise ValueError("its learning rate was not recorded")
    dtype = DTYPES[precision]
    cls = getattr(torch.optim, kind)
    known = set(inspect.signature(cls).parameters) - IGNORED
    arguments = {
        k: tuple(v) if isinstance(v, list) else v for k, v in settings.items() if k in known
    }
    parameter = nn.Parameter(start.detach().to(dtype, copy=True))
    parameter.grad = gradient.detach().to(dtype, copy=True)
    optimizer = cls([parameter], **arguments)
    if state:
        optimizer.state[parameter] = {
            key: t.to(dtype, copy=True) if t.is_floating_point() and t.dim() else t.clone()
            for key, t in state.items()
        }
    optimizer.step()
    return as_array(parameter)
