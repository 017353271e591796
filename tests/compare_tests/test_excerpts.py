"""The few lines of code that a report shows beside a formula."""

from __future__ import annotations

import ast
import builtins

import pytest

import numpy_nn
from compare.training.excerpts import (
    LAYER_METHODS,
    MOST_LINES,
    OPTIMIZER_METHODS,
    bare,
    excerpt,
)


def checked(x: int, y: int) -> int:
    """A docstring of

    several lines.
    """
    check_sum(x, y)
    if x < 0:
        raise ValueError("x")
    z = x + y  # the sum
    if z > 3:
        z = 3
    return z


def check_sum(x: int, y: int) -> None:
    pass


def test_docstrings_and_checks_are_left_out() -> None:
    assert bare(checked) == (
        "def checked(x: int, y: int) -> int:\n"
        "    z = x + y  # the sum\n"
        "    if z > 3:\n"
        "        z = 3\n"
        "    return z"
    )


@pytest.mark.parametrize("name", ["Linear", "BatchNorm1d", "LeakyReLU", "CrossEntropyLoss"])
def test_an_excerpt_is_short_code(name: str) -> None:
    found = excerpt(getattr(numpy_nn, name), LAYER_METHODS)
    assert "def backward" in found
    assert '"""' not in found
    lines = [line for line in found.splitlines() if line and not line.startswith("# ")]
    assert 5 <= len(lines) <= MOST_LINES
    ast.parse(found)


@pytest.mark.parametrize(
    "name", ["Linear", "BatchNorm1d", "LeakyReLU", "CrossEntropyLoss", "Conv2d"]
)
def test_nothing_that_is_called_is_left_unsaid(name: str) -> None:
    """But what NumPy and Python have."""
    found = excerpt(getattr(numpy_nn, name), LAYER_METHODS)
    said = {line[2:].partition(":")[0] for line in found.splitlines() if line.startswith("# ")}
    assert not said & vars(builtins).keys()
    defined = {f.name for f in ast.walk(ast.parse(found)) if isinstance(f, ast.FunctionDef)}
    for node in ast.walk(ast.parse(found)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            own = called.removeprefix("self.")
            if "." not in own and not hasattr(builtins, own):
                assert own in said | defined, own


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_shows_its_update(name: str) -> None:
    assert "def _update" in excerpt(getattr(numpy_nn.optim, name), OPTIMIZER_METHODS)


def test_a_class_without_such_methods_has_no_excerpt() -> None:
    assert excerpt(numpy_nn.Module, LAYER_METHODS) == ""
