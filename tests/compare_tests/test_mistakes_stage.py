"""Mistakes planted in copies of the package's own layers are named from one recorded step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted.layers import (
    PLANTED,
    AlwaysFirst,
    Decaying,
    Flipped,
    Forgetful,
    LargerEpsilon,
    NoBias,
    Penalised,
    Steeper,
    Unscaled,
)

import numpy_nn
from compare.backends.numpy_backend import NumpyBackend
from compare.mistakes.mistake import as_instance
from compare.mistakes.search import diagnose_step
from compare.parity.certificate import certify
from compare.parity.comparison import References
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp

SETTINGS = {"SGD": {"lr": 1e-2}, "Adam": {"lr": 1e-3, "weight_decay": 0.01}}


def image_net(nn):
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
        nn.Linear(18, 5),
    )


def relu_net(nn):
    return nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 5))


def dropout_net(nn):
    return nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 5))


def small_bn_mlp(nn):
    return bn_mlp(nn, sizes=(12, 6, 6, 5))


def nested(nn):
    return nn.Sequential(
        nn.Sequential(nn.Linear(12, 6), nn.LeakyReLU(0.1)), nn.Sequential(nn.Linear(6, 5))
    )


def one_layer(nn):
    return nn.Sequential(nn.Linear(12, 5))


NETWORKS = {
    "image": image_net, "dropout": dropout_net, "nested": nested, "relu": relu_net,
    "one": one_layer,
}  # fmt: skip


def step_with(planted: type | None, place: str, steps: int = 1, **settings: float):
    """The last of some recorded steps with a mistake planted, and what failed."""
    net, _, place = place.rpartition("/")
    place = "optimizer" if place == "update" else place
    algorithm = "Adam" if place == "optimizer" else "SGD"
    model_spec = ModelSpec(
        NETWORKS.get(net, small_bn_mlp),
        loss="MSELoss" if net == "squared" else "CrossEntropyLoss",
        algorithm=algorithm,
        settings=SETTINGS[algorithm] | settings,
    )
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, "float32", 0)
    for one in (backend, references.numpy64):
        if planted is not None:
            right = {"loss": one.loss, "optimizer": one.optimizer}.get(place) or one.module(place)
            wrong: Any = as_instance(planted, right)
            if issubclass(planted, Penalised):
                wrong.of_model = list(one.model.parameters())
            one.replace(place, wrong)
    random = np.random.default_rng(0)
    for number in range(steps):
        if net == "image":
            # Flat regions, as in drawings: ties for the pooling.
            inputs = np.maximum(random.standard_normal((16, 1, 9, 9)) - 1, 0).astype(np.float32)
        else:
            inputs = 3 * random.standard_normal((16, 12)).astype(np.float32)
        targets: np.ndarray = random.integers(0, 5, 16)
        if net == "squared":
            targets = random.standard_normal((16, 5)).astype(np.float32)
        recorded = backend.record_step(backend.batch((inputs, targets), np.arange(16)))
        comparisons, _ = certify(recorded, references, seed=number)
    failures = [comparison for comparison in comparisons if not comparison.passed]
    return recorded, references, failures


class OddStep(numpy_nn.optim.Adam):
    """Steps that are 1% too long."""

    def step(self):
        before = [np.array(p.data) for p in self.param_groups[0]["params"]]
        super().step()
        for old, p in zip(before, self.param_groups[0]["params"], strict=True):
            p.data[...] += (p.data - old) * 0.01


# A stage knows nothing of the steps before it; an optimizer does, through its state, and of a wrong
# count of steps, or of moments that are forgotten, the first step knows nothing.
RUNS = [(planted, 1) for planted in PLANTED if planted not in (AlwaysFirst, Forgetful)]
RUNS += [(planted, 3) for planted in PLANTED if issubclass(planted, numpy_nn.optim.Adam)]


@pytest.mark.parametrize(
    ("planted", "steps"), RUNS, ids=[f"{planted.__name__}-{steps}" for planted, steps in RUNS]
)
def test_the_mistake_is_placed_and_named(planted, steps):
    place, site, code = PLANTED[planted]
    recorded, references, failures = step_with(planted, place, steps)
    assert failures[0].site == site
    diagnosis = diagnose_step(recorded, references, failures[0])
    assert diagnosis is not None
    assert diagnosis.code == code
    assert len(diagnosis.explanation) > 40


@pytest.mark.parametrize(
    ("planted", "place", "site", "code"),
    [
        (NoBias, "nested/1.0", "gradient/1.0.bias", "missing-bias-gradient"),
        (Flipped, "nested/0.0", "gradient/0.0.weight", "sign-flip"),
        (Steeper, "nested/0.1", "forward/0.1/output", "wrong-slope"),
    ],
)
def test_a_mistake_in_a_network_within_a_network(planted, place, site, code):
    recorded, references, failures = step_with(planted, place)
    assert failures[0].site == site
    assert diagnose_step(recorded, references, failures[0]).code == code


def test_a_failure_of_the_whole_step_is_named_like_that_of_the_stage():
    recorded, references, failures = step_with(NoBias, "6")
    whole = next(f for f in failures if f.site == "whole/gradient/6.bias")
    assert diagnose_step(recorded, references, whole).code == "missing-bias-gradient"


def test_a_site_that_belongs_to_no_module_gets_no_name():
    recorded, references, failures = step_with(NoBias, "3")
    assert diagnose_step(recorded, references, failures[0]._replace(site="whole/forward")) is None


def test_a_step_that_is_tiny_beside_the_parameters_is_judged_by_its_own_size():
    recorded, references, failures = step_with(LargerEpsilon, "update", lr=1e-7)
    assert failures[0].site == "update/0.weight"
    assert diagnose_step(recorded, references, failures[0]).code == "adam-eps-placement"
    recorded, references, failures = step_with(OddStep, "update", lr=1e-7)
    assert diagnose_step(recorded, references, failures[0]) is None


def test_of_two_mistakes_the_one_that_explains_more_is_named():
    """Weight and bias with the wrong sign: a wrong weight alone would be half of it."""

    class BothFlipped(numpy_nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad[...] *= -1
            self.bias.grad[...] *= -1
            return dx

    recorded, references, failures = step_with(BothFlipped, "3")
    diagnosis = diagnose_step(recorded, references, failures[0])
    assert "weight and bias" in diagnosis.explanation


def test_of_two_that_explain_as_much_the_first_of_the_list_is_named():
    """Evaluation is no part of a step: nothing can be said of it."""
    recorded, references, failures = step_with(Unscaled, "dropout/2")
    diagnosis = diagnose_step(recorded, references, failures[0])
    assert "in both directions" in diagnosis.explanation


def test_a_mistake_that_would_change_what_agrees_is_not_named():
    """The bias gradient N times too large, the weight's right: no sum instead of a mean."""

    class LargeBias(numpy_nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.bias.grad[...] *= len(dy)
            return dx

    recorded, references, failures = step_with(LargeBias, "3")
    assert failures[0].site == "gradient/3.bias"
    assert diagnose_step(recorded, references, failures[0]) is None


def test_the_references_are_left_as_they_were():
    recorded, references, failures = step_with(NoBias, "3")
    before = type(references.numpy64.module("3"))
    diagnose_step(recorded, references, failures[0])
    assert type(references.numpy64.module("3")) is before


def test_an_unknown_mistake_gets_no_name():
    class Odd(numpy_nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad[...] *= 1.37
            return dx

    recorded, references, failures = step_with(Odd, "0")
    assert failures[0].site == "gradient/0.weight"
    assert diagnose_step(recorded, references, failures[0]) is None


def test_lost_precision_alone_gets_no_name():
    """The float32 path is bad, the code in float64 is right: no formula is broken."""
    recorded, references, _ = step_with(None, "0")
    found = certify(recorded, references, seed=0)[0][0]
    assert diagnose_step(recorded, references, found._replace(numpy_error=1.0)) is None


class Shifted(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        return x.dtype.type(super().forward(x, t) + 0.3)


class AddsOnes(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.weight.grad[...] += 0.01
        return dx


@pytest.mark.parametrize(
    ("planted", "place"), [(Shifted, "loss"), (AddsOnes, "0")], ids=["constant", "ones"]
)
def test_what_is_no_multiple_of_the_weights_is_no_penalty(planted, place):
    recorded, references, failures = step_with(planted, place)
    assert failures
    assert diagnose_step(recorded, references, failures[0]) is None


@pytest.mark.parametrize(
    ("factor", "words"),
    [(0.0, "no gradient has"), (0.005, "each gradient 0.005 · W"), (0.01, None)],
)
def test_a_penalty_in_both_directions_is_a_mistake_only_where_they_differ(factor, words):
    """The derivative of ½λΣW² is λW; in both to the same measure it is another loss."""

    class Decays(numpy_nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad[...] += factor * self.weight.data
            return dx

    recorded, references, failures = step_with(Penalised, "loss")
    for name, module in list(references.numpy64.model.named_modules()):
        if isinstance(module, numpy_nn.Linear):
            references.numpy64.replace(name, as_instance(Decays, module))
    diagnosis = diagnose_step(recorded, references, failures[0])
    assert (diagnosis is None) == (words is None)
    if diagnosis is not None:
        assert diagnosis.code == "l2-missing-in-gradient"
        assert "½ · 0.01 · ΣW²" in diagnosis.explanation
        assert words in diagnosis.explanation


class PenalisesAll(Penalised):
    def forward(self, x, t):
        penalty = 0.005 * sum(np.sum(p.data**2) for p in self.of_model)
        return x.dtype.type(numpy_nn.CrossEntropyLoss.forward(self, x, t) + penalty)


@pytest.mark.parametrize("planted", [Penalised, PenalisesAll])
@pytest.mark.parametrize("place", ["nested/loss", "one/loss"])
def test_a_penalty_in_the_loss_alone_is_measured(planted, place):
    recorded, references, failures = step_with(planted, place)
    diagnosis = diagnose_step(recorded, references, failures[0])
    assert diagnosis is not None
    assert diagnosis.explanation == (
        "the loss has a penalty of ½ · 0.01 · ΣW² that no gradient has: the derivative of ½λΣW² "
        "is λW"
    )


def test_a_penalty_beside_a_gradient_that_is_wrong_otherwise_has_no_name():
    recorded, references, failures = step_with(Penalised, "one/loss")
    right = references.numpy64.module("0")
    references.numpy64.replace("0", as_instance(AddsOnes, right))
    assert diagnose_step(recorded, references, failures[0]) is None


def test_a_penalty_is_told_with_its_place_and_its_size():
    recorded, references, failures = step_with(Decaying, "3")
    explanation = diagnose_step(recorded, references, failures[0]).explanation
    assert "the gradient of 3.weight has 0.01 · W" in explanation


def test_the_weights_are_left_as_they_were():
    recorded, references, failures = step_with(Penalised, "loss")
    diagnose_step(recorded, references, failures[0])
    before = recorded.before.model
    now = references.numpy64.state().model
    assert all(np.array_equal(now[name], before[name].astype(now[name].dtype)) for name in before)
