"""Mistakes planted in copies of the package's own layers are named from one recorded step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numpy_nn
from compare.blueprint import Blueprint
from compare.certificate import Judges, certify
from compare.mistakes.stage import diagnose_step
from compare.sides.numpy_side import NumpySide
from compare.sides.torch_side import TorchSide
from experiments.architectures import bn_mlp

SETTINGS = {"SGD": {"lr": 1e-2}, "Adam": {"lr": 1e-3, "weight_decay": 0.01}}


class NoBias(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.bias.grad[...] = 0
        return dx


class Transposed(numpy_nn.Linear):
    def backward(self, dy):
        super().backward(dy)
        return dy @ self.weight.data.T


class Flipped(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.weight.grad[...] *= -1
        return dx


class Steeper(numpy_nn.LeakyReLU):
    def forward(self, x):
        self.kept = x
        return np.where(x > 0, x, 0.2 * x).astype(x.dtype)

    def backward(self, dy):
        return np.where(self.kept > 0, dy, 0.2 * dy).astype(dy.dtype)


class Biased(numpy_nn.BatchNorm1d):
    def forward(self, x):
        old = self.running_var.copy()
        y = super().forward(x)
        self.running_var[...] = 0.9 * old + 0.1 * x.var(axis=0)
        return y


class Reversed(numpy_nn.BatchNorm1d):
    def forward(self, x):
        self.momentum = 0.9
        return super().forward(x)


class Outside(numpy_nn.BatchNorm1d):
    def forward(self, x):
        super().forward(x)
        x_hat = (x - x.mean(0)) / (x.std(0) + self.eps)
        return (x_hat * self.weight.data + self.bias.data).astype(x.dtype)


class Constants(numpy_nn.BatchNorm1d):
    def forward(self, x):
        self.scale = 1 / np.sqrt(x.var(0) + self.eps)
        return super().forward(x)

    def backward(self, dy):
        super().backward(dy)
        return (dy * self.weight.data * self.scale).astype(dy.dtype)


class Summed(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        self.count = len(x)
        return super().forward(x, t)

    def backward(self, grad_output=1.0):
        return super().backward(grad_output) * self.count


class AllOver(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        e = np.exp(x - x.max())
        self.p, self.t = e / e.sum(), t
        return -np.mean(np.log(self.p[np.arange(len(x)), t]))

    def backward(self, grad_output=1.0):
        g = self.p.copy()
        g[np.arange(len(g)), self.t] -= 1
        return g / len(g) * np.asarray(grad_output, g.dtype)


class Uncorrected(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                g = p.grad + group["weight_decay"] * p.data
                s["step"] = s.get("step", 0) + 1
                s["exp_avg"] = 0.9 * s.get("exp_avg", 0) + 0.1 * g
                s["exp_avg_sq"] = 0.999 * s.get("exp_avg_sq", 0) + 0.001 * g * g
                p.data[...] -= group["lr"] * s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + 1e-8)


class Decoupled(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            decay = group["weight_decay"]
            for p in group["params"]:
                p.data[...] *= 1 - group["lr"] * decay
            group["weight_decay"] = 0.0
            super().step()
            group["weight_decay"] = decay


class LargerEpsilon(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            group["eps"] = 1e-7
        super().step()


PLANTED: dict[type, tuple[str, str, str]] = {
    NoBias: ("3", "gradient/3.bias", "missing-bias-gradient"),
    Transposed: ("3", "backward/3/grad_input", "transposed"),
    Flipped: ("0", "gradient/0.weight", "sign-flip"),
    Steeper: ("5", "forward/5/output", "wrong-slope"),
    Biased: ("1", "buffer/1.running_var", "biased-variance"),
    Reversed: ("4", "buffer/4.running_mean", "momentum-reversed"),
    Outside: ("1", "forward/1/output", "eps-outside-sqrt"),
    Constants: ("4", "backward/4/grad_input", "batchnorm-missing-terms"),
    Summed: ("loss", "backward/loss/grad_input", "sum-not-mean"),
    AllOver: ("loss", "forward/loss/output", "softmax-without-axis"),
    Uncorrected: ("update", "update/0.weight", "no-bias-correction"),
    Decoupled: ("update", "optimizer/0.weight/exp_avg", "decay-coupling"),
    LargerEpsilon: ("update", "update/0.weight", "adam-eps-placement"),
}


def step_with(planted: type | None, place: str, steps: int = 1):
    algorithm = "Adam" if place == "update" else "SGD"
    plan = Blueprint(
        bn_mlp, {"sizes": (12, 6, 6, 5)}, algorithm=algorithm, settings=SETTINGS[algorithm]
    )
    judges = Judges(
        NumpySide(plan, "float64"), TorchSide(plan, "float32"), TorchSide(plan, "float64")
    )
    side = NumpySide(plan, "float32", 0)
    for one in (side, judges.numpy64):
        if planted is not None:
            target: Any = {"loss": one.loss, "update": one.optimizer}.get(place)
            target = one.module(place) if target is None else target
            target.__class__ = planted
    random = np.random.default_rng(0)
    for number in range(steps):
        inputs = random.standard_normal((16, 12)).astype(np.float32)
        batch = side.batch((inputs, random.integers(0, 5, 16)), np.arange(16))
        recorded = side.record_step(batch)
        comparisons, _ = certify(recorded, judges, seed=number)
    failures = [comparison for comparison in comparisons if not comparison.passed]
    return recorded, judges, failures


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.__name__)
@pytest.mark.parametrize("steps", [1, 3])
def test_the_mistake_is_placed_and_named(planted, steps):
    place, site, code = PLANTED[planted]
    recorded, judges, failures = step_with(planted, place, steps)
    assert failures[0].site == site
    diagnosis = diagnose_step(recorded, judges, failures[0])
    assert diagnosis is not None
    assert diagnosis.code == code


def test_the_judges_are_left_as_they_were():
    recorded, judges, failures = step_with(NoBias, "3")
    before = type(judges.numpy64.module("3"))
    diagnose_step(recorded, judges, failures[0])
    assert type(judges.numpy64.module("3")) is before


def test_an_unknown_mistake_gets_no_name():
    class Odd(numpy_nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad[...] *= 1.37
            return dx

    recorded, judges, failures = step_with(Odd, "0")
    assert failures[0].site == "gradient/0.weight"
    assert diagnose_step(recorded, judges, failures[0]) is None


def test_lost_precision_alone_gets_no_name():
    """The float32 path is bad, the code in float64 is right: no formula is broken."""
    recorded, judges, _ = step_with(None, "0")
    found = certify(recorded, judges, seed=0)[0][0]
    assert diagnose_step(recorded, judges, found._replace(numpy_error=1.0)) is None
