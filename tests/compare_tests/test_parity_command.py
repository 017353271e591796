"""``nncompare parity``: the table of a network, and its status."""

from __future__ import annotations

import json
import re

import pytest

import numpy_nn

SMALL = ["--batch-size", 8]


@pytest.mark.parametrize("architecture", ["softmax_mlp", "bn_mlp"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_json(nncompare, architecture, dtype):
    ended = nncompare(
        "parity", "--architecture", architecture, "--dtype", dtype, "--json", *SMALL
    )  # fmt: skip
    assert ended.status == 0
    assert ended.err == ""
    tree = json.loads(ended.out)
    assert tree["schema"] == 1
    assert tree["passed"] is True
    assert (tree["architecture"], tree["optimizer"], tree["dtype"]) == (architecture, "Adam", dtype)
    assert tree["first_divergence"] is None
    assert tree["initial"]["differing_bits"] == 0 or dtype == "float64"
    sites = {row["site"] for row in tree["rows"]}
    assert sites >= {
        "initial/0.weight",
        "forward/0/output",
        "forward/loss/output",
        "gradient/0.weight",
        "update/0.weight",
        "optimizer/0.weight/exp_avg",
        "whole/forward/0/output",
    }
    assert ("buffer/1.running_var" in sites) == (architecture == "bn_mlp")
    assert {row["dtype"] for row in tree["rows"]} == {dtype, "float64"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table(nncompare, dtype):
    ended = nncompare("parity", "--architecture", "softmax_mlp", "--dtype", dtype, *SMALL)
    assert ended.status == 0
    assert re.match(r"Step 0: 109,386 starting values compared, [\d,]+ bits differ", ended.out)
    assert "FAIL" not in ended.out
    assert "All " in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "…" not in ended.out


def test_several_steps(nncompare):
    ended = nncompare("parity", "--architecture", "softmax_mlp", "--steps", 3, "--optimizer", "SGD",
                      "--seed", 5, "--json", *SMALL)  # fmt: skip
    assert ended.status == 0
    tree = json.loads(ended.out)
    assert {row["step"] for row in tree["rows"]} == {0, 1, 2}
    ended = nncompare("parity", "--architecture", "softmax_mlp", "--steps", 2, *SMALL)
    assert " step " in ended.out


@pytest.fixture
def wrong(monkeypatch):
    """A mistake in the last layer of a network: its bias gradient is the mean, not the sum."""
    original = numpy_nn.Linear.backward

    def backward(self, grad_output):
        grad_input = original(self, grad_output)
        if self.bias is not None and len(self.bias.data) == 10:
            self.bias.grad = self.bias.grad / len(grad_output)
        return grad_input

    monkeypatch.setattr(numpy_nn.Linear, "backward", backward)


def test_a_mistake_is_status_1_and_named(nncompare, wrong):
    ended = nncompare("parity", "--architecture", "softmax_mlp", *SMALL)
    assert ended.status == 1
    assert "comparisons fail" in ended.out
    assert "First divergence: step 0, float32, gradient/4.bias: NumPy is " in ended.out
    ended = nncompare("parity", "--architecture", "softmax_mlp", "--json", *SMALL)
    assert ended.status == 1
    tree = json.loads(ended.out)
    assert tree["passed"] is False
    assert tree["first_divergence"] == "gradient/4.bias"


def test_own_network(nncompare, tmp_path):
    (tmp_path / "net.py").write_text("def net(nn):\n    return nn.Sequential(nn.Linear(5, 3))\n")
    ended = nncompare("parity", "--architecture", f"{tmp_path / 'net.py'}:net", "--json", *SMALL)
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["initial"]["values"] == 18


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return nn.Sequential(nn.Flatten())", "optimizer Adam could not be made"),
        ("return None", "not a network"),
        ("return nn.Sequential(nn.Linear(5, 3), nn.Frob())", "'Frob'"),
    ],
)
def test_own_network_that_will_not_do(nncompare, tmp_path, body, said):
    (tmp_path / "net.py").write_text(f"def net(nn):\n    {body}\n")
    ended = nncompare("parity", "--architecture", f"{tmp_path / 'net.py'}:net", *SMALL)
    assert ended.status == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
