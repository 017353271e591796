"""What the report of ``activation_histograms`` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compare.analysis.intervals import mean_interval
from compare.demos.records import KindRun, LayerRow
from compare.records.tables import ParityRow
from compare.spec.demos import ActivationHistograms, spread_label
from reports.kinds.shared import shared
from reports.tables import pipe_table
from reports.text import count, joined, number, percent, plural

SPREADS = {"xavier": "√(1/n) (Xavier)", "he": "√(2/n) (He)"}


def contents(run: KindRun) -> dict[str, Any]:
    """The names that the template uses, all but its figures."""
    form = run.record.experiment
    assert isinstance(form, ActivationHistograms)
    rows: list[LayerRow] = run.tables["layers"]
    compared: dict[str, list[ParityRow]] = {}
    for label, found in run.parity_by_label().items():
        compared.setdefault(label.partition(",")[0], []).extend(found)
    told = shared(run, "activation", compared)
    told["tables"] |= {
        "setup": _setup(form),
        "stds": _by_layer(form, rows, lambda row: row.std, lambda value: number(value)),
        "outer": _by_layer(form, rows, lambda row: row.outer, lambda value: percent(value, 1)),
    }
    initial = [part.initial for part in run.record.parts]
    bits, values = (sum(getattr(i, key) for i in initial) for key in ("differing_bits", "values"))
    return told | {
        "rows": count(form.rows),
        "units": count(form.units),
        "layers": count(form.layers),
        "activations": form.activations,
        "seeds": plural(len(form.seeds), "seed"),
        "several": len(form.seeds) > 1,
        "first_seed": form.seeds[0],
        "histograms": [f"histogram-{activation}" for activation in form.activations],
        "bits": count(bits),
        "values": count(values),
        "copied": any(i.copied for i in initial),
        "gap": number(_largest_gap(rows)),
    }


def _setup(form: ActivationHistograms) -> str:
    spreads = [
        f"{form.std(s):.4g} = {name(s)}" if s in SPREADS else f"{form.std(s):g}"
        for s in form.spreads
    ]
    rows = [
        ("inputs", f"{count(form.rows)} rows of {count(form.units)} standard normal numbers"),
        ("layers", f"{count(form.layers)}, of {count(form.units)} units each, without bias"),
        ("activations", joined(form.activations)),
        ("weights", f"normal, mean 0, standard deviation {joined(spreads)}"),
        ("precision", form.dtype),
        ("seeds", joined([str(seed) for seed in form.seeds])),
    ]
    return pipe_table(("", ""), rows)


def name(spread: float | str) -> str:
    """A spread as tables and figures call it."""
    label = spread_label(spread)
    return SPREADS.get(label, f"std {label}")


def _by_layer(
    form: ActivationHistograms,
    rows: Sequence[LayerRow],
    of: Callable[[LayerRow], float],
    written: Callable[[float], str],
) -> str:
    """NumPy's mean over the seeds for every layer; for the last one the interval beside it."""
    lines = []
    for activation in form.activations:
        for spread in form.spreads:
            key = "numpy", activation, spread_label(spread)
            values = [
                [of(r) for r in rows if (*r[:3], r.layer) == (*key, layer)]
                for layer in range(1, form.layers + 1)
            ]
            last = mean_interval(values[-1])
            bounds = f"{written(last.low)} to {written(last.high)}" if last.known else "–"
            means = [written(float(np.mean(value))) for value in values]
            lines.append((activation, name(spread), *means, bounds))
    columns = ["activation", "weights", *(f"layer {k}" for k in range(1, form.layers + 1))]
    interval_name = f"95% interval, layer {form.layers}"
    return pipe_table([*columns, interval_name], lines, "ll" + "r" * (form.layers + 1))


def _largest_gap(rows: Sequence[LayerRow]) -> float:
    """The largest relative difference of the two sides' standard deviations."""
    numpy, torch = (
        {row[1:5]: row.std for row in rows if row.backend == backend}
        for backend in ("numpy", "torch")
    )
    return max(abs(numpy[k] - torch[k]) / numpy[k] if numpy[k] else 0.0 for k in numpy)
