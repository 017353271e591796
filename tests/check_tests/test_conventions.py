"""Right homeworks agree in every convention that the contract allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planted.in_process import check_in_process

from compare.check.checking import check_homework, function_places
from compare.check.contract import BatchLayout, ReturnValueError
from compare.check.reading import Options

EXAMPLES = Path(__file__).parents[2] / "examples"

COLUMNS = """
import numpy as np
BATCH_AXIS = 1
PARAMETERS = {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))
def forward(params, X):
    H = np.maximum(params["W1"] @ X + params["b1"].reshape(-1, 1), 0)
    return params["W2"] @ H + params["b2"].reshape(-1, 1)
def gradients(params, X, y):
    m = X.shape[1]
    H = np.maximum(params["W1"] @ X + params["b1"].reshape(-1, 1), 0)
    Z = params["W2"] @ H + params["b2"].reshape(-1, 1)
    P = np.exp(Z - Z.max(axis=0))
    P /= P.sum(axis=0)
    dZ = (P - np.eye(5)[:, y]) / m
    dH = params["W2"].T @ dZ * (H > 0)
    return {"W1": dH @ X.T, "b1": dH.sum(axis=1, keepdims=True),
            "W2": dZ @ H.T, "b2": dZ.sum(axis=1, keepdims=True)}
"""

BATCH_NORM = """
import numpy as np
SIZES = (12, 9, 8, 5)
def architecture(nn):
    from experiments.architectures import bn_mlp
    return bn_mlp(nn, sizes=SIZES)
def run(p, x, training):
    kept, h = [], x
    for i in (0, 3):
        z = h @ p[f"{i}.weight"].T + p[f"{i}.bias"]
        j = i + 1
        if training:
            mu, var = z.mean(axis=0), z.var(axis=0)
            n = len(z)
            p[f"{j}.running_mean"][...] = 0.9 * p[f"{j}.running_mean"] + 0.1 * mu
            p[f"{j}.running_var"][...] = 0.9 * p[f"{j}.running_var"] + 0.1 * var * n / (n - 1)
        else:
            mu, var = p[f"{j}.running_mean"], p[f"{j}.running_var"]
        inverse = 1 / np.sqrt(var + 1e-5)
        hat = (z - mu) * inverse
        a = p[f"{j}.weight"] * hat + p[f"{j}.bias"]
        kept.append((h, inverse, hat, a))
        h = np.where(a > 0, a, 0.01 * a)
    return h @ p["6.weight"].T + p["6.bias"], h, kept
def forward(p, x):
    return run(p, x, TRAINING)[0]
def gradients(p, x, y):
    z, h, kept = run(p, x, True)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    d = e / e.sum(axis=1, keepdims=True)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    g = {"6.weight": d.T @ h, "6.bias": d.sum(axis=0)}
    d = d @ p["6.weight"]
    for i in (3, 0):
        h, inverse, hat, a = kept[i // 3]
        d = d * np.where(a > 0, 1, 0.01)
        g[f"{i + 1}.weight"], g[f"{i + 1}.bias"] = (d * hat).sum(axis=0), d.sum(axis=0)
        d = d * p[f"{i + 1}.weight"]
        d = inverse * (d - d.mean(axis=0) - hat * (d * hat).mean(axis=0))
        g[f"{i}.weight"], g[f"{i}.bias"] = d.T @ h, d.sum(axis=0)
        d = d @ p[f"{i}.weight"]
    return g
"""

REGRESSION = """
import numpy as np
LOSS = "mse"
PARAMETERS = {"W": "0.weight.T", "b": "0.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(7, 3))
def loss_and_gradients(params, x, y):
    r = x @ params["W"] + params["b"] - y
    d = 2 * r / r.size
    return np.array([[np.mean(r**2)]]), {"W": x.T @ d, "b": d.sum(axis=0, keepdims=True)}
"""

LOGISTIC = """
import numpy as np
LOSS = "bce"
PARAMETERS = {"w": "0.weight.T", "b": "0.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(7, 1), nn.Sigmoid())
def forward(params, x):
    return 1 / (1 + np.exp(-(x @ params["w"] + params["b"])))
def loss(params, x, y):
    p = forward(params, x)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
def gradients(params, x, y):
    d = (forward(params, x) - y) / len(x)
    return {"w": x.T @ d, "b": d.sum()}
"""

STABLE_LOGISTIC = (
    LOGISTIC.replace('"bce"', '"bce_with_logits"')
    .replace(", nn.Sigmoid()", "")
    .replace('1 / (1 + np.exp(-(x @ params["w"] + params["b"])))',
             '(x @ params["w"] + params["b"])[:, 0]')
    .replace("return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))",
             "return np.mean(np.logaddexp(0, p) - y[:, 0] * p)")
    .replace("(forward(params, x) - y) / len(x)",
             "(1 / (1 + np.exp(-forward(params, x)))[:, None] - y) / len(x)")
)  # fmt: skip

DENSE = '''
import numpy as np
class Dense:
    """A layer with its activation inside, which updates itself."""
    def __init__(self, W, b, relu):
        self.W, self.b, self.relu = W, b, relu
    def forward(self, x):
        self.x, self.z = x, x @ self.W + self.b
        return np.maximum(self.z, 0) if self.relu else self.z
    def backward(self, dout, lr):
        d = dout * (self.z > 0) if self.relu else dout
        dx = d @ self.W.T
        self.W = self.W - lr * self.x.T @ d
        self.b = self.b - lr * d.sum(axis=0)
        return dx
ATTRIBUTES = {"weight": "-W", "bias": "-b"}
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))
def network(p):
    return [Dense(p["W1"], p["b1"], True), Dense(p["W2"], p["b2"], False)]
'''

IMAGES = """
import numpy as np
class Conv:
    def __init__(self, W, b):
        self.params = [W, b]
    def forward(self, x):
        W, b = self.params
        self.x, k = x, W.shape[2]
        h, w = x.shape[2] - k + 1, x.shape[3] - k + 1
        out = np.zeros((len(x), len(W), h, w))
        for i in range(k):
            for j in range(k):
                out += np.einsum("ncij,oc->noij", x[:, :, i:i + h, j:j + w], W[:, :, i, j])
        return out + b[:, None, None]
    def backward(self, dout):
        W, b = self.params
        k, h, w = W.shape[2], *dout.shape[2:]
        dW, dx = np.zeros_like(W), np.zeros_like(self.x)
        for i in range(k):
            for j in range(k):
                dW[:, :, i, j] = np.einsum("noij,ncij->oc", dout, self.x[:, :, i:i + h, j:j + w])
                dx[:, :, i:i + h, j:j + w] += np.einsum("noij,oc->ncij", dout, W[:, :, i, j])
        self.grads = [dW, dout.sum(axis=(0, 2, 3))]
        return dx
class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(len(x), -1)
        return self.x @ self.params[0] + self.params[1]
    def backward(self, dout):
        self.grads = [self.x.T @ dout, dout.sum(axis=0)]
        return (dout @ self.params[0].T).reshape(self.shape)
PARAMETERS = {"K": "0.weight", "bK": "0.bias", "W": "2.weight.T", "b": "2.bias"}
def architecture(nn):
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(108, 4))
def network(p):
    return [Conv(p["K"], p["bK"]), Affine(p["W"], p["b"])]
"""

# Changes of the right homework that leave it right.
CHANGED = {
    "rows": [],
    "one-hot": [
        ("LOSS =", "ONE_HOT = True\nLOSS ="),
        ("-np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()",
         "-np.sum(y * np.log(softmax(forward(params, x)))) / len(y)"),
        ("dz[np.arange(len(y)), y] -= 1", "dz -= y"),
    ],
    "float32 inside": [
        ("def hidden(params, x):", "def hidden(params, x):\n    x = x.astype(np.float32)\n"
         "    params = {k: v.astype(np.float32) for k, v in params.items()}"),
        ("def forward(params, x):", "def forward(params, x):\n"
         "    params = {k: v.astype(np.float32) for k, v in params.items()}"),
        ("    h = hidden(params, x)", "    x = x.astype(np.float32)\n"
         "    params = {k: v.astype(np.float32) for k, v in params.items()}\n"
         "    h = hidden(params, x)"),
    ],
    "float32 at the entrance, float64 after": [
        ('x @ params["W1"]', 'x.astype(np.float32).astype(float) @ params["W1"]'),
        ("x.T @ dh", "x.astype(np.float32).T @ dh"),
    ],
    "loss only": [("def forward", "def _forward"), ("forward(params, x))", "_forward(params, x))"),
                  ("def gradients", "def _gradients")],
    "gradients only": [("def forward", "def _forward"), ("def loss", "def _loss")],
    "forward returns what backward needs": [
        ('return hidden(params, x) @ params["W2"] + params["b2"]',
         'h = hidden(params, x)\n    return h @ params["W2"] + params["b2"], h'),
        ("softmax(forward(params, x))", "softmax(forward(params, x)[0])"),
    ],
    "equivalent formulas": [
        ("np.maximum(x @", "(lambda a: a * (a > 0))(x @"), ('params["b1"], 0)', 'params["b1"])'),
        ("-np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()",
         "(np.log(np.exp((z := forward(params, x)) - (m := z.max())).sum(1)) + m"
         " - z[range(len(y)), y]).sum() / len(y)"),
        ('"b2": dz.sum(axis=0)', '"b2": np.ones(len(y)) @ dz'),
    ],
    "biases as rows": [
        ('"0.bias"', '"0.bias[None, :]"'),
        ('"b1": dh.sum(axis=0)', '"b1": dh.sum(axis=0, keepdims=True)'),
    ],
    "lists and float32 results": [
        ('"b1": dh.sum(axis=0)', '"b1": dh.sum(axis=0).tolist()'),
    ],
}  # fmt: skip

TEXTS = {
    "columns": COLUMNS,
    "batch normalisation, training": BATCH_NORM.replace("TRAINING", "True"),
    "batch normalisation, evaluation": BATCH_NORM.replace("TRAINING", "False"),
    "regression": REGRESSION,
    "logistic": LOGISTIC,
    "logistic from logits": STABLE_LOGISTIC,
    "layers with activations that update themselves": DENSE,
    "convolution, grads in a list": IMAGES,
}


@pytest.mark.parametrize("changes", CHANGED.values(), ids=CHANGED)
def test_right_homework(check, changes) -> None:
    outcome = check(*changes)
    assert (outcome.status, outcome.result.error, outcome.result.first_divergence) == (
        0,
        None,
        None,
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_right_homework_of_another_kind(check, text) -> None:
    outcome = check(text=text)
    assert (outcome.status, outcome.result.error, outcome.result.first_divergence) == (
        0,
        None,
        None,
    )


def test_float32_is_judged_by_its_own_rule_and_no_mistake_hides_in_it(check) -> None:
    changes = CHANGED["float32 inside"]
    outcome = check(*changes)
    assert all(1e-9 < c.tolerance < 1e-4 for c in outcome.result.checks)
    wrong = check(*changes, ("dz / len(y)", "dz * np.float32(1.0001 / len(y))"))
    assert wrong.status == 1
    assert wrong.result.first_divergence.name == "2.weight"


def test_a_small_mistake_in_float64_is_not_taken_for_float32(check) -> None:
    outcome = check(('params["b2"])\n', 'params["b2"] * (1 + 1e-7))\n'))
    assert outcome.status == 1


def test_running_statistics_are_compared_where_they_change(check) -> None:
    right = BATCH_NORM.replace("TRAINING", "True")
    names = [c.name for c in check(text=right).result.checks if c.quantity == "buffer"]
    assert names == ["1.running_mean", "1.running_var", "4.running_mean", "4.running_var"]
    outcome = check(("var * n / (n - 1)", "var"), text=right)
    assert outcome.result.first_divergence.name == "1.running_var"


def test_a_homework_may_have_modules_of_its_own(write, check_in_sandbox) -> None:
    write(text="def rectified(a):\n    return a * (a > 0)\n", name="compare.py")
    outcome = check_in_sandbox(
        ("import numpy as np", "import numpy as np\nfrom compare import rectified"),
        ('np.maximum(x @ params["W1"] + params["b1"], 0)',
         'rectified(x @ params["W1"] + params["b1"])'),
    )  # fmt: skip
    assert (outcome.status, outcome.result.error) == (0, None)


def test_a_layer_that_only_pytorch_has(check) -> None:
    hard = [("nn.ReLU()", "nn.Hardtanh()"), ("np.maximum(x @", "np.clip(x @"),
            ("], 0)", "], -1, 1)"), ("(h > 0)", "(abs(h) < 1)")]  # fmt: skip
    assert check(*hard).status == 0
    outcome = check(*hard, ("dz / len(y)", "dz"))
    assert outcome.result.first_divergence.name == "2.weight"
    assert any(
        note == "No mistake can be named here: numpy_nn has no 'Hardtanh'."
        for note in outcome.result.notes
    )


def broken(*_: object) -> None:
    raise KeyError("a bug")


def test_an_error_in_the_search_is_loud_in_our_own_tests(check, monkeypatch) -> None:
    monkeypatch.setattr("compare.check.judge.explain", broken)
    with pytest.raises(RuntimeWarning, match="failed to look for the mistake: KeyError: 'a bug'"):
        check(("dz / len(y)", "dz"))


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_an_error_in_the_search_does_not_touch_the_verdict(check, monkeypatch, recwarn) -> None:
    monkeypatch.setattr("compare.check.judge.explain", broken)
    wrong = check(("dz / len(y)", "dz"))
    assert (wrong.status, wrong.result.first_divergence.name) == (1, "2.weight")
    assert wrong.result.notes[-1] == (
        "nncompare failed to look for the mistake: KeyError: 'a bug'. The verdict does not "
        "depend on it."
    )
    assert check().status == 0
    assert [w.category for w in recwarn] == [RuntimeWarning]


def test_evaluation_mode_is_noted(check) -> None:
    outcome = check(text=BATCH_NORM.replace("TRAINING", "False"))
    assert any(
        note
        == (
            "forward uses the running statistics, so its logits are compared in evaluation "
            "mode; loss and gradients belong to training mode."
        )
        for note in outcome.result.notes
    )


EXAMPLES_THAT_AGREE = {
    "rows.py": Options(optimizer="SGD", settings={"lr": 0.1, "momentum": 0.9}),
    "columns.py": Options(),
    "layers.py": Options(),
    "two_layer_net.py": Options(mapping=EXAMPLES / "two_layer_net_mapping.py"),
}


@pytest.mark.parametrize(("name", "options"), EXAMPLES_THAT_AGREE.items(), ids=EXAMPLES_THAT_AGREE)
def test_example(name, options) -> None:
    assert check_in_process(EXAMPLES / name, options).status == 0


def test_example_in_a_process_of_its_own() -> None:
    """Updates of several steps, and a mapping file, keep what they need from call to call."""
    for name in ("rows.py", "two_layer_net.py"):
        assert check_homework(EXAMPLES / name, EXAMPLES_THAT_AGREE[name]).status == 0


def test_example_with_a_mistake() -> None:
    outcome = check_in_process(EXAMPLES / "mistake.py")
    assert outcome.status == 1
    assert outcome.result.first_divergence.quantity == "loss"


def test_a_mapping_has_four_lines() -> None:
    lines = (EXAMPLES / "two_layer_net_mapping.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.startswith("#") for line in lines) == 4


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_a_batch_in_the_layout_of_a_homework_and_back(axis, last):
    """Numbers of all axes differ, so that no two can be taken for each other."""
    layout = BatchLayout(axis=axis, channels_last=last)
    random = np.random.default_rng(0)
    images = random.standard_normal((4, 3, 6, 5))
    for n, c, h, w in ((0, 0, 0, 0), (3, 2, 5, 4)):
        place = [h, w, c] if last else [c, h, w]
        place.insert(axis, n)
        assert layout.to_homework(images)[tuple(place)] == images[n, c, h, w]
    for rows in (images, images[:, :, 0, 0], images[:, 0, 0, 0]):
        there = layout.to_homework(rows)
        assert not np.shares_memory(there, rows)
        assert there.flags.c_contiguous
        back = layout.from_homework(there, rows.shape, "x")
        np.testing.assert_array_equal(back, rows, strict=True)
        assert back.flags.c_contiguous
    assert layout.from_homework(np.arange(4), (4, 1), "x").shape == (4, 1)
    one_hot = replace(layout, one_hot=True).labels_to_homework(np.array([2, 0]), 3)
    expected = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(one_hot, expected.T if axis else expected)
    kept = layout.labels_to_homework(np.array([2, 0]), 3)
    np.testing.assert_array_equal(kept, [2, 0])


def test_one_image_has_no_axis_for_the_batch():
    layout = BatchLayout(one_sample=True, channels_last=True)
    image = np.random.default_rng(0).standard_normal((1, 3, 6, 5))
    there = layout.to_homework(image)
    assert there.shape == (6, 5, 3)
    assert there[4, 2, 1] == image[0, 1, 4, 2]
    np.testing.assert_array_equal(layout.from_homework(there, image.shape, "x"), image)
    assert layout.to_homework(image[:, :, 0, 0]).shape == (1, 3)


@pytest.mark.parametrize(
    ("layout", "returned", "shape", "sentence"),
    [
        ({}, (3, 4), (4, 3),
         "logits has the shape (3, 4), but expected (4, 3), (N, classes); if your batch is the "
         "columns, write BATCH_AXIS = 1."),
        ({"axis": 1}, (4, 3), (4, 3),
         "logits has the shape (4, 3), but expected (3, 4), (classes, N); it is transposed."),
        ({}, (4, 6, 5, 3), (4, 3, 6, 5),
         "logits has the shape (4, 6, 5, 3), but expected (4, 3, 6, 5); if the channels of your "
         "images come last, write CHANNELS_LAST = True."),
        ({"channels_last": True}, (4, 3, 6, 5), (4, 3, 6, 5),
         "logits has the shape (4, 3, 6, 5), but expected (4, 6, 5, 3)."),
        ({}, (4, 2), (4, 3), "logits has the shape (4, 2), but expected (4, 3), (N, classes)."),
        ({}, (3,), (4, 1), "logits has the shape (3,), but expected (4, 1), (N, classes)."),
    ],
)  # fmt: skip
def test_another_shape_is_said(layout, returned, shape, sentence):
    with pytest.raises(ReturnValueError) as error:
        BatchLayout(**layout).from_homework(np.zeros(returned), shape, "logits")
    assert str(error.value) == sentence


def test_an_update_without_an_optimizer_is_said(check, adam) -> None:
    assert check(adam).result.notes == (
        "update was not checked: name its optimizer with --optimizer.",
    )
    assert check(adam, optimizer="Adam", settings={"lr": 0.01}).result.notes == ()


def test_where_each_quantity_is_computed() -> None:
    def places(*functions: str, **lines: str) -> dict[str, str]:
        contract = SimpleNamespace(has=functions.__contains__)
        layouts = [SimpleNamespace(key="0.weight", name="W1")]
        return function_places(contract, lines, layouts)  # type: ignore[arg-type]

    found = places("forward", "loss", "gradients", "update", forward="line 3", loss="line 7")
    assert found["logits"] == found["logits/evaluation"] == "forward, line 3"
    assert found["loss"] == "loss, line 7"
    assert found["gradient/0.weight"] == "gradients, for 'W1'"
    assert found["update/0.weight"] == "update, for 'W1'"
    assert not any(key.startswith("step") for key in found)
    both = places("loss_and_gradients", loss_and_gradients="line 9")
    assert both["loss"] == "loss_and_gradients, line 9"
    assert both["gradient/0.weight"] == "loss_and_gradients, line 9, for 'W1'"
    assert "logits" not in both
    assert places("gradients", "step", step="line 2") == {
        "gradient/0.weight": "step, line 2, for 'W1'",
        "step/0.weight": "step, line 2, for 'W1'",
    }
