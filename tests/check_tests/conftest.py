"""A small homework that is right, and ways to change, write and check it.

Most tests check it in this process (``check``, ``nncompare``), with the requests that a sandbox
would get. Those in which the process matters start one (``check_in_sandbox``, ``command_line``).
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from planted.in_process import check_in_process

from compare.check.checking import check_homework
from compare.check.reading import Options
from compare.check.result import Outcome

PLANTED = Path(__file__).parents[1] / "planted"

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


@pytest.fixture(autouse=True)
def same_questions(monkeypatch) -> None:
    """Let the command line draw the same questions each time, as tests that compare texts need."""
    monkeypatch.setattr("compare.commands.check.new_seed", lambda: 20240601)


@pytest.fixture
def right() -> str:
    """The text of the right homework."""
    return RIGHT


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
    """Write a homework and check it in this process."""

    def run(*changes: tuple[str, str], text: str = RIGHT, **options) -> Outcome:
        return check_in_process(write(*changes, text=text), Options(**options))

    return run


@pytest.fixture
def check_in_sandbox(write) -> Callable[..., Outcome]:
    """Write a homework and check it in a process of its own."""

    def run(*changes: tuple[str, str], text: str = RIGHT, **options) -> Outcome:
        settings = {"timeout_s": 20.0, **options}
        return check_homework(write(*changes, text=text), Options(**settings))

    return run


@pytest.fixture
def nncompare(command_line, monkeypatch) -> Callable[..., Any]:
    """The command line, with homeworks run in this process."""
    monkeypatch.setattr("compare.commands.check.check_homework", check_in_process)
    return command_line


@pytest.fixture(scope="session")
def golden(tmp_path_factory) -> Path:
    """A golden file of the right homework's network, with updates."""
    from compare.check.architecture import load_architecture
    from compare.check.cases import make_cases
    from compare.check.contract import Assignment
    from compare.check.golden import Golden, write_golden

    folder = tmp_path_factory.mktemp("golden")
    source = folder / "net.py"
    source.write_text(
        "def net(nn):\n    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))\n"
    )
    build = load_architecture(f"{source}:net")
    assignment = Assignment("net", build, "cross_entropy", "Adam", {"lr": 0.01})
    write_golden(folder / "net.npz", Golden(assignment, make_cases(assignment, layers=True)))
    return folder / "net.npz"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the presets with many layers each test has one quick case; the others are slow."""
    seen: set[str] = set()
    for item in items:
        function, _, case = item.nodeid.partition("[")
        if case.startswith(("cs231n-layers", "dlfs-layers")):
            if function in seen:
                item.add_marker(pytest.mark.slow)
            seen.add(function)


@pytest.fixture(autouse=True)
def no_modules_of_homeworks_stay():
    """What a homework that is read in this process imports from beside it is forgotten after."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = Path(getattr(sys.modules[name], "__file__", None) or "/")
        homeworks = file.is_relative_to(PLANTED) and not name.startswith("planted")
        if homeworks or file.is_relative_to(gettempdir()):
            del sys.modules[name]
