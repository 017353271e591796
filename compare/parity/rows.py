"""Of a large batch the checks in float64 take a few rows, others at each step.

They judge what every row has alike, the formulas and how stages are connected, and a few rows show
it as well as many. The float32 values of the run itself are judged on all rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compare.backends import Call, RecordedStep

ROWS = 8
"""So many rows of a batch are taken: sums over them still have several terms."""

LARGE = 3 * ROWS
"""From so many rows on a batch is large. Of a smaller one all rows are taken."""

MIXES_ROWS = frozenset(("BatchNorm1d", "BatchNorm2d", "Softmax", "LogSoftmax"))
"""Classes whose rows depend on each other, or may by their arguments.

Some rows of a large batch are not judged as a part of it there. They are a batch of their own, and
a right one, for the checks in float64.
"""


def chosen_rows(count: int, seed: int) -> np.ndarray | None:
    """The rows of a batch that the checks in float64 take, in order; None for all of them.

    The last row is always among them: a batch that is cut into pieces ends there.

    Args:
        count: The rows of the batch.
        seed: The number of the step.
    """
    if count < LARGE:
        return None
    random = np.random.default_rng([seed, count])
    return np.append(np.sort(random.choice(count - 1, ROWS - 1, replace=False)), count - 1)


def call_of_rows(call: Call, rows: np.ndarray | None) -> Call:
    """A call with some of its rows, or the call itself where its rows cannot be told apart.

    Args:
        call: The call; its gradients are left out.
        rows: As :func:`chosen_rows` gives them.
    """
    if rows is None or call.name == "loss":
        return call
    lengths = {
        array.shape[:1] for array in (call.input, call.output, call.mask) if array is not None
    }
    if len(lengths) > 1 or call.input.ndim == 0 or len(call.input) <= rows[-1]:
        return call  # as behind a module that makes other rows of them
    mask = None if call.mask is None else call.mask[rows]
    return Call(call.name, call.kind, call.input[rows], call.output[rows], mask=mask)


def batch_of_rows(step: RecordedStep, rows: np.ndarray | None) -> RecordedStep:
    """What a step was given, for some of its rows: inputs, targets and the masks of dropout.

    The calls hold nothing but names and masks then; a mask with other rows than the batch's leaves
    the step as it was.
    """
    masks = step.masks
    if rows is None or any(len(mask) != len(step.targets) for mask in masks.values()):
        return step
    calls = [
        Call(call.name, call.kind, call.input[:0], call.output[:0], mask=masks[call.name][rows])
        for call in step.calls
        if call.name in masks
    ]
    return replace(step, inputs=step.inputs[rows], targets=step.targets[rows], calls=calls)
