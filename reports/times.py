"""Measured times as cells of a table, the same in every report."""

from __future__ import annotations

from compare.analysis.timings import Ratio
from reports.wording import number

RATIO_COLUMNS = ("ratio", "95% interval")


def milliseconds(seconds: float) -> str:
    """``0.00123`` → ``1.23``."""
    return number(1e3 * seconds)


def ratio_cells(ratio: Ratio) -> tuple[str, str]:
    """The ratio and its interval, for :data:`RATIO_COLUMNS`."""
    return f"{ratio.value:.2f}", f"{ratio.low:.2f} to {ratio.high:.2f}"
