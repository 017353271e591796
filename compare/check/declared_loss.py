"""The loss as a homework declares it: another reduction than PyTorch's mean, or a penalty.

REDUCTION says over what the loss of the elements is averaged or added up, and WEIGHT_DECAY = λ adds
½ λ ΣW² over all weights, not biases. PyTorch's values become those of that loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.mistakes.case import Case
from compare.mistakes.penalty import Penalty

# What a loss is times the mean over all elements (for a cross-entropy, over all rows), by the rows
# N and the elements of a row C.
REDUCTIONS: dict[str, Callable[[int, int], float]] = {
    "mean": lambda n, c: 1.0,
    "rows": lambda n, c: float(c),
    "sum": lambda n, c: float(n * c),
    "half mean": lambda n, c: 0.5,
    "half rows": lambda n, c: c / 2,
    "half sum": lambda n, c: n * c / 2,
}


def with_reduction(case: Case, loss: str, reduction: str) -> Case:
    """The case with the loss and its gradients reduced in another way.

    Args:
        case: A case of functions or of layers; of these the loss layer alone is concerned.
        loss: A key of ``LOSS_CLASSES``.
        reduction: A key of :data:`REDUCTIONS`.
    """
    logits = case.expected["logits"]
    elements = 1 if loss == "cross_entropy" else int(np.prod(logits.shape[1:]))
    factor = REDUCTIONS[reduction](len(case.inputs), elements)

    def scaled(arrays: Arrays) -> Arrays:
        return {
            key: factor * array if _follows_the_loss(key, bool(case.given)) else array
            for key, array in arrays.items()
        }

    return replace(
        case,
        expected=scaled(case.expected),
        sizes=scaled(case.sizes),
        expected32=scaled(case.expected32),
        loss_factor=factor,
    )


def _follows_the_loss(key: str, layers: bool) -> bool:
    if layers:  # the others have an output gradient that was drawn
        return key in ("loss", "gradient/logits")
    return key == "loss" or key.startswith("gradient/")


def with_weight_decay(case: Case, weight_decay: float) -> Case:
    """The case with ½ λ ΣW² in the loss and λ W in the gradient of each weight."""
    expected, single = dict(case.expected), dict(case.expected32)
    for values in (expected, single):
        decay(values, case.parameters, weight_decay)
    sizes = {key: np.broadcast_to(s, case.expected[key].shape) for key, s in case.sizes.items()}
    squares = 0.0
    for key, value in case.parameters.items():
        if f"gradient/{key}" in sizes and value.ndim > 1:
            sizes[f"gradient/{key}"] = sizes[f"gradient/{key}"] + weight_decay * np.abs(value)
            squares += float(np.sum(value**2))
    if "loss" in sizes:
        sizes["loss"] = sizes["loss"] + weight_decay / 2 * squares
    return replace(
        case, expected=expected, expected32=single, sizes=sizes, weight_decay=weight_decay
    )


def decay(values: Arrays, parameters: Arrays, weight_decay: float) -> None:
    """Add the penalty to a loss and to gradients, in place."""
    Penalty(weight_decay, weight_decay, weights_only=True).add_to(values, parameters, 1)
