"""A result as JSON, in the form of schema 1 (docs/checking.md)."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from compare.check.evidence import Check, Result

SCHEMA = 1


def as_json(result: Result) -> str:
    """The text of the file that ``--json`` writes."""
    first = result.first_divergence
    tree: dict[str, Any] = {
        "schema": SCHEMA,
        "passed": result.passed,
        "checks": [_check(check) for check in result.checks],
        "first_divergence": first and {"quantity": first.quantity, "name": first.name},
        "error": result.error,
    }
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check(check: Check) -> dict[str, Any]:
    diagnosis = check.diagnosis
    return {
        "quantity": check.quantity,
        "name": check.name,
        "passed": check.passed,
        "relative_error": _finite(check.relative_error),
        "tolerance": _finite(check.tolerance),
        "diagnosis": diagnosis and {"code": diagnosis.code, "explanation": diagnosis.explanation},
    }


def _finite(value: float) -> float:
    """JSON has no infinity; the largest number stands for it."""
    return value if math.isfinite(value) else sys.float_info.max
