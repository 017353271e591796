"""The names of a homework's arrays, read from its source, its calls and what initialises them."""

from __future__ import annotations

import ast
import operator

import numpy as np
import pytest

from compare.check.own_names import (
    INITIALISING,
    MOST_OPERATIONS,
    READERS,
    AnyLabels,
    Anything,
    _AnyArrays,
    _Budget,
    known_shapes,
    names_in_source,
    names_read,
    source_trees,
)

SOURCE = """
def hidden(p, x):
    return x @ p["W1"] + p["b1"]

def forward(params, x):
    other["no"]
    h = helper(x, params)
    return hidden(params, x) @ params["W2"] + params[0] + params[name]

def helper(x, q):
    return q["W0"], forward(q, x)

def loss(params, x, y):
    return len(params), unknown(params), hidden(*x), params["c"]

def network():
    return p["none"]

def only(params, /, x):
    return params["d"]
"""


@pytest.mark.parametrize(
    ("functions", "names"),
    [
        (["forward"], ["W0", "W1", "b1", "W2"]),
        (["loss"], ["c"]),
        (["loss", "forward"], ["c", "W0", "W1", "b1", "W2"]),
        (["network"], []),
        (["only"], ["d"]),
        (["gone"], []),
    ],
)
def test_names_in_the_source(functions, names) -> None:
    assert names_in_source([ast.parse(""), ast.parse(SOURCE)], functions) == names


def forward_of_here(params, x):
    return x @ params["V"]


def test_the_source_of_functions() -> None:
    trees = source_trees([len, forward_of_here, eval("lambda p: p")])
    assert names_in_source(trees, ["forward_of_here"]) == ["V"]
    assert len(trees) == 1


def test_the_arguments_of_the_functions() -> None:
    assert READERS == {
        "forward": 1, "loss": 2, "gradients": 2, "loss_and_gradients": 2, "step": 3, "network": 0,
    }  # fmt: skip


def test_names_that_are_read_in_a_call() -> None:
    def gradients(p, x, y):
        n, _ = x.shape
        W = p["W" + str(len(p))]
        total = 0
        for i in range(int(n)):
            total = total + np.exp(x[i] @ W) - p.get("b", 0)
        assert "any" in p
        return {"W4": total, 3: 1, "b": y}

    found = names_read("gradients", gradients, 4, 2)
    assert found == (["W4", "b"], ["W4", "b"])
    assert names_read("forward", lambda p, x: {"y": p["W"]}, 1, 2) == (["W"], [])
    both = names_read("loss_and_gradients", lambda p, x, y: (p["W"], {"W": 1}), 1, 2)
    assert both == (["W"], ["W"])
    assert names_read("loss", lambda p, x, y: (p["W"], {"W": 1}), 1, 2) == (["W"], [])
    assert names_read("step", lambda p, x, y, s: {**s, "W": p["W"]}, 1, 2) == (["W"], ["W"])
    assert names_read("network", lambda p: [p["A"], p["B"]], 1, 2) == (["A", "B"], [])
    assert names_read("loss", lambda p, x, y: 1 / 0 if p["W"] else 0, 1, 2) == (["W"], [])
    assert names_read("loss", lambda p, x: p["W"], 1, 2) == ([], [])

    def endless(p, x):
        p["W"]
        while True:
            x = x + 1

    assert names_read("forward", endless, 1, 2) == (["W"], [])

    def images(p, x):
        _, _, _, _ = x.shape
        return p["K"]

    assert names_read("forward", images, 1, 4) == (["K"], [])
    assert names_read("forward", images, 1, 2) == ([], [])


def test_arrays_of_any_name() -> None:
    found: dict[str, None] = {}
    params = _AnyArrays(found, 3, _Budget(2))
    assert isinstance(params["W"], Anything)
    assert isinstance(params.get("b", 7), Anything)
    params[3]
    assert (len(params), 5 in params, list(found)) == (3, True, ["W", "b"])


BOTH = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_")
ASKED = {
    "call": lambda a: a(1, k=2), "item": lambda a: a[1, :], "attribute": lambda a: a.T,
    "method": lambda a: a.sum(axis=0), "neg": operator.neg, "pos": operator.pos, "abs": abs,
    "invert": operator.invert, "round": round, "eq": lambda a: a == 1, "ne": lambda a: a != 1,
    "lt": lambda a: a < 1, "le": lambda a: a <= 1, "gt": lambda a: a > 1, "ge": lambda a: a >= 1,
    **{name: (lambda a, name=name: getattr(operator, name)(a, 2)) for name in BOTH},
    **{f"{name}, turned": (lambda a, name=name: getattr(operator, name)(2, a)) for name in BOTH},
    "ufunc": np.exp, "array": lambda a: np.ones(2) * a,
}  # fmt: skip


@pytest.mark.parametrize("how", ASKED)
def test_each_operation_gives_another_and_costs_one(how) -> None:
    budget = _Budget(2)
    found = ASKED[how](Anything(budget))
    assert type(found) is Anything
    assert budget.left <= MOST_OPERATIONS - 1


def test_what_else_may_be_asked_of_anything() -> None:
    budget = _Budget(3)
    one, labels = Anything(budget), AnyLabels(budget)

    def cost(ask) -> tuple:
        before = budget.left
        return ask(), before - budget.left

    assert cost(lambda: operator.index(one)) == (1, 1)
    assert cost(lambda: int(one)) == (1, 1)
    assert cost(lambda: len(one)) == (1, 1)
    assert cost(lambda: operator.index(labels)) == (0, 1)
    assert cost(lambda: bool(one)) == (True, 1)
    assert cost(lambda: float(one)) == (1.0, 0)
    assert cost(lambda: setattr(one, "x", 1)) == (None, 1)
    assert cost(lambda: operator.setitem(one, 0, 1)) == (None, 1)
    assert cost(lambda: len(list(iter(one)))) == (3, 3)
    array, spent = cost(lambda: np.asarray(one, np.float32))
    assert (array.tolist(), array.dtype, spent) == ([[1, 1], [1, 1]], np.float32, 1)
    assert type(labels + 1) is AnyLabels
    with pytest.raises(AttributeError, match="__wrapped__"):
        one.__wrapped__  # noqa: B018
    budget.left = 1
    one + 1
    with pytest.raises(RuntimeError, match=r"^too many operations$"):
        one + 1
    assert MOST_OPERATIONS == 20_000


@pytest.mark.parametrize(
    ("name", "initialises"),
    [
        ("init", True), ("initialize_parameters", True), ("initialise_network", True),
        ("make_params", True), ("create_model_2", True), ("initWeights", True), ("INIT", True),
        ("make", True), ("createlayers", True), ("make_plot", False), ("my_init", False),
        ("initial", False), ("init_data", False),
    ],
)  # fmt: skip
def test_what_initialises_arrays(name, initialises) -> None:
    assert bool(INITIALISING.match(name)) is initialises


def test_shapes_of_arrays_that_are_made() -> None:
    def no_argument():
        return {"W": np.ones((2, 3)), "b": np.ones(3)}

    def by_list(sizes):
        sizes.append(9)
        return {f"W{i}": np.ones(sizes[i : i + 2]) for i in range(2)}, "cache"

    def by_sizes(n, h, o):
        np.random.rand(5)  # noqa: NPY002
        return {"W": np.ones((n, h + o))}

    sizes = [4, 5, 6]
    known = {"W": [2, 3], "b": [3]}
    assert known_shapes({"init": no_argument}, sizes) == known
    assert known_shapes({"make_net": by_list}, sizes) == {"W0": [4, 5], "W1": [5, 6]}
    assert sizes == [4, 5, 6]
    draws = np.random.get_state()[1].copy()  # noqa: NPY002
    assert known_shapes({"init_params": by_sizes}, sizes) == {"W": [4, 11]}
    np.testing.assert_array_equal(np.random.get_state()[1], draws)  # noqa: NPY002
    assert known_shapes({"build": no_argument}, sizes) == {}
    assert known_shapes({"init": dict, "params": {"W": np.ones(2)}}, sizes) == {"W": [2]}
    assert known_shapes({"_params": {"W": np.ones(2)}}, sizes) == {}
    for value in ({}, {"W": 3}, {3: np.ones(2)}, [np.ones(2)], {"W": np.ones(2), "n": 1}):
        assert known_shapes({"params": value, "init": lambda value=value: value}, sizes) == {}
