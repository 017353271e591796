"""A result in Gradescope's form: https://gradescope-autograders.readthedocs.io/en/latest/specs/."""

from __future__ import annotations

import json
from typing import Any

from compare.check.evidence import Check
from compare.check.outcome import Outcome
from compare.check.wording import distance, explanation, number, title, where


def gradescope_json(outcome: Outcome, points: float = 100.0) -> str:
    """The text of ``results.json``: a test for each quantity, all of the same worth.

    A quantity that was asked for and never came counts as failed.
    """
    checks = {_quantity(check): check for check in outcome.result.checks}
    quantities = list(dict.fromkeys((*checks, *outcome.asked)))
    worth = points / max(len(quantities), 1)
    tests = [
        _test(quantity, checks.get(quantity), worth, outcome.result.error)
        for quantity in quantities
    ]
    # A fault of the whole, such as changed arguments, costs everything but what was shown wrong.
    tree: dict[str, Any] = {
        "score": round(sum(test["score"] for test in tests), 6),
        "output": explanation(outcome),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    if not tests:
        tree["tests"] = [
            {
                "name": "could be checked",
                "score": 0.0,
                "max_score": points,
                "status": "failed",
                "output": outcome.result.error or "",
                "visibility": "visible",
            }
        ]
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _test(quantity: str, check: Check | None, worth: float, error: str | None) -> dict[str, Any]:
    passed = check is not None and check.passed
    if check is None:
        output = f"There was no answer: {error or 'it was not asked for.'}"
        name = title(_placeholder(quantity))
    else:
        name = title(check)
        output = distance(check)
        if not check.passed:
            output = (
                f"At {where(check)}: expected {number(check.expected_there)}, found "
                f"{number(check.found_there)}; {output}."
            )
        if check.diagnosis is not None:
            output += f"\n{check.diagnosis.code}: {check.diagnosis.explanation}"
    return {
        "name": name,
        "score": round(worth, 6) if passed else 0.0,
        "max_score": round(worth, 6),
        "status": "passed" if passed else "failed",
        "output": output,
        "visibility": "visible",
    }


def _quantity(check: Check) -> str:
    return check.quantity if check.name == check.quantity else f"{check.quantity}/{check.name}"


def _placeholder(quantity: str) -> Check:
    kind, _, name = quantity.partition("/")
    return Check(kind, name or kind, False, float("inf"), 0.0)
