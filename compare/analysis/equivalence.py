"""Whether both sides end equally good over seeds: shown as equivalence, not as no difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from compare.analysis.intervals import EquivalenceTest, equivalence_test
from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run


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
    """What is compared: that of the form, on the training set where no row is tested on."""
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
    means = [
        math.fsum(row) / len(row)  # type: ignore[arg-type]
        for row in seeds
        if row and not any(value is None for value in row)
    ]
    return single, _equality(run, "", means)


def _equality(run: Run, label: str, differences: Sequence[float | None]) -> Equality:
    form = run.record.experiment.equivalence
    name = compared_quantity(run)
    known = [value for value in differences if value is not None]
    test = equivalence_test(known, form.margin)
    reason = ""
    if not known:
        reason = f"no {name} was measured on both sides"
    elif not all(map(math.isfinite, known)):
        reason = f"a {name} is not a finite number"
    elif len(known) == 1:
        reason = "there is only one seed"
    return Equality(label, known, test, reason)
