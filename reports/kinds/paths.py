"""What the report of ``optimizer_paths`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.analysis.quantities import BACKENDS
from compare.demos.path_facts import PathFacts, all_facts, largest_gap
from compare.demos.records import KindRun
from compare.spec.demos import OptimizerPaths
from reports.kinds.shared import shared
from reports.tables import pipe_table, settings_of
from reports.text import code, count, escaped, latex, number, plural


def contents(run: KindRun) -> dict[str, Any]:
    """The names that the template uses, all but its figures."""
    form = run.record.experiment
    assert isinstance(form, OptimizerPaths)
    facts = all_facts(run.tables["paths"])
    told = shared(run, "optimizer", run.parity_by_label())
    p, q = (f"{divisor:g}" for divisor in form.divisors)
    steps = max((fact.steps for fact in facts.values()), default=0)
    algorithms = [optimizer.algorithm for optimizer in form.optimizers.values()]
    told["tables"] |= {
        "optimizers": settings_of(form.optimizers),
        "results": _results(facts, form),
    }
    return told | {
        "function": _function(p, q),
        "gradient_x": _slope("x", form.divisors[0]),
        "gradient_y": _slope("y", form.divisors[1]),
        "steepness": f"{form.divisors[0] / form.divisors[1]:g}",
        "start_point": f"({form.start[0]:g}, {form.start[1]:g})".replace("-", "−"),
        "steps": plural(steps, "step"),
        "notices": _notices(run, form, steps),
        "algorithms": algorithms,
        "momentum": any(getattr(o, "momentum", 0) for o in form.optimizers.values()),
        "other_algorithms": ", ".join(
            code(name)
            for name in dict.fromkeys(algorithms)
            if name not in ("SGD", "Adagrad", "Adam")
        ),
        "closed_form": _closed_form(facts, form),
        "caveat": _caveat(form),
        "adagrad_eps": _eps(form, "Adagrad"),
        "adam_eps": _eps(form, "Adam"),
        "gaps": _gaps(facts, form),
    }


def _function(p: str, q: str) -> str:
    across = "y^2" if q == "1" else rf"\frac{{y^2}}{{{q}}}"
    return rf"\frac{{x^2}}{{{p}}} + {across}"


def _slope(of: str, divisor: float) -> str:
    """``x/10`` for the divisor 20, ``2y`` for 1."""
    half = divisor / 2
    return f"{of}/{half:g}" if half > 1 else of if half == 1 else f"{1 / half:g}{of}"


def _eps(form: OptimizerPaths, algorithm: str) -> str:
    found = [o.eps for o in form.optimizers.values() if o.algorithm == algorithm]  # type: ignore[union-attr]
    return latex(found[0]) if found else ""


def _notices(run: KindRun, form: OptimizerPaths, steps: int) -> list[str]:
    if steps == form.steps:
        return []
    return [
        f"**This run stopped each path after {plural(steps, 'step')}** of {count(form.steps)}; its "
        "figures and its answers are not those of the full experiment."
    ]


def _results(facts: Mapping[tuple[str, str], PathFacts], form: OptimizerPaths) -> str:
    rows = []
    for label in form.optimizers:
        for backend, side in BACKENDS.items():
            fact = facts[backend, label]
            rows.append(
                (
                    side,
                    escaped(label),
                    *(number(value, 4) for value in fact.points[-1]),
                    number(fact.values[-1]),
                    number(fact.length, 4),
                    number(fact.detour, 3),
                    number(fact.across, 4),
                    count(fact.crossings),
                )
            )
    columns = ("side", "optimizer", "last $x$", "last $y$", "last $f$", "length", "detour",
               "across", "crossings")  # fmt: skip
    return pipe_table(columns, rows, "llrrrrrrr")


def _gaps(facts: Mapping[tuple[str, str], PathFacts], form: OptimizerPaths) -> str:
    found = {label: largest_gap(facts, label) for label in form.optimizers}
    listed = ", ".join(f"{escaped(label)} {number(gap)}" for label, gap in found.items())
    return (
        "The two sides' points after equally many steps are never further apart than this: "
        f"{listed}. The starting point is {number(float(np.hypot(*form.start)))} from the minimum."
    )


def _closed_form(facts: Mapping[tuple[str, str], PathFacts], form: OptimizerPaths) -> str:
    """The recorded path of plain SGD against the one that can be written down."""
    for label, o in form.optimizers.items():
        if o.algorithm != "SGD" or o.momentum or o.weight_decay:
            continue
        points = facts["numpy", label].points
        steps = np.arange(len(points))[:, None]
        factors = 1 - 2 * o.lr / np.array(form.divisors)
        with np.errstate(over="ignore"):
            expected = np.array(form.start) * factors**steps
        with np.errstate(all="ignore"):
            gap = float(np.hypot(*(points - expected).T).max())
        if not np.isfinite(gap):
            return f"{escaped(label)} runs away, as its factors say."
        return (
            rf"With $\eta = {o.lr:g}$ the factors are {_signed(factors[0])} along the valley and "
            rf"{_signed(factors[1])} across it. NumPy's recorded path of {escaped(label)} is at "
            f"most {number(gap)} from this closed form."
        )
    return ""


def _caveat(form: OptimizerPaths) -> str:
    """What the answers hang on."""
    p, q = form.divisors
    plain = [o for o in form.optimizers.values() if o.algorithm == "SGD" and not o.momentum]
    if not any(o.lr > q / 2 for o in plain):
        return ""
    return (
        f"SGD's zig-zag is a choice of its learning rate: with one below {q / 2:g} its $y$ would "
        f"never change its sign, but its $x$ would shrink by less than {q / p:.0%} a step."
    )


def _signed(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
