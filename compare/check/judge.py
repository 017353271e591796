"""From questions and answers to a result: what agrees, and where it parts first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compare import tolerances
from compare.check.evidence import Answer, Assignment, Case, Check, Result

# A right homework in float64 is a thousand times nearer.
TOLERANCE = 1e-9
PHASES = ("activation", "buffer", "logits", "loss", "gradient", "update")


def judge(
    cases: Sequence[Case], answers: Sequence[Answer], assignment: Assignment | None = None
) -> Result:
    """Compare every answer with what was expected.

    Args:
        cases: The questions.
        answers: One for each case, or fewer where the homework ended before.
        assignment: What was to be computed.
    """
    quantities = _in_order(cases, answers)
    checks = tuple(_check(quantity, cases, answers) for quantity in quantities)
    problems = [answer.problem for answer in answers if answer.problem]
    notes = tuple(dict.fromkeys(note for answer in answers for note in answer.notes))
    return Result(checks, (), notes, problems[0] if problems else None)


def _in_order(cases: Sequence[Case], answers: Sequence[Answer]) -> list[str]:
    asked = dict.fromkeys(quantity for case in cases for quantity in case.expected)
    answered = {quantity for answer in answers for quantity in answer.values}
    phase = {"activation": 0, "buffer": 0, "logits": 0, "loss": 1, "gradient": 2, "update": 3}
    return sorted(
        (q for q in asked if q in answered), key=lambda q: phase[q.partition("/")[0]]
    )


def _check(quantity: str, cases: Sequence[Case], answers: Sequence[Answer]) -> Check:
    kind, _, name = quantity.partition("/")
    worst: Check | None = None
    for case, answer in zip(cases, answers, strict=False):
        if quantity not in answer.values or quantity not in case.expected:
            continue
        found, expected = answer.values[quantity], case.expected[quantity]
        size = np.maximum(np.broadcast_to(case.sizes[quantity], expected.shape), 1e-300)
        tolerance = TOLERANCE
        if answer.single or any(a.single for a in answers):
            apart = np.abs(case.expected32[quantity] - expected) / size
            tolerance = tolerances.float32_bound(float(apart.max(initial=0.0)))
        with np.errstate(all="ignore"):
            error = np.where(found == expected, 0.0, np.abs(found - expected) / size)
        error = np.where(np.isnan(error), np.inf, error)
        where = np.unravel_index(int(error.argmax()), error.shape) if error.ndim else ()
        largest = float(error[where])
        check = Check(
            kind,
            name or kind,
            largest <= tolerance,
            largest,
            tolerance,
            tuple(int(i) for i in where),
            float(found[where]),
            float(expected[where]),
        )
        if worst is None or largest / tolerance > worst.relative_error / worst.tolerance:
            worst = check
    assert worst is not None
    return worst
