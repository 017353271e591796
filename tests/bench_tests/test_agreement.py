"""Who does the same work, and who does not."""

from __future__ import annotations

import numpy as np
import pytest

from compare.bench.agreement import LOSS_BOUND, VECTOR_BOUND, agreement
from compare.bench.catalogue import make
from compare.bench.contender import Evidence
from compare.bench.growth import SERIES


def evidence(
    kind: str = "gradients", losses: tuple[float, ...] = (2.0, 1.5), **changes
) -> Evidence:
    vectors = {"0.weight": np.array([[3.0, 0.0], [0.0, 4.0]]), "0.bias": np.array([0.0, 12.0])}
    return Evidence(list(losses), {**vectors, **changes}, kind)


def test_the_same():
    found = agreement([evidence()], [evidence()])
    assert found is not None
    assert found.agrees
    assert (found.vector_error, found.loss_error, found.missing) == (0, 0, ())


def test_the_size_of_a_difference():
    """‖(3, 4, 12)‖ = 13, and the bias is off by 1.3."""
    found = agreement([evidence(**{"0.bias": np.array([0.0, 13.3])})], [evidence()])
    assert found is not None
    assert found.vector_error == pytest.approx(0.1)
    assert not found.agrees


@pytest.mark.parametrize(
    "other",
    [
        evidence(losses=(2.0, 1.5 * (1 + 2 * LOSS_BOUND))),
        evidence(losses=(float("nan"), 1.5)),
        evidence(**{"0.bias": np.array([np.nan, 12.0])}),
        evidence(**{"0.bias": np.array([0.0, 12.0 + 13 * 1.01 * VECTOR_BOUND])}),
        evidence(**{"0.bias": np.array([12.0])}),
        evidence(**{"2.weight": np.array([0.0])}),
        Evidence([2.0, 1.5], {"0.weight": evidence().vectors["0.weight"]}, "gradients"),
    ],
)
def test_other_work_is_not_the_same(other):
    found = agreement([other], [evidence()])
    assert found is not None
    assert not found.agrees


def test_rounding_is_the_same():
    near = evidence(losses=(2.0, 1.5 * (1 + LOSS_BOUND / 2)))
    found = agreement([near], [evidence()])
    assert found is not None
    assert found.agrees


def test_what_both_have_is_compared():
    both = [evidence(losses=(9.0, 9.0)), evidence("weights")]
    found = agreement([evidence("weights")], both)
    assert found is not None
    assert (found.kind, found.agrees) == ("weights", True)
    assert agreement([], both) is None


def test_a_reference_that_is_zero_agrees_with_nothing():
    zero = Evidence([], {"w": np.zeros(2)}, "gradients")
    found = agreement([zero], [zero])
    assert found is not None
    assert not found.agrees


def test_a_flip_at_a_kink_is_not_other_work():
    """32 hidden layers of ReLU: somewhere the two orders of summation fall on different sides."""
    step = SERIES[2].workload(32)
    found = agreement(make("torch", step).evidence(), make("numpy", step).evidence())
    assert found is not None
    assert found.agrees
