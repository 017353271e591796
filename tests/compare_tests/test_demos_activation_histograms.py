"""Activations layer by layer: by plain formulas, their parity, and their histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.integrate import quad

import numpy_nn
from compare.backends.numpy_backend import NumpyBackend
from compare.demos.activation_histograms import (
    histogram_rows,
    inputs_of,
    layer_rows,
    model_spec_of,
    propagate,
)
from compare.spec.demos import ActivationHistograms, network_label
from compare.spec.loading import load_settings

FUNCTIONS = {
    "Sigmoid": scipy.special.expit,
    "Tanh": np.tanh,
    "ReLU": lambda z: np.maximum(z, 0),
}
SPREADS = [1.0, 0.01, "xavier", "he"]


def small(*changes: str) -> ActivationHistograms:
    changes = ("rows=60", "units=30", "seeds=[3]", *changes)
    return load_settings("activation_histograms", changes)[1]


@pytest.fixture(scope="module")
def propagated():
    """(activation, spread) → the small network's record and its rows."""
    settings = small()
    return {
        (activation, spread): propagate(settings, activation, spread, 3, first=True)
        for activation in FUNCTIONS
        for spread in SPREADS
    }


def failures(tables):
    return [row.site for row in tables["parity"] if not row.passed]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("activation", FUNCTIONS)
def test_activations_by_plain_formulas(propagated, activation, spread):
    settings = small()
    std = {"xavier": math.sqrt(1 / 30), "he": math.sqrt(2 / 30)}.get(spread, spread)
    assert settings.std(spread) == pytest.approx(std, rel=1e-15)
    _, tables = propagated[activation, spread]
    spec = model_spec_of(settings, activation, spread)
    weights = NumpyBackend(spec, "float32", 3).state().model
    x = inputs_of(settings, 3).astype(np.float64)
    for layer in range(5):
        w = weights[f"{2 * layer}.weight"].astype(np.float64)
        assert w.std() == pytest.approx(std, rel=0.1)  # of 900 draws, at 4 standard errors
        x = FUNCTIONS[activation](x @ w.T)
        for row in tables["layers"][layer :: settings.layers]:
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
    assert failures(tables) == []


def expected_std(function, std):
    """The standard deviation of function(z), z normal with this one, by integration."""
    density = scipy.stats.norm(scale=std).pdf
    first, second = (
        quad(lambda z, k=k: function(z) ** k * density(z), -9 * std, 9 * std, limit=200)[0]
        for k in (1, 2)
    )
    return math.sqrt(second - first**2)


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_first_layer_of_the_textbook(activation):
    """z is normal with the variance n σ² there: 100 inputs of variance 1."""
    settings = load_settings("activation_histograms", ["layers=1"])[1]
    for spread in SPREADS:
        _, tables = propagate(settings, activation, spread, 0, first=False)
        expected = expected_std(FUNCTIONS[activation], 10 * settings.std(spread))
        assert [row.backend for row in tables["layers"]] == ["numpy", "torch"]
        for row in tables["layers"]:
            assert row.std == pytest.approx(expected, rel=0.03)


def test_a_rectifier_passes_a_factor_on(propagated):
    """So that with He the spread stays and with Xavier it falls by √2 a layer."""
    xavier, he = (propagated["ReLU", spread][1]["layers"] for spread in ("xavier", "he"))
    for a, b in zip(xavier, he, strict=True):
        assert b.std / a.std == pytest.approx(math.sqrt(2) ** a.layer, rel=1e-5)
        assert a.outer == b.outer


def test_one_seed_draws_the_same_for_every_network():
    settings = small()
    states = [
        NumpyBackend(model_spec_of(settings, activation, spread), "float32", 3).state().model
        for activation in settings.activations
        for spread in settings.spreads
    ]
    for state, spread in zip(states, SPREADS * 3, strict=True):
        ratio = state["4.weight"].astype(float) / states[0]["4.weight"]
        np.testing.assert_allclose(ratio, settings.std(spread), rtol=1e-6)
    assert not np.array_equal(inputs_of(settings, 3), inputs_of(settings, 4))


def test_every_layer_is_compared_in_both_precisions_and_end_to_end(propagated):
    training, tables = propagated["Tanh", "he"]
    sites = [(row.dtype, row.site) for row in tables["parity"]]
    outputs = [f"forward/{k}/output" for k in range(10)]
    assert sites[:5] == [("float32", f"initial/{k}.weight") for k in range(0, 10, 2)]
    assert sites[5:25] == [(dtype, s) for s in outputs for dtype in ("float32", "float64")]
    assert sites[25:] == [("float64", f"whole/{s}") for s in outputs]
    assert training.parity_rows == len(sites)
    assert training.variant == {"activation": "Tanh", "spread": "he"}
    for rows in tables.values():
        assert {(row.label, row.seed) for row in rows} == {("Tanh, He", 3)}


def test_only_the_first_seed_has_histograms_and_a_whole_network():
    _, tables = propagate(small(), "Tanh", "he", 3, first=False)
    assert len(tables["parity"]) == 25
    assert tables["histogram"] == []


def test_in_float64():
    _, tables = propagate(small("dtype=float64"), "Sigmoid", 1.0, 3, first=True)
    assert failures(tables) == []
    assert {row.dtype for row in tables["parity"]} == {"float64"}


@pytest.mark.parametrize("activation", ["Sigmoid", "ReLU"])
def test_a_wrong_activation_is_found(monkeypatch, activation):
    layer = getattr(numpy_nn, activation)
    original = layer.forward
    monkeypatch.setattr(layer, "forward", lambda self, x: original(self, x) * x.dtype.type(1.00001))
    found = failures(propagate(small(), activation, "he", 3, first=False)[1])
    assert found[0] == "forward/1/output"
    assert "forward/0/output" not in found


def test_a_layer_that_is_left_out_is_found(monkeypatch):
    """Each layer alone is right; the network as it is connected is not."""
    original = numpy_nn.Sequential.forward

    def wrong(self, x):
        return original(self, x) * 0.5

    monkeypatch.setattr(numpy_nn.Sequential, "forward", wrong)
    _, tables = propagate(small(), "Tanh", "xavier", 3, first=True)
    assert failures(tables) == ["whole/forward/9/output"]


@pytest.mark.parametrize(("activation", "low"), [("Sigmoid", 0.0), ("Tanh", -1.0), ("ReLU", 0.0)])
def test_histograms_hold_every_value(propagated, activation, low):
    rows = propagated[activation, 1.0][1]["histogram"]
    for layer in range(1, 6):
        for backend in ("numpy", "torch"):
            own = [row for row in rows if (row.backend, row.layer) == (backend, layer)]
            assert len(own) == 30
            assert own[0].low == low
            assert sum(row.values for row in own) == 60 * 30
    if activation != "ReLU":
        assert {row.high for row in rows if row.high >= 1} == {1.0}
    else:
        assert len({row.high for row in rows}) == 30  # one range for all layers


def test_a_histogram_of_known_values():
    output = np.array([[0.0, 0.01, 0.5], [0.99, 1.0, 0.5]], np.float32)
    rows = histogram_rows("s", 0, "Sigmoid", {"numpy": [output], "torch": [output]})
    held = [row.values for row in rows if row.backend == "numpy"]
    assert (held[0], held[15], held[29], sum(held)) == (2, 2, 2, 6)


def test_activations_that_are_all_0():
    """Nothing is divided by the largest of them."""
    outputs = {"numpy": [np.zeros((4, 3), np.float32)], "torch": [np.zeros((4, 3), np.float32)]}
    assert histogram_rows("r", 0, "ReLU", outputs)[0].values == 12
    row, _ = layer_rows("r", 0, "ReLU", outputs)
    assert (row.mean, row.std, row.outer) == (0, 0, 1)


def test_labels():
    assert network_label("Tanh", 0.01) == network_label("Tanh", "0.01") == "Tanh, std 0.01"
    assert network_label("Tanh", "xavier") == "Tanh, Xavier"
    assert network_label("ReLU", 1e-5) == "ReLU, std 1e-05"
