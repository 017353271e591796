"""What the project aims at, and whether a measurement reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from compare.analysis.timings import Ratio
from compare.bench.records import BenchRecord, Case

# PyTorch's time over NumPy's, at least: network → (against its default, against its best eager
# setting).
LEAST: dict[str, tuple[float, float]] = {
    "bn_mlp": (1.15, 1.0),
    "softmax_mlp": (1.0, 1.0),
    "cnn": (1.0, 0.5),
    "covertype_dnn": (1.0, 1.0),
}
# The time of code in NumPy alone, or in loops, over ours, at least.
LEAST_OF_PEERS = {
    "scikit-learn": 3.0,
    "autograd": 3.0,
    "numpy-ml": 3.0,
    "loops": 100.0,
    "numba": 1.0,
}
MOST_OF_HARNESS, MOST_OF_HELP_S = 1.2, 0.5


class Aim(NamedTuple):
    """One aim: what, the bound, the figure, its interval where it is a ratio, and the verdict."""

    what: str
    bound: str
    found: float
    interval: tuple[float, float] | None
    reached: bool


def aims(record: BenchRecord) -> list[Aim]:
    """Every aim that a record has figures for."""
    found: list[Aim] = []
    for case in record.cases:
        found += _of_case(case)
    for cost in record.harness:
        ratio = cost.over_plain
        found.append(
            Aim(
                f"{cost.experiment}, {cost.optimizer}: lock step over the plain trainings",
                f"≤ {MOST_OF_HARNESS}",
                ratio.value,
                (ratio.low, ratio.high),
                ratio.value <= MOST_OF_HARNESS,
            )
        )
    for start in record.start:
        if start.command.endswith("--help"):
            reached = start.median_s <= MOST_OF_HELP_S
            bound = f"≤ {MOST_OF_HELP_S} s"
            found.append(Aim(f"{start.command}, seconds", bound, start.median_s, None, reached))
    return found


def _of_case(case: Case) -> Iterator[Aim]:
    least = LEAST.get(str(case.workload.get("architecture")))
    if least is not None and not case.workload.get("arguments"):
        sides = (("PyTorch's default", "torch"), ("PyTorch's best setting", case.best_eager))
        for (title, name), bound in zip(sides, least, strict=True):
            measured = case.of(name)
            if measured is not None and measured.over_numpy is not None:
                yield _least(f"{case.title}: {title}", measured.over_numpy.ratio, bound)
    for name, bound in LEAST_OF_PEERS.items():
        measured = case.of(name)
        if measured is not None and measured.over_numpy is not None:
            yield _least(f"{case.title}: {measured.title}", measured.over_numpy.ratio, bound)
    numpy, torch = case.of("numpy"), case.of("torch")
    if numpy is not None and torch is not None and numpy.memory and torch.memory:
        share = numpy.memory.used_bytes / max(1, torch.memory.used_bytes)
        what = f"{case.title}: NumPy's peak memory over PyTorch's"
        yield Aim(what, "≤ 1", share, None, share <= 1)


def _least(what: str, ratio: Ratio, bound: float) -> Aim:
    return Aim(what, f"≥ {bound:g}", ratio.value, (ratio.low, ratio.high), ratio.value >= bound)
