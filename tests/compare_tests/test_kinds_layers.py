"""Activations layer by layer: by plain formulas, their parity, and the claims about them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.integrate import quad

import numpy_nn
from compare.analysis.intervals import Interval, mean_interval
from compare.backends.numpy_backend import NumpyBackend
from compare.demos.claim import above, agreed, all_of, below
from compare.demos.layer_claims import CLAIMS, findings
from compare.demos.layer_facts import bin_rows, layer_rows
from compare.demos.propagate import inputs_of, model_spec_of, propagate
from compare.demos.records import LayerRow
from compare.spec.demos import ActivationHistograms, network_label
from compare.spec.loading import load_form

FUNCTIONS = {
    "Sigmoid": scipy.special.expit,
    "Tanh": np.tanh,
    "ReLU": lambda z: np.maximum(z, 0),
}
SPREADS = [1.0, 0.01, "xavier", "he"]


def small(*changes: str) -> ActivationHistograms:
    return load_form("activation_histograms", ["rows=60", "units=30", "seeds=[3]", *changes])[1]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("activation", FUNCTIONS)
def test_activations_by_plain_formulas(activation, spread):
    form = small()
    std = {"xavier": math.sqrt(1 / 30), "he": math.sqrt(2 / 30)}.get(spread, spread)
    assert form.std(spread) == pytest.approx(std, rel=1e-15)
    found = propagate(form, activation, spread, 3, first=True)
    weights = NumpyBackend(model_spec_of(form, activation, spread), "float32", 3).state().model
    x = inputs_of(form, 3).astype(np.float64)
    for layer in range(5):
        w = weights[f"{2 * layer}.weight"].astype(np.float64)
        assert w.std() == pytest.approx(std, rel=0.1)  # of 900 draws, at 4 standard errors
        x = FUNCTIONS[activation](x @ w.T)
        for row in found.layers[layer :: form.layers]:
            assert row.layer == layer + 1
            assert row.mean == pytest.approx(x.mean(), rel=1e-4, abs=1e-6)
            assert row.std == pytest.approx(x.std(), rel=1e-4)
            if activation == "ReLU":
                assert row.outer == np.mean(x == 0)
            else:
                low = 0.0 if activation == "Sigmoid" else -1.0
                share = (x - low) / (1 - low)
                outer, middle = (share < 0.05) | (share > 0.95), np.abs(share - 0.5) < 0.1
                assert row.outer == pytest.approx(outer.mean(), abs=2 / x.size)
                assert row.middle == pytest.approx(middle.mean(), abs=2 / x.size)
    assert all(row.passed for row in found.parity)


def expected_std(function, std):
    """The standard deviation of function(z), z normal with this one, by integration."""
    density = scipy.stats.norm(scale=std).pdf
    first, second = (
        quad(lambda z, k=k: function(z) ** k * density(z), -9 * std, 9 * std, limit=200)[0]
        for k in (1, 2)
    )
    return math.sqrt(second - first**2)


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("spread", SPREADS)
def test_the_first_layer_of_the_textbook(activation, spread):
    """z is normal with the variance n σ² there: 100 inputs of variance 1."""
    form = load_form("activation_histograms")[1]
    found = propagate(form, activation, spread, 0, first=False)
    std = 10 * form.std(spread)
    for row in (found.layers[0], found.layers[form.layers]):
        assert row.std == pytest.approx(expected_std(FUNCTIONS[activation], std), rel=0.03)


def test_a_rectifier_passes_a_factor_on():
    """So that with He the spread stays and with Xavier it falls by √2 a layer."""
    form = small()
    xavier, he = (propagate(form, "ReLU", s, 3, first=False).layers for s in ("xavier", "he"))
    for a, b in zip(xavier, he, strict=True):
        assert b.std / a.std == pytest.approx(math.sqrt(2) ** a.layer, rel=1e-5)
        assert a.outer == b.outer


def test_one_seed_draws_the_same_for_every_network():
    form = small()
    states = [
        NumpyBackend(model_spec_of(form, activation, spread), "float32", 3).state().model
        for activation in form.activations
        for spread in form.spreads
    ]
    for state, spread in zip(states, SPREADS * 3, strict=True):
        ratio = state["4.weight"].astype(float) / states[0]["4.weight"]
        np.testing.assert_allclose(ratio, form.std(spread), rtol=1e-6)
    assert not np.array_equal(inputs_of(form, 3), inputs_of(form, 4))


def test_every_layer_is_compared_in_both_precisions_and_end_to_end():
    found = propagate(small(), "Tanh", "he", 3, first=True)
    sites = [(row.dtype, row.site) for row in found.parity]
    outputs = [f"forward/{k}/output" for k in range(10)]
    assert sites[:5] == [("float32", f"initial/{k}.weight") for k in range(0, 10, 2)]
    assert sites[5:25] == [(dtype, s) for s in outputs for dtype in ("float32", "float64")]
    assert sites[25:] == [("float64", f"whole/{s}") for s in outputs]
    assert found.part.parity_rows == len(sites)
    assert {row.label for row in found.parity} == {"Tanh, He"}


def test_in_float64():
    found = propagate(small("dtype=float64"), "Sigmoid", 1.0, 3, first=True)
    assert all(row.passed for row in found.parity)
    assert {row.dtype for row in found.parity} == {"float64"}


@pytest.mark.parametrize(
    ("activation", "first"), [("Sigmoid", "forward/1/output"), ("ReLU", "forward/1/output")]
)
def test_a_wrong_activation_is_found(monkeypatch, activation, first):
    layer = getattr(numpy_nn, activation)
    original = layer.forward
    monkeypatch.setattr(layer, "forward", lambda self, x: original(self, x) * x.dtype.type(1.00001))
    found = propagate(small(), activation, "he", 3, first=False)
    failures = [row.site for row in found.parity if not row.passed]
    assert failures[0] == first
    assert "forward/0/output" not in failures


def test_a_layer_that_is_left_out_is_found(monkeypatch):
    """Each layer alone is right; the network as it is connected is not."""
    original = numpy_nn.Sequential.forward

    def wrong(self, x):
        return original(self, x) * 0.5

    monkeypatch.setattr(numpy_nn.Sequential, "forward", wrong)
    found = propagate(small(), "Tanh", "xavier", 3, first=True)
    assert [r.site for r in found.parity if not r.passed] == ["whole/forward/9/output"]


def test_histograms_hold_every_value():
    form = small()
    for activation, low in (("Sigmoid", 0.0), ("Tanh", -1.0), ("ReLU", 0.0)):
        bins = propagate(form, activation, 1.0, 3, first=True).bins
        for layer in range(1, 6):
            for backend in ("numpy", "torch"):
                own = [b for b in bins if (b.backend, b.layer) == (backend, layer)]
                assert len(own) == 30
                assert own[0].low == low
                assert sum(b.values for b in own) == 60 * 30
        if activation != "ReLU":
            assert {b.high for b in bins if b.high >= 1} == {1.0}
        else:
            assert len({b.high for b in bins}) == 30  # one range for all layers


def test_a_histogram_counted_by_hand():
    output = np.array([[0.0, 0.01, 0.5], [0.99, 1.0, 0.5]], np.float32)
    bins = bin_rows("Sigmoid", "1", {"numpy": [output], "torch": [output]})
    held = [b.values for b in bins if b.backend == "numpy"]
    assert (held[0], held[15], held[29], sum(held)) == (2, 2, 2, 6)


def test_activations_that_are_all_0():
    """Nothing is divided by the largest of them."""
    nothing = np.zeros((4, 3), np.float32)
    bins = bin_rows("ReLU", "0.01", {"numpy": [nothing], "torch": [nothing]})
    assert bins[0].values == 12
    [row] = layer_rows("numpy", "ReLU", "0.01", 0, [nothing])
    assert (row.mean, row.std, row.outer) == (0, 0, 1)


def test_without_an_interval_nothing_is_decided():
    for values in ([2.0], [1.0, math.inf], [1.0, math.nan]):
        assert above(mean_interval(values), 0.5) == "undecided"
        assert below(mean_interval(values), 0.5) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.6, 0.8, "supported"), (0.1, 0.4, "not supported"), (0.4, 0.6, "undecided"),
     (0.5, 0.6, "undecided")],
)  # fmt: skip
def test_decisions(low, high, said):
    found = Interval((low + high) / 2, low, high, 2)
    assert above(found, 0.5) == said
    turned = Interval(1 - found.mean, 1 - high, 1 - low, 2)
    assert below(turned, 0.5) == said


def test_claims_of_several_parts():
    assert all_of("supported", "supported") == "supported"
    assert all_of("supported", "undecided") == "undecided"
    assert all_of("undecided", "not supported") == "not supported"
    assert agreed("supported", "supported") == "supported"
    assert agreed("supported", "not supported") == "undecided"


def made_up(outer, middle, last, seeds=(0, 1, 2), backends=("numpy", "torch")):
    """Rows of every network that is claimed of: two layers, the second with the std ``last``."""
    networks = {(claim.activation, claim.spread) for claim in CLAIMS}
    return [
        LayerRow(b, *network, seed, layer, 0.0, (1.0, last)[layer - 1], outer, middle)
        for b in backends
        for network in sorted(networks)
        for seed in seeds
        for layer in (1, 2)
    ]


def decisions(rows):
    return [finding.decision for finding in findings(rows)]


def test_claims_from_made_up_numbers():
    yes, no = "supported", "not supported"
    assert decisions(made_up(0.8, 0.0, 1.0)) == [yes, no, no, yes, no, no, no, no, yes]
    assert decisions(made_up(0.0, 0.99, 0.01)) == [no, yes, no, no, yes, yes, yes, yes, no]
    assert decisions(made_up(0.05, 0.5, 3.0)) == [no, no, yes, no, no, yes, no, no, no]


def test_claims_of_one_seed_are_undecided():
    found = findings(made_up(0.8, 0.0, 1.0, seeds=(0,)))
    assert {finding.decision for finding in found} == {"undecided"}
    assert "of one seed, which has no interval" in found[0].reason


def test_claims_on_which_the_sides_differ():
    rows = made_up(0.8, 0.0, 1.0, backends=("numpy",)) + made_up(0.0, 0.5, 1.0, backends=("torch",))
    found = findings(rows)
    assert found[0].decision == "undecided"
    assert "the two sides differ" in found[0].reason


def test_claims_about_networks_that_were_not_run():
    rows = [row for row in made_up(0.8, 0.0, 1.0) if row.activation != "Tanh"]
    found = findings(rows)
    assert found[3].decision == "undecided"
    assert "this run has no Tanh with the spread 1" in found[3].reason


def test_labels():
    assert network_label("Tanh", "0.01") == "Tanh, std 0.01"
    assert network_label("Tanh", "xavier") == "Tanh, Xavier"
    assert network_label("ReLU", "1e-05") == "ReLU, std 1e-05"
