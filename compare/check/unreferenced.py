"""What can be seen without a reference, in plain words, once something differs.

Values that are no numbers; a gradient that is not the derivative of the homework's own loss; a
loss or logits of a row that depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from compare.check.evidence import Answer, Result
from compare.check.interview import Interview, UnansweredError
from compare.check.layout import MisfitError
from compare.check.sandbox import GoneError
from compare.mistakes.case import Case
from compare.parity.tolerances import (
    DIFFERENCE,
    DIFFERENCE_STEP,
    UNCHANGED,
    UNCHANGED_NEAR_ZERO,
)


def seen_without_reference(
    interview: Interview, case: Case, answer: Answer, result: Result
) -> list[str]:
    """The sentences, as far as the homework answers."""
    found = list(_not_finite(answer))
    if found:
        return found
    try:
        for sentence in _asked(interview, case, answer, result):
            found.append(sentence)
    except (UnansweredError, MisfitError, GoneError):
        pass
    return found


def _not_finite(answer: Answer) -> Iterator[str]:
    for quantity, value in answer.values.items():
        wrong = ~np.isfinite(value)
        if wrong.any():
            kind, _, name = quantity.partition("/")
            what = f"{kind} of {name}" if name else kind
            holds = "hold" if kind == "logits" else "holds"
            first = np.argwhere(wrong)[0].tolist() if value.ndim else ""
            yield (
                f"The {what} {holds} {int(wrong.sum())} of {value.size} values that are infinite "
                f"or no number{f', the first at {first}' if first else ''}."
            )


def _asked(interview: Interview, case: Case, answer: Answer, result: Result) -> Iterator[str]:
    failed = {check.quantity for check in result.checks if not check.passed}
    contract, values = interview.contract, answer.values
    # In batch normalisation a row does depend on the others.
    alone = case.evaluation is None
    rows = len(case.inputs)
    if "logits" in failed and contract.has("forward") and alone and "logits" in values:
        first = interview.value("forward", _row(case, 0))["logits"]
        if not _close(first[0], values["logits"][0]):
            yield "The logits of a row depend on the rows beside it in the batch."
    giver = "loss" if contract.has("loss") else "loss_and_gradients"
    if not contract.has(giver) or "loss" not in values:
        return
    if "loss" in failed and "logits" not in failed and alone:
        each = [float(interview.value(giver, _row(case, i))["loss"]) for i in range(rows)]
        if not _close(np.mean(each), values["loss"]):
            yield (
                f"The loss of a batch of {rows} rows is {float(values['loss']):.6g}, but the mean "
                f"of the losses of its rows, each alone, is {np.mean(each):.6g}."
            )
    if any(key.startswith("gradient/") for key in values) and not answer.single:
        both = bool(failed & {"logits", "loss"}) and "gradient" in failed
        yield from _derivative(interview, giver, case, answer, both)


def _derivative(
    interview: Interview, giver: str, case: Case, answer: Answer, both_differ: bool
) -> Iterator[str]:
    """Compare the gradients with a central difference of the homework's own loss."""
    random = np.random.default_rng(0)
    direction = {
        name: random.standard_normal(case.parameters[name].shape)
        for name in sorted(interview.trainable)
    }

    def loss_at(step: float) -> float:
        moved = {name: case.parameters[name] + step * d for name, d in direction.items()}
        there = replace(case, parameters={**case.parameters, **moved})
        return float(interview.value(giver, there)["loss"])

    change = (loss_at(DIFFERENCE_STEP) - loss_at(-DIFFERENCE_STEP)) / (2 * DIFFERENCE_STEP)
    terms = [float(np.sum(answer.values[f"gradient/{name}"] * d)) for name, d in direction.items()]
    told, size = sum(terms), sum(abs(term) for term in terms) + abs(change)
    if abs(change - told) > DIFFERENCE * size:
        yield (
            "The gradients are not the derivative of this homework's own loss: in a random "
            f"direction the loss changes by {change:.6g} a unit, and the gradients say {told:.6g}."
        )
    elif both_differ:
        yield (
            "The gradients are the derivative of this homework's own loss: what is wrong is wrong "
            "in both."
        )


def _row(case: Case, index: int) -> Case:
    """The same with one row of the batch alone."""
    one = slice(index, index + 1)
    expected = {"logits": case.expected["logits"][one]}
    return replace(case, inputs=case.inputs[one], targets=case.targets[one], expected=expected)


def _close(a: object, b: object) -> bool:
    return bool(np.allclose(np.asarray(a), np.asarray(b), rtol=UNCHANGED, atol=UNCHANGED_NEAR_ZERO))
