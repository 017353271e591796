"""Which parts of the method a run uses: only those appear in its report."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from compare.experiment import SGD, Adam, Experiment
from compare.records import ParityRow, Run
from compare.tolerances import UNIT_ROUNDOFF
from reports.network import class_defaults, module_kinds

DESCRIBED = {"Linear", "BatchNorm1d", "BatchNorm2d", "LeakyReLU", "ReLU", "Sequential"}

INITIALISATIONS = {
    "kaiming_uniform": (
        "He's initialisation {cite_he} keeps the variance of the activations from layer to layer: "
        "every weight is drawn from a uniform distribution of variance $2/\\text{{fan-in}}$,",
        "$$W_{{ji}} \\sim U\\left(-\\sqrt{{\\tfrac{{6}}{{\\text{{fan-in}}}}}},\\ "
        "\\sqrt{{\\tfrac{{6}}{{\\text{{fan-in}}}}}}\\,\\right), \\qquad b = 0 .$$",
        "Both sides draw from the Mersenne Twister with the same seed, so that they start from the "
        "same bits with nothing copied across.",
    ),
    "kaiming_normal": (
        "He's initialisation {cite_he} keeps the variance of the activations from layer to layer:",
        "$$W_{{ji}} \\sim \\mathcal N\\left(0,\\ \\tfrac{{2}}{{\\text{{fan-in}}}}\\right), "
        "\\qquad b = 0 .$$",
    ),
    "xavier_uniform": (
        "Glorot's initialisation {cite_glorot} keeps the variance of activations and of gradients:",
        "$$W_{{ji}} \\sim U\\left(-a, a\\right), \\qquad "
        "a = \\sqrt{{\\tfrac{{6}}{{\\text{{fan-in}}+\\text{{fan-out}}}}}}, \\qquad b = 0 .$$",
    ),
    "xavier_normal": (
        "Glorot's initialisation {cite_glorot} keeps the variance of activations and of gradients:",
        "$$W_{{ji}} \\sim \\mathcal N\\left(0,\\ "
        "\\tfrac{{2}}{{\\text{{fan-in}}+\\text{{fan-out}}}}\\right), \\qquad b = 0 .$$",
    ),
    "normal": (
        "Every weight is drawn from a normal distribution with the standard deviation {std}, and "
        "every bias is 0.",
    ),
    "default": (
        "Every layer keeps what its constructor gives it, which is PyTorch's own default: for an "
        "affine layer",
        "$$W_{{ji}},\\ b_j \\sim U\\left(-\\tfrac{{1}}{{\\sqrt{{\\text{{fan-in}}}}}},\\ "
        "\\tfrac{{1}}{{\\sqrt{{\\text{{fan-in}}}}}}\\right) .$$",
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


def method_of(run: Run) -> dict[str, Any]:
    """The names that ``method.md.j2`` asks for."""
    experiment = run.record.experiment
    architecture = next(iter(run.record.sources.values()), "")
    kinds = module_kinds(architecture)
    slope = experiment.model.arguments.get("negative_slope")
    return {
        "kinds": kinds,
        "other_kinds": ", ".join(f"`{kind}`" for kind in kinds if kind not in DESCRIBED),
        "batchnorm": _batchnorm(run, kinds, architecture),
        "negative_slope": slope,
        "initialisation": lambda cite: _initialisation(experiment, cite),
        "dtype": experiment.training.dtype,
        **_optimizers(experiment),
    }


def _batchnorm(run: Run, kinds: list[str], architecture: str) -> dict[str, Any] | None:
    if not any(kind.startswith("BatchNorm") for kind in kinds):
        return None
    source = next((text for name, text in run.record.sources.items() if "batchnorm" in name), "")
    found = class_defaults(source)
    own = any(f"{word}=" in architecture for word in ("eps", "momentum"))
    known = not own and {"eps", "momentum"} <= set(found)
    return {"known": known, "eps": latex(found.get("eps")), "momentum": found.get("momentum")}


def _initialisation(experiment: Experiment, cite: Any) -> str:
    parts = INITIALISATIONS[experiment.model.initialisation]
    text = "\n\n".join(parts)
    return text.format(
        cite_he=cite("he") if "{cite_he}" in text else "",
        cite_glorot=cite("glorot") if "{cite_glorot}" in text else "",
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
