"""The outputs of a network as probabilities: what many write into ``forward``, not logits.

A quantity is then called by its form: ``probabilities`` or ``log_probabilities``. Class labels
go with a softmax over the classes, other targets with a sigmoid.
"""

from __future__ import annotations

import numpy as np

LOGITS, PROBABILITIES, LOG_PROBABILITIES = "logits", "probabilities", "log_probabilities"
# What forward may return, as the first part of a quantity's key.
FORMS = (LOGITS, PROBABILITIES, LOG_PROBABILITIES)
# How far a row of probabilities may be from the sum 1: float32 has 6e-8 for each term.
SUM = 1e-6


def in_form(form: str, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The logits as what a form is, in the precision of the logits.

    Args:
        form: One of :data:`FORMS`.
        logits: (N, C), or of any shape for targets that are no class labels.
        targets: Their targets.
    """
    if form == LOGITS:
        return logits
    if targets.dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-logits)))
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    if form == LOG_PROBABILITIES:
        return np.asarray(shifted - np.log(total))
    return np.asarray(np.exp(shifted) / total)


def form_sizes(form: str, logits: np.ndarray, sizes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The sizes of the values of a form, from those of the logits.

    The absolute error of a difference of logits is the relative error of a probability. A sigmoid
    may also be ½ (1 + tanh(z/2)), which loses the digits of a value near 0.

    Args:
        form: As for :func:`in_form`.
        logits: The same.
        sizes: The sizes of the logits, of their shape or ().
        targets: The same.
    """
    if form == LOGITS:
        return sizes
    values, each = in_form(form, logits, targets), np.broadcast_to(sizes, logits.shape)
    if targets.dtype.kind not in "iu":
        return 1 + values * (1 - values) * each
    difference = 2 * each.max(axis=1, keepdims=True)
    if form == LOG_PROBABILITIES:
        return 1 + np.abs(values) + difference
    return values * (1 + difference)


def form_of(values: np.ndarray, targets: np.ndarray) -> str:
    """The form that some outputs look like; logits, unless they cannot be told from another.

    Args:
        values: (N, C), or of any shape for targets that are no class labels.
        targets: Their targets.
    """
    if not np.isfinite(values).all():
        return LOGITS
    if targets.dtype.kind not in "iu":
        return PROBABILITIES if (values >= 0).all() and (values <= 1).all() else LOGITS
    if values.ndim != 2 or values.shape[1] < 2:
        return LOGITS
    if (values >= 0).all():
        return PROBABILITIES if _sum_to_one(values) else LOGITS
    return LOG_PROBABILITIES if (values <= SUM).all() and _sum_to_one(np.exp(values)) else LOGITS


def _sum_to_one(rows: np.ndarray) -> bool:
    return bool((np.abs(rows.sum(axis=1) - 1) <= SUM).all())
