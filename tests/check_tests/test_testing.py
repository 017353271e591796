"""assert_parity, and the pytest plugin."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from compare.testing import assert_parity
from experiments.errors import InputError

PARAMETERS = {"W": "0.weight.T", "b": "0.bias"}


def linear(nn):
    return nn.Sequential(nn.Linear(7, 3))


def forward(params, x):
    return x @ params["W"] + params["b"]


def wrong_forward(params, x):
    return x @ params["W"]


def test_a_file(write) -> None:
    assert_parity(write())
    with pytest.raises(AssertionError, match=r"first in the gradient of 2\.weight") as error:
        assert_parity(str(write(("dz / len(y)", "dz"))))
    assert "Mistake: sum-not-mean" in str(error.value)
    assert "DIFFERS" in str(error.value)


def test_an_accepted_convention(write) -> None:
    homework = write(("y]).mean()", "y] + 1e-7).mean()"))
    assert_parity(homework, accept=["log-offset-mismatch"])
    with pytest.raises(AssertionError, match="first in the loss"):
        assert_parity(homework)
    with pytest.raises(InputError, match=r"accept expects codes of .*, but got 'log'"):
        assert_parity(homework, accept=["log"])


def test_functions_by_name() -> None:
    assert_parity(forward=forward, architecture=linear, parameters=PARAMETERS, loss="mse")
    with pytest.raises(AssertionError, match="first in the logits"):
        assert_parity(forward=wrong_forward, architecture=linear, parameters=PARAMETERS, loss="mse")


def test_the_names_of_a_notebook() -> None:
    names = {"forward": forward, "PARAMETERS": PARAMETERS, "architecture": linear, "LOSS": "mse"}
    assert_parity(names)
    names["PARAMETERS"] = {"V": "0.weight.T"}
    with pytest.raises(AssertionError, match=r"PARAMETERS has no entry for 0\.bias"):
        assert_parity(names)


def test_a_golden_file(write, golden) -> None:
    assert_parity(write(), golden=golden)


def test_what_a_homework_raises_is_an_assertion() -> None:
    def broken(params, x):
        raise ValueError("oh")

    with pytest.raises(
        AssertionError, match=r"raised ValueError at line \d+ of test_testing.py: oh"
    ):
        assert_parity(forward=broken, architecture=linear, parameters=PARAMETERS, loss="mse")


def test_pairs_that_agree() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    assert_parity(
        lambda a: {"s": a.sum(), "t": (a, [1, 2])},
        lambda a: {"s": np.sum(a), "t": (a, [1, 2])},
        inputs=[x],
    )
    assert_parity(lambda a: a.astype(np.float32) * 3, lambda a: a * 3, inputs=[x])


def test_a_tensor_is_an_array() -> None:
    import torch

    x = np.linspace(-1, 1, 12)
    assert_parity(np.tanh, lambda a: torch.tanh(torch.from_numpy(a)), inputs=[x])


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        (lambda a: a + 1e-6 * (a == a.max()), r"at element \[2, 3\]"),
        (lambda a: a.T, r"has the shape \(4, 3\), but expected \(3, 4\)"),
        (lambda a: None, "The candidate returned NoneType, not an array"),
        (lambda a: a * np.nan, "12 of 12 elements are outside"),
        (lambda a: (a, a), "returned output 0, output 1, but the reference output"),
    ],
)
def test_pairs_that_differ(ours, sentence) -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    with pytest.raises(AssertionError, match=sentence):
        assert_parity(ours, lambda a: a, inputs=[x])


def test_a_pair_gets_copies() -> None:
    def changes(a):
        a += 1
        return a

    x = np.zeros(3)
    with pytest.raises(AssertionError, match="changed its argument 0 in place"):
        assert_parity(changes, lambda a: a + 1, inputs=[x])
    assert not x.any()


def test_what_makes_no_sense() -> None:
    with pytest.raises(TypeError, match="assert_parity expects a file"):
        assert_parity(3)
    with pytest.raises(TypeError, match="two functions"):
        assert_parity(3, abs, inputs=[1])


@pytest.mark.slow  # it starts pytest several times
def test_plugin(write, golden, tmp_path) -> None:
    write(("dz / len(y)", "dz"), name="wrong.py")
    write(name="right.py")
    test = tmp_path / "test_homework.py"
    test.write_text(
        "import pytest\n"
        f"@pytest.mark.parity(golden={str(golden)!r})\n"
        "@pytest.mark.parametrize('name', ['right.py', 'wrong.py'])\n"
        "def test_it(parity, name):\n"
        f"    parity({str(tmp_path)!r} + '/' + name)\n"
        "def test_another(): assert False\n"
    )
    command = [
        sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:nncompare",
        "-p", "nncompare", "-m", "parity", "-c", "/dev/null", str(test),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 failed, 1 passed, 1 deselected" in ended.stdout
    assert "wrong.py differs from PyTorch" in ended.stdout
