"""The verdict: each observed quantity compared with the expected one, and mistakes named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture
from compare.check.contract import LOSS_CLASSES, Assignment
from compare.check.invariants import violated_invariants
from compare.check.result import Check, Observed, Result
from compare.mistakes.case import Case
from compare.mistakes.search import Network, explain
from compare.parity import tolerances


class UnbuildableError(Exception):
    """``numpy_nn`` lacks a layer, an optimizer or a setting of PyTorch's."""


def judge(
    cases: Sequence[Case], observed: Sequence[Observed], assignment: Assignment | None = None
) -> Result:
    """Compare every observed quantity with the expected one.

    Args:
        cases: The cases, with PyTorch's values.
        observed: The homework's values, one for each case, or fewer if its process ended.
        assignment: What was to be computed, to name mistakes and to check invariants; None
            leaves both out.
    """
    quantities = _in_order(cases, observed)
    checks = tuple(_check(quantity, cases, observed) for quantity in quantities)
    problems = [one.problem for one in observed if one.problem]
    notes = tuple(dict.fromkeys(note for one in observed for note in one.notes))
    if assignment is not None and not all(check.passed for check in checks):
        try:
            network = _network(assignment, cases[0])
        except UnbuildableError as error:
            notes += (f"No mistake can be named here: {error}.",)
        else:
            checks = _with_diagnoses(checks, quantities, cases, observed, network)
    violated = () if assignment is None else violated_invariants(cases, observed, assignment)
    return Result(checks, violated, notes, problems[0] if problems else None)


def _in_order(cases: Sequence[Case], observed: Sequence[Observed]) -> list[str]:
    """The quantities that were expected and observed, in the order of execution."""
    expected = dict.fromkeys(quantity for case in cases for quantity in case.expected)
    found = {quantity for one in observed for quantity in one.values}
    rank = {"activation": 0, "buffer": 0, "logits": 0, "loss": 1, "gradient": 2, "update": 3}
    return sorted((q for q in expected if q in found), key=lambda q: rank[q.partition("/")[0]])


def _check(quantity: str, cases: Sequence[Case], observed: Sequence[Observed]) -> Check:
    """The comparison of one quantity in the case that is furthest beyond its tolerance."""
    single = any(one.single for one in observed)
    found = [
        _check_in(quantity, case, one.values[quantity], case.expected[quantity], single)
        for case, one in zip(cases, observed, strict=False)
        if quantity in one.values and quantity in case.expected
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
    """The errors relative to the sizes; infinite for NaN and for any error where the size is 0."""
    with np.errstate(all="ignore"):
        error = np.where(found == expected, 0.0, np.abs(found - expected) / size)
    return np.where(np.isnan(error), np.inf, error)


def _network(assignment: Assignment, case: Case) -> Network:
    """The right network in ``numpy_nn``, tried on one case.

    Raises:
        UnbuildableError: ``numpy_nn`` cannot build or run it.
    """
    build = assignment.build
    dropouts: dict[str, float] = {}
    if isinstance(build, RecordedArchitecture):
        dropouts = build.dropout_probabilities()
    try:
        network = Network(
            build,
            LOSS_CLASSES[assignment.loss],
            assignment.optimizer,
            assignment.settings,
            dropouts,
        )
        network.answer(case)
    except (AttributeError, NotImplementedError, ValueError, TypeError) as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise UnbuildableError(reason) from error
    return network


def _with_diagnoses(
    checks: tuple[Check, ...],
    quantities: list[str],
    cases: Sequence[Case],
    observed: Sequence[Observed],
    network: Network,
) -> tuple[Check, ...]:
    """The checks, each failed one with the mistake that explains it if there is one."""
    single = any(one.single for one in observed)

    def differs(quantity: str, number: int, right: Arrays) -> bool:
        found = observed[number].values.get(quantity)
        if found is None or quantity not in cases[number].expected:
            return False
        if quantity not in right or found.shape != right[quantity].shape:
            return True
        # Where the right value is a sum of zeros, that of a mistake may not be.
        size = np.maximum(cases[number].sizes[quantity], np.abs(right[quantity]))
        case = replace(cases[number], sizes={quantity: size})
        return not _check_in(quantity, case, found, right[quantity], single).passed

    values = [one.values for one in observed]
    findings = explain(network, cases[: len(observed)], values, differs, quantities)
    named = {quantity: finding for finding in findings for quantity in finding.accounts_for}
    return tuple(
        replace(check, diagnosis=named[quantity].diagnosis, shown_first_in=named[quantity].quantity)
        if quantity in named and not check.passed
        else check
        for quantity, check in zip(quantities, checks, strict=True)
    )
