"""Recurrent layers: PyTorch's RNN, LSTM and GRU against NumPy's loops over time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.cases import make_cases
from compare.check.contract import Assignment
from compare.check.reference import Reference
from experiments.errors import InputError

RNN = """
import numpy as np

LOSS = "mse"
PARAMETERS = {
    "Wx": "0.weight_ih_l0.T", "Wh": "0.weight_hh_l0.T", "b": "0.bias_ih_l0",
    "Wy": "1.weight.T", "by": "1.bias",
}


def architecture(nn):
    return nn.Sequential(nn.RNN(3, 6, batch_first=True, one_bias=True), nn.Linear(6, 2))


def states(params, x):
    h = [np.zeros((len(x), 6))]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ params["Wx"] + h[-1] @ params["Wh"] + params["b"]))
    return h


def forward(params, x):
    h = np.stack(states(params, x)[1:], axis=1)
    return h @ params["Wy"] + params["by"]


def loss(params, x, y):
    return ((forward(params, x) - y) ** 2).mean()


def gradients(params, x, y):
    h = states(params, x)
    d = 2 * (forward(params, x) - y) / y.size
    found = {key: np.zeros_like(value) for key, value in params.items()}
    dh = 0
    for t in reversed(range(x.shape[1])):
        found["Wy"] += h[t + 1].T @ d[:, t]
        found["by"] += d[:, t].sum(axis=0)
        dz = (d[:, t] @ params["Wy"].T + dh) * (1 - h[t + 1] ** 2)
        found["Wx"] += x[:, t].T @ dz
        found["Wh"] += h[t].T @ dz
        found["b"] += dz.sum(axis=0)
        dh = dz @ params["Wh"].T
    return found
"""

LSTM = """
import numpy as np

PARAMETERS = {
    "E": "0.weight", "Wx": "1.weight_ih_l0", "Wh": "1.weight_hh_l0", "bx": "1.bias_ih_l0",
    "bh": "1.bias_hh_l0", "Wy": "3.weight.T", "by": "3.bias",
}


def architecture(nn):
    return nn.Sequential(
        nn.Embedding(9, 3), nn.LSTM(3, 4, batch_first=True), nn.LastStep(), nn.Linear(4, 5)
    )


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def run(params, x):
    e = params["E"][x]
    h, c, steps = np.zeros((len(x), 4)), np.zeros((len(x), 4)), []
    for t in range(x.shape[1]):
        z = e[:, t] @ params["Wx"].T + h @ params["Wh"].T + params["bx"] + params["bh"]
        i, f, g, o = sigmoid(z[:, :4]), sigmoid(z[:, 4:8]), np.tanh(z[:, 8:12]), sigmoid(z[:, 12:])
        new = f * c + i * g
        steps.append((e[:, t], h, c, i, f, g, o, new))
        h, c = o * np.tanh(new), new
    return h, steps


def forward(params, x):
    return run(params, x)[0] @ params["Wy"] + params["by"]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(params, x, y):
    return -np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()


def gradients(params, x, y):
    h, steps = run(params, x)
    d = softmax(h @ params["Wy"] + params["by"])
    d[np.arange(len(y)), y] -= 1
    d = d / len(y)
    found = {key: np.zeros_like(value) for key, value in params.items()}
    found["Wy"], found["by"] = h.T @ d, d.sum(axis=0)
    dh, dc = d @ params["Wy"].T, 0
    for t in reversed(range(x.shape[1])):
        e, before, c, i, f, g, o, new = steps[t]
        dc = dc + dh * o * (1 - np.tanh(new) ** 2)
        dz = np.hstack([
            dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2),
            dh * np.tanh(new) * o * (1 - o),
        ])
        found["Wx"] += dz.T @ e
        found["Wh"] += dz.T @ before
        found["bx"] += dz.sum(axis=0)
        found["bh"] += dz.sum(axis=0)
        np.add.at(found["E"], x[:, t], dz @ params["Wx"])
        dh, dc = dz @ params['Wh'], dc * f
    return found
"""

LAYERS = """
import numpy as np

LOSS = "mse"
PARAMETERS = {"Wx": "0.weight_ih_l0.T", "Wh": "0.weight_hh_l0.T", "b": "0.bias_ih_l0"}
ATTRIBUTES = {"Wx": "grads['x']", "Wh": "grads['h']", "b": "grads['b']"}


def architecture(nn):
    return nn.Sequential(nn.RNN(3, 6, batch_first=True, one_bias=True))


class Recurrent:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b

    def forward(self, x):
        self.x, self.h = x, [np.zeros((len(x), 6))]
        for t in range(x.shape[1]):
            self.h.append(np.tanh(x[:, t] @ self.Wx + self.h[-1] @ self.Wh + self.b))
        return np.stack(self.h[1:], axis=1), self.h[-1]

    def backward(self, d):
        x, h = self.x, self.h
        dx, dh = np.zeros_like(x), 0
        gx, gh, gb = np.zeros_like(self.Wx), np.zeros_like(self.Wh), np.zeros_like(self.b)
        for t in reversed(range(x.shape[1])):
            dz = (d[:, t] + dh) * (1 - h[t + 1] ** 2)
            gx += x[:, t].T @ dz
            gh += h[t].T @ dz
            gb += dz.sum(axis=0)
            dx[:, t], dh = dz @ self.Wx.T, dz @ self.Wh.T
        self.grads = {"x": gx, "h": gh, "b": gb}
        return dx, dh


def network(params):
    return [Recurrent(params["Wx"], params["Wh"], params["b"])]
"""

FLATTENED = [
    ("nn.LastStep(), nn.Linear(4, 5)", "nn.Flatten(), nn.Linear(24, 5)"),
    ("return run(params, x)[0] @", "return outputs(params, x) @"),
    (
        "def forward",
        "def outputs(params, x):\n"
        "    h, steps = run(params, x)\n"
        "    return np.stack([s[1] for s in steps[1:]] + [h], axis=1).reshape(len(x), -1)\n\n\n"
        "def forward",
    ),
    ("def gradients", "def not_asked"),
]


CHAIN = [
    ("Sequential(nn.RNN(3, 6, batch_first=True, one_bias=True))",
     "Sequential(nn.Embedding(8, 3), nn.RNN(3, 6, batch_first=True, one_bias=True), "
     "nn.LastStep(), nn.Linear(6, 4))"),
    ('LOSS = "mse"\nPARAMETERS = {',
     'PARAMETERS = {"E": "0.weight", "W": "3.weight.T", "c": "3.bias", '),
    ('"0.weight_ih_l0.T", "Wh": "0.weight_hh_l0.T", "b": "0.bias_ih_l0"',
     '"1.weight_ih_l0.T", "Wh": "1.weight_hh_l0.T", "b": "1.bias_ih_l0"'),
    ("return np.stack(self.h[1:], axis=1), self.h[-1]", "return self.h[-1]"),
    ("dx, dh = np.zeros_like(x), 0\n", "dx, dh = np.zeros_like(x), d\n"),
    ("(d[:, t] + dh)", "dh"),
    ("def network", """class Table:
    def __init__(self, E):
        self.E = E

    def forward(self, x):
        self.x = x
        return self.E[x]

    def backward(self, d):
        self.dW = np.zeros_like(self.E)
        np.add.at(self.dW, self.x, d)


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW, self.db = self.x.T @ d, d.sum(axis=0)
        return d @ self.W.T


def network"""),
    ('[Recurrent(params["Wx"], params["Wh"], params["b"])]',
     '[Table(params["E"]), Recurrent(params["Wx"], params["Wh"], params["b"]), '
     'Affine(params["W"], params["c"])]'),
]  # fmt: skip

ADD_AT = 'np.add.at(found["E"], x[:, t], dz @ params["Wx"])'
GRADIENT = "gradient/1.weight_ih_l0"


def failed(outcome) -> list[str]:
    return [check.key for check in outcome.result.checks if not check.passed]


# ---------------------------------------------------------------------- functions


@pytest.mark.parametrize("text", [RNN, LSTM])
def test_right_functions(check, text):
    found = check(text=text)
    assert found.status == 0, found.result
    assert max(check.relative_error for check in found.result.checks) < 1e-13


def test_all_steps_flattened(check):
    found = check(*FLATTENED, text=LSTM)
    assert found.status == 0, found.result


def test_two_biases(check):
    found = check(
        (", one_bias=True", ""),
        ('"b": "0.bias_ih_l0"', '"b": "0.bias_ih_l0", "c": "0.bias_hh_l0"'),
        ('@ params["Wh"] + params["b"]', '@ params["Wh"] + params["b"] + params["c"]'),
        ("    return found\n", '    return {**found, "c": found["b"]}\n'),
        text=RNN,
    )
    assert found.status == 0, found.result


def test_time_first(check):
    """The batch is the second axis: x is (T, N, D)."""
    text = RNN.replace("def forward", "def by_rows").replace("forward(", "by_rows(")
    text = text.replace("def loss", "def loss_by_rows").replace("def gradients", "def of_rows")
    text += """

def turned(a):
    return np.moveaxis(a, 0, 1)


BATCH_AXIS = 1


def forward(params, x):
    return turned(by_rows(params, turned(x)))


def loss(params, x, y):
    return loss_by_rows(params, turned(x), turned(y))


def gradients(params, x, y):
    return of_rows(params, turned(x), turned(y))
"""
    found = check(text=text)
    assert found.status == 0, found.result


@pytest.mark.parametrize("text", [RNN, LSTM])
def test_float32_is_not_called_wrong(check, text):
    single = "{k: v.astype(np.float32) for k, v in params.items()}"
    found = check(
        ("def forward(params, x):", f"def forward(params, x):\n    params = {single}"),
        ("def gradients(params, x, y):", f"def gradients(params, x, y):\n    params = {single}"),
        text=text,
    )
    assert found.status == 0, found.result
    assert found.result.checks[0].tolerance > 1e-8


def test_no_gradient_through_time(check):
    found = check(('dh = dz @ params["Wh"].T', "dh = 0"), text=RNN)
    keys = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    assert failed(found) == [f"gradient/0.{key}" for key in keys]
    assert found.result.error is None


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (("(1 - h[t + 1] ** 2)", "(1 - h[t] ** 2)"), "gradient/0.weight_ih_l0"),
        (('found["Wh"] += h[t].T', 'found["Wh"] += h[t + 1].T'), "gradient/0.weight_hh_l0"),
        (('found["b"] += dz', 'found["b"] = dz'), "gradient/0.bias_ih_l0"),
        (("h[-1] @ params", "h[0] @ params"), "logits"),
        (("np.tanh(x", "np.sin(x"), "logits"),
    ],
)
def test_wrong_rnns(check, change, first):
    assert failed(check(change, text=RNN))[0] == first


def test_the_forget_gates_bias_has_no_gradient(check):
    found = check(("    return found\n", '    found["bx"][4:8] = 0\n    return found\n'), text=LSTM)
    assert failed(found) == ["gradient/1.bias_ih_l0"]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (("dh, dc = dz @ params['Wh'], dc * f", "dh, dc = dz @ params['Wh'], dc"), GRADIENT),
        (("dh, dc = dz @ params['Wh'], dc * f", "dh, dc = dz @ params['Wh'], 0"), GRADIENT),
        ((ADD_AT, 'found["E"][x[:, t]] += dz @ params["Wx"]'), "gradient/0.weight"),
        (("new = f * c + i * g", "new = f * c + g"), "logits"),
    ],
)
def test_wrong_lstms(check, change, first):
    assert failed(check(change, text=LSTM))[0] == first


def test_in_a_process_of_its_own_with_a_golden_file(check_in_sandbox, tmp_path):
    from compare.check.architecture import RecordedArchitecture, record_architecture
    from compare.check.golden import Golden, read_golden, write_golden

    names: dict = {}
    exec(LSTM, names)
    build = RecordedArchitecture(record_architecture(names["architecture"]), "net")
    one = Assignment("net", build)
    write_golden(tmp_path / "net.npz", Golden(one, make_cases(one)))
    golden = read_golden(tmp_path / "net.npz")
    assert check_in_sandbox(text=LSTM, golden=golden).status == 0
    wrong = check_in_sandbox((ADD_AT, 'found["E"][x[:, t]] = dz @ params["Wx"]'), text=LSTM)
    assert failed(wrong) == ["gradient/0.weight"]


def test_no_name_is_known_for_mistakes_here(check):
    found = check(('dh = dz @ params["Wh"].T', "dh = 0"), text=RNN)
    assert any(
        note == "No mistake can be named here: numpy_nn has no 'RNN'."
        for note in found.result.notes
    )


# ---------------------------------------------------------------------- layer classes


def test_a_right_layer(check):
    found = check(text=LAYERS)
    assert found.status == 0, found.result
    keys = [check.key for check in found.result.checks]
    assert "gradient/0.input" in keys
    assert "gradient/network/0.bias_ih_l0" in keys


def test_attributes_named_like_the_parameters(check):
    found = check(
        ("ATTRIBUTES", "NOT_SAID"),
        ('self.grads = {"x": gx, "h": gh, "b": gb}', "self.dWx, self.dWh, self.db = gx, gh, gb"),
        text=LAYERS,
    )
    assert found.status == 0, found.result


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (("dz @ self.Wx.T, dz @ self.Wh.T", "dz @ self.Wx.T, 0"), "gradient/0.weight_ih_l0"),
        (("gb += dz", "gb = dz"), "gradient/0.bias_ih_l0"),
        (("np.stack(self.h[1:], axis=1)", "np.stack(self.h[:-1], axis=1)"), "activation/0"),
    ],
)
def test_wrong_layers(check, change, first):
    assert failed(check(change, text=LAYERS))[0] == first


def test_a_layer_that_returns_its_last_state_alone(check):
    """It does the work of two modules, and an Embedding and an Affine stand around it."""
    found = check(*CHAIN, text=LAYERS)
    assert found.status == 0, found.result
    keys = [check.key for check in found.result.checks]
    assert "activation/2" in keys
    assert "activation/1" not in keys
    assert "gradient/network/0.weight" in keys
    wrong = check(*CHAIN, ("dz @ self.Wx.T, dz @ self.Wh.T", "dz @ self.Wx.T, dz"), text=LAYERS)
    assert failed(wrong)[0] == "gradient/1.weight_ih_l0"


# ---------------------------------------------------------------------- the reference


def test_each_kind_is_pytorchs_own():
    """Values are those of the module itself, called without Sequential; sizes are not 0."""
    for kind in ("RNN", "LSTM", "GRU"):

        def net(nn, kind=kind):
            layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True, batch_first=True)
            return nn.Sequential(layer, nn.LastStep(), nn.Linear(8, 2))

        cases = make_cases(Assignment("net", net), functions=True)
        module = getattr(torch.nn, kind)(3, 4, 2, bidirectional=True, batch_first=True).double()
        for case in cases:
            own = {k: torch.tensor(v) for k, v in case.parameters.items()}
            module.load_state_dict(
                {k.removeprefix("0."): v for k, v in own.items() if k.startswith("0.")}
            )
            outputs, _ = module(torch.tensor(case.inputs))
            logits = outputs[:, -1] @ own["2.weight"].T + own["2.bias"]
            torch.nn.functional.cross_entropy(logits, torch.tensor(case.targets)).backward()
            for key, parameter in module.named_parameters():
                right, size = parameter.grad.numpy(), case.sizes[f"gradient/0.{key}"]
                assert (np.abs(case.expected[f"gradient/0.{key}"] - right) <= 1e-12 * size).all()
                assert (size > 0).all()
            module.zero_grad()


def test_one_bias_is_the_sum_of_two():
    def net(nn, one_bias):
        return nn.Sequential(nn.GRU(3, 4, batch_first=True, one_bias=one_bias), nn.Flatten())

    one = Reference(Assignment("one", lambda nn: net(nn, True), "mse"))
    two = Reference(Assignment("two", lambda nn: net(nn, False), "mse"))
    assert set(two.trainable) - set(one.trainable) == {"0.bias_hh_l0"}
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    state = one.exact.state().model
    two.load({**state, "0.bias_hh_l0": np.zeros(12)})
    np.testing.assert_allclose(one.exact.logits(x), two.exact.logits(x), rtol=1e-14)
    layers = make_cases(Assignment("one", lambda nn: net(nn, True), "mse"), layers=True)
    assert not any("bias_hh" in quantity for case in layers for quantity in case.expected)


def test_linear_layers_may_come_first():
    def net(nn):
        return nn.Sequential(nn.Linear(3, 4), nn.RNN(4, 6, batch_first=True), nn.Linear(6, 2))

    for case in make_cases(Assignment("net", net, "mse")):
        assert case.inputs.shape[1:] == (5, 3)
        assert case.expected["logits"].shape[1:] == (5, 2)


@pytest.mark.parametrize("layers", [False, True])
def test_the_batch_has_to_come_first(layers):
    with pytest.raises(InputError, match=r"nn\.LSTM\(…\) without batch_first=True"):
        make_cases(Assignment("net", lambda nn: nn.Sequential(nn.LSTM(3, 4)), "mse"), layers=layers)


def test_layers_that_do_not_fit():
    def net(nn):
        return nn.Sequential(nn.RNN(3, 4, batch_first=True), nn.Linear(5, 2))

    with pytest.raises(InputError, match=r"takes no sequence of 1 to 64 steps"):
        make_cases(Assignment("net", net, "mse"))
