"""The few lines of code that a report shows beside a formula."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numpy_nn
from compare.spec.experiment import Experiment
from compare.spec.loading import experiment_names, load_experiment, load_settings
from compare.spec.model import model_spec
from compare.training.data import laid_out, load_splits
from compare.training.excerpts import (
    LAYER_METHODS,
    MOST_LINES,
    OPTIMIZER_METHODS,
    STEP,
    Calls,
    FollowedModel,
    _with_constants,
    bare,
    excerpt,
    excerpts_of,
    lines_run,
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
        "def checked(x, y):\n    z = x + y  # the sum\n    if z > 3:\n        z = 3\n    return z"
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


def test_constants_are_shown_with_those_that_they_read(tmp_path: Path) -> None:
    file = tmp_path / "constants.py"
    file.write_text("A = 2\nB = 3\nC = [A]\nshort = C.append\nD = {1: C}\n")
    assert _with_constants("f(D, short)", file) == "A = 2\nC = [A]\nD = {1: C}\n\nf(D, short)"


def test_a_class_without_such_methods_has_no_excerpt() -> None:
    assert excerpt(numpy_nn.Module, LAYER_METHODS) == ""


def branches(x: int, flag: bool, times: int) -> list[int]:
    found: list[int] = []
    if flag:  # the usual case
        found += [x]
    else:
        found.append(-x)
    if x > 100:
        found.append(100)
    elif x > 10:
        found.append(10)
    else:
        found.append(0)
    for k in range(times):
        if k == 1:
            found.append(k)
        if k > 5:
            found.append(-k)
    return found


def _seen(arguments: list[tuple[int, bool, int]]) -> str:
    calls: Calls = {}
    with lines_run(calls, (__name__,)):
        for given in arguments:
            branches(*given)
    return bare(branches, calls)


def test_what_never_ran_is_left_out_and_what_always_ran_has_no_condition() -> None:
    assert _seen([(20, True, 3), (30, True, 3)]) == (
        "def branches(x, flag, times):\n"
        "    found: list[int] = []\n"
        "    # the usual case\n"
        "    found += [x]\n"
        "    found.append(10)\n"
        "    for k in range(times):\n"
        "        if k == 1:\n"
        "            found.append(k)\n"
        "    return found"
    )


def test_what_ran_in_some_calls_keeps_its_condition() -> None:
    assert _seen([(1, True, 0), (20, False, 0)]) == (
        "def branches(x, flag, times):\n"
        "    found: list[int] = []\n"
        "    if flag:  # the usual case\n"
        "        found += [x]\n"
        "    else:\n"
        "        found.append(-x)\n"
        "    if x > 10:\n"
        "        found.append(10)\n"
        "    else:\n"
        "        found.append(0)\n"
        "    return found"
    )


# Without the demonstrations; mnist_vgg16 has the layers of the other convolutional networks.
EXPERIMENTS = [
    name
    for name in experiment_names()
    if isinstance(load_settings(name)[1], Experiment) and name != "mnist_vgg16"
]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_shows_only_what_its_steps_come_through(name: str) -> None:
    experiment = load_experiment(name)[1].for_sample()
    first = experiment.configurations[0]
    spec = model_spec(first.experiment, first.optimizer, Path())
    splits = load_splits(experiment.data, sample=True, data_dir=None)[0]
    size = min(first.experiment.training.batch_size, 1000)
    few = splits._replace(train=type(splits.train)(*(array[:size] for array in splits.train)))
    rows = laid_out(few, first.experiment.data.layout).train
    found, called, followed = excerpts_of(
        [FollowedModel(spec, rows.inputs, spec.target_type.targets(rows.targets))]
    )
    assert followed == len(rows.inputs)
    whole = excerpt(getattr(numpy_nn.optim, spec.algorithm), OPTIMIZER_METHODS)
    assert len(found[spec.algorithm]) <= len(whole)
    assert "self.optimizer.step()" in found[STEP]
    assert "if update" not in found[STEP]
    for code in called.values():
        ast.parse(code)
        assert "raise ValueError" not in code
    assert "def accumulate_grad" in called["numpy_nn/parameter.py"]
    for code in found.values():
        ast.parse(code)
        assert "ignored is not None" not in code
        assert "amsgrad" not in code
    if spec.settings.get("momentum", 0) == 0:
        assert "momentum_buffer" not in found.get("SGD", "")
    for forward in ("BatchNorm1d", "BatchNorm2d", "CrossEntropyLoss"):
        assert "def forward" in found.get(forward, "def forward")


def test_the_lines_that_are_shown_compute_the_batch_of_the_run() -> None:
    """Functions of the kernels, as they are printed, on as many rows as were followed."""
    spec = model_spec(load_experiment("mnist_bn_mlp")[1], "SGD", Path())
    random = np.random.default_rng(0)
    inputs = random.standard_normal((100, 784), np.float32)
    model = FollowedModel(spec, inputs, random.integers(0, 10, 100))
    printed: dict[str, Any] = {"np": np}
    exec(excerpts_of([model]).called["numpy_nn/_kernels/reductions.py"], printed)
    for channels in (256, 10):
        x = random.standard_normal((100, channels), np.float32)
        row = x[0].copy()
        assert np.allclose(printed["batch_sum"](x), x.sum(axis=0), atol=1e-4)
        assert np.allclose(printed["channel_sum"](x, x), (x * x).sum(axis=0), rtol=1e-5)
        added = x + row
        printed["add_to_rows"](x, row)
        assert np.array_equal(x, added)


def test_a_large_network_is_followed_on_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.training.excerpts.LARGE", 1000)
    spec = model_spec(load_experiment("mnist_bn_mlp")[1], "SGD", Path())
    model = FollowedModel(spec, np.ones((9, 784), np.float32), np.arange(9))
    assert excerpts_of([model]).rows == 2


def leaves_early(x: int) -> int:
    if x > 0:
        return x
    x = -x
    return x


def test_what_stands_behind_a_return_is_left_out() -> None:
    calls: Calls = {}
    with lines_run(calls, (__name__,)):
        leaves_early(3)
    assert bare(leaves_early, calls) == "def leaves_early(x):\n    return x"


def leaves_values_behind(x, flag):
    rate, decay = x, [2]
    wide = len(decay) if flag else 0
    _noted, _ = note(x), 0
    view = x
    view += 1
    if flag:
        return wide + rate
    for _ in range(2):
        _left, _ = 3, 4
    return


def note(x):
    return x


def test_what_a_branch_that_was_left_out_needed_is_left_out_too() -> None:
    calls: Calls = {}
    with lines_run(calls, (__name__,)):
        leaves_values_behind(1.0, False)
    assert bare(leaves_values_behind, calls) == (
        "def leaves_values_behind(x, flag):\n"
        "    _noted = note(x)\n"
        "    view = x\n"
        "    view += 1\n"
        "    for _ in range(2):\n"
        "        _left, _ = 3, 4"
    )
