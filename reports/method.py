"""Which parts of the method a run uses: only those appear in its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.parity.tolerances import UNIT_ROUNDOFF
from compare.records.run import Run
from compare.records.tables import ParityRow
from compare.spec.experiment import Experiment
from compare.spec.optimizers import AdamSettings, SGDSettings
from reports.network import (
    architecture_source,
    chain,
    class_of,
    has_defaults,
    networks,
    used_kinds,
)
from reports.wording import escaped, joined, plural

DESCRIBED = {
    *("Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "LeakyReLU", "ReLU", "Sigmoid", "Tanh"),
    *("SiLU", "MaxPool2d", "AvgPool2d", "Flatten", "Dropout", "Sequential"),
}

LOSSES = {"CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss"}
OPTIMIZERS = {"SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta"}
MOST_NETWORKS = 8

INITIALISATIONS = {
    "kaiming_uniform": (
        "He's initialisation {he} keeps the size of the activations from layer to layer. Every "
        "weight of a unit with $n$ inputs is drawn from a uniform distribution of variance $2/n$,",
        r"$$W_{{ji}} \sim U\left(-\sqrt{{6/n}},\ \sqrt{{6/n}}\,\right), \qquad b = 0 .$$",
        "Both sides draw from the Mersenne Twister with the same seed, so nothing has to be copied "
        "from one to the other; section {parity} says whether the bits are the same.",
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
    "lecun_uniform": (
        "LeCun's initialisation {efficient} gives a sum of $n$ inputs of variance 1 the variance "
        "1. Every weight of a unit with $n$ inputs is drawn from a uniform distribution of "
        "variance $1/n$,",
        r"$$W_{{ji}} \sim U\left(-\sqrt{{3/n}},\ \sqrt{{3/n}}\,\right), \qquad b = 0 .$$",
        "Textbooks that leave the outputs out of the count call it Xavier's.",
    ),
    "lecun_normal": (
        "LeCun's initialisation {efficient} gives a sum of $n$ inputs of variance 1 the variance "
        "1. Every weight of a unit with $n$ inputs is drawn from a normal distribution,",
        r"$$W_{{ji}} \sim \mathcal N\left(0,\ 1/n\right), \qquad b = 0 .$$",
        "Textbooks that leave the outputs out of the count call it Xavier's.",
    ),
    "normal": (
        "Every weight is drawn from a normal distribution with the standard deviation {std}, and "
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
        "stage": f"${latex(_rounded(bounds.stage))}$" if bounds.stage else None,
        "whole": f"${latex(_rounded(bounds.whole))}$" if bounds.whole else None,
    }


def _rounded(bound: float) -> float:
    """Two digits of a bound: one that grows with what is summed has no round value."""
    return float(f"{bound:.2g}")


def method_of(run: Run, parity: str = "7.3") -> dict[str, Any]:
    """The names that ``method.md.j2`` asks for; ``parity`` is the section on the comparisons."""
    configurations = [configuration.experiment for configuration in run.configurations.values()]
    architecture = architecture_source(run.record)
    kinds = used_kinds(run)
    losses = list(dict.fromkeys(configuration.training.loss for configuration in configurations))
    slopes = {
        configuration.model.arguments.get("negative_slope") for configuration in configurations
    }
    dtypes = list(dict.fromkeys(configuration.training.dtype for configuration in configurations))
    return {
        "kinds": kinds,
        "other_kinds": ", ".join(f"`{kind}`" for kind in kinds if kind not in DESCRIBED),
        "batchnorm": any(kind.startswith("BatchNorm") for kind in kinds),
        "batchnorm2d": "BatchNorm2d" in kinds,
        "batchnorm_defaults": has_defaults(architecture, "BatchNorm"),
        "negative_slope": slopes.pop() if len(slopes) == 1 else None,
        "other_networks": _other_networks(run),
        "losses": losses,
        "other_losses": ", ".join(f"`{loss}`" for loss in losses if loss not in LOSSES),
        "weights_decay_alone": any(
            not configuration.training.decay_biases for configuration in configurations
        ),
        "initialisation": lambda cite: _initialisations(configurations, cite, parity),
        "dtype": joined(dtypes),
        "bounds": bounds_in_words(bounds_of(run.parity)),
        **_optimizers(
            [o for configuration in configurations for o in configuration.optimizers.values()]
        ),
    }


def _other_networks(run: Run) -> list[str]:
    """In which networks the trainings differ from the first; a line each, of many the first few."""
    found = networks(run)
    lines = []
    for cases, training in found:
        kinds = [class_of(training, name) for name in training.modules]
        made = f": {chain(kinds)}" if kinds else ""
        lines.append(
            f"*{escaped(cases) or 'First'}*{made}; {plural(training.parameters, 'trained value')}"
        )
    if len(lines) < 2:
        return []
    more = len(lines) - MOST_NETWORKS
    return lines[:MOST_NETWORKS] + ([f"and {more} more"] if more > 0 else [])


def _initialisations(configurations: Sequence[Experiment], cite: Any, parity: str) -> str:
    """The paragraphs of every scheme that a training begins with."""
    schemes = dict.fromkeys(configuration.model.initialisation for configuration in configurations)
    return "\n\n".join(
        _initialisation(
            scheme,
            sorted({p.model.std for p in configurations if p.model.initialisation == scheme}),
            cite,
            parity,
        )
        for scheme in schemes
    )


def _initialisation(scheme: str, stds: Sequence[float], cite: Any, parity: str) -> str:
    text = "\n\n".join(INITIALISATIONS[scheme])
    cited = {
        key: cite(key) if f"{{{key}}}" in text else "" for key in ("he", "glorot", "efficient")
    }
    std = f"{stds[0]:g}" if len(stds) == 1 else f"that is varied ({stds[0]:g} to {stds[-1]:g})"
    return text.format(**cited, std=std, parity=parity)


def _optimizers(optimizers: Sequence[Any]) -> dict[str, Any]:
    sgd = [o for o in optimizers if isinstance(o, SGDSettings)]
    adam = [o for o in optimizers if isinstance(o, AdamSettings)]
    algorithms = dict.fromkeys(o.algorithm for o in optimizers)
    decaying = {o.algorithm for o in optimizers if getattr(o, "weight_decay", 0) > 0}
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
        "algorithms": list(algorithms),
        "decaying": decaying,
        "rmsprop": {
            "momentum": any(o.momentum > 0 for o in optimizers if o.algorithm == "RMSprop"),
            "centered": any(o.centered for o in optimizers if o.algorithm == "RMSprop"),
        },
        "lr_decay": any(getattr(o, "lr_decay", 0) > 0 for o in optimizers),
        "other_optimizers": joined([f"`{a}`" for a in algorithms if a not in OPTIMIZERS]),
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
