"""The targets of the batches: what they have to hold so that right code can count the classes."""

from __future__ import annotations

import numpy as np
import pytest

from compare.check.cases import draw_targets, make_cases
from compare.check.contract import Assignment
from compare.check.reference import Reference


def net(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7))


COUNTED = (
    "dz[np.arange(len(y)), y] -= 1",
    "dz = dz - np.eye(y.max() + 1)[y]",
)


@pytest.mark.parametrize("layers", [False, True])
def test_the_largest_class_is_in_every_batch(layers):
    cases = make_cases(Assignment("net", net), functions=not layers, layers=layers)
    assert cases
    assert all(case.targets.max() == 6 for case in cases)


def test_classes_may_be_counted_by_the_largest_label(check):
    found = check(COUNTED)
    assert found.status == 0


@pytest.mark.parametrize("rows", range(1, 12))
def test_every_third_row_stays_wrong_with_confidence(rows):
    reference = Reference(Assignment("net", net))
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, 12))
    targets = draw_targets(reference, "cross_entropy", x, random)
    logits = reference.exact.logits(x)
    assert targets.max() == 6
    assert targets.dtype.kind == "i"
    if rows > 1:
        np.testing.assert_array_equal(targets[::3], logits.argmin(axis=1)[::3])
