"""Statistics: Student's interval of a mean and equivalence over seeds, a share, two shares.

Whether both backends end equally good over seeds is shown as equivalence, not as the absence of a
difference.

Student, "The probable error of a mean", Biometrika 6, 1908; D. J. Schuirmann, "A comparison of
the two one-sided tests procedure and the power approach for assessing the equivalence of average
bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run


class Interval(NamedTuple):
    """A mean and its interval.

    Attributes:
        mean: The mean; infinite or NaN where the values are.
        low: The lower end; NaN where there is no interval.
        high: The upper end; NaN where there is no interval.
        values: How many values there were.
    """

    mean: float
    low: float
    high: float
    values: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


class EquivalenceTest(NamedTuple):
    """Two one-sided tests of a mean difference against a margin.

    Attributes:
        mean: The mean difference.
        low: The lower end of its interval, which has the confidence 1 − 2α.
        high: The upper end.
        p: The larger of the two tests' p.
        values: How many differences there were.
        equivalent: True where both tests reject: the means are equivalent. False where the whole
            interval lies beyond the margin: they are not. None where neither is shown.
    """

    mean: float
    low: float
    high: float
    p: float
    values: int
    equivalent: bool | None


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with Student's t interval.

    Values that are all equal, infinities among them, have an interval of width 0. A single value
    has none, nor have values of which some are finite and others not.

    Raises:
        ValueError: There is no value.
    """
    found = np.asarray(values, float)
    if not len(found):
        raise ValueError("an interval needs at least one value")
    if len(found) > 1 and np.all(found == found[0]):
        return Interval(float(found[0]), float(found[0]), float(found[0]), len(found))
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN
        mean = float(np.mean(found))
    if len(found) == 1 or not np.all(np.isfinite(found)):
        return Interval(mean, math.nan, math.nan, len(found))
    half = _quantile(0.5 + confidence / 2, len(found)) * _standard_error(found)
    return Interval(mean, mean - half, mean + half, len(found))


def equivalence_test(
    differences: Sequence[float], margin: float, alpha: float = 0.05
) -> EquivalenceTest | None:
    """Whether paired differences are equivalent to 0, by two one-sided t tests.

    H₀ is that the mean difference is at least ``margin`` away from 0; it is rejected where both
    t tests, against −margin and against +margin, have p < ``alpha``. That is so exactly where the
    interval of confidence 1 − 2α lies inside (−margin, margin). Differences that are all equal
    have a standard error of 0, and are inside or are not.

    Args:
        differences: One a seed.
        margin: The least difference that matters; positive.
        alpha: The level of either test.

    Returns:
        None for fewer than two differences, or where one is not finite: there is no test.
    """
    found = np.asarray(differences, float)
    if len(found) < 2 or not np.all(np.isfinite(found)):
        return None
    mean, low, high, _ = mean_interval(differences, 1 - 2 * alpha)
    error = _standard_error(found)
    if low == high:
        p = 0.0 if abs(mean) < margin else 1.0
    else:
        from scipy import stats

        above, below = (mean + margin) / error, (margin - mean) / error
        p = float(max(stats.t.sf(above, len(found) - 1), stats.t.sf(below, len(found) - 1)))
    beyond = low >= margin or high <= -margin
    return EquivalenceTest(
        mean, low, high, p, len(found), True if p < alpha else False if beyond else None
    )


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def _quantile(probability: float, values: int) -> float:
    from scipy import stats  # takes a while to import, and not every report needs it

    return float(stats.t.ppf(probability, values - 1))


class Equality(NamedTuple):
    """NumPy against PyTorch, for one configuration or for all of them.

    Attributes:
        label: The configuration's label; empty for all together.
        differences: NumPy's value less PyTorch's, one a seed.
        test: The two one-sided tests, paired by seed; None where there can be none.
        reason: Why there is none.
    """

    label: str
    differences: list[float]
    test: EquivalenceTest | None
    reason: str


def compared_quantity(run: Run) -> str:
    """The quantity compared: the experiment's, on the training set where there are no test rows."""
    name = run.record.experiment.equivalence.quantity
    if run.record.data.test_rows:
        return name
    return f"training-set {name.removeprefix('test ')}" if name.startswith("test ") else name


def equalities(run: Run) -> tuple[list[Equality], Equality]:
    """The test for each configuration that was trained, and for the mean over all configurations.

    A seed counts for all configurations together where every configuration that was trained has it.
    """
    name = compared_quantity(run)
    by_label: dict[str, dict[int, float | None]] = {}
    for training in run.record.trainings:
        values = [quantity(run, backend, training, name) for backend in BACKENDS]
        numpy, torch = values if training.finished else (None, None)
        difference = None if numpy is None or torch is None else numpy - torch
        by_label.setdefault(training.label, {})[training.seed] = difference
    single = [_equality(run, label, list(found.values())) for label, found in by_label.items()]
    seeds = [
        [found.get(seed) for found in by_label.values()]
        for seed in run.record.experiment.training.seeds
    ]
    # Rows with a None are left out by the condition, which a type checker does not follow.
    means = [
        math.fsum(row) / len(row)  # type: ignore[arg-type]
        for row in seeds
        if row and not any(value is None for value in row)
    ]
    return single, _equality(run, "", means)


def _equality(run: Run, label: str, differences: Sequence[float | None]) -> Equality:
    settings = run.record.experiment.equivalence
    name = compared_quantity(run)
    known = [value for value in differences if value is not None]
    test = equivalence_test(known, settings.margin)
    reason = ""
    if not known:
        reason = f"no {name} was measured on both backends"
    elif not all(map(math.isfinite, known)):
        reason = f"a {name} is not a finite number"
    elif len(known) == 1:
        reason = "there is only one seed"
    return Equality(label, known, test, reason)


def mcnemar_test(only_first: int, only_second: int) -> float:
    """p of McNemar's exact test: is being right alone as likely for either? Two-sided."""
    from scipy.stats import binomtest  # loaded by who asks: it takes a third of a second

    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def paired_interval(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """95% interval of the difference of two shares of the same rows, first less second.

    Wald's interval with half a row added to each of the four cells: A. Agresti and Y. Min, Simple
    improved confidence intervals for comparing matched proportions, Statistics in Medicine 24 (5),
    2005.
    """
    first, second, n = only_first + 0.5, only_second + 0.5, rows + 2
    difference = (first - second) / n
    error = math.sqrt(first + second - (first - second) ** 2 / n) / n
    return difference - 1.959964 * error, difference + 1.959964 * error


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(right, rows).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
