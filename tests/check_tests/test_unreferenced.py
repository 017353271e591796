"""What is seen without a reference, and only where something differs."""

from __future__ import annotations

import pytest

FORWARD = 'return hidden(params, x) @ params["W2"] + params["b2"]'


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([(FORWARD, f"z = {FORWARD[7:]}\n    z[0, 2] = np.nan\n    return z")],
         "The logits hold 1 of 30 values that are infinite or no number, the first at [0, 2]."),
        ([("dz / len(y)", "dz")],
         "The gradients are not the derivative of this homework's own loss"),
        ([("-np.log(", "-np.log(0.1 + ")], "The gradients are not the derivative"),
        ([("]).mean()", "]).mean() * 2"), ("dz / len(y)", "2 * dz / len(y)")],
         "The gradients are the derivative of this homework's own loss"),
        ([(FORWARD, f"{FORWARD} + x.mean()")],
         "The logits of a row depend on the rows beside it in the batch."),
        ([("e.sum(axis=1, keepdims=True)", "e.sum()")], "The loss of a batch of 6 rows is"),
    ],
    ids=["nan", "gradient", "loss", "both", "rows of the logits", "rows of the loss"],
)  # fmt: skip
def test_in_plain_words(check, changes, sentence) -> None:
    outcome = check(*changes)
    assert outcome.status == 1
    assert any(seen.startswith(sentence) for seen in outcome.result.invariants)


def test_nothing_is_said_of_a_right_homework(check) -> None:
    assert check().result.invariants == ()


def test_a_wrong_update_alone_says_nothing_of_the_gradients(check, adam) -> None:
    outcome = check(adam, ("+ 1e-8", "+ 1e-6"), optimizer="Adam", settings={"lr": 0.01})
    assert outcome.result.first_divergence.quantity == "update"
    assert outcome.result.invariants == ()


def test_a_wrong_loss_beside_right_gradients_is_not_wrong_in_both(check) -> None:
    """With log(p + 1e-7), as in a well-known textbook, only confidently wrong rows tell."""
    outcome = check(("-np.log(", "-np.log(1e-7 + "))
    assert outcome.result.first_divergence.quantity == "loss"
    assert not [c for c in outcome.result.checks if c.quantity == "gradient" and not c.passed]
    assert not [seen for seen in outcome.result.invariants if "wrong in both" in seen]
