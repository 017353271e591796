"""The measures of paths, and the textbook's claims from synthetic numbers."""

from __future__ import annotations

import math

import pytest

from compare.analysis.claims import decide
from compare.demos.claims import (
    LAYER_CLAIMS,
    layer_claim_results,
    measure_path,
    measure_paths,
    path_claim_results,
)
from compare.records.tables import LayerRow, PathRow
from compare.spec.demos import network_label

YES, NO, OPEN = "supported", "not supported", "undecided"


def path(points, backend="numpy", label="SGD"):
    return [PathRow(backend, label, 0, k, x, y, x * x + y * y) for k, (x, y) in enumerate(points)]


def test_the_measures_of_a_path():
    found = measure_path(path([(0, 3), (4, 0), (4, -2), (4, 2), (4, 3)]))
    assert found.steps == 4
    assert found.length == 5 + 2 + 4 + 1
    assert found.direct == 4
    assert found.detour == 3
    assert found.across == 3 + 2 + 4 + 1
    # Once down by way of the floor itself, once up.
    assert found.crossings == 2


def test_a_path_that_returns_has_no_straight_line():
    assert measure_path(path([(1, 1), (2, 2), (1, 1)])).detour == math.inf


ZIGZAG = [(-7, 2), (-6, -2), (-5, 2), (-4, -2), (-3, 2)]
SWING = [(-7, 2), (-6, 0.5), (-5, -1), (-4, -0.5), (-3, 0.5)]
SMALL_SWING = [(-7, 2), (-6, 1), (-5, 0.2), (-4, -0.1), (-3, 0.2)]
STRAIGHT = [(-7, 2), (-6, 1.6), (-5, 1.2), (-4, 0.8), (-3, 0.4)]
TEXTBOOK = {"SGD": ZIGZAG, "Momentum": SWING, "AdaGrad": STRAIGHT, "Adam": SMALL_SWING}


def paths_of(numpy, torch=None):
    rows = []
    for backend, points in (("numpy", numpy), ("torch", torch or numpy)):
        for label, own in points.items():
            rows += path(own, backend, label)
    return measure_paths(rows)


def decisions(found):
    return [claim.decision for claim in found]


def test_paths_as_in_the_textbook():
    found = path_claim_results(paths_of(TEXTBOOK))
    assert decisions(found) == [YES] * 4
    assert "crossings of the floor: SGD 4, Momentum 2, AdaGrad 0, Adam 2" in found[0].reason
    assert found[0].reason.endswith(".")


def test_paths_that_are_all_alike():
    """None is longer, none more direct, none swings less."""
    assert decisions(path_claim_results(paths_of(dict.fromkeys(TEXTBOOK, ZIGZAG)))) == [NO] * 4


def test_paths_on_which_the_backends_differ():
    found = path_claim_results(paths_of(TEXTBOOK, {**TEXTBOOK, "SGD": STRAIGHT}))
    assert decisions(found) == [OPEN] * 3 + [YES]
    assert "the two backends differ" in found[0].reason


def test_optimizers_that_were_not_run():
    some = {label: TEXTBOOK[label] for label in ("Momentum", "Adam")}
    found = path_claim_results(paths_of(some))
    assert decisions(found) == [OPEN] * 3 + [YES]
    assert "no optimizer with the label SGD and AdaGrad" in found[0].reason


@pytest.mark.parametrize(
    ("values", "higher", "lower"),
    [
        ([0.68, 0.7, 0.72], YES, NO),
        ([0.28, 0.3, 0.32], NO, YES),
        ([0.2, 0.6, 0.9], OPEN, OPEN),
        ([2.0], OPEN, OPEN),
        ([1.0, math.inf], OPEN, OPEN),
        ([1.0, math.nan], OPEN, OPEN),
        ([0.5, 0.5], NO, NO),
    ],
)
def test_a_bound_and_an_interval(values, higher, lower):
    """The rule of every experiment's claims; a bound itself is on neither side of it."""
    assert decide(values, "higher than", 0.5)[1] == higher
    assert decide(values, "lower than", 0.5)[1] == lower
    at_least = YES if values == [0.5, 0.5] else higher
    assert decide(values, "at least", 0.5)[1] == at_least


def layers_of(outer, middle, last, seeds=(0, 1, 2), backends=("numpy", "torch")):
    """Rows of every network in a claim: two layers, the second with the std ``last``."""
    labels = {network_label(claim.activation, claim.spread) for claim in LAYER_CLAIMS}
    return [
        LayerRow(backend, label, seed, layer, 0.0, (1.0, last)[layer - 1], outer, middle)
        for backend in backends
        for label in sorted(labels)
        for seed in seeds
        for layer in (1, 2)
    ]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.8, 0.0, 1.0), [YES, NO, NO, YES, NO, NO, NO, NO, YES]),
        ((0.0, 0.99, 0.01), [NO, YES, NO, NO, YES, YES, YES, YES, NO]),
        ((0.05, 0.5, 3.0), [NO, NO, YES, NO, NO, YES, NO, NO, NO]),
    ],
)
def test_layers(numbers, expected):
    assert decisions(layer_claim_results(layers_of(*numbers))) == expected


def test_the_rows_may_stand_in_any_order():
    rows = layers_of(0.0, 0.99, 0.01)
    assert layer_claim_results(rows[::-1]) == layer_claim_results(rows)


def test_layers_of_one_seed():
    found = layer_claim_results(layers_of(0.8, 0.0, 1.0, seeds=(0,)))
    assert set(decisions(found)) == {OPEN}
    assert "of one seed, which has no interval" in found[0].reason


def test_layers_on_which_the_backends_differ():
    rows = layers_of(0.8, 0.0, 1.0, backends=("numpy",))
    found = layer_claim_results(rows + layers_of(0.0, 0.5, 1.0, backends=("torch",)))
    assert found[0].decision == OPEN
    assert "the two backends differ" in found[0].reason


def test_networks_that_were_not_run():
    rows = [row for row in layers_of(0.8, 0.0, 1.0) if not row.label.startswith("Tanh")]
    found = layer_claim_results(rows)
    assert found[3].decision == OPEN
    assert "this run has no Tanh with the spread 1" in found[3].reason
