"""Variants of a penalty and of momentum: each is named, and what is right is not."""

from __future__ import annotations

import pytest

UPDATE = """
def update(params, grads, state):
    new = {}
    for k, g in grads.items():
        v = state[k] = 0.9 * state.get(k, 0) + g
        new[k] = params[k] - 0.01 * v
    return new
"""
LOOKING_AHEAD = ("0.01 * v", "0.01 * (g + 0.9 * v)")
RETURNED = '"W1": x.T @ dh, "b1": dh.sum(axis=0)'
OWN_LOSS = (
    "np.arange(len(y)), y]).mean()",
    "np.arange(len(y)), y]).mean() + 0.01 * penalty(params)",
)
LAYER = [
    ("x.T @ dh,", 'x.T @ dh + 0.02 * params["W1"],'),
    ("dh.sum(axis=0)", 'dh.sum(axis=0) + 0.02 * params["b1"]'),
]
PENALTY = (
    "def loss",
    'def penalty(params):\n    return np.sum(params["W1"] ** 2) + np.sum(params["b1"] ** 2)\n\n\n'
    "def loss",
)


def names(outcome) -> dict[str, str | None]:
    return {
        check.key: check.diagnosis and check.diagnosis.code
        for check in outcome.result.checks
        if not check.passed
    }


def explained(outcome) -> str:
    return next(c.diagnosis.explanation for c in outcome.result.checks if c.diagnosis)


# ---------------------------------------------------------------------- momentum


@pytest.fixture
def momentum(check, right):
    def run(*changes: tuple[str, str], nesterov: bool = False):
        settings = {"lr": 0.01, "momentum": 0.9, "nesterov": nesterov}
        return check(*changes, text=right + UPDATE, optimizer="SGD", settings=settings)

    return run


def test_right_momentum(momentum):
    assert momentum().status == 0
    assert momentum(LOOKING_AHEAD, nesterov=True).status == 0


def test_plain_momentum_for_nesterovs(momentum):
    found = momentum(nesterov=True)
    assert set(names(found).values()) == {"nesterov-mismatch"}
    assert explained(found) == (
        "the momentum is plain where Nesterov's, θ ← θ − lr · (g + μ v), is specified; both "
        "have v ← μ v + g"
    )


def test_nesterovs_momentum_for_the_plain_one(momentum):
    found = momentum(LOOKING_AHEAD)
    assert set(names(found).values()) == {"nesterov-mismatch"}
    assert explained(found) == (
        "the momentum is Nesterov's, θ ← θ − lr · (g + μ v) where plain, θ ← θ − lr · v, is "
        "specified; both have v ← μ v + g"
    )


@pytest.mark.parametrize("nesterov", [False, True])
def test_dampened_momentum(momentum, nesterov):
    found = momentum(("state.get(k, 0) + g", "state.get(k, 0) + 0.1 * g"), nesterov=nesterov)
    assert set(names(found).values()) == {"momentum-dampened"}


# ---------------------------------------------------------------------- penalties


def test_a_penalty_of_one_layer_in_its_gradients(check):
    found = check(*LAYER)
    assert names(found) == dict.fromkeys(
        ("gradient/0.weight", "gradient/0.bias"), "l2-missing-in-gradient"
    )
    assert explained(found) == (
        "the gradients of layer 0 have 0.02 · W and 0.02 · b that the loss does not have: "
        "the derivatives of ½λ(ΣW² + Σb²) are λW and λb"
    )


def test_a_penalty_of_one_layer_in_the_loss_too(check):
    found = check(*LAYER, OWN_LOSS, PENALTY)
    assert set(names(found).values()) == {"l2-penalty"}
    assert explained(found) == (
        "the loss has a penalty of ½ · 0.02 · (ΣW² + Σb²) of layer 0 and the gradients of "
        "layer 0 have 0.02 · W and 0.02 · b, which belong together; but nobody asked for a "
        "penalty"
    )


def test_a_penalty_of_one_layer_of_another_measure_in_the_loss(check):
    found = check(*LAYER, OWN_LOSS, (PENALTY[0], PENALTY[1].replace("np.sum", "3 * np.sum")))
    assert set(names(found).values()) == {"l2-missing-in-gradient"}
    assert explained(found) == (
        "the loss has a penalty of ½ · 0.06 · (ΣW² + Σb²) of layer 0 and the gradients of "
        "layer 0 have 0.02 · W and 0.02 · b: the derivatives of ½λ(ΣW² + Σb²) are λW and λb"
    )


def test_a_penalty_of_one_weight(check):
    found = check(LAYER[0])
    assert names(found) == {"gradient/0.weight": "l2-missing-in-gradient"}
    assert explained(found) == (
        "the gradient of 0.weight has 0.02 · W that the loss does not have: the derivative "
        "of ½λΣW² is λW"
    )


def test_different_factors_are_no_penalty(check):
    found = check(LAYER[0], (LAYER[1][0], LAYER[1][1].replace("0.02", "0.03")))
    assert set(names(found).values()) == {None}
