"""From questions and answers to a result: what agrees, and where it parts first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.contract import LOSSES
from compare.check.evidence import Answer, Assignment, Check, Result
from compare.check.invariants import invariants
from compare.check.recorded import Recorded
from compare.mistakes.case import Case
from compare.mistakes.search import Network, explain
from compare.parity import tolerances

PHASES = ("activation", "buffer", "logits", "loss", "gradient", "update")


class UnbuildableError(Exception):
    """``numpy_nn`` lacks a layer, an optimizer or a setting that PyTorch has."""


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
    if assignment is not None and not all(check.passed for check in checks):
        try:
            network = _network(assignment, cases[0])
        except UnbuildableError as error:
            notes += (f"No mistake can be named here: {error}.",)
        else:
            checks = _explained(checks, quantities, cases, answers, network)
    broken = () if assignment is None else invariants(cases, answers, assignment)
    return Result(checks, broken, notes, problems[0] if problems else None)


def _in_order(cases: Sequence[Case], answers: Sequence[Answer]) -> list[str]:
    asked = dict.fromkeys(quantity for case in cases for quantity in case.expected)
    answered = {quantity for answer in answers for quantity in answer.values}
    phase = {"activation": 0, "buffer": 0, "logits": 0, "loss": 1, "gradient": 2, "update": 3}
    return sorted((q for q in asked if q in answered), key=lambda q: phase[q.partition("/")[0]])


def _check(quantity: str, cases: Sequence[Case], answers: Sequence[Answer]) -> Check:
    """The comparison of one quantity in the case that is furthest beyond its tolerance."""
    single = any(answer.single for answer in answers)
    found = [
        _check_in(quantity, case, answer.values[quantity], case.expected[quantity], single)
        for case, answer in zip(cases, answers, strict=False)
        if quantity in answer.values and quantity in case.expected
    ]
    return max(found, key=lambda check: check.relative_error / check.tolerance)


def _check_in(
    quantity: str, case: Case, found: np.ndarray, expected: np.ndarray, single: bool
) -> Check:
    """The comparison of one quantity in one case."""
    kind, _, name = quantity.partition("/")
    size = np.broadcast_to(case.sizes[quantity], expected.shape)
    tolerance = case.tolerances.get(quantity, tolerances.HOMEWORK)
    if single and quantity not in case.tolerances:
        apart = _relative(case.expected32[quantity], case.expected[quantity], size)
        tolerance = tolerances.float32_bound(float(apart.max(initial=0.0)))
    error = _relative(found, expected, size)
    where = np.unravel_index(int(error.argmax()), error.shape) if error.ndim else ()
    largest = float(error[where])
    return Check(
        kind,
        name or kind,
        largest <= tolerance,
        largest,
        tolerance,
        tuple(int(i) for i in where),
        float(found[where]),
        float(expected[where]),
    )


def _relative(found: np.ndarray, expected: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The errors relative to the sizes; infinite for NaN, and where only zeros are summed."""
    with np.errstate(all="ignore"):
        error = np.where(found == expected, 0.0, np.abs(found - expected) / size)
    return np.where(np.isnan(error), np.inf, error)


def _network(assignment: Assignment, case: Case) -> Network:
    """The right network in ``numpy_nn``, if it can make it and answer a case."""
    build = assignment.build
    dropouts = build.probabilities() if isinstance(build, Recorded) else {}
    try:
        network = Network(
            build, LOSSES[assignment.loss], assignment.optimizer, assignment.settings, dropouts
        )
        network.answer(case)
    except (AttributeError, NotImplementedError, ValueError, TypeError) as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise UnbuildableError(reason) from error
    return network


def _explained(
    checks: tuple[Check, ...],
    quantities: list[str],
    cases: Sequence[Case],
    answers: Sequence[Answer],
    network: Network,
) -> tuple[Check, ...]:
    """The checks with the mistakes that account for them."""
    single = any(answer.single for answer in answers)

    def differs(quantity: str, number: int, right: Arrays) -> bool:
        found = answers[number].values.get(quantity)
        if found is None or quantity not in cases[number].expected:
            return False
        if quantity not in right or found.shape != right[quantity].shape:
            return True
        # Where the right value is a sum of zeros, that of a mistake may not be.
        size = np.maximum(cases[number].sizes[quantity], np.abs(right[quantity]))
        case = replace(cases[number], sizes={quantity: size})
        return not _check_in(quantity, case, found, right[quantity], single).passed

    values = [answer.values for answer in answers]
    findings = explain(network, cases[: len(answers)], values, differs, quantities)
    named = {
        quantity: finding.diagnosis for finding in findings for quantity in finding.accounts_for
    }
    return tuple(
        replace(check, diagnosis=None if check.passed else named.get(quantity))
        for quantity, check in zip(quantities, checks, strict=True)
    )
