"""The verdict: each observed quantity compared with the expected one, and mistakes named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compare.backends.environment import blas_threads, default_threads
from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture
from compare.check.contract import LOSS_CLASSES, Assignment
from compare.check.invariants import LARGE_LOSS, violated_invariants
from compare.check.ratios import constant_ratio
from compare.check.result import UNFINISHED_SEARCH, Check, Observed, Result, check_title
from compare.mistakes.case import Case, Diagnosis
from compare.mistakes.probabilities import FORMS
from compare.mistakes.search import PATIENCE_S, Network, explain
from compare.parity import tolerances

# So many of an array's values are compared before all of them, where one is enough to differ.
SAMPLE = 64


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
    single = float32_quantities(quantities, cases, observed)
    checks = tuple(_check(q, cases, observed, q in single) for q in quantities)
    masks = frozenset(key for case in cases for key in case.given if key.startswith("mask/"))
    checks, conventions = decided_by_network(checks, masks)
    quantities = [check.key for check in checks]
    problems = [one.problem for one in observed if one.problem]
    notes = (*dict.fromkeys(note for one in observed for note in one.notes), *conventions)
    checks = _with_overflow(checks, cases, observed, single)
    begun_s = time.monotonic()
    if assignment is not None and not all(check.passed or check.diagnosis for check in checks):
        try:
            network = _network(assignment, cases[0])
        except UnbuildableError as error:
            notes += (f"No mistake can be named here: {error}.",)
        else:
            with blas_threads(default_threads(network.model)):
                checks = _with_diagnoses(checks, quantities, cases, observed, network, single)
            if time.monotonic() - begun_s > PATIENCE_S:
                notes += (UNFINISHED_SEARCH,)
    violated = () if assignment is None else violated_invariants(cases, observed, assignment)
    if any(c.diagnosis is not None and c.diagnosis.code.startswith("l2-") for c in checks):
        violated = tuple(s for s in violated if not s.startswith(LARGE_LOSS))  # that is why
    return Result(checks, violated, notes, problems[0] if problems else None)


def decided_by_network(
    checks: tuple[Check, ...], masks: frozenset[str] = frozenset()
) -> tuple[tuple[Check, ...], list[str]]:
    """Layers that were run alone, and the network that they make: what decides.

    Where a layer alone is wrong and so is the network, the layer is the place, and the network's
    gradients say no more. Where the network is right, a gradient of a layer that is a constant
    factor away is a convention: people divide by the batch size in every layer and not in the
    loss. A Dropout, and the gradient by the input of the first layer, are no part of it.

    Args:
        checks: All checks.
        masks: ``mask/2`` for each Dropout, which runs alone only.

    Returns:
        The checks that count, and sentences about conventions.
    """
    whole = [check for check in checks if check.in_network]
    alone_failed = [check for check in checks if not check.in_network and not check.passed]
    if not whole or not alone_failed:
        return checks, []
    if not all(check.passed for check in whole):
        return tuple(check for check in checks if not check.in_network), []
    layers = [check.name for check in checks if check.quantity == "activation"]
    outside = {f"{layers[0]}.input"} if layers else set()
    outside |= {f"{mask.removeprefix('mask/')}.input" for mask in masks}
    agreed = {
        check.key: check
        for check in alone_failed
        if check.quantity == "gradient" and check.ratio and check.name not in outside
    }
    if not agreed:
        return checks, []
    words = "; ".join(f"the {check_title(c)} alone is {c.ratio}" for c in agreed.values())
    sentence = (
        f"A convention of these layers: {words}. In the whole network this cancels, and all its "
        "gradients are right."
    )
    return tuple(check for check in checks if check.key not in agreed), [sentence]


OVERFLOW = Diagnosis(
    "softmax-overflow",
    "with logits near 1000 the result is no finite number, for exp of them overflows: subtract the "
    "largest logit of each row before exp, which changes nothing else",
)


def _with_overflow(
    checks: tuple[Check, ...],
    cases: Sequence[Case],
    observed: Sequence[Observed],
    single: frozenset[str],
) -> tuple[Check, ...]:
    """Name what fails at large logits alone, by values that are infinite or no numbers."""
    usual = [
        (case, one) for case, one in zip(cases, observed, strict=False) if not case.large_logits
    ]
    large = [one.values for case, one in zip(cases, observed, strict=False) if case.large_logits]
    usual_cases, usual_observed = [c for c, _ in usual], [o for _, o in usual]

    def overflows(check: Check) -> bool:
        if check.passed or not any(check.key in o.values for o in usual_observed):
            return False
        values = [found[check.key] for found in large if check.key in found]
        if all(np.isfinite(value).all() for value in values):
            return False
        return _check(check.key, usual_cases, usual_observed, check.key in single).passed

    keys = [check.key for check in checks if overflows(check)]
    return tuple(
        replace(check, diagnosis=OVERFLOW, shown_first_in=keys[0]) if check.key in keys else check
        for check in checks
    )


def _in_order(cases: Sequence[Case], observed: Sequence[Observed]) -> list[str]:
    """The quantities that were expected and observed, in the order of execution."""
    expected = dict.fromkeys(quantity for case in cases for quantity in case.expected)
    found = {quantity for one in observed for quantity in one.values}
    forward = dict.fromkeys(("activation", "buffer", *FORMS), 0)
    rank = {**forward, "loss": 1, "gradient": 2, "update": 3, "step": 4}
    return sorted((q for q in expected if q in found), key=lambda q: rank[q.partition("/")[0]])


def float32_quantities(
    quantities: Sequence[str], cases: Sequence[Case], observed: Sequence[Observed]
) -> frozenset[str]:
    """The quantities that a homework computes in float32, and that are judged by its rule.

    All of them, where it rounds what it is given or all of its values are numbers of float32; else
    those whose values are, one by one. Values that are mostly rounding noise, and numbers of so
    few digits that float16 has them, are no evidence: the gradient of a bias before a batch
    normalisation is such noise.
    """
    if any(one.single for one in observed):
        return frozenset(quantities)
    evidence: dict[str, bool] = {}  # quantity → whether all of its values are float32's
    for case, one in zip(cases, observed, strict=False):
        for quantity, found in one.values.items():
            if quantity not in case.expected or found.shape != case.expected[quantity].shape:
                continue
            size = np.broadcast_to(case.sizes[quantity], found.shape)
            with np.errstate(all="ignore"):
                telling = np.abs(case.expected[quantity]) > tolerances.NOISE_SHARE * size
                telling &= np.isfinite(found)
                telling &= found.astype(np.float16).astype(np.float64) != found
                rounded = found.astype(np.float32).astype(np.float64) == found
            if telling.any():
                evidence[quantity] = evidence.get(quantity, True) and bool(rounded[telling].all())
    if evidence and all(evidence.values()):
        return frozenset(quantities)
    return frozenset(quantity for quantity, single in evidence.items() if single)


def _check(
    quantity: str, cases: Sequence[Case], observed: Sequence[Observed], single: bool
) -> Check:
    """The comparison of one quantity in the case that is furthest beyond its tolerance."""
    found = [
        _check_in(quantity, case, one.values[quantity], case.expected[quantity], single)
        for case, one in zip(cases, observed, strict=False)
        if quantity in one.values and quantity in case.expected
    ]
    worst = max(found, key=lambda check: check.relative_error / check.tolerance)
    if worst.passed:
        return worst
    ratio = constant_ratio(quantity, cases, observed, single)
    return replace(worst, ratio="" if ratio is None else ratio.in_words())


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
    own = assignment.torch_loss
    dropouts: dict[str, float] = {}
    if isinstance(build, RecordedArchitecture):
        dropouts = build.dropout_probabilities()
    try:
        network = Network(
            build,
            own.criterion() if own is not None else LOSS_CLASSES[assignment.loss],
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
    single: frozenset[str],
) -> tuple[Check, ...]:
    """The checks, each failed one with the mistake that explains it if there is one."""

    def differs(quantity: str, number: int, right: Arrays) -> bool:
        found = observed[number].values.get(quantity)
        if found is None or quantity not in cases[number].expected:
            return False
        if quantity not in right or found.shape != right[quantity].shape:
            return True
        expected, sizes = right[quantity], cases[number].sizes[quantity]
        if found.size > SAMPLE and quantity not in single:  # most mistakes show in a few values
            tolerance = cases[number].tolerances.get(quantity, tolerances.HOMEWORK)
            few = slice(None, None, found.size // SAMPLE)
            part = np.broadcast_to(sizes, found.shape).reshape(-1)[few]
            left, wanted = found.reshape(-1)[few], expected.reshape(-1)[few]
            if _relative(left, wanted, np.maximum(part, np.abs(wanted))).max() > tolerance:
                return True
        # Where the right value is a sum of zeros, that of a mistake may not be.
        size = np.maximum(sizes, np.abs(expected))
        case = replace(cases[number], sizes={quantity: size})
        return not _check_in(quantity, case, found, expected, quantity in single).passed

    # What overflows is named already; it would hide every other mistake.
    known = {check.key for check in checks if check.diagnosis is not None}
    quantities = [quantity for quantity in quantities if quantity not in known]
    telling = [
        (case, one)
        for case, one in zip(cases, observed, strict=False)
        if not case.large_logits or all(np.isfinite(v).all() for v in one.values.values())
    ]
    cases, observed = [case for case, _ in telling], [one for _, one in telling]
    values = [one.values for one in observed]
    findings = explain(network, cases, values, differs, quantities)
    named = {quantity: finding for finding in findings for quantity in finding.accounts_for}
    return tuple(
        replace(
            check, diagnosis=named[check.key].diagnosis, shown_first_in=named[check.key].quantity
        )
        if check.key in named and not check.passed and check.diagnosis is None
        else check
        for check in checks
    )
