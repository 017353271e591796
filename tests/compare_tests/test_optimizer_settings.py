"""The settings of every optimizer in an experiment: PyTorch's names, defaults and limits."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

import numpy_nn
from compare.spec.experiment import Experiment
from compare.spec.model import ModelSpec

NAMES = sorted(
    name
    for name in numpy_nn.optim.__all__
    if isinstance(getattr(numpy_nn.optim, name), type) and name != "Optimizer"
)
# PyTorch's settings of how it computes.
HOW = {"foreach", "fused", "capturable", "differentiable"}


def form(optimizers: dict, **training) -> Experiment:
    return Experiment.model_validate(
        {
            "title": "a",
            "summary": "b",
            "task": "c",
            "data": {"name": "mnist"},
            "model": {"architecture": "softmax_mlp"},
            "training": {"epochs": 1, "batch_size": 10, **training},
            "optimizers": optimizers,
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_defaults_are_torchs(name: str) -> None:
    ours = form({name: {"lr": 0.125}}).optimizers[name].model_dump(exclude={"algorithm"})
    theirs = getattr(torch.optim, name)([torch.zeros(1)], lr=0.125).defaults
    # AdamW is Adam with its weight decay decoupled for good.
    left_out = HOW | ({"decoupled_weight_decay"} if name in ("Adam", "AdamW") else set())
    assert ours == {key: value for key, value in theirs.items() if key not in left_out}


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_take_them(name: str) -> None:
    settings = form({name: {"lr": 0.125}}).optimizers[name].model_dump(exclude={"algorithm"})
    spec = ModelSpec(lambda nn: nn.Linear(2, 2), algorithm=name, settings=settings)
    from torch import nn

    for namespace, linear in ((numpy_nn, numpy_nn.Linear(2, 2)), (torch, nn.Linear(2, 2))):
        assert type(spec.optimizer(namespace, linear)).__name__ == name


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        *((name, {}, "lr") for name in NAMES),
        *((name, {"lr": 0.0}, "greater than 0") for name in NAMES),
        *((name, {"lr": 0.1, "foreach": None}, "foreach") for name in NAMES),
        ("AdamW", {"lr": 0.1, "betas": [0.9]}, "betas"),
        ("AdamW", {"lr": 0.1, "decoupled_weight_decay": False}, "decoupled_weight_decay"),
        ("Adamax", {"lr": 0.1, "betas": [0.9, 1.0]}, "less than 1"),
        ("Adagrad", {"lr": 0.1, "initial_accumulator_value": -1.0}, "greater than or equal"),
        ("RMSprop", {"lr": 0.1, "centered": 1}, "centered"),
        ("RMSprop", {"lr": 0.1, "alpha": float("nan")}, "alpha"),
        ("Adadelta", {"lr": 0.1, "rho": 1.1}, "less than or equal to 1"),
        ("NAdam", {"lr": 0.1, "momentum_decay": -1.0}, "momentum_decay"),
        ("Rprop", {"lr": 0.1, "etas": [1.2, 0.5]}, "etas should be one number below 1 and"),
        ("Rprop", {"lr": 0.1, "step_sizes": [0.1]}, "step_sizes"),
    ],
)
def test_refusals(name: str, settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        form({name: settings})


def test_lists_are_pairs() -> None:
    optimizers = {
        "Rprop": {"lr": 0.1, "etas": [0.4, 1.3], "step_sizes": [0.0, 2.0]},
        "RAdam": {"lr": 0.1, "betas": [0.5, 0.6]},
    }
    made = form(optimizers).optimizers
    assert (made["Rprop"].etas, made["Rprop"].step_sizes) == ((0.4, 1.3), (0.0, 2.0))
    assert made["RAdam"].betas == (0.5, 0.6)
    again = Experiment.model_validate_json(form(optimizers).model_dump_json())
    assert again == form(optimizers)


def test_nadam_in_float64_is_refused() -> None:
    with pytest.raises(ValidationError, match=r'rounds its mu_product.*"float32"'):
        form({"NAdam": {"lr": 0.1}}, dtype="float64")
    form({"NAdam": {"lr": 0.1}, "Adam": {"lr": 0.1}}, dtype="float32")
