"""Known mistakes that are put into a run's own networks before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from compare.mistakes.search import CATALOGUE
from compare.parity import tolerances
from compare.spec.loading import load_experiment
from compare.spec.model import model_spec
from compare.training import controls
from compare.training.controls import ROWS, controls_of
from compare.training.excerpts import FollowedModel


@pytest.fixture(scope="module")
def models() -> list[FollowedModel]:
    sizes = "model.arguments.sizes=[20, 8, 5]"
    _, experiment = load_experiment("mnist_bn_mlp", [sizes])
    random = np.random.default_rng(0)
    inputs = random.random((ROWS, 20), np.float32)
    targets = random.integers(0, 5, ROWS)
    return [
        FollowedModel(model_spec(c.experiment, c.optimizer, None), inputs, targets)
        for c in experiment.configurations
    ]


def test_every_class_of_the_run_has_its_mistakes_and_nearly_all_are_noticed(models) -> None:
    found = {control.part: control for control in controls_of(models)}
    assert set(found) == {"Linear", "BatchNorm1d", "LeakyReLU", "CrossEntropyLoss", "SGD", "Adam"}
    for part, control in found.items():
        assert part in CATALOGUE
        assert control.tried == control.noticed + len(control.missed)
        assert control.noticed > 0
        assert control.over_bound is None or control.over_bound > 1
    # log(p + 1e-12) is log p but where a network is confidently wrong, which a new one is nowhere.
    assert set(found["CrossEntropyLoss"].missed) == {"log-offset-mismatch"}
    assert all(not control.missed for part, control in found.items() if part != "CrossEntropyLoss")


def test_a_check_that_notices_nothing_is_seen(models, monkeypatch) -> None:
    monkeypatch.setattr(tolerances, "FLOAT64", np.inf)
    for control in controls_of(models[:1]):
        # What is missing or not finite is infinitely far away, whatever the bound.
        assert control.noticed < control.tried / 4
        assert len(control.missed) == control.tried - control.noticed


def test_large_networks_and_those_that_fail_are_left_out(models, monkeypatch) -> None:
    wrong = models[0]._replace(inputs=models[0].inputs[:, :3])
    assert controls_of([wrong]) == []
    monkeypatch.setattr(controls, "MOST_PARAMETERS", 10)
    assert controls_of(models) == []
