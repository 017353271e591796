"""A small homework that is right, and ways to change, write and check it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from compare.check.checking import Options, Outcome, check_homework

RIGHT = '''
import numpy as np

LOSS = "cross_entropy"
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}


def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))


def hidden(params, x):
    return np.maximum(x @ params["W1"] + params["b1"], 0)


def forward(params, x):
    return hidden(params, x) @ params["W2"] + params["b2"]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(params, x, y):
    return -np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()


def gradients(params, x, y):
    h = hidden(params, x)
    dz = softmax(h @ params["W2"] + params["b2"])
    dz[np.arange(len(y)), y] -= 1
    dz = dz / len(y)
    dh = dz @ params["W2"].T * (h > 0)
    return {"W1": x.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0)}
'''


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a homework: the right one with some of its text replaced, or another text."""

    def make(*changes: tuple[str, str], text: str = RIGHT, name: str = "homework.py") -> Path:
        text = textwrap.dedent(text)
        for old, new in changes:
            assert old in text, f"nothing to replace: {old}"
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def check(write) -> Callable[..., Outcome]:
    """Write a homework and check it."""

    def run(*changes: tuple[str, str], text: str = RIGHT, **options) -> Outcome:
        settings = {"timeout_s": 20.0, **options}
        return check_homework(write(*changes, text=text), Options(**settings))

    return run
