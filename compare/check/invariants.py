"""Invariants: what must hold whatever the reference's values are, checked in plain words.

Some follow from what a softmax, a cross-entropy and a batch normalisation are, and need the
homework's values alone. Others say that the homework agrees with itself, and call it again: a
gradient is the derivative of its own loss, and the values of a row do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.contract import Assignment, ReturnValueError
from compare.check.function_evaluation import FunctionEvaluation, NoResultError, one_row
from compare.check.result import FORWARD, OWN_DERIVATIVE, Observed, Result
from compare.check.sandbox import ProcessEndedError
from compare.mistakes.case import Case
from compare.parity.tolerances import (
    DIFFERENCE,
    DIFFERENCE_STEP,
    INVARIANT,
    LEAST_WEIGHT,
    UNCHANGED,
    UNCHANGED_NEAR_ZERO,
)

# How the sentence about a loss begins that is larger than its logits allow.
LARGE_LOSS = "The loss of"


def violated_invariants(
    cases: Sequence[Case], observed: Sequence[Observed], assignment: Assignment
) -> tuple[str, ...]:
    """A sentence for each invariant that does not hold, from the first case that shows it."""
    found: dict[str, str] = {}
    for case, one in zip(cases, observed, strict=False):
        for invariant, sentence in _violated(case, one.values, assignment):
            found.setdefault(invariant, sentence)
    return tuple(found.values())


def _violated(case: Case, values: Arrays, assignment: Assignment) -> Iterator[tuple[str, str]]:
    logits, loss = values.get("logits"), values.get("loss")
    cross_entropy = assignment.loss == "cross_entropy"
    if loss is not None and not np.isfinite(loss):
        yield "loss", f"The loss is {float(loss)}: it must be a finite number."
    elif loss is not None and cross_entropy and loss < 0:
        yield "loss", f"The loss is {float(loss):.4g}: a cross-entropy is never negative."
    if logits is not None and cross_entropy and logits.ndim == 2 and logits.shape[1] > 1:
        sums = logits.sum(axis=1)
        if (logits >= 0).all() and np.allclose(sums, 1, rtol=0, atol=INVARIANT):
            yield (
                "logits",
                "forward returns numbers that sum to 1 in each row: these are probabilities, and "
                "logits are expected, before the softmax.",
            )
        elif loss is not None and np.isfinite(loss) and case.loss_factor == 1:
            # A loss layer on its own gets the right logits, and forward may be another mode.
            other = case.given or case.evaluation is not None
            logits = case.expected.get("logits", logits) if other else logits
            if not case.weight_decay:
                yield from _loss_above_bound(case, logits, float(loss))
    if cross_entropy:
        yield from _rows_of_the_gradient(values)
    if case.given:
        return  # the output gradients of single layers are random
    if cross_entropy:
        yield from _last_bias(case, values)
    yield from _bias_before_normalisation(values, assignment)


def _loss_above_bound(case: Case, logits: np.ndarray, loss: float) -> Iterator[tuple[str, str]]:
    """−log p of the right class is at most ln C and its distance from the largest logit."""
    rows = np.arange(len(logits))
    most = np.mean(logits.max(axis=1) - logits[rows, case.targets]) + np.log(logits.shape[1])
    if loss > most * (1 + INVARIANT) + INVARIANT:
        yield (
            "bound",
            f"{LARGE_LOSS} {len(logits)} rows is {loss:.4g}, more than these logits allow: each "
            f"row costs at most ln {logits.shape[1]} and the distance of its logit from the "
            f"largest of its row, on average {most:.4g}. Are the rows normalised one by one?",
        )


def _rows_of_the_gradient(values: Arrays) -> Iterator[tuple[str, str]]:
    """The gradient by the logits is p − t, whose rows sum to 0."""
    rows = values.get("gradient/logits")
    if rows is not None and rows.ndim == 2:
        left, size = np.abs(rows.sum(axis=1)).max(), np.abs(rows).max()
        if left > INVARIANT * max(size, 1.0):  # probabilities have rounding, however confident
            yield (
                "rows",
                f"A row of the gradient by the logits sums to {left:.3g}: it must be 0, as "
                "probabilities and target both sum to 1 in each row.",
            )


def _last_bias(case: Case, values: Arrays) -> Iterator[tuple[str, str]]:
    """The gradient of the last bias sums to 0 over the classes."""
    biases = [k for k in case.parameters if k.endswith("bias") and f"gradient/{k}" in values]
    if not biases or "logits" not in case.expected:
        return
    gradient = values[f"gradient/{biases[-1]}"]
    if gradient.shape != case.expected["logits"].shape[1:]:
        return
    right = case.expected.get(f"gradient/{biases[-1]}", gradient)
    left = abs(float(gradient.sum()))
    size = max(float(np.abs(gradient).sum()), float(np.abs(right).sum()))
    if left > INVARIANT * max(size, 1.0):
        yield (
            "last bias",
            f"The gradient of {biases[-1]} sums to {float(gradient.sum()):.3g} over the classes: "
            "it must be 0, as probabilities and target both sum to 1 in each row.",
        )


def _bias_before_normalisation(values: Arrays, assignment: Assignment) -> Iterator[tuple[str, str]]:
    """A bias before a batch normalisation changes nothing, so its gradient is 0."""
    build = assignment.build
    if not isinstance(build, RecordedArchitecture):
        build = RecordedArchitecture(record_architecture(build), assignment.architecture)
    for (name, kind), (_, following) in pairwise(build.leaves()):
        if not (kind == "Linear" and following.startswith("BatchNorm")):
            continue
        bias, weight = values.get(f"gradient/{name}.bias"), values.get(f"gradient/{name}.weight")
        if bias is None or weight is None or "logits" not in values:
            continue
        largest = float(np.abs(bias).max())
        if largest > INVARIANT * max(float(np.abs(weight).max()), LEAST_WEIGHT):
            yield (
                f"bias {name}",
                f"The gradient of {name}.bias is up to {largest:.3g}: it must be 0, as the batch "
                "normalisation after it takes any constant away again.",
            )


def self_inconsistencies(
    evaluation: FunctionEvaluation,
    case: Case,
    observed: Observed,
    result: Result,
    *,
    mean: bool = True,
) -> list[str]:
    """Sentences about values that are no numbers, and about disagreement with itself.

    Args:
        evaluation: The homework's functions, which are called again.
        case: A case that it was evaluated for.
        observed: Its values for this case.
        result: The comparison with the reference; only quantities that failed are looked at.
        mean: Whether the loss of a batch is the mean of those of its rows, unless the homework
            declares another.

    Returns:
        The sentences up to the first call that fails.
    """
    found = list(_not_finite(observed))
    if found:
        return found
    try:
        for sentence in _inconsistent(evaluation, case, observed, result, mean):
            found.append(sentence)
    except (NoResultError, ReturnValueError, ProcessEndedError):
        pass
    return found


def _not_finite(observed: Observed) -> Iterator[str]:
    for quantity, value in observed.values.items():
        wrong = ~np.isfinite(value)
        if wrong.any():
            kind, _, name = quantity.partition("/")
            kind, holds = FORWARD.get(kind, kind), "hold" if kind in FORWARD else "holds"
            subject = f"{kind} of {name}" if name else kind
            first = np.argwhere(wrong)[0].tolist() if value.ndim else ""
            yield (
                f"The {subject} {holds} {int(wrong.sum())} of {value.size} values that are "
                f"infinite or no number{f', the first at {first}' if first else ''}."
            )


def _inconsistent(
    evaluation: FunctionEvaluation, case: Case, observed: Observed, result: Result, mean: bool
) -> Iterator[str]:
    failed = {check.quantity for check in result.checks if not check.passed}
    contract, values = evaluation.contract, observed.values
    # Batch normalisation does make a row depend on the others.
    independent = case.evaluation is None
    rows = len(case.inputs)
    output = next((form for form in FORWARD if form in values), "logits")
    if output in failed and contract.has("forward") and independent and output in values:
        first = evaluation.value("forward", one_row(case, 0))["logits"]
        if not _close(first[0], values[output][0]):
            yield f"The {FORWARD[output]} of a row depend on the rows beside it in the batch."
    function = "loss" if contract.has("loss") else "loss_and_gradients"
    if not contract.has(function) or "loss" not in values:
        return
    as_pytorch = mean and case.loss_factor == 1 and not case.weight_decay
    if "loss" in failed and output not in failed and independent and as_pytorch:
        each = [float(evaluation.value(function, one_row(case, i))["loss"]) for i in range(rows)]
        if not _close(np.mean(each), values["loss"]):
            yield (
                f"The loss of a batch of {rows} rows is {float(values['loss']):.6g}, but the mean "
                f"of the losses of its rows, each alone, is {np.mean(each):.6g}."
            )
    if any(key.startswith("gradient/") for key in values) and not observed.single:
        both = bool(failed & {output, "loss"}) and "gradient" in failed
        yield from _derivative(evaluation, function, case, observed, both)


def _derivative(
    evaluation: FunctionEvaluation, function: str, case: Case, observed: Observed, both: bool
) -> Iterator[str]:
    """Compare the gradients with a central difference of the homework's own loss.

    Args:
        evaluation: The homework's functions.
        function: The one that gives the loss.
        case: The case.
        observed: The homework's values for it.
        both: Whether forward values and gradients both differ from the reference.
    """
    random = np.random.default_rng(0)
    direction = {
        name: random.standard_normal(case.parameters[name].shape)
        for name in sorted(evaluation.trainable)
    }

    def loss_at(step: float) -> float:
        moved = {name: case.parameters[name] + step * d for name, d in direction.items()}
        there = replace(case, parameters={**case.parameters, **moved})
        return float(evaluation.value(function, there)["loss"])

    change = (loss_at(DIFFERENCE_STEP) - loss_at(-DIFFERENCE_STEP)) / (2 * DIFFERENCE_STEP)
    terms = [
        float(np.sum(observed.values[f"gradient/{name}"] * d)) for name, d in direction.items()
    ]
    slope, size = sum(terms), sum(abs(term) for term in terms) + abs(change)
    if abs(change - slope) > DIFFERENCE * size:
        yield (
            "The gradients are not the derivative of this homework's own loss: in a random "
            f"direction the loss changes by {change:.6g} a unit, and the gradients say {slope:.6g}."
        )
    elif both:
        yield OWN_DERIVATIVE


def _close(a: object, b: object) -> bool:
    return bool(np.allclose(np.asarray(a), np.asarray(b), rtol=UNCHANGED, atol=UNCHANGED_NEAR_ZERO))
