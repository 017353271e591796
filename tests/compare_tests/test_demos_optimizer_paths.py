"""Optimizers on the surface x²/p + y²/q: the paths by plain formulas, and their certificate."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numpy_nn
from compare.demos import optimizer_paths
from compare.demos.claims import largest_distance, measure_paths
from compare.demos.optimizer_paths import follow_path
from compare.spec.demos import OptimizerPaths
from compare.spec.loading import load_settings

START = (-7.0, 2.0)


def settings_of(*changes: str) -> OptimizerPaths:
    return load_settings("optimizer_paths", changes)[1]


@pytest.fixture(scope="module")
def settings() -> OptimizerPaths:
    return settings_of()


@pytest.fixture(scope="module")
def followed(settings):
    """Label → the training's record and its rows."""
    return {label: follow_path(settings, label, settings.steps) for label in settings.optimizers}


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


def path_of(tables, backend):
    rows = [row for row in tables["paths"] if row.backend == backend]
    assert [row.step for row in rows] == list(range(len(rows)))
    return rows


def failures(tables):
    return [row for row in tables["parity"] if not row.passed]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("label", FORMULAS)
def test_the_textbook_s_paths(followed, backend, label):
    rows = path_of(followed[label][1], backend)
    expected = np.array(FORMULAS[label](30))
    # float32: a hundred roundings of numbers below 7.
    np.testing.assert_allclose([(row.x, row.y) for row in rows], expected, atol=1e-5)
    values = expected[:, 0] ** 2 / 20 + expected[:, 1] ** 2
    np.testing.assert_allclose([row.value for row in rows], values, rtol=2e-4)


@pytest.mark.parametrize("label", FORMULAS)
def test_the_textbook_s_paths_in_float64(label):
    training, tables = follow_path(settings_of("dtype=float64"), label, 12)
    assert failures(tables) == []
    assert {row.dtype for row in tables["parity"]} == {"float64"}
    assert len(tables["parity"]) == training.parity_rows
    for backend in ("numpy", "torch"):
        points = [(row.x, row.y) for row in path_of(tables, backend)]
        np.testing.assert_allclose(points, FORMULAS[label](12), rtol=1e-11, atol=1e-13)


def test_other_divisors_and_another_start():
    changes = ["divisors=[3,8]", "start=[1.5,-4]", "optimizers={SGD={lr=0.5}}", "steps=7"]
    _, tables = follow_path(settings_of(*changes), "SGD", 7)
    assert failures(tables) == []
    expected = [(1.5 * (1 - 1 / 3) ** t, -4 * (1 - 1 / 8) ** t) for t in range(8)]
    points = [(row.x, row.y) for row in path_of(tables, "numpy")]
    np.testing.assert_allclose(points, expected, rtol=1e-5)


@pytest.mark.parametrize("label", FORMULAS)
def test_every_step_is_certified_in_both_precisions(followed, label):
    training, tables = followed[label]
    parity = tables["parity"]
    assert training.initial.differing_bits == 0
    assert training.steps == 30
    assert training.parity_rows == len(parity)
    assert {(row.label, row.seed) for row in parity} == {(label, training.seed)}
    assert next(row.site for row in parity if row.dtype == "float32") == "initial/point"
    for step in range(30):
        for dtype in ("float32", "float64"):
            sites = [r.site for r in parity if (r.step, r.dtype) == (step, dtype)]
            assert "forward/f/output" in sites
            assert "gradient/point" in sites
            assert sites[-1] == "update/point"
    assert failures(tables) == []


@pytest.mark.parametrize(
    "algorithm", ["AdamW", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop"]
)
def test_every_other_optimizer(algorithm):
    settings = settings_of(f"optimizers={{{algorithm}={{lr=0.1}}}}")
    _, tables = follow_path(settings, algorithm, 6)
    assert failures(tables) == []
    assert largest_distance(measure_paths(tables["paths"]), algorithm) < 1e-4


def test_a_wrong_epsilon_is_found(settings, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **arguments):
        original(self, params, **{**arguments, "eps": 1e-4})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    found = failures(follow_path(settings, "Adam", 3)[1])
    assert {row.site for row in found} == {"update/point"}
    assert {row.step for row in found} == {0, 1, 2}


# The last is a slope that is wrong in its tenth digit: float32 cannot show it.
@pytest.mark.parametrize(
    ("value_error", "slope_error", "site", "dtypes"),
    [
        (1e-5, 0.0, "forward/f/output", {"float32", "float64"}),
        (0.0, 1e-5, "gradient/point", {"float32", "float64"}),
        (0.0, 1e-10, "gradient/point", {"float64"}),
    ],
)
def test_a_wrong_formula_is_found(settings, monkeypatch, value_error, slope_error, site, dtypes):
    original = optimizer_paths.surface

    def wrong(at, divisors):
        value, gradient = original(at, divisors)
        factors = (at.dtype.type(1 + error) for error in (value_error, slope_error))
        return tuple(a * factor for a, factor in zip((value, gradient), factors, strict=True))

    monkeypatch.setattr(optimizer_paths, "surface", wrong)
    found = failures(follow_path(settings, "SGD", 2)[1])
    assert {row.site for row in found} == {site}
    assert {row.dtype for row in found} == dtypes


def test_a_path_that_runs_away_is_recorded_and_no_mistake():
    settings = settings_of("optimizers={SGD={lr=50}}")
    _, tables = follow_path(settings, "SGD", 25)
    assert failures(tables) == []
    assert not np.isfinite(tables["paths"][25].y)
