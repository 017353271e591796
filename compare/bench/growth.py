"""How time grows with the size of the batch, the width and the depth of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from compare.bench.cases import run_case
from compare.bench.host import Host
from compare.bench.records import Growth, GrowthFit
from compare.bench.schedule import Schedule
from compare.bench.workloads import TrainingStep


class Series(NamedTuple):
    """One size that grows while everything else stays."""

    what: str
    title: str
    sizes: tuple[int, ...]
    workload: Callable[[int], TrainingStep]


def _wide(width: int) -> TrainingStep:
    return TrainingStep("softmax_mlp", 128, "SGD", {"sizes": (784, width, width, 10)})


def _deep(depth: int) -> TrainingStep:
    return TrainingStep("softmax_mlp", 128, "SGD", {"sizes": (784, *[128] * depth, 10)})


SERIES = (
    Series(
        "batch size",
        "bn_mlp, Adam",
        (16, 32, 64, 128, 256, 512, 1024, 2048),
        lambda rows: TrainingStep("bn_mlp", rows, "Adam"),
    ),
    Series("width", "784-w-w-10, SGD, batch 128", (32, 64, 128, 256, 512, 1024), _wide),
    Series("depth", "784-128…-10, SGD, batch 128", (1, 2, 4, 8, 16, 32), _deep),
)
NAMES = ("numpy", "torch")


class Exponent(NamedTuple):
    """b of t = c · nᵇ with its 95% interval, and b between the two largest sizes."""

    value: float
    low: float
    high: float
    last: float


def fit_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> Exponent:
    """Least squares on the logarithms: ln t = ln c + b ln n.

    The interval is b ± t₀.₉₇₅ s_b with n − 2 degrees of freedom, s_b the standard error of the
    slope. A step is not a pure power of a size (small ones cost at least their calls), so the
    slope between the two largest sizes is given too.

    Raises:
        ValueError: if there are fewer than three sizes.
    """
    if len(sizes) < 3:
        raise ValueError(f"an exponent with an interval needs three sizes: {len(sizes)}")
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    slope = float(fit.slope)
    return Exponent(slope, float(slope - half), float(slope + half), float(last))


def measure_growth(
    series: Series,
    host_of: Callable[[str], Host],
    schedule: Schedule,
    names: Sequence[str] = NAMES,
) -> Growth:
    """Time the steps of a series and fit them."""
    times: dict[str, list[float]] = {name: [] for name in names}
    titles = {}
    for size in series.sizes:
        case = run_case(series.workload(size), names, host_of, schedule)
        for name in names:
            measured = case.of(name)
            if measured is not None and measured.step is not None:
                times[name].append(measured.step.median_s)
                titles[name] = measured.title
    fits = []
    for name, seconds in times.items():
        if len(seconds) == len(series.sizes):
            fit = fit_exponent(series.sizes, seconds)
            fits.append(
                GrowthFit(
                    name=name,
                    title=titles[name],
                    median_s=seconds,
                    exponent=fit.value,
                    low=fit.low,
                    high=fit.high,
                    last=fit.last,
                )
            )
    return Growth(what=series.what, title=series.title, sizes=list(series.sizes), fits=fits)
