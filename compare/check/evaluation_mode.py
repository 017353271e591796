"""Which mode of BatchNorm a homework's ``forward`` is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compare.check.evidence import Answer
from compare.mistakes.case import Case


def mode_of_forward(
    cases: Sequence[Case], answers: Sequence[Answer]
) -> tuple[list[Case], list[str]]:
    """Take ``forward`` for evaluation mode where it answers so: both are right."""
    asked = [
        (case, answer)
        for case, answer in zip(cases, answers, strict=True)
        if case.evaluation is not None and "logits" in answer.values
    ]
    if not asked or not all(_nearer_to_evaluation(c, a) for c, a in asked):
        return list(cases), []
    found = []
    for case, answer in zip(cases, answers, strict=True):
        if case.evaluation is None or "logits" not in answer.values:
            found.append(case)
            continue
        name = "logits/evaluation"
        answer.values = {
            (name if key == "logits" else key): value for key, value in answer.values.items()
        }
        size = np.full(case.evaluation.shape, np.abs(case.evaluation).max())
        put = {name: case.evaluation}
        rounded = {name: case.evaluation.astype(np.float32)}
        found.append(
            replace(
                case,
                expected={**put, **{k: v for k, v in case.expected.items() if k != "logits"}},
                sizes={**case.sizes, name: size},
                expected32={**case.expected32, **rounded},
            )
        )
    return found, [
        "forward uses the running statistics, so its logits are compared in evaluation mode; loss "
        "and gradients belong to training mode."
    ]


def _nearer_to_evaluation(case: Case, answer: Answer) -> bool:
    assert case.evaluation is not None
    found = answer.values["logits"]
    with np.errstate(all="ignore"):
        return bool(
            np.abs(found - case.evaluation).max() < np.abs(found - case.expected["logits"]).max()
        )
