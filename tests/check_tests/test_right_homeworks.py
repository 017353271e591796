"""Right networks, as people write them, are not called wrong: a false alarm costs all belief."""

from __future__ import annotations

import pytest
from planted.in_process import check_in_process
from planted.right import FAMILIES, LOSSES, right_homework

from compare.check.result import as_text


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("family", FAMILIES)
def test_two_of_each_kind(family, loss, tmp_path):
    """scripts/right_homeworks.py tries many more."""
    for seed in (0, 1):
        for columns in (False, True):
            for functions in (False, True):
                homework = right_homework(
                    family, loss, columns=columns, functions=functions, seed=seed
                )
                file = tmp_path / f"homework_{seed}{columns:d}{functions:d}.py"
                file.write_text(homework.text)
                outcome = check_in_process(file)
                assert outcome.status == 0, as_text(outcome) + f"\n{homework.layers}"
                assert not outcome.result.invariants


SATURATED = """
import numpy as np

LOSS = "bce"
SIZES = (54, 32, 16, 1)
PARAMETERS = {f"W{i}": f"{2 * i}.weight" for i in range(3)}
PARAMETERS |= {f"b{i}": f"{2 * i}.bias" for i in range(3)}


def architecture(nn):
    return nn.Sequential(
        nn.Linear(54, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()
    )


def run(params, x):
    a = [x]
    for i in range(3):
        z = a[-1] @ params[f"W{i}"].T + params[f"b{i}"]
        a.append(np.maximum(z, 0) if i < 2 else 1 / (1 + np.exp(-z)))
    return a


def forward(params, x):
    return run(params, x)[-1]


def loss(params, x, y):
    p = forward(params, x)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def gradients(params, x, y):
    a = run(params, x)
    dz = (a[-1] - y) / len(x)
    found = {}
    for i in (2, 1, 0):
        found[f"W{i}"], found[f"b{i}"] = dz.T @ a[i], dz.sum(axis=0)
        if i:
            dz = dz @ params[f"W{i}"] * (a[i] > 0)
    return found
"""


def test_a_deep_network_that_ends_in_a_sigmoid(tmp_path):
    """Its probabilities were 0 and 1 in many rows, where PyTorch's BCELoss is inexact."""
    file = tmp_path / "homework.py"
    file.write_text(SATURATED)
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)


SMALL = {
    "ε off by a tenth": ("np.sqrt(var + 1e-5)", "np.sqrt(var + 1.1e-5)"),
    "ε outside the root": ("np.sqrt(var + 1e-5)", "(np.sqrt(var) + 1e-5)"),
    "a weight decay that nobody asked for": (
        "dW if self.transposed else dW.T", "(dW + 1e-6 * self.W) if self.transposed else "
        "(dW + 1e-6 * self.W).T",
    ),
}  # fmt: skip


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("change", SMALL.values(), ids=SMALL)
def test_small_mistakes_beside_a_batchnorm(change, functions, tmp_path):
    """The gradient of a bias before it is noise of few bits, which float32 has exactly, too."""
    homework = right_homework("bn_mlp", "cross_entropy", columns=False, functions=functions, seed=0)
    assert change[0] in homework.text
    file = tmp_path / "homework.py"
    file.write_text(homework.text.replace(*change))
    outcome = check_in_process(file)
    assert outcome.status == 1
    assert {check.tolerance for check in outcome.result.checks} == {1e-9}


OWN_STATISTICS = """
import numpy as np

PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias", "g": "1.weight", "s": "1.bias",
    "W2": "3.weight.T", "b2": "3.bias",
}
MEAN, VAR = np.full(9, 0.1), np.full(9, 2.0)


def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 5))


def run(p, x, training):
    z = x @ p["W1"] + p["b1"]
    mean, var = (z.mean(axis=0), z.var(axis=0)) if training else (MEAN, VAR)
    h = p["g"] * (z - mean) / np.sqrt(var + 1e-5) + p["s"]
    return np.maximum(h, 0) @ p["W2"] + p["b2"]


def forward(p, x):
    return run(p, x, False)


def loss(p, x, y):
    z = run(p, x, True)
    z = z - z.max(axis=1, keepdims=True)
    return -np.mean(z[np.arange(len(y)), y] - np.log(np.exp(z).sum(axis=1)))
"""


def test_running_statistics_that_nobody_named(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(OWN_STATISTICS)
    outcome = check_in_process(file)
    assert [check.key for check in outcome.result.checks] == ["loss"]
    assert (outcome.status, outcome.result.invariants) == (0, ())
    (note,) = outcome.result.notes
    assert note.startswith("forward was not compared: of each row it computes the same")
    assert '("running_mean": "1.running_mean", "running_var": "1.running_var")' in note


def test_a_wrong_axis_is_no_running_statistic(tmp_path):
    """Then no row depends on another either; what is left shows it."""
    file = tmp_path / "homework.py"
    over_features = "(z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True))"
    file.write_text(OWN_STATISTICS.replace("(MEAN, VAR)", over_features).replace(
        "(z.mean(axis=0), z.var(axis=0))", over_features))  # fmt: skip
    assert check_in_process(file).status == 1
