"""The reports of the demonstrations: their sections and tables, from the records of a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compare.analysis.claims import Decision
from compare.analysis.intervals import mean_interval
from compare.analysis.quantities import BACKENDS
from compare.analysis.verdict import explain, verdict
from compare.demos.claims import (
    DemoClaimResult,
    PathsByBackend,
    demo_claim_results,
    largest_distance,
    measure_paths,
)
from compare.languages import translated
from compare.records.run import Run
from compare.records.tables import LayerRow, ParityRow
from compare.spec.demos import ActivationHistograms, OptimizerPaths, network_label
from reports.figures.demos import SPREADS, draw, spread_name
from reports.figures.style import Figure, rendered, style
from reports.parity_tables import parity_table
from reports.tables import environment, settings_of
from reports.text import (
    code,
    command_line,
    count,
    day,
    escaped,
    joined,
    latex,
    listing,
    number,
    percent,
    pipe_table,
    plural,
)

DESCRIBED = ("SGD", "Adagrad", "Adam")
"""The optimizers that the report explains."""


def demo_documents(run: Run, author: str = "") -> tuple[str, dict[str, Any], list[Figure], str]:
    """What :func:`reports.report.write_documents` writes: title, contents, figures, template."""
    with style():
        figures = [rendered(drawing, place) for place, drawing in enumerate(draw(run), 1)]
    settings = run.record.experiment
    if isinstance(settings, OptimizerPaths):
        own = _paths(run, settings)
    else:
        assert isinstance(settings, ActivationHistograms)
        own = _layers(run, settings)
    common = _common(run) | {"author": author}
    contents = (
        common
        | own
        | {
            "tables": common["tables"] | own["tables"],
            "figures": {figure.name: figure for figure in figures},
        }
    )
    return translated(settings.title), contents, figures, f"{settings.kind}.md.j2"


def _common(run: Run) -> dict[str, Any]:
    """The names that ``demo.md.j2`` uses."""
    record, claims = run.record, demo_claim_results(run)
    task = record.experiment.task or record.experiment.summary
    return {
        "title": escaped(translated(record.experiment.title)),
        "name": code(record.name),
        "date": day(record.created),
        "task": escaped(translated(" ".join(task.split()))),
        "command": listing(command_line(record.command) or "(not recorded)"),
        "wall_s": f"{sum(training.wall_s for training in record.trainings):.0f}",
        "sources": [
            f"#### {code(name)}\n\n{listing(source, 'python')}"
            for name, source in record.sources.items()
        ],
        **_parity(run),
        "decided": _decided(claims),
        "claims": [
            (claim.decision, escaped(translated(claim.says, "terminal")), _reason(claim))
            for claim in claims
        ],
        "tables": {"environment": environment(record)},
    }


def _parity(run: Run) -> dict[str, Any]:
    """The verdict, and the bounds that it rests on."""
    found, tolerances = verdict(run.parity), run.record.tolerances
    first = found.first_divergence
    # A bound of float64 grows with the longest sum of a stage.
    double = [
        row for row in run.parity if row.dtype == "float64" and not row.site.startswith("initial/")
    ]
    whole = [row for row in double if row.site.startswith("whole/")]
    return {
        "dtype": run.record.experiment.dtype,  # type: ignore[attr-defined]
        "k": f"{tolerances.k:g}",
        "floor_ulp": f"{tolerances.floor_ulp:g}",
        "bound_float64": _bound([row for row in double if row not in whole]),
        "bound_whole": _bound(whole),
        "compared": found.compared,
        "failed": found.failed,
        "comparisons": plural(found.compared, "comparison"),
        "first_divergence": (
            _powers_of_ten(escaped(translated(explain(first), "terminal"))) if first else ""
        ),
        "nearest": percent(found.worst, 1),
    }


def _bound(rows: Sequence[ParityRow]) -> str:
    """The largest bound of some comparisons, two digits of it; empty where there are none."""
    largest = max((row.tolerance for row in rows), default=0.0)
    return f"${latex(float(f'{largest:.2g}'))}$" if largest else ""


def _decided(claims: Sequence[DemoClaimResult]) -> str:
    """How many of the claims are supported, and how many are not."""
    counts = Counter(claim.decision for claim in claims)
    if len(counts) == 1:
        [decision] = counts
        return translated(f"All {plural(len(claims), 'claim')} of the textbook are {decision}.")
    listed = [
        translated(
            f"{count(counts[decision])} {'is' if counts[decision] == 1 else 'are'} {decision}"
        )
        for decision in Decision
        if counts[decision]
    ]
    return translated(f"Of the textbook's {plural(len(claims), 'claim')} {joined(listed)}.")


def _reason(claim: DemoClaimResult) -> str:
    numbers = claim.reason.removesuffix(".").split("; ")
    said = "; ".join(translated(one, "demo") for one in numbers) + "."
    return _powers_of_ten(escaped(said[:1].upper() + said[1:]))


def _powers_of_ten(text: str) -> str:
    """``1.5e-07`` in a sentence → ``1.50 × 10⁻⁷``."""
    return re.sub(r"[0-9.]+e[-+][0-9]+", lambda match: number(float(match[0])), text)


def _comparisons(run: Run, what: str, group: Callable[[str], str]) -> str:
    """The table of comparisons, those of several labels together where ``group`` is the same."""
    groups: dict[str, list[ParityRow]] = {}
    for training in run.record.trainings:
        groups.setdefault(group(training.label), []).extend(run.parity_of(training))
    return parity_table(groups, what)


def _paths(run: Run, settings: OptimizerPaths) -> dict[str, Any]:
    """The names that ``optimizer_paths.md.j2`` uses."""
    paths = measure_paths(run.paths)
    p, q = settings.divisors
    steps = max((path.steps for path in paths.values()), default=0)
    algorithms = [optimizer.algorithm for optimizer in settings.optimizers.values()]
    others = [name for name in dict.fromkeys(algorithms) if name not in DESCRIBED]
    gaps = {label: largest_distance(paths, label) for label in settings.optimizers}
    plain = [o for o in settings.optimizers.values() if o.algorithm == "SGD" and not o.momentum]
    return {
        "function": rf"\frac{{x^2}}{{{p:g}}} + " + (rf"\frac{{y^2}}{{{q:g}}}" if q != 1 else "y^2"),
        "gradient_x": _slope("x", p),
        "gradient_y": _slope("y", q),
        "steepness": f"{p / q:g}",
        "start_point": f"({settings.start[0]:g}, {settings.start[1]:g})".replace("-", "−"),
        "steps": plural(steps, "step"),
        "stopped_early": steps < settings.steps,
        "steps_planned": count(settings.steps),
        "algorithms": algorithms,
        "momentum": any(getattr(o, "momentum", 0) for o in settings.optimizers.values()),
        "other_algorithms": ", ".join(code(name) for name in others),
        "closed_form": _closed_form(paths, settings),
        "zigzag_rate": f"{q / 2:g}" if any(o.lr > q / 2 for o in plain) else "",
        "slow_shrink": f"{q / p:.0%}",
        "adagrad_eps": _eps(settings, "Adagrad"),
        "adam_eps": _eps(settings, "Adam"),
        "gaps": ", ".join(f"{escaped(label)} {number(gap)}" for label, gap in gaps.items()),
        "start_distance": number(float(np.hypot(*settings.start))),
        "tables": {
            "optimizers": settings_of(settings.optimizers),
            "results": _path_table(paths, settings),
            "parity": _comparisons(run, "optimizer", str),
        },
    }


def _slope(of: str, divisor: float) -> str:
    """``x/10`` for the divisor 20, ``2y`` for 1."""
    half = divisor / 2
    return f"{of}/{half:g}" if half > 1 else of if half == 1 else f"{1 / half:g}{of}"


def _eps(settings: OptimizerPaths, algorithm: str) -> str:
    found = [o.eps for o in settings.optimizers.values() if o.algorithm == algorithm]  # type: ignore[union-attr]
    return latex(found[0]) if found else ""


def _path_table(paths: PathsByBackend, settings: OptimizerPaths) -> str:
    rows = []
    for label in settings.optimizers:
        for backend, name in BACKENDS.items():
            path = paths[backend, label]
            rows.append(
                (
                    name,
                    escaped(label),
                    *(number(value, 4) for value in path.points[-1]),
                    number(path.values[-1]),
                    number(path.length, 4),
                    number(path.detour, 3),
                    number(path.across, 4),
                    count(path.crossings),
                )
            )
    columns = ("backend", "optimizer", "last $x$", "last $y$", "last $f$", "length", "detour",
               "across", "crossings")  # fmt: skip
    return pipe_table(columns, rows, "llrrrrrrr")


def _closed_form(paths: PathsByBackend, settings: OptimizerPaths) -> str:
    """The recorded path of plain SGD against the one that can be written down."""
    for label, o in settings.optimizers.items():
        if o.algorithm != "SGD" or o.momentum or o.weight_decay:
            continue
        points = paths["numpy", label].points
        steps = np.arange(len(points))[:, None]
        factors = 1 - 2 * o.lr / np.array(settings.divisors)
        with np.errstate(over="ignore"):
            expected = np.array(settings.start) * factors**steps
        with np.errstate(all="ignore"):
            gap = float(np.hypot(*(points - expected).T).max())
        if not np.isfinite(gap):
            return translated(f"{escaped(label)} runs away, as its factors say.", "demo")
        along, across = (f"{factor:.4g}".replace("-", "−") for factor in factors)
        return translated(
            rf"With $\eta = {o.lr:g}$ the factors are {along} along the valley and {across} across "
            f"it. NumPy's recorded path of {escaped(label)} is at most {number(gap)} from this "
            "closed form.",
            "demo",
        )
    return ""


def _layers(run: Run, settings: ActivationHistograms) -> dict[str, Any]:
    """The names that ``activation_histograms.md.j2`` uses."""
    initial = [training.initial for training in run.record.trainings]
    values = _by_layer(run.layers)
    return {
        "activations": settings.activations,
        "seeds": plural(len(settings.seeds), "seed"),
        "several": len(settings.seeds) > 1,
        "histograms": [f"histogram-{activation}" for activation in settings.activations],
        "start_values": plural(sum(i.values for i in initial), "weight"),
        "differing_bits": count(sum(i.differing_bits for i in initial)),
        "copied": any(i.copied for i in initial),
        "gap": number(_largest_gap(run.layers)),
        "tables": {
            "setup": _setup(settings),
            "stds": _layer_table(settings, values, lambda row: row.std, number),
            "outer": _layer_table(settings, values, lambda row: row.outer, _percent),
            "parity": _comparisons(run, "activation", lambda label: label.partition(",")[0]),
        },
    }


def _percent(share: float) -> str:
    return percent(share, 1)


def _setup(settings: ActivationHistograms) -> str:
    spreads = [
        f"{settings.std(s):.4g} = {spread_name(s)}" if s in SPREADS else f"{settings.std(s):g}"
        for s in settings.spreads
    ]
    units = count(settings.units)
    rows = [
        ("inputs", f"{count(settings.rows)} rows of {units} standard normal numbers"),
        ("layers", f"{count(settings.layers)}, of {units} units each, without bias"),
        ("activations", joined(settings.activations)),
        ("weights", f"normal, mean 0, standard deviation {joined(spreads)}"),
        ("precision", settings.dtype),
        ("seeds", joined([str(seed) for seed in settings.seeds])),
    ]
    return pipe_table(("", ""), rows)


def _by_layer(rows: Sequence[LayerRow]) -> dict[tuple[str, int], list[LayerRow]]:
    """(label, layer) → NumPy's rows, one a seed."""
    found: dict[tuple[str, int], list[LayerRow]] = {}
    for row in rows:
        if row.backend == "numpy":
            found.setdefault((row.label, row.layer), []).append(row)
    return found


def _layer_table(
    settings: ActivationHistograms,
    rows: Mapping[tuple[str, int], Sequence[LayerRow]],
    of: Callable[[LayerRow], float],
    written: Callable[[float], str],
) -> str:
    """The mean over the seeds for every layer; for the last one the interval beside it."""
    layers = range(1, settings.layers + 1)
    lines = []
    for activation in settings.activations:
        for spread in settings.spreads:
            label = network_label(activation, spread)
            values = [[of(row) for row in rows[label, layer]] for layer in layers]
            last = mean_interval(values[-1])
            bounds = f"{written(last.low)} to {written(last.high)}" if last.known else "–"
            means = [written(float(np.mean(value))) for value in values]
            lines.append((activation, spread_name(spread), *means, bounds))
    columns = ["activation", "weights", *(f"layer {layer}" for layer in layers)]
    interval = f"95% interval, layer {settings.layers}"
    return pipe_table([*columns, interval], lines, "ll" + "r" * (settings.layers + 1))


def _largest_gap(rows: Sequence[LayerRow]) -> float:
    """The largest relative difference of the two backends' standard deviations."""
    numpy, torch = (
        {(r.label, r.seed, r.layer): r.std for r in rows if r.backend == backend}
        for backend in BACKENDS
    )
    return max(abs(numpy[k] - torch[k]) / numpy[k] if numpy[k] else 0.0 for k in numpy)
