"""The targets of the batches: what they have to hold so that right code can count the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.cases import draw_targets, make_cases
from compare.check.contract import Assignment
from compare.check.reference import Reference


def net(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7))


COUNTED = (
    "dz[np.arange(len(y)), y] -= 1",
    "dz = dz - np.eye(y.max() + 1)[y]",
)


@pytest.mark.parametrize("layers", [False, True])
def test_the_largest_class_is_in_every_batch(layers):
    cases = make_cases(Assignment("net", net), functions=not layers, layers=layers)
    assert cases
    assert all(case.targets.max() == 6 for case in cases)


def test_classes_may_be_counted_by_the_largest_label(check):
    found = check(COUNTED)
    assert found.status == 0


@pytest.mark.parametrize("rows", range(1, 12))
def test_every_third_row_stays_wrong_with_confidence(rows):
    reference = Reference(Assignment("net", net))
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, 12))
    targets = draw_targets(reference, "cross_entropy", x, random)
    logits = reference.exact.logits(x)
    assert targets.max() == 6
    assert targets.dtype.kind == "i"
    if rows > 1:
        np.testing.assert_array_equal(targets[::3], logits.argmin(axis=1)[::3])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("sizes", [(12, 9, 7), (5, 4, 2), (30, 8, 10)])
def test_one_probability_is_smaller_than_what_is_held_against_it(sizes, normalised):
    first, hidden, classes = sizes

    def own(nn):
        norm = (nn.BatchNorm1d(hidden),) * normalised
        return nn.Sequential(nn.Linear(first, hidden), *norm, nn.Tanh(), nn.Linear(hidden, classes))

    cases = [case for case in make_cases(Assignment("net", own)) if not case.large_logits]
    log_p = [
        torch.log_softmax(torch.tensor(case.expected["logits"]), 1)[range(len(y)), y].min()
        for case in cases
        for y in [case.targets]
    ]
    assert -42.5 < min(log_p) <= -40
    assert log_p[1] == min(log_p)
    assert all(case.targets.max() == classes - 1 for case in cases)
    small = cases[1]
    if small.evaluation is not None and np.ptp(small.expected["logits"], axis=1).argmax() != 0:
        assert small.targets[0] == small.evaluation[0].argmin()  # wrong with confidence as before


STABLE = (
    "-np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()",
    "-log_softmax(forward(params, x))[np.arange(len(y)), y].mean()",
)
LOG_SOFTMAX = (
    "def loss",
    "def log_softmax(z):\n    z = z - z.max(axis=1, keepdims=True)\n"
    "    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))\n\n\ndef loss",
)


def test_both_ways_to_take_the_logarithm_are_right(check):
    assert check().status == 0
    assert check(STABLE, LOG_SOFTMAX).status == 0


@pytest.mark.parametrize(
    "held",
    [
        "np.clip({}, 1e-15, 1 - 1e-15)", "np.clip({}, 1e-15, None)", "np.maximum({}, 1e-12)",
        "{} + 1e-15",
    ],
)  # fmt: skip
def test_what_is_held_against_a_probability_is_named(check, held):
    p = "softmax(forward(params, x))[np.arange(len(y)), y]"
    found = check((p, held.format(p)))
    assert [c.key for c in found.result.checks if not c.passed] == ["loss"]
    assert found.result.first_divergence.diagnosis.code == "log-offset-mismatch"
