"""Right networks, as people write them, are not called wrong: a false alarm costs all belief."""

from __future__ import annotations

import pytest
from planted.in_process import check_in_process
from planted.right import FAMILIES, LOSSES, right_homework

from compare.check.result import as_text


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("columns", [False, True])
def test_one_of_each_kind(family, loss, columns, tmp_path):
    """Another network in rows than in columns; scripts/right_homeworks.py tries many more.

    In rows functions declare their layout and layers do not, in columns the reverse.
    """
    for functions in (False, True):
        homework = right_homework(
            family,
            loss,
            columns=columns,
            functions=functions,
            seed=int(columns),
            declared=functions is not columns,
        )
        file = tmp_path / f"homework_{functions:d}.py"
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


@pytest.mark.parametrize("columns", [False, True])
def test_a_list_of_layers_without_its_flatten(columns, tmp_path):
    """Then the network is flattened there, as docs/checking.md says."""
    homework = right_homework("cnn", "cross_entropy", columns=columns, functions=False, seed=0)
    text = homework.text.replace(
        "    return build(params), Loss()",
        "    return [a for a in build(params) if type(a).__name__ != 'Flatten'], Loss()",
    )
    file = tmp_path / "homework.py"
    file.write_text(text)
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)
    assert "gradient/network/0.weight" in {check.key for check in outcome.result.checks}


def strided(convolution: str) -> str:
    """A convolution of stride 2 that 9 × 9 and 10 × 10 fit."""
    homework = right_homework("cnn", "mse", columns=False, functions=True, seed=0)
    start = homework.text.index("LAYERS = ")
    end = homework.text.index("SIGMOID, ")
    layers = "[('Conv2d', (2, 3, 3, 2, 1)), ('Flatten', ()), ('Linear', (75, 5))]"
    names = "{'W0': '0.weight', 'b0': '0.bias', 'W2': '2.weight', 'b2': '2.bias'}"
    text = f"{homework.text[:start]}LAYERS = {layers}\nPARAMETERS = {names}\n{homework.text[end:]}"
    start, end = text.index("    def f(self, x):\n        p, k ="), text.index("class MaxPool2d")
    return text[:start] + convolution + text[end:]


PAD = "        self.x = np.pad"
CONVOLUTION = """    def f(self, x):
        self.x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        h, w = (x.shape[2] - 1) // 2 + 1, (x.shape[3] - 1) // 2 + 1
        out = np.zeros((len(x), len(self.W), h, w))
        for i in range(h):
            for j in range(w):
                part = self.x[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                out[:, :, i, j] = np.einsum("nckl,ockl->no", part, self.W)
        return out + self.bias[:, None, None]

    def b(self, dy):
        self.dW, dx = np.zeros_like(self.W), np.zeros_like(self.x)
        self.db = dy.sum(axis=(0, 2, 3)).reshape(self.bias_shape)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                here = np.s_[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                self.dW += np.einsum("no,nckl->ockl", dy[:, :, i, j], self.x[here])
                dx[here] += np.einsum("no,ockl->nckl", dy[:, :, i, j], self.W)
        return dx[:, :, 1:-1, 1:-1]


"""


def test_images_of_another_size(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(strided(CONVOLUTION))
    outcome = check_in_process(file)
    assert (outcome.status, outcome.result.notes) == (0, ()), as_text(outcome)
    # It forgets the last row where there is an even number of them, as the first size has not.
    even = "        h = x.shape[2]\n        x = x * (np.arange(h) < h - (h % 2 == 0))[:, None]\n"
    file.write_text(strided(CONVOLUTION.replace(PAD, even + PAD)))
    outcome = check_in_process(file)
    assert outcome.status == 1


def test_a_homework_for_images_of_one_size(tmp_path):
    file = tmp_path / "homework.py"
    one = "        x = x.reshape(-1, 2, 9, 9)\n"
    file.write_text(strided(CONVOLUTION.replace(PAD, one + PAD)))
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)
    (note,) = outcome.result.notes
    assert note.startswith("The network takes images of ")
    assert "raised ValueError" in note
    assert note.endswith("This does not count.")


def test_a_stride_that_has_to_divide(tmp_path):
    """People refuse what leaves a rest; PyTorch leaves it out."""
    file = tmp_path / "homework.py"
    rest = "        assert (x.shape[2] - 1) % 2 == 0 and (x.shape[3] - 1) % 2 == 0\n"
    file.write_text(strided(CONVOLUTION.replace(PAD, rest + PAD)))
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)


CLIPPED = """
import numpy as np
LOSS = "bce"
PARAMETERS = {"W": "0.weight.T", "b": "0.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(7, 1), nn.Sigmoid())
def loss_and_gradients(P, x, y):
    p = 1 / (1 + np.exp(-(x @ P["W"] + P["b"])))
    d = (p - y) / len(y)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), {"W": x.T @ d, "b": d.sum(axis=0)}
"""


@pytest.mark.parametrize("least", [1e-4, 1e-7])
def test_a_clipped_probability(least, tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(CLIPPED)
    assert check_in_process(file).status == 0
    clip = f"    p = np.clip(p, {least}, 1 - {least})\n    return -np.mean"
    file.write_text(CLIPPED.replace("    return -np.mean", clip))
    outcome = check_in_process(file)
    assert outcome.status == 1
    assert outcome.result.first_divergence.key == "loss"
    assert "log-offset-mismatch" in as_text(outcome)


def test_an_offset_in_a_binary_cross_entropy(tmp_path):
    file = tmp_path / "homework.py"
    text = CLIPPED.replace("np.log(p)", "np.log(p + 1e-7)")
    file.write_text(text.replace("np.log(1 - p)", "np.log(1 - p + 1e-7)"))
    assert "Mistake: log-offset-mismatch." in as_text(check_in_process(file))
    file.write_text(CLIPPED.replace("d = (p - y) / len(y)", "d = p - y"))
    assert "Mistake: sum-not-mean." in as_text(check_in_process(file))
