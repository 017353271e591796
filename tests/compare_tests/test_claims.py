"""Answers to claims, from planted values: each of the three, and the cases where they are hard."""

from __future__ import annotations

import math
from typing import Any

import pytest
from planted.runs import planted_run
from scipy import stats

from compare.analysis.claims import Decision, alternatives, claim_results, combine, matched
from compare.analysis.intervals import equalities, mean_interval
from compare.analysis.verdict import departures

ACTIVATION = {
    "activation": {
        "cases": {name: {"model": {"arguments": {"activation": name}}} for name in ("A", "B", "C")}
    }
}
HIGHER = {
    "quantity": "test accuracy",
    "of": {"activation": "A"},
    "relation": "higher than",
    "than": {"activation": ["B", "C"]},
}
NOISE = [0.001, -0.002, 0.0015]


def by_case(**means: float):
    """Values with these means, and a little noise that differs by case and seed."""

    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        case = variant["activation"]
        return means[case] + NOISE[(seed + ord(case)) % 3]

    return values


def answer(run):
    return claim_results(run)[0]


@pytest.mark.parametrize(
    ("means", "relation", "expected"),
    [
        ({"A": 0.9, "B": 0.8, "C": 0.7}, "higher than", Decision.SUPPORTED),
        ({"A": 0.7, "B": 0.8, "C": 0.9}, "higher than", Decision.NOT_SUPPORTED),
        ({"A": 0.9, "B": 0.8, "C": 0.95}, "higher than", Decision.NOT_SUPPORTED),
        ({"A": 0.9, "B": 0.8, "C": 0.9}, "higher than", Decision.UNDECIDED),
        ({"A": 0.7, "B": 0.8, "C": 0.9}, "lower than", Decision.SUPPORTED),
        ({"A": 0.9, "B": 0.8, "C": 0.7}, "lower than", Decision.NOT_SUPPORTED),
        ({"A": 0.7, "B": 0.8, "C": 0.7}, "lower than", Decision.UNDECIDED),
    ],
)
def test_comparisons(means: dict, relation: str, expected: Decision) -> None:
    claim = {**HIGHER, "relation": relation}
    found = answer(planted_run(by_case(**means), vary=ACTIVATION, claims=(claim,)))
    assert found.decision is expected
    assert set(found.decisions.values()) == {expected}
    assert [f.compared for f in found.comparisons["numpy"]] == ["A − B", "A − C"]


def test_the_interval_is_the_paired_one_of_scipy() -> None:
    table = {"A": [0.9, 0.92, 0.87], "B": [0.85, 0.88, 0.84], "C": [0.1, 0.1, 0.1]}
    run = planted_run(
        lambda backend, variant, seed: table[variant["activation"]][seed],
        vary=ACTIVATION,
        claims=(HIGHER,),
    )
    found = answer(run).comparisons["torch"][0].interval
    expected = stats.ttest_rel(table["A"], table["B"]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("values", "relation", "bound", "expected"),
    [
        ([0.82, 0.83, 0.81], "at least", 0.5, Decision.SUPPORTED),
        ([0.82, 0.83, 0.81], "at least", 0.9, Decision.NOT_SUPPORTED),
        ([0.82, 0.83, 0.81], "at least", 0.82, Decision.UNDECIDED),
        ([0.82, 0.83, 0.81], "at most", 0.9, Decision.SUPPORTED),
        ([0.82, 0.83, 0.81], "at most", 0.5, Decision.NOT_SUPPORTED),
        ([0.8, 0.8, 0.8], "at least", 0.8, Decision.SUPPORTED),
        ([0.8, 0.8, 0.8], "at most", 0.8, Decision.SUPPORTED),
        ([0.8, 0.8, 0.8], "at least", 0.81, Decision.NOT_SUPPORTED),
    ],
)
def test_bounds(values: list[float], relation: str, bound: float, expected: Decision) -> None:
    claim = {"quantity": "test accuracy", "relation": relation, "value": bound}
    found = answer(planted_run(lambda backend, variant, seed: values[seed], claims=(claim,)))
    assert found.decision is expected
    assert found.comparisons["numpy"][0].interval == mean_interval(values)


def test_equal_in_every_seed_is_not_higher() -> None:
    found = answer(planted_run(lambda *_: 0.3, vary=ACTIVATION, claims=(HIGHER,)))
    assert found.decision is Decision.NOT_SUPPORTED
    assert "the same in all 3 seeds" in found.comparisons["numpy"][0].reason


def test_the_rounding_of_a_subtraction_is_no_difference() -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        return 0.1 + 0.2 if variant["activation"] == "A" else 0.3

    found = answer(planted_run(values, vary=ACTIVATION, claims=(HIGHER,)))
    assert found.comparisons["numpy"][0].interval.mean == 0.0
    assert found.decision is Decision.NOT_SUPPORTED


def test_one_seed_shows_its_number_and_decides_nothing() -> None:
    run = planted_run(by_case(A=0.9, B=0.1, C=0.1), seeds=(5,), vary=ACTIVATION, claims=(HIGHER,))
    found = answer(run)
    assert found.decision is Decision.UNDECIDED
    comparison = found.comparisons["numpy"][0]
    assert comparison.interval.mean == pytest.approx(0.8, abs=0.01)
    assert not comparison.interval.known
    assert comparison.reason == "one seed gives no interval"


def test_backends_that_disagree_leave_it_undecided() -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        return (variant["activation"] == "A") == (backend == "numpy")

    found = answer(planted_run(values, vary=ACTIVATION, claims=(HIGHER,)))
    assert found.decisions == {"numpy": Decision.SUPPORTED, "torch": Decision.NOT_SUPPORTED}
    assert found.decision is Decision.UNDECIDED


LOSS = {**HIGHER, "quantity": "test loss", "relation": "lower than", "than": {"activation": "B"}}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("diverged", "expected", "difference"),
    [
        ({"B": 3}, Decision.SUPPORTED, -math.inf),
        ({"A": 3}, Decision.NOT_SUPPORTED, math.inf),
        ({"A": 3, "B": 3}, Decision.NOT_SUPPORTED, 0.0),
        ({"B": 1}, Decision.UNDECIDED, -math.inf),
        ({}, Decision.SUPPORTED, -1.0),
    ],
)
def test_a_loss_that_is_no_number_counts_as_infinite(
    bad: float, diverged: dict[str, int], expected: Decision, difference: float
) -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        case = variant["activation"]
        return bad if seed < diverged.get(case, 0) else 1.0 + (case == "B")

    found = answer(planted_run(values, quantity="test loss", vary=ACTIVATION, claims=(LOSS,)))
    comparison = found.comparisons["numpy"][0]
    assert found.decision is expected
    assert comparison.interval.mean == difference
    assert comparison.diverged == sum(diverged.values())


def test_an_accuracy_that_is_no_number_counts_as_0() -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        return math.nan if variant["activation"] == "C" else 0.4

    claim = {**HIGHER, "than": {"activation": "C"}}
    comparison = answer(planted_run(values, vary=ACTIVATION, claims=(claim,))).comparisons["numpy"][
        0
    ]
    assert comparison.interval.mean == 0.4
    assert comparison.decision is Decision.SUPPORTED


def test_a_seed_without_all_its_trainings_is_left_out() -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float | None:
        return None if (seed, variant["activation"]) == (1, "B") else by_case(A=0.9, B=0.8, C=0.7)(
            backend, variant, seed
        )  # fmt: skip

    found = answer(planted_run(values, vary=ACTIVATION, claims=(HIGHER,)))
    assert [f.interval.values for f in found.comparisons["numpy"]] == [2, 3]
    none = answer(planted_run(lambda *_: None, vary=ACTIVATION, claims=(HIGHER,)))
    assert none.comparisons["numpy"][0].interval is None
    assert none.decision is Decision.UNDECIDED


SCALES = {"std": {"key": "model.std", "values": [1.0, 0.1]}}


def test_case_by_case_on_the_other_axes() -> None:
    """What differs by std is larger than the effect, and falls out of the pairs."""

    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        base = 0.9 if variant["std"] == "std 1" else 0.1 * seed
        return base + 0.01 * (variant["activation"] == "A")

    run = planted_run(values, vary={**ACTIVATION, **SCALES}, claims=(HIGHER,))
    comparison = answer(run).comparisons["numpy"][0]
    assert comparison.interval.mean == pytest.approx(0.01)
    assert comparison.decision is Decision.SUPPORTED


def test_selections_of_other_cases_are_averaged() -> None:
    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        return (0.8 if variant["std"] == "std 1" else 0.2) + NOISE[seed]

    claim: dict[str, Any] = {
        "quantity": "test accuracy",
        "of": {"model.std": [0.5, 2.0]},
        "relation": "higher than",
        "than": {"model.std": [0.01, 0.5]},
    }
    run = planted_run(values, vary={**ACTIVATION, **SCALES}, claims=(claim,))
    comparison = answer(run).comparisons["numpy"][0]
    assert comparison.compared == "std from 0.5 to 2 − std from 0.01 to 0.5"
    assert comparison.interval.mean == pytest.approx(0.6)
    of, than = (run.record.experiment.select(claim[key]) for key in ("of", "than"))
    assert [(len(a), len(b)) for a, b in matched(of, than)] == [(1, 1)] * 3


def test_each_case_of_a_list_is_an_alternative() -> None:
    experiment = planted_run(lambda *_: 0.5, vary=ACTIVATION).record.experiment
    than = {"activation": ["B", "C"], "model.std": [0.1, 1.0], "optimizer": "SGD"}
    assert alternatives(experiment, than) == [
        {"activation": case, "model.std": [0.1, 1.0], "optimizer": "SGD"} for case in ("B", "C")
    ]


def test_decisions_combined() -> None:
    yes, no, open_ = Decision.SUPPORTED, Decision.NOT_SUPPORTED, Decision.UNDECIDED
    assert combine([yes, open_, no], every=True) is no
    assert combine([yes, open_], every=True) is open_
    assert combine([yes, no], every=False) is open_
    assert combine([no, no], every=False) is no


def test_equality_over_plans_is_that_of_the_mean_of_each_seed() -> None:
    offsets = {"A": [0.002, -0.001, 0.001], "B": [0.05, 0.051, 0.052], "C": [0.0, 0.0, 0.0]}

    def values(backend: str, variant: dict[str, str], seed: int) -> float:
        return 0.5 + (backend == "numpy") * offsets[variant["activation"]][seed]

    single, whole = equalities(planted_run(values, vary=ACTIVATION))
    assert [found.test.equivalent for found in single] == [True, False, True]
    means = [sum(column) / 3 for column in zip(*offsets.values(), strict=True)]
    assert whole.test.mean == pytest.approx(sum(means) / 3)
    t = stats.ttest_1samp(means, 0.01, alternative="less").pvalue
    assert whole.test.p == pytest.approx(t)


def test_what_equality_cannot_be_tested() -> None:
    one = equalities(planted_run(lambda *_: 0.5, seeds=(0,)))[0][0]
    assert (one.test, one.reason) == (None, "there is only one seed")
    other = equalities(planted_run(lambda *_: 0.5, quantity="test loss"))[0][0]
    assert (other.test, other.reason) == (None, "no test accuracy was measured on both backends")
    nan = equalities(planted_run(lambda *_: math.nan))[0][0]
    assert (nan.test, nan.reason) == (None, "a test accuracy is not a finite number")
    assert equalities(planted_run(lambda *_: None))[0] == []


def test_in_which_ways_a_run_is_not_the_experiment() -> None:
    assert departures(planted_run(lambda *_: 0.5).record) == []
    run = planted_run(
        lambda *_: 0.5, sample=True, max_steps=3, status="incomplete", command="x --set a.b=1"
    )
    assert len(departures(run.record)) == 3
    run.record.data.name = "a sample"
    assert "used the sample in place of the full data set" in departures(run.record)
    run.record.sample = False
    assert "used other data (made up)" in departures(run.record)
