"""Which side is faster."""

from __future__ import annotations

from collections.abc import Sequence

from reports.wording import count, plural

ENOUGH_STEPS = 10


def speed(ratio: float, low: float, high: float, steps: int) -> str:
    """Time a step: ``ratio`` is PyTorch's time over NumPy's, with its 95% interval."""
    if steps < ENOUGH_STEPS:
        return (
            f"Only {plural(steps, 'step')} could be timed on both sides: too few to compare speeds."
        )
    if low <= 1.0 <= high:
        return (
            f"No difference in speed can be told: the 95% interval of the ratio, {low:.2f} to "
            f"{high:.2f}, contains 1 ({plural(steps, 'step')})."
        )
    if ratio > 1:
        return (
            f"NumPy is {ratio:.2f} times as fast as PyTorch (95% interval {low:.2f} to {high:.2f}, "
            f"{plural(steps, 'step')})."
        )
    return (
        f"NumPy is slower than PyTorch: it takes {1 / ratio:.2f} times as long "
        f"(95% interval {1 / high:.2f} to {1 / low:.2f}, {plural(steps, 'step')})."
    )


def speed_of_many(ratios: Sequence[float]) -> str:
    """The median times a step, PyTorch's over NumPy's, over many trainings."""
    if len(ratios) == 1:
        return f"PyTorch's median time over NumPy's is {ratios[0]:.2f}."
    faster = sum(ratio > 1 for ratio in ratios)
    return (
        f"NumPy has the lower median time in {count(faster)} of {count(len(ratios))}; PyTorch's "
        f"time over NumPy's is between {min(ratios):.2f} and {max(ratios):.2f}."
    )


def nothing_timed() -> str:
    """When every step was certified, or none was made."""
    return "No step was timed: certified steps are not, as they do more than train."
