"""Optimizers on the bowl: the paths by plain formulas, the certificate, what the paths show."""

from __future__ import annotations

import math

import numpy as np
import pytest

import compare.demos.walk as walk_module
import numpy_nn
from compare.demos.path_facts import all_facts, findings, largest_gap, path_facts
from compare.demos.records import PathRow
from compare.demos.walk import walk
from compare.spec.demos import OptimizerPaths
from compare.spec.loading import load_form

START = (-7.0, 2.0)


@pytest.fixture(scope="module")
def form() -> OptimizerPaths:
    return load_form("optimizer_paths")[1]


@pytest.fixture(scope="module")
def rows(form):
    """Both sides' paths with all four optimizers."""
    return [row for label in form.optimizers for row in walk(form, label, form.steps)[2]]


def slope(x, y):
    """The gradient of x²/20 + y²."""
    return x / 10, 2 * y


def sgd(steps):
    """In closed form: 0.95 of the gradient leaves 1 − 0.95/10 of x and 1 − 1.9 of y."""
    return [(-7 * (1 - 0.95 / 10) ** t, 2 * (1 - 2 * 0.95) ** t) for t in range(steps + 1)]


def momentum(steps):
    """The textbook's: v ← 0.9 v − 0.1 g, θ ← θ + v."""
    (x, y), u, v = START, 0.0, 0.0
    path = [(x, y)]
    for _ in range(steps):
        dx, dy = slope(x, y)
        u, v = 0.9 * u - 0.1 * dx, 0.9 * v - 0.1 * dy
        x, y = x + u, y + v
        path.append((x, y))
    return path


def adagrad(steps):
    (x, y), a, b = START, 0.0, 0.0
    path = [(x, y)]
    for _ in range(steps):
        dx, dy = slope(x, y)
        a, b = a + dx * dx, b + dy * dy
        x, y = x - 1.5 * dx / (math.sqrt(a) + 1e-10), y - 1.5 * dy / (math.sqrt(b) + 1e-10)
        path.append((x, y))
    return path


def adam(steps):
    """Algorithm 1 of Kingma and Ba."""
    point, m, v = list(START), [0.0, 0.0], [0.0, 0.0]
    path = [tuple(point)]
    for t in range(1, steps + 1):
        for i, g in enumerate(slope(*point)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            point[i] -= 0.3 * hat[0] / (math.sqrt(hat[1]) + 1e-8)
        path.append(tuple(point))
    return path


FORMULAS = {"SGD": sgd, "Momentum": momentum, "AdaGrad": adagrad, "Adam": adam}


def found(rows, backend, label):
    chosen = [row for row in rows if (row.backend, row.label) == (backend, label)]
    assert [row.step for row in chosen] == list(range(len(chosen)))
    return chosen


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("label", FORMULAS)
def test_the_textbook_s_paths(rows, backend, label):
    path = found(rows, backend, label)
    expected = np.array(FORMULAS[label](30))
    # float32: a hundred roundings of numbers below 7.
    np.testing.assert_allclose([row[3:5] for row in path], expected, atol=1e-5)
    values = expected[:, 0] ** 2 / 20 + expected[:, 1] ** 2
    np.testing.assert_allclose([row.value for row in path], values, rtol=2e-4)


@pytest.mark.parametrize("label", FORMULAS)
def test_the_textbook_s_paths_in_float64(label):
    form = load_form("optimizer_paths", ["dtype=float64"])[1]
    part, parity, rows = walk(form, label, 30)
    assert all(row.passed for row in parity)
    assert {row.dtype for row in parity} == {"float64"}
    assert len(parity) == part.parity_rows
    for backend in ("numpy", "torch"):
        points = [row[3:5] for row in found(rows, backend, label)]
        np.testing.assert_allclose(points, FORMULAS[label](30), rtol=1e-11, atol=1e-13)


def test_other_divisors_and_another_start():
    changes = ["divisors=[3,8]", "start=[1.5,-4]", "optimizers={SGD={lr=0.5}}", "steps=7"]
    form = load_form("optimizer_paths", changes)[1]
    _, parity, rows = walk(form, "SGD", 7)
    assert all(row.passed for row in parity)
    expected = [(1.5 * (1 - 1 / 3) ** t, -4 * (1 - 1 / 8) ** t) for t in range(8)]
    np.testing.assert_allclose([r[3:5] for r in found(rows, "numpy", "SGD")], expected, rtol=1e-5)


@pytest.mark.parametrize("label", FORMULAS)
def test_every_step_is_certified_in_both_precisions(form, label):
    part, parity, _ = walk(form, label, 4)
    assert part.initial.differing_bits == 0
    assert next(row.site for row in parity if row.dtype == "float32") == "initial/point"
    for step in range(4):
        for dtype in ("float32", "float64"):
            sites = [r.site for r in parity if (r.step, r.dtype) == (step, dtype)]
            assert "forward/f/output" in sites
            assert "gradient/point" in sites
            assert sites[-1] == "update/point"
    assert all(row.passed for row in parity)


@pytest.mark.parametrize(
    "algorithm", ["AdamW", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop"]
)
def test_every_other_optimizer(algorithm):
    form = load_form("optimizer_paths", [f"optimizers={{{algorithm}={{lr=0.1}}}}"])[1]
    _, parity, rows = walk(form, algorithm, 10)
    assert all(row.passed for row in parity)
    assert largest_gap(all_facts(rows), algorithm) < 1e-4


def test_a_wrong_epsilon_is_found(form, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **settings):
        original(self, params, **{**settings, "eps": 1e-4})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    _, parity, _ = walk(form, "Adam", 3)
    failures = [row for row in parity if not row.passed]
    assert {row.site for row in failures} == {"update/point"}
    assert {row.step for row in failures} == {0, 1, 2}


@pytest.mark.parametrize("where", ["value", "gradient"])
def test_a_wrong_formula_is_found(form, monkeypatch, where):
    def wrong(at, divisors):
        value, gradient = walk_original(at, divisors)
        factor = at.dtype.type(1 + 1e-5)
        return (value * factor, gradient) if where == "value" else (value, gradient * factor)

    walk_original = walk_module.bowl
    monkeypatch.setattr(walk_module, "bowl", wrong)
    _, parity, _ = walk(form, "SGD", 2)
    failures = {row.site for row in parity if not row.passed}
    assert failures == {"forward/f/output" if where == "value" else "gradient/point"}


def test_a_path_that_runs_away_is_recorded_and_no_mistake():
    form = load_form("optimizer_paths", ["optimizers={SGD={lr=50}}", "steps=60"])[1]
    _, parity, rows = walk(form, "SGD", 60)
    assert all(row.passed for row in parity)
    assert not np.isfinite(rows[60].y)


def path(backend, label, points):
    return [PathRow(backend, label, k, x, y, x * x + y * y) for k, (x, y) in enumerate(points)]


def test_the_numbers_of_a_path():
    fact = path_facts(path("numpy", "a", [(0, 3), (4, 0), (4, -2), (4, 2), (4, 3)]), "numpy", "a")
    assert fact.steps == 4
    assert fact.length == 5 + 2 + 4 + 1
    assert fact.direct == 4
    assert fact.detour == 3
    assert fact.across == 3 + 2 + 4 + 1
    # Once down by way of the floor itself, once up.
    assert fact.crossings == 2


def test_a_path_that_returns_has_no_straight_line():
    fact = path_facts(path("numpy", "a", [(1, 1), (2, 2), (1, 1)]), "numpy", "a")
    assert fact.detour == math.inf


def test_the_textbook_s_claims_hold(rows):
    """Counted by hand in the closed forms: SGD's y changes its sign at each of 30 steps."""
    facts = all_facts(rows)
    assert facts["numpy", "SGD"].crossings == 30
    points = np.array(sgd(30))
    length = np.hypot(*np.diff(points, axis=0).T).sum()
    assert facts["torch", "SGD"].length == pytest.approx(length, rel=1e-5)
    assert [finding.decision for finding in findings(facts)] == ["supported"] * 4


def test_claims_that_do_not_hold(rows):
    """SGD's path in the place of all others: none is more direct, none swings less."""
    facts = all_facts(rows)
    same = {key: facts[key[0], "SGD"] for key in facts}
    assert [finding.decision for finding in findings(same)] == ["not supported"] * 4


def test_claims_on_which_the_sides_differ(rows):
    facts = all_facts(rows)
    differing = {**facts, ("torch", "SGD"): facts["torch", "AdaGrad"]}
    found = findings(differing)
    assert [finding.decision for finding in found] == ["undecided"] * 3 + ["supported"]
    assert "the two sides differ" in found[0].reason


def test_claims_about_optimizers_that_were_not_run(rows):
    facts = {k: v for k, v in all_facts(rows).items() if k[1] in ("Momentum", "Adam")}
    found = findings(facts)
    assert [finding.decision for finding in found] == ["undecided"] * 3 + ["supported"]
    assert "no optimizer with the label SGD and AdaGrad" in found[0].reason


def test_an_error_below_float32_s_rounding_is_found_in_float64(form, monkeypatch):
    """A slope that is wrong in its tenth digit: float32 cannot show it."""
    original = walk_module.bowl

    def wrong(at, divisors):
        value, gradient = original(at, divisors)
        return value, gradient * at.dtype.type(1 + 1e-10)

    monkeypatch.setattr(walk_module, "bowl", wrong)
    _, parity, _ = walk(form, "SGD", 2)
    failures = {(row.dtype, row.site) for row in parity if not row.passed}
    assert failures == {("float64", "gradient/point")}
