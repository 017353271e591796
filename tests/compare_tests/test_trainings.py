"""Trainings one after another: what is left of one when the next begins."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from compare.backends.torch_backend import TorchBackend
from compare.spec.model import model_spec
from compare.training import serial as trainings
from compare.training.data import Rows, Splits
from compare.training.serial import all_wanted, one_after_another


class Nobody:
    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.mark.parametrize("large", [True, False])
def test_a_large_network_is_cleared_away(tiny, monkeypatch, large):
    """Modules with dropout refer to themselves, and the collector may not come by for long."""
    monkeypatch.setattr(trainings, "LARGE", 1000 if large else 10**9)
    form = tiny(
        'model={architecture="pass_fail_mlp",arguments={sizes=[784,8,8,10],dropout=0.5}}',
        "optimizers={SGD={lr=0.1}}", "training.seeds=[0, 1]", "training.epochs=1", "reported=[]",
    )  # fmt: skip
    random = np.random.default_rng(0)
    rows = Rows(random.random((20, 784), np.float32), random.integers(0, 10, 20))
    model_specs = {
        plan.label: model_spec(plan.experiment, plan.optimizer) for plan in form.configurations
    }
    gc.collect()
    gc.disable()
    try:
        before = sides()
        splits = Splits(rows, None, None)
        made = one_after_another(all_wanted(form), model_specs, splits, Nobody(), 1)
        finished = sum(outcome.record.finished for outcome in made)
        assert finished == 2
        assert (sides() > before) is not large
    finally:
        gc.enable()


def sides() -> int:
    return sum(type(found) is TorchBackend for found in gc.get_objects())
