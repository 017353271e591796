"""What must hold whatever the reference says, and agreement of a homework with itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compare.check.contract import Assignment
from compare.check.invariants import violated_invariants
from compare.check.result import Observed
from compare.mistakes.case import Case
from compare.parity.tolerances import INVARIANT
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
    answer = Observed({key: np.asarray(value) for key, value in values.items()})
    return " ".join(violated_invariants([case], [answer], Assignment("net", small)))


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
    found = violated_invariants([case], [Observed(answer)], Assignment("net", small))
    assert found == ()


def test_probabilities_for_logits(case):
    assert said(case, logits=probabilities(case.expected["logits"])) == (
        "forward returns numbers that sum to 1 in each row: these are probabilities, and logits "
        "are expected, before the softmax."
    )


def test_a_softmax_over_the_whole_batch(case):
    z = case.expected["logits"]
    p = np.exp(z) / np.exp(z).sum()
    loss = -np.log(p[np.arange(6), case.targets]).mean()
    assert said(case, logits=z, loss=loss) == (
        "The loss of 6 rows is 3.499, more than these logits allow: each row costs at most "
        "ln 5 and the distance of its logit from the largest of its row, on average 2.293. "
        "Are the rows normalised one by one?"
    )


@pytest.mark.parametrize(
    ("loss", "words"), [(-0.5, "never negative"), (np.nan, "finite"), (np.inf, "finite")]
)
def test_impossible_losses(case, loss, words):
    assert words in said(case, loss=loss)


def test_a_squared_error_may_be_what_it_likes(case):
    found = violated_invariants(
        [case], [Observed({"loss": np.array(-0.5)})], Assignment("net", small, "mse")
    )
    assert found == ()


def test_gradients_whose_rows_do_not_sum_to_zero(case):
    answer = Observed({"gradient/2.bias": np.array([0.1, 0.2, 0.0, 0.0, 0.0])})
    found = violated_invariants([case], [answer], Assignment("net", small))
    assert found[0] == (
        "The gradient of 2.bias sums to 0.3 over the classes: it must be 0, as "
        "probabilities and target both sum to 1 in each row."
    )
    answer = Observed({"gradient/logits": np.ones((6, 5))})
    assert violated_invariants([case], [answer], Assignment("net", small))[0] == (
        "A row of the gradient by the logits sums to 5: it must be 0, as probabilities and "
        "target both sum to 1 in each row."
    )


def test_a_bias_before_a_normalisation(case):
    values = {
        "logits": case.expected["logits"],
        "gradient/0.weight": np.ones((3, 4)),
        "gradient/0.bias": np.array([0.0, 0.2, 0.0]),
    }
    found = violated_invariants([case], [Observed(values)], Assignment("net", normalised))
    assert found[0] == (
        "The gradient of 0.bias is up to 0.2: it must be 0, as the batch normalisation "
        "after it takes any constant away again."
    )
    values["gradient/0.bias"] = np.array([1e-17, 0.0, 0.0])
    assert violated_invariants([case], [Observed(values)], Assignment("net", normalised)) == ()


# ---------------------------------------------------------------------- what is no offence


def right_values(case: Case) -> dict[str, np.ndarray]:
    z = case.expected["logits"]
    return {"logits": z, "loss": np.array(_cross_entropy(z, case.targets))}


def _cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    return float(-np.log(probabilities(z)[np.arange(len(z)), targets]).mean())


@pytest.mark.parametrize("loss", [0.0, 1e-3, 0.5])
def test_small_losses_are_possible(case, loss):
    assert said(case, loss=loss) == ""


def test_positive_logits_are_no_probabilities(case):
    z = np.abs(case.expected["logits"]) + 1
    assert said(case, logits=z, loss=_cross_entropy(z, case.targets)) == ""


def test_logits_that_sum_to_one_are_no_probabilities_if_some_are_negative(case):
    z = case.expected["logits"].copy()
    z[:, 0] += 1 - z.sum(axis=1)
    assert (z < 0).any()
    assert said(case, logits=z, loss=_cross_entropy(z, case.targets)) == ""


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_with_zeros_in_them(case, classes):
    p = np.zeros((6, classes))
    p[:, 0] = 1
    assert said(case, logits=p) == (
        "forward returns numbers that sum to 1 in each row: these are probabilities, and "
        "logits are expected, before the softmax."
    )
    p[0, 0] = 1.001
    assert "probabilities, and logits" not in said(case, logits=p)


@pytest.mark.parametrize(("off", "said_so"), [(1e-7, True), (5e-6, False)])
def test_probabilities_sum_to_one_within_float32(case, off, said_so):
    p = probabilities(case.expected["logits"])
    p[2, 3] += off
    assert ("these are probabilities" in said(case, logits=p)) is said_so


def test_one_output_has_no_classes(case):
    assert said(case, logits=np.ones((6, 1)), loss=3.0) == ""


def test_the_bound_is_that_of_equal_logits(case):
    """All logits of a row equal cost exactly ln C; a hair more is impossible."""
    z = np.repeat(np.arange(6.0)[:, None], 5, axis=1)
    most = float(np.log(5))
    assert said(case, logits=z, loss=most) == ""
    assert said(case, logits=z, loss=most + 1e-6) == ""
    assert said(case, logits=z, loss=most + 1e-3) == (
        "The loss of 6 rows is 1.61, more than these logits allow: each row costs at most "
        "ln 5 and the distance of its logit from the largest of its row, on average 1.609. "
        "Are the rows normalised one by one?"
    )


def test_the_bound_is_taken_row_by_row(case):
    z = case.expected["logits"] + 10 * np.arange(6.0)[:, None]
    rows = np.arange(6)
    most = float(np.mean(z.max(axis=1) - z[rows, case.targets]) + np.log(5))
    assert said(case, logits=z, loss=0.999 * most) == ""
    assert said(case, logits=z, loss=1.001 * most) == (
        "The loss of 6 rows is 2.295, more than these logits allow: each row costs at most "
        "ln 5 and the distance of its logit from the largest of its row, on average 2.293. "
        "Are the rows normalised one by one?"
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_sums_are_relative(case, scale):
    good = scale * np.array([0.5, -0.2, -0.3, 0.0, 0.0])
    assert said(case, **{"gradient/2.bias": good}) == ""
    assert "sums to" in said(case, **{"gradient/2.bias": good + scale * 1e-3})
    rows = np.tile(good, (6, 1))
    assert said(case, **{"gradient/logits": rows}) == ""
    assert "A row" in said(case, **{"gradient/logits": rows + scale * 1e-3})
    assert said(case, **{"gradient/2.bias": np.zeros(5)}) == ""
    assert said(case, **{"gradient/logits": np.zeros((6, 5))}) == ""


def test_rounding_of_large_gradients_is_allowed(case):
    """In units of what was summed: a sum of thousands is not 0 to the last digit."""
    large = 1000 * np.array([0.5, -0.2, -0.3, 0.0, 0.0])
    large[0] += 0.5 * INVARIANT * np.abs(large).sum()
    assert said(case, **{"gradient/2.bias": large}) == ""
    rows = np.tile(large, (6, 1)) - 0.3 * INVARIANT * np.abs(large).sum() / 5
    rows[:, 0] -= rows.sum(axis=1) - 0.5 * INVARIANT * np.abs(large).max()
    assert said(case, **{"gradient/logits": rows}) == ""


def test_each_offence_is_named_once_and_all_are_named(case):
    answer = Observed({"loss": np.array(-1.0), "gradient/2.bias": np.ones(5)})
    found = violated_invariants([case, case], [answer, answer], Assignment("net", small))
    assert len(found) == 2
    # A homework that ended early has fewer answers than there are cases.
    assert len(violated_invariants([case, case], [answer], Assignment("net", small))) == 2


def two_norms(nn):
    return nn.Sequential(
        nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3),
        nn.BatchNorm1d(3), nn.Linear(3, 5),
    )  # fmt: skip


def test_only_biases_right_before_a_normalisation_are_looked_at(case):
    def found(**gradients: np.ndarray) -> tuple[str, ...]:
        values = {"logits": case.expected["logits"]}
        for name in ("0", "2", "4"):
            values[f"gradient/{name}.weight"] = np.full((3, 3), 2.0)
        values |= {f"gradient/{k[1:]}.bias": v for k, v in gradients.items()}
        return violated_invariants([case], [Observed(values)], Assignment("net", two_norms))

    assert found(_0=np.ones(3)) == ()
    assert found(_2=np.array([0.0, 1e-3, 0.0]))[0] == (
        "The gradient of 2.bias is up to 0.001: it must be 0, as the batch normalisation "
        "after it takes any constant away again."
    )
    assert found(_4=np.ones(3))[0] == (
        "The gradient of 4.bias is up to 1: it must be 0, as the batch normalisation after "
        "it takes any constant away again."
    )
    assert len(found(_2=np.ones(3), _4=np.ones(3))) == 2
    assert found(_2=np.full(3, 1e-9)) == ()


@pytest.mark.parametrize(
    ("weight", "bias", "said_so"), [(100.0, 5e-5, False), (100.0, 2e-4, True), (0.01, 1e-7, True)]
)
def test_a_bias_before_a_normalisation_is_small_beside_the_weights(case, weight, bias, said_so):
    values = {
        "logits": case.expected["logits"],
        "gradient/0.weight": np.full((3, 4), weight),
        "gradient/0.bias": np.array([0.0, bias, 0.0]),
    }
    found = violated_invariants([case], [Observed(values)], Assignment("net", normalised))
    assert bool(found) is said_so


def test_layers_asked_alone_have_gradients_of_their_own(case):
    """They are those of random output gradients; the loss layer was given the right logits."""
    z = case.expected["logits"]
    alone = replace(case, given={"input/0": z})
    values = {
        "logits": 0.01 * z,  # too small for such a loss
        "loss": np.array(_cross_entropy(10 * z, case.targets)),
        "gradient/0.weight": np.ones((3, 4)),
        "gradient/0.bias": np.ones(3),
        "gradient/2.bias": np.ones(5),
    }
    alone = replace(alone, expected={"logits": 10 * z})
    assert violated_invariants([alone], [Observed(values)], Assignment("net", normalised)) == ()
    rows = {**values, "gradient/logits": np.ones((6, 5))}
    assert violated_invariants([alone], [Observed(rows)], Assignment("net", normalised))[0] == (
        "A row of the gradient by the logits sums to 5: it must be 0, as probabilities and "
        "target both sum to 1 in each row."
    )
    large = {**values, "loss": values["loss"] + 100}
    assert violated_invariants([alone], [Observed(large)], Assignment("net", normalised))[0] == (
        "The loss of 6 rows is 106.9, more than these logits allow: each row costs at most ln "
        "5 and the distance of its logit from the largest of its row, on average 8.445. Are "
        "the rows normalised one by one?"
    )


@pytest.mark.parametrize("missing", ["logits", "gradient/0.weight", "gradient/0.bias"])
def test_without_its_neighbours_a_bias_says_nothing(case, missing):
    values = {
        "logits": case.expected["logits"],
        "gradient/0.weight": np.ones((3, 4)),
        "gradient/0.bias": np.ones(3),
    }
    del values[missing]
    assert violated_invariants([case], [Observed(values)], Assignment("net", normalised)) == ()


# ---------------------------------------------------------------------- agreement with itself


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


def test_a_right_homework_agrees_with_itself(check) -> None:
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


def test_rounding_of_confident_rows_is_no_inconsistency(case) -> None:
    """Probabilities near 0 and 1 leave gradients of 1e-17, whose sum is rounding."""
    key, tiny = "gradient/2.bias", np.full(5, 1.1e-17)
    assert said(case, **{key: tiny}) == said(case, **{key: tiny - tiny.mean()})
