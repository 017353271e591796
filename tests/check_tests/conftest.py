"""A small homework that is right, and ways to change, write and check it."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from compare.check.checking import Options, Outcome, check_homework

RIGHT = """
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
"""

ADAM = """
def update(params, grads, state):
    t = state["t"] = state.get("t", 0) + 1
    new = {}
    for k, g in grads.items():
        m = state[k, "m"] = 0.9 * state.get((k, "m"), 0) + 0.1 * g
        v = state[k, "v"] = 0.999 * state.get((k, "v"), 0) + 0.001 * g * g
        new[k] = params[k] - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return new
"""


@pytest.fixture
def adam() -> tuple[str, str]:
    """The change that adds a right Adam with lr = 0.01."""
    return ("def hidden", f"{ADAM.lstrip()}\n\ndef hidden")


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


class Ended(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def nncompare(monkeypatch, capfd) -> Callable[..., Ended]:
    """Call the command line in this process."""

    def call(*arguments: object) -> Ended:
        from compare import cli

        monkeypatch.setattr(sys, "argv", ["nncompare", *map(str, arguments)])
        before = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            signal.signal(signal.SIGTERM, before)
        captured = capfd.readouterr()
        return Ended(ending.value.code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def golden(tmp_path_factory) -> Path:
    """A golden file of the right homework's network, with updates."""
    from compare.check.assignment import recorded_architecture
    from compare.check.cases import Wanted, make_cases
    from compare.check.evidence import Assignment
    from compare.check.golden import Golden, write_golden

    folder = tmp_path_factory.mktemp("golden")
    source = folder / "net.py"
    source.write_text(
        "def net(nn):\n    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))\n"
    )
    build = recorded_architecture(f"{source}:net")
    assignment = Assignment("net", build, "cross_entropy", "Adam", {"lr": 0.01})
    write_golden(
        folder / "net.npz", Golden(assignment, make_cases(assignment, Wanted(layers=True)))
    )
    return folder / "net.npz"
