"""What ``forward`` returns: logits, or the probabilities that a softmax or a sigmoid makes of them.

Both are right ways to write a network. Which one a homework has is told from its values: no
other outputs are never negative and sum to 1 in each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.result import Observed
from compare.mistakes.case import Case
from compare.mistakes.probabilities import (
    LOG_PROBABILITIES,
    LOGITS,
    PROBABILITIES,
    form_of,
    form_sizes,
    in_form,
)

# The losses that take logits, and what makes probabilities of these.
ACTIVATIONS = {"cross_entropy": "softmax", "bce_with_logits": "sigmoid"}
NOTES = {
    PROBABILITIES: "forward returns probabilities, so they are compared with {} of PyTorch's "
    "logits.",
    LOG_PROBABILITIES: "forward returns logarithms of probabilities, so they are compared with "
    "log-{} of PyTorch's logits.",
}


def find_form(cases: Sequence[Case], observed: Sequence[Observed], loss: str) -> str:
    """The form of what ``forward`` returned: the one that it looks like in every case.

    Logits near 1000 are no evidence: a softmax may overflow there.

    Args:
        cases: The cases that functions were evaluated for.
        observed: Their values, one for each case.
        loss: A key of ``LOSS_CLASSES``.
    """
    if loss not in ACTIVATIONS:
        return LOGITS
    pairs = [
        (case, one.values["logits"])
        for case, one in zip(cases, observed, strict=False)
        if "logits" in one.values and not case.large_logits
    ]
    forms = {form_of(values, case.targets) for case, values in pairs}
    right = {form_of(case.expected["logits"], case.targets) for case, _ in pairs}
    return forms.pop() if len(forms) == 1 and forms != right else LOGITS


def expect_form(cases: Sequence[Case], form: str) -> list[Case]:
    """The cases with PyTorch's logits in a form, still under the name ``logits``.

    So what compares the modes of a batch normalisation need not know of forms;
    :func:`name_form` gives them their name.
    """
    return [_in_form(case, form) for case in cases] if form != LOGITS else list(cases)


def _in_form(case: Case, form: str) -> Case:
    if "logits" not in case.expected:
        return case
    logits, evaluation = case.expected["logits"], case.evaluation
    single = case.expected32.get("logits")
    expected32 = dict(case.expected32)
    if single is not None:
        rounded = in_form(form, single.astype(np.float32), case.targets)
        expected32["logits"] = rounded.astype(np.float64)
    sizes = form_sizes(form, logits, case.sizes["logits"], case.targets)
    return replace(
        case,
        expected={**case.expected, "logits": in_form(form, logits, case.targets)},
        sizes={**case.sizes, "logits": sizes},
        expected32=expected32,
        evaluation=None if evaluation is None else in_form(form, evaluation, case.targets),
    )


def name_form(
    cases: Sequence[Case], observed: Sequence[Observed], form: str, loss: str
) -> tuple[list[Case], list[str]]:
    """Call what ``forward`` returned by its form: ``logits`` becomes ``probabilities``.

    Args:
        cases: The cases from :func:`expect_form`, and those of layers, which stay as they are.
        observed: The homework's values, one for each case; changed in place.
        form: The form.
        loss: A key of :data:`ACTIVATIONS`, unless they are logits.

    Returns:
        The cases with the quantities to compare, and notes for the reader.
    """
    if form == LOGITS:
        return list(cases), []

    def renamed(arrays: Arrays) -> Arrays:
        return {
            f"{form}{key.removeprefix(LOGITS)}" if key.partition("/")[0] == LOGITS else key: array
            for key, array in arrays.items()
        }

    found = []
    for case, one in zip(cases, observed, strict=True):
        if case.given:
            found.append(case)
            continue
        one.values = renamed(one.values)
        found.append(
            replace(
                case,
                expected=renamed(case.expected),
                sizes=renamed(case.sizes),
                expected32=renamed(case.expected32),
            )
        )
    return found, [NOTES[form].format(ACTIVATIONS[loss])]


def in_same_form(values: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """PyTorch's logits in the form that a homework's outputs look like, for one batch alone."""
    form = form_of(values, targets)
    if form == form_of(logits, targets) or (targets.dtype.kind == "f" and not _are_labels(targets)):
        return logits
    return in_form(form, logits, targets)


def _are_labels(targets: np.ndarray) -> bool:
    return bool(np.isin(targets, (0.0, 1.0)).all())
