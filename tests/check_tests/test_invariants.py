"""What must hold whatever the reference says."""

from __future__ import annotations

import numpy as np
import pytest

from compare.check.evidence import Answer, Assignment, Case
from compare.check.invariants import invariants
from experiments.architectures import softmax_mlp

SIZES = (4, 3, 5)


def small(nn):
    return softmax_mlp(nn, sizes=SIZES)


def normalised(nn):
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 5))


@pytest.fixture
def case() -> Case:
    random = np.random.default_rng(0)
    logits = random.standard_normal((6, 5))
    parameters = {"0.weight": np.ones((3, 4)), "0.bias": np.ones(3), "2.bias": np.ones(5)}
    return Case(parameters, np.ones((6, 4)), np.array([0, 1, 2, 3, 4, 0]), {"logits": logits}, {})


def said(case: Case, **values) -> str:
    answer = Answer({key: np.asarray(value) for key, value in values.items()})
    return " ".join(invariants([case], [answer], Assignment("net", small)))


def probabilities(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_right_answers_break_nothing(case):
    z = case.expected["logits"]
    p = probabilities(z)
    rows = np.arange(6)
    gradient = p.copy()
    gradient[rows, case.targets] -= 1
    answer = {
        "logits": z,
        "loss": np.array(-np.log(p[rows, case.targets]).mean()),
        "gradient/logits": gradient / 6,
        "gradient/2.bias": gradient.mean(axis=0),
    }
    found = invariants([case], [Answer(answer)], Assignment("net", small))
    assert found == ()


def test_probabilities_for_logits(case):
    assert "these are probabilities" in said(case, logits=probabilities(case.expected["logits"]))


def test_a_softmax_over_the_whole_batch(case):
    z = case.expected["logits"]
    p = np.exp(z) / np.exp(z).sum()
    loss = -np.log(p[np.arange(6), case.targets]).mean()
    assert "more than these logits allow" in said(case, logits=z, loss=loss)


@pytest.mark.parametrize(
    ("loss", "words"), [(-0.5, "never negative"), (np.nan, "finite"), (np.inf, "finite")]
)
def test_impossible_losses(case, loss, words):
    assert words in said(case, loss=loss)


def test_a_squared_error_may_be_what_it_likes(case):
    found = invariants([case], [Answer({"loss": np.array(-0.5)})], Assignment("net", small, "mse"))
    assert found == ()


def test_gradients_whose_rows_do_not_sum_to_zero(case):
    answer = Answer({"gradient/2.bias": np.array([0.1, 0.2, 0.0, 0.0, 0.0])})
    found = invariants([case], [answer], Assignment("net", small))
    assert "gradient of 2.bias sums to 0.3" in found[0]
    answer = Answer({"gradient/logits": np.ones((6, 5))})
    assert "sums to 5" in invariants([case], [answer], Assignment("net", small))[0]


def test_a_bias_before_a_normalisation(case):
    values = {
        "logits": case.expected["logits"],
        "gradient/0.weight": np.ones((3, 4)),
        "gradient/0.bias": np.array([0.0, 0.2, 0.0]),
    }
    found = invariants([case], [Answer(values)], Assignment("net", normalised))
    assert "0.bias is up to 0.2: it must be 0" in found[0]
    values["gradient/0.bias"] = np.array([1e-17, 0.0, 0.0])
    assert invariants([case], [Answer(values)], Assignment("net", normalised)) == ()
