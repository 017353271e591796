"""The few lines of code that a report shows beside a formula."""

from __future__ import annotations

import ast

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
    assert 5 <= len([line for line in found.splitlines() if line]) <= MOST_LINES
    ast.parse(found)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_shows_its_update(name: str) -> None:
    assert "def _update" in excerpt(getattr(numpy_nn.optim, name), OPTIMIZER_METHODS)


def test_a_class_without_such_methods_has_no_excerpt() -> None:
    assert excerpt(numpy_nn.Module, LAYER_METHODS) == ""
