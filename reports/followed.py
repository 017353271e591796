"""One number followed to its verdict, and the comparisons that came nearest to their bounds."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from compare.records.run import FollowedValue
from compare.records.tables import ParityRow
from reports.network import class_of, site_of
from reports.statistics import TrainingStatistics

NEAREST = 20
"""So many comparisons are listed."""


_NORMALISED = (
    r"\frac{\left|x\right| + \operatorname{mean}\left|x\right|}{\sqrt{\sigma^2+\varepsilon}}"
)
SIZES = {
    ("Linear", "output"): r"\left|x\right|\,\left|W\right|^{\top} + \left|b\right|",
    ("Linear", "grad_input"): r"\left|\mathrm{d}y\right|\,\left|W\right|",
    ("Linear", "weight"): r"\left|\mathrm{d}y\right|^{\top} \left|x\right|",
    ("Linear", "bias"): r"\sum_n \left|\mathrm{d}y_n\right|",
    ("BatchNorm", "output"): rf"\left|\gamma\right|\,{_NORMALISED} + \left|\beta\right|",
    ("BatchNorm", "weight"): rf"\sum_n \left|\mathrm{{d}}y_n\right|\,{_NORMALISED}",
    ("BatchNorm", "bias"): r"\sum_n \left|\mathrm{d}y_n\right|",
}
"""Class and quantity → what is summed to make it, with absolute values, as in parity/sizes.py."""


class Followed(NamedTuple):
    """A number whose way to its verdict the report shows.

    Attributes:
        label: The training that it is of.
        value: The number with all that its verdict rests on.
        kind: The class of the module that made it; empty where it is of the loss or the update.
        unit: The unit roundoff of its precision.
        size: The formula of its size; empty where none is written here.
    """

    label: str
    value: FollowedValue
    kind: str
    unit: float
    size: str = ""


def followed_of(trainings: Sequence[TrainingStatistics]) -> Followed | None:
    """The first number that fails, or else the one nearest to its bound; None in older records."""
    known = [(t, t.record.followed) for t in trainings if t.record.followed is not None]
    if not known:
        return None
    training, value = max(known, key=lambda found: _severity(found[1]))
    row = ParityRow(
        *(training.record.label, training.record.seed, value.step, value.dtype, value.site),
        *(value.numpy_error, value.torch_error, value.tolerance, False),
    )
    unit = training.run.record.tolerances.unit_roundoff.get(value.dtype, math.nan)
    site = site_of(row)
    kind = class_of(training.record, site.module)
    family = "BatchNorm" if kind.startswith("BatchNorm") else kind
    size = SIZES.get((family, re.split(r"[/.]", site.name)[-1]), "")
    judged = site.part in ("forward", "backward", "gradient")
    return Followed(training.label, value, kind, unit, size if judged else "")


def _severity(value: FollowedValue) -> float:
    share = value.numpy_error / value.tolerance if value.tolerance > 0 else math.inf
    return math.inf if share > 1 else share


class Near(NamedTuple):
    """A comparison and the share of its bound that its error takes."""

    share: float
    label: str
    row: ParityRow


def nearest(trainings: Sequence[TrainingStatistics]) -> list[Near]:
    """The comparisons with the largest shares of their bounds, the largest first.

    Arrays that are equal to the bit on both sides err equally, and pass with 1/k of the bound:
    they say nothing of how tight it is, and are taken only where there are no others.
    """
    every = (
        Near(_share(row), training.label, row)
        for training in trainings
        for row in training.run.parity_of(training.record)
        if row.tolerance > 0
    )
    return heapq.nlargest(
        NEAREST, every, key=lambda near: (not _errs_equally(near.row), near.share)
    )


def _errs_equally(row: ParityRow) -> bool:
    return row.passed and row.numpy_error == row.torch_error


def _share(row: ParityRow) -> float:
    share = row.numpy_error / row.tolerance
    return math.inf if math.isnan(share) else share
