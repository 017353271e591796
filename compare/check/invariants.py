"""What must hold whatever the reference says, in plain words.

These sentences need no PyTorch: they follow from what a softmax, a cross-entropy and a batch
normalisation are, and from the homework's own answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.evidence import Answer, Assignment
from compare.check.recorded import Recorded, record
from compare.mistakes.case import Case
from compare.parity.tolerances import INVARIANT, LEAST_WEIGHT


def invariants(
    cases: Sequence[Case], answers: Sequence[Answer], assignment: Assignment
) -> tuple[str, ...]:
    """Sentences about what does not hold, each once, from the first case that shows it."""
    found: dict[str, str] = {}
    for case, answer in zip(cases, answers, strict=False):
        for about, sentence in _in_case(case, answer.values, assignment):
            found.setdefault(about, sentence)
    return tuple(found.values())


def _in_case(case: Case, values: Arrays, assignment: Assignment) -> Iterator[tuple[str, str]]:
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
        elif loss is not None and np.isfinite(loss):
            # A loss layer that is asked alone is given the right logits.
            given = case.expected["logits"] if case.given else logits
            yield from _bounded(case, given, float(loss))
    if cross_entropy:
        yield from _rows_of_the_gradient(values)
    if case.given:
        return  # the gradients of layers alone are those of random output gradients
    if cross_entropy:
        yield from _last_bias(case, values)
    yield from _biases_before_normalisation(values, assignment)


def _bounded(case: Case, logits: np.ndarray, loss: float) -> Iterator[tuple[str, str]]:
    """−log p of the right class is at most ln C and its distance from the largest logit."""
    rows = np.arange(len(logits))
    most = np.mean(logits.max(axis=1) - logits[rows, case.targets]) + np.log(logits.shape[1])
    if loss > most * (1 + INVARIANT) + INVARIANT:
        yield (
            "bound",
            f"The loss of {len(logits)} rows is {loss:.4g}, more than these logits allow: each "
            f"row costs at most ln {logits.shape[1]} and the distance of its logit from the "
            f"largest of its row, on average {most:.4g}. Are the rows normalised one by one?",
        )


def _rows_of_the_gradient(values: Arrays) -> Iterator[tuple[str, str]]:
    """The rows of p − t sum to 0."""
    rows = values.get("gradient/logits")
    if rows is not None and rows.ndim == 2:
        left, size = np.abs(rows.sum(axis=1)).max(), np.abs(rows).max()
        if left > INVARIANT * size:
            yield (
                "rows",
                f"A row of the gradient by the logits sums to {left:.3g}: it must be 0, as "
                "probabilities and target both sum to 1 in each row.",
            )


def _last_bias(case: Case, values: Arrays) -> Iterator[tuple[str, str]]:
    """So does the gradient of the last bias over the classes."""
    biases = [k for k in case.parameters if k.endswith("bias") and f"gradient/{k}" in values]
    if not biases or "logits" not in case.expected:
        return
    gradient = values[f"gradient/{biases[-1]}"]
    if gradient.shape != case.expected["logits"].shape[1:]:
        return
    left, size = abs(float(gradient.sum())), float(np.abs(gradient).sum())
    if left > INVARIANT * size:
        yield (
            "last bias",
            f"The gradient of {biases[-1]} sums to {float(gradient.sum()):.3g} over the classes: "
            "it must be 0, as probabilities and target both sum to 1 in each row.",
        )


def _biases_before_normalisation(
    values: Arrays, assignment: Assignment
) -> Iterator[tuple[str, str]]:
    """A constant added before a batch normalisation changes nothing, so its gradient is 0."""
    build = assignment.build
    if not isinstance(build, Recorded):
        build = Recorded(record(build), assignment.architecture)
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
