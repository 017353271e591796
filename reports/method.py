"""Which parts of the method a run uses: only those appear in its report."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from compare.experiment import SGD, Adam, Experiment
from compare.records import Run
from compare.tables import ParityRow
from compare.tolerances import UNIT_ROUNDOFF
from reports.network import architecture_source, has_defaults, module_kinds

DESCRIBED = {"Linear", "BatchNorm1d", "BatchNorm2d", "LeakyReLU", "ReLU", "Sequential"}

INITIALISATIONS = {
    "kaiming_uniform": (
        "He's initialisation {he} keeps the size of the activations from layer to layer. Every "
        "weight of a unit with $n$ inputs is drawn from a uniform distribution of variance $2/n$,",
        r"$$W_{{ji}} \sim U\left(-\sqrt{{6/n}},\ \sqrt{{6/n}}\,\right), \qquad b = 0 .$$",
        "Both sides draw from the Mersenne Twister with the same seed, so nothing has to be copied "
        "from one to the other; section 7.3 says whether the bits are the same.",
    ),
    "kaiming_normal": (
        "He's initialisation {he} keeps the size of the activations from layer to layer. Every "
        "weight of a unit with $n$ inputs is drawn from a normal distribution,",
        r"$$W_{{ji}} \sim \mathcal N\left(0,\ 2/n\right), \qquad b = 0 .$$",
    ),
    "xavier_uniform": (
        "Glorot's initialisation {glorot} balances activations and gradients. Every weight of a "
        "layer with $n$ inputs and $m$ outputs is drawn from a uniform distribution,",
        r"$$W_{{ji}} \sim U\left(-\sqrt{{6/(n+m)}},\ \sqrt{{6/(n+m)}}\,\right), \qquad b = 0 .$$",
    ),
    "xavier_normal": (
        "Glorot's initialisation {glorot} balances activations and gradients. Every weight of a "
        "layer with $n$ inputs and $m$ outputs is drawn from a normal distribution,",
        r"$$W_{{ji}} \sim \mathcal N\left(0,\ 2/(n+m)\right), \qquad b = 0 .$$",
    ),
    "normal": (
        "Every weight is drawn from a normal distribution with the standard deviation {std:g}, and "
        "every bias is 0.",
    ),
    "default": (
        "Every layer keeps what its constructor gives it, which is PyTorch's default. For an "
        "affine layer with $n$ inputs that is",
        r"$$W_{{ji}},\ b_j \sim U\left(-1/\sqrt{{n}},\ 1/\sqrt{{n}}\,\right) .$$",
    ),
}


class Bounds(NamedTuple):
    """The bounds that a run was judged by, read off its comparisons; None where it has none."""

    k: float | None
    floor_ulp: float | None
    stage: float | None
    whole: float | None


def bounds_of(rows: list[ParityRow]) -> Bounds:
    """Recover K, its floor and the float64 bounds from the recorded tolerances."""
    judged = [row for row in rows if not row.site.startswith(("initial/", "shuffle"))]
    single = [row for row in judged if row.dtype == "float32" and row.tolerance > 0]
    factors = [row.tolerance / row.torch_error for row in single if 0 < row.torch_error < np.inf]
    k = float(f"{min(factors):.6g}") if factors else None
    floor = min(row.tolerance for row in single) / UNIT_ROUNDOFF["float32"] if single else 0.0

    def double(whole: bool) -> float | None:
        found = {
            row.tolerance
            for row in judged
            if row.dtype == "float64" and row.site.startswith("whole/") == whole
        }
        return max(found, default=None)

    return Bounds(k, float(f"{floor / k:.6g}") if k else None, double(False), double(True))


def bounds_in_words(bounds: Bounds) -> dict[str, str | None]:
    """For formulas: K and its floor plainly, the float64 bounds as powers of 10."""
    return {
        "k": f"{bounds.k:g}" if bounds.k else None,
        "floor_ulp": f"{bounds.floor_ulp:g}" if bounds.floor_ulp else None,
        "stage": f"${latex(bounds.stage)}$" if bounds.stage else None,
        "whole": f"${latex(bounds.whole)}$" if bounds.whole else None,
    }


def method_of(run: Run) -> dict[str, Any]:
    """The names that ``method.md.j2`` asks for."""
    experiment = run.record.experiment
    architecture = architecture_source(run.record)
    kinds = module_kinds(architecture)
    slope = experiment.model.arguments.get("negative_slope")
    return {
        "kinds": kinds,
        "other_kinds": ", ".join(f"`{kind}`" for kind in kinds if kind not in DESCRIBED),
        "batchnorm": any(kind.startswith("BatchNorm") for kind in kinds),
        "batchnorm_defaults": has_defaults(architecture, "BatchNorm"),
        "negative_slope": slope,
        "initialisation": lambda cite: _initialisation(experiment, cite),
        "dtype": experiment.training.dtype,
        "bounds": bounds_in_words(bounds_of(run.parity)),
        **_optimizers(experiment),
    }


def _initialisation(experiment: Experiment, cite: Any) -> str:
    text = "\n\n".join(INITIALISATIONS[experiment.model.initialisation])
    return text.format(
        he=cite("he") if "{he}" in text else "",
        glorot=cite("glorot") if "{glorot}" in text else "",
        std=experiment.model.std,
    )


def _optimizers(experiment: Experiment) -> dict[str, Any]:
    optimizers = list(experiment.optimizers.values())
    sgd = [o for o in optimizers if isinstance(o, SGD)]
    adam = [o for o in optimizers if isinstance(o, Adam)]
    return {
        "sgd": {
            "plain": any(o.momentum == 0 for o in sgd),
            "momentum": any(o.momentum > 0 for o in sgd),
            "dampening": any(o.dampening != 0 for o in sgd),
            "nesterov": any(o.nesterov for o in sgd),
            "decay": any(o.weight_decay > 0 for o in sgd),
        }
        if sgd
        else None,
        "adam": {
            "decay": any(o.weight_decay > 0 for o in adam),
            "amsgrad": any(o.amsgrad for o in adam),
        }
        if adam
        else None,
        "maximize": any(o.maximize for o in optimizers),
    }


def latex(value: Any) -> str:
    """A number for a formula: ``1e-05`` → ``10^{-5}``."""
    if not isinstance(value, int | float):
        return str(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    power, factor = int(exponent), f"{float(mantissa):g}"
    if -4 < power < 4:
        return f"{value:g}"
    return f"10^{{{power}}}" if factor == "1" else f"{factor}\\cdot10^{{{power}}}"
