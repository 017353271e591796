"""The verdict on a training, from its rows of parity.csv; and how a run departs from its file."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from compare.records.run import RunRecord
from compare.records.tables import ParityRow

NOT_STEPS = ("schedule/", "evaluation/", "whole/evaluation/")
"""What the sites begin with where something else than a training step was compared."""


class Verdict(NamedTuple):
    """The verdict on one training.

    Attributes:
        compared: How many comparisons were made.
        failed: How many did not pass.
        first_divergence: The first that did not, in the order of execution.
        worst: The passing comparison that came nearest to its bound, as error / tolerance.
        steps: The certified steps.
    """

    compared: int
    failed: int
    first_divergence: ParityRow | None
    worst: float
    steps: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether something was compared and all of it passed."""
        return self.compared > 0 and self.failed == 0


def verdict(rows: Sequence[ParityRow]) -> Verdict:
    """The verdict on comparisons, which come in the order of execution."""
    failures = [row for row in rows if not row.passed]
    ratios = [row.numpy_error / row.tolerance for row in rows if row.passed and row.tolerance > 0]
    return Verdict(
        compared=len(rows),
        failed=len(failures),
        first_divergence=failures[0] if failures else None,
        worst=max(ratios, default=0.0),
        steps=tuple(sorted({r.step for r in rows if not r.site.startswith(NOT_STEPS)})),
    )


def explain(row: ParityRow) -> str:
    """Say a failed comparison in one sentence, with the smallest tolerance that would pass."""
    if row.site.startswith("initial/"):
        name = row.site.removeprefix("initial/")
        return f"step 0: {name} starts with {row.numpy_error:.0f} bits different"
    if row.site.startswith("schedule/"):
        name = row.site.removeprefix("schedule/")
        return (
            f"step {row.step}: the two schedules set values of {name} that are "
            f"{row.numpy_error:.2e} apart"
        )
    if row.site == "shuffle":
        return f"step {row.step}: the two generators shuffle the rows in different orders"
    way_out = (
        f"the smallest tolerance that would pass is {row.numpy_error:.2e}"
        if isfinite(row.numpy_error)
        else "no tolerance would pass"
    )
    return (
        f"step {row.step}, {row.dtype}, {row.site}: NumPy is {row.numpy_error:.2e} from the "
        f"float64 referee, PyTorch {row.torch_error:.2e}; allowed are {row.tolerance:.2e}, and "
        f"{way_out}"
    )


def departures(record: RunRecord) -> list[str]:
    """How a run differs from its experiment, as verbs after ``this run``; empty for a full run."""
    found = []
    other = record.data.name != record.experiment.data.name
    if record.sample and other:
        found.append("used the sample in place of the full data set")
    elif other:
        found.append(f"used other data ({record.data.title})")
    if record.max_steps is not None:
        found.append("stopped each training early")
    if record.status != "complete":
        found.append("was broken off")
    if record.failures:
        found.append("lost trainings to errors")
    if "--set" in record.command:
        found.append("changed settings of the experiment with --set")
    return found
