"""What the rows of parity.csv add up to."""

from __future__ import annotations

import math

from compare.analysis.verdict import explain, verdict
from compare.records.tables import ParityRow


def row(site: str, error: float, bound: float, step: int = 0, passed: bool | None = None):
    passed = error <= bound if passed is None else passed
    return ParityRow("SGD", 0, step, "float32", site, error, 0.5, bound, passed)


def test_all_pass():
    found = verdict([row("b", 1.0, 2.0, 3), row("a", 3.0, 4.0, 1), row("c", 0.0, 0.0, 1)])
    assert found.passed
    assert (found.compared, found.failed, found.first_divergence) == (3, 0, None)
    assert found.worst == 0.75
    assert found.steps == (1, 3)


def test_the_first_failure_is_the_first_in_order_of_execution():
    """Not the first by name, nor the worst."""
    rows = [row("z", 1.0, 2.0), row("y", 3.0, 2.0), row("a", 9.0, 2.0), row("b", 2.0, 2.0)]
    found = verdict(rows)
    assert not found.passed
    assert found.failed == 2
    assert found.first_divergence is rows[1]
    assert found.worst == 1.0  # among those that pass


def test_bounds_below_one_count_too():
    assert verdict([row("a", 2e-7, 1e-6)]).worst == 0.2


def test_nothing_compared_is_no_pass():
    found = verdict([])
    assert not found.passed
    assert found.worst == 0.0
    assert found.steps == ()


def test_explain():
    message = explain(row("gradient/1.weight", 3e-5, 1e-6, 12))
    assert message == (
        "step 12, float32, gradient/1.weight: NumPy is 3.00e-05 from the float64 referee, PyTorch "
        "5.00e-01; allowed are 1.00e-06, and the smallest tolerance that would pass is 3.00e-05"
    )


def test_explain_what_no_tolerance_would_pass():
    for error in (math.inf, math.nan):
        message = explain(row("forward/1/output", error, 1e-6, passed=False))
        assert message.endswith("and no tolerance would pass")


def test_explain_step_0_and_shuffles():
    assert explain(row("initial/0.weight", 17.0, 0.0)) == (
        "step 0: 0.weight starts with 17 bits different"
    )
    assert explain(row("shuffle", math.inf, 0.0, 30)) == (
        "step 30: the two generators shuffle the rows in different orders"
    )
