"""Networks that exist before their parameters are set, and layers whose layout nobody declares."""

from __future__ import annotations

import itertools
import re
import textwrap

import numpy as np
import pytest

from compare.check.contract import ArrayLayout, BatchLayout, ReturnValueError
from compare.check.filled_network import arrays_of, fill, get, gradient_paths
from compare.check.result import as_text

ACTIVATIONS = """
import numpy as np


class ReLU:
    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        return dy * self.positive


class Tanh:
    def forward(self, x):
        self.kept = np.tanh(x)
        return self.kept

    def backward(self, dy):
        return dy * (1 - self.kept**2)
"""


def dense(columns: bool, transposed: bool, bias: str, names: tuple[str, str]) -> str:
    """A Linear in one layout; what it returns and keeps follows from y = x W + b."""
    w, b = names
    shape = "(o, i)" if transposed else "(i, o)"
    weight = f"self.{w}.T" if transposed else f"self.{w}"
    start = {"": "np.zeros(o)", "row": "np.zeros((1, o))", "column": "np.zeros((o, 1))"}[bias]
    vector = f"self.{b}.reshape(1, -1)"
    keep = {"": "", "row": ".reshape(1, -1)", "column": ".reshape(-1, 1)"}[bias]
    rows, back = ("x.T", ".T") if columns else ("x", "")
    return f"""
class Dense:
    def __init__(self, i, o):
        self.{w} = np.random.standard_normal({shape})
        self.{b} = {start}

    def forward(self, x):
        self.x = {rows}
        return (self.x @ {weight} + {vector}){back}

    def backward(self, dy):
        dy = dy{back}
        dw = self.x.T @ dy
        self.d{w} = dw{".T" if transposed else ""}
        self.d{b} = dy.sum(axis=0){keep}
        return (dy @ ({weight}).T){back}
"""


def loss_layer(columns: bool, one_hot: bool) -> str:
    """Softmax with cross-entropy as one layer."""
    back = ".T" if columns else ""
    labels = f"t{back}" if one_hot else "np.eye(3)[t]"
    return f"""
class SoftmaxWithLoss:
    def forward(self, x, t):
        z, self.t = x{back}, {labels}
        z = z - z.max(axis=1, keepdims=True)
        self.p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -(self.t * (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))).sum() / len(z)

    def backward(self):
        return ((self.p - self.t) / len(self.p)){back}
"""


ARCHITECTURE = """
def architecture(nn):
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
"""
FILLED = "Dense(6, 6), ReLU(), Dense(6, 4), Tanh(), Dense(4, 3)"
GIVEN = """
def network(params):
    layers = [Dense(6, 6), ReLU(), Dense(6, 4), Tanh(), Dense(4, 3)]
    for number, layer in enumerate(layers[::2], 1):
        layer.NAME_W, layer.NAME_B = params[f"W{number}"], params[f"b{number}"]
    return layers, SoftmaxWithLoss()
"""

LAYOUTS = [
    (columns, transposed, bias, one_hot)
    for columns, transposed, bias, one_hot in itertools.product(
        (False, True), (False, True), ("", "row", "column"), (False, True)
    )
]


@pytest.mark.parametrize("given", [False, True], ids=["network()", "network(params)"])
@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_right_layers_in_any_layout_need_no_words(check, number: int, given: bool) -> None:
    columns, transposed, bias, one_hot = LAYOUTS[number]
    names = (("W", "b"), ("weights", "biases"), ("w", "bias"))[number % 3]
    text = ACTIVATIONS + dense(columns, transposed, bias, names) + loss_layer(columns, one_hot)
    if given:
        network = GIVEN.replace("NAME_W", names[0]).replace("NAME_B", names[1])
    else:
        network = f"\ndef network():\n    return [{FILLED}], SoftmaxWithLoss()\n"
    outcome = check(text=text + ARCHITECTURE + network)
    assert outcome.status == 0, as_text(outcome)
    (note,) = (n for n in outcome.result.notes if n.startswith("Read as"))
    assert f"batch in {'columns' if columns else 'rows'}" in note
    assert f"labels {'one-hot' if one_hot else 'as class numbers'}" in note
    assert ("is 0.weight.T" in note) is not transposed


MISTAKES = {
    "self.db = dy.sum(axis=0)": ("self.db = dy.mean(axis=0)", "gradient/4.bias"),
    "self.dW = dw": ("self.dW = dw / len(dy)", "gradient/4.weight"),
    "return (dy @ (self.W).T)": ("return dy @ self.W[:, ::-1].T", "gradient/4.input"),
    "(self.p - self.t) / len(self.p)": ("self.p - self.t", "gradient/logits"),
    "return dy * (1 - self.kept**2)": ("return dy * (1 - self.kept)", "gradient/3.input"),
    "self.x @ self.W + self.b.reshape(1, -1)": ("self.x @ self.W", "activation/0"),
}


@pytest.mark.parametrize("right", MISTAKES, ids=[quantity for _, quantity in MISTAKES.values()])
def test_a_mistake_is_not_taken_for_a_layout(check, right: str) -> None:
    wrong, quantity = MISTAKES[right]
    text = ACTIVATIONS + dense(False, False, "", ("W", "b")) + loss_layer(False, False)
    text += ARCHITECTURE + f"\ndef network():\n    return [{FILLED}], SoftmaxWithLoss()\n"
    outcome = check((right, wrong), text=text)
    assert outcome.status == 1, as_text(outcome)
    failed = [one.key for one in outcome.result.checks if not one.passed]
    assert quantity in failed
    first = next(one.key for one in outcome.result.checks if not one.passed)
    assert first == quantity, as_text(outcome)


PARTS = """
class MatMul:
    def __init__(self, i, o):
        self.W = np.random.standard_normal((i, o))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy
        return dy @ self.W.T


class Bias:
    def __init__(self, o):
        self.b = np.zeros(o)

    def forward(self, x):
        return x + self.b

    def backward(self, dy):
        self.db = dy.sum(axis=0)
        return dy


class Softmax:
    def forward(self, x):
        self.p = np.exp(x - x.max(axis=1, keepdims=True))
        self.p /= self.p.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dp):
        return self.p * (dp - (dp * self.p).sum(axis=1, keepdims=True))


class CrossEntropy:
    def forward(self, y_true, y_pred):
        self.t, self.p = y_true, y_pred
        return -np.log(y_pred[np.arange(len(y_true)), y_true]).mean()

    def backward(self):
        dp, rows = np.zeros_like(self.p), np.arange(len(self.t))
        dp[rows, self.t] = -1 / self.p[rows, self.t] / len(self.t)
        return dp


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
"""
ROWS = (
    "def network():\n    return [MatMul(6, 5), Bias(5), ReLU(), MatMul(5, 3), Bias(3)NEXT], LOSS\n"
)


def in_parts(layers: str, loss: str, own: str = ROWS) -> str:
    return ACTIVATIONS + PARTS + own.replace("NEXT", layers).replace("LOSS", loss)


def test_a_layer_for_the_product_and_one_for_the_bias(check) -> None:
    outcome = check(text=in_parts(", Softmax()", "CrossEntropy()"))
    assert outcome.status == 0, as_text(outcome)
    assert {"loss", "gradient/logits", "gradient/network/0.bias"} <= keys(outcome)


def test_a_list_among_the_layers_is_one_layer(check) -> None:
    own = (
        "def network():\n    return {'0': [MatMul(6, 5), Bias(5)], '1': ReLU(), "
        "'2': (MatMul(5, 3), Bias(3))}\n"
    )
    outcome = check(text=in_parts("", "", own))
    assert outcome.status == 0, as_text(outcome)
    assert "gradient/2.bias" in keys(outcome)


def test_a_softmax_of_its_own_belongs_to_the_loss(check) -> None:
    wrong = ("(dp - (dp * self.p).sum(axis=1, keepdims=True))", "(1 - self.p) * dp")
    outcome = check(wrong, text=in_parts(", Softmax()", "CrossEntropy()"))
    first = next(one for one in outcome.result.checks if not one.passed)
    assert (outcome.status, first.key) == (1, "gradient/logits")


def test_a_softmax_without_a_loss_is_left_out(check) -> None:
    outcome = check(text=in_parts(", Softmax()", "None"))
    assert outcome.status == 0, as_text(outcome)
    assert any(note.startswith("Softmax is not compared") for note in outcome.result.notes)
    assert "loss" not in keys(outcome)


FUNCTIONS = """
LOSS = "mse"


def mse(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / y_true.size
"""


def test_a_loss_of_two_functions_with_the_targets_first(check) -> None:
    outcome = check(text=in_parts("", "(mse, mse_prime)") + FUNCTIONS)
    assert outcome.status == 0, as_text(outcome)
    assert {"loss", "gradient/logits"} <= keys(outcome)
    outcome = check(
        ("2 * (y_pred", "2 * (-y_pred"), text=in_parts("", "(mse, mse_prime)") + FUNCTIONS
    )
    assert outcome.status == 1


UPDATING = """
import numpy as np

LOSS = "mse"


class FC:
    def __init__(self, i, o):
        self.weights, self.bias = np.random.standard_normal((i, o)), np.zeros((1, o))

    def forward_propagation(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward_propagation(self, error, learning_rate):
        dx = error @ self.weights.T
        self.weights -= learning_rate * self.x.T @ error
        self.bias -= learning_rate * error.sum(axis=0, keepdims=True)
        return dx


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))


def network():
    return [FC(6, 4), FC(4, 3)]
"""


def test_layers_that_update_themselves(check) -> None:
    outcome = check(text=UPDATING)
    assert outcome.status == 0, as_text(outcome)
    assert "gradient/network/0.weight" in keys(outcome)
    outcome = check(("self.x.T @ error", "self.x.T @ error / len(error)"), text=UPDATING)
    first = next(one for one in outcome.result.checks if not one.passed)
    assert (outcome.status, first.key) == (1, "gradient/1.weight")


def test_other_names_of_the_methods(check) -> None:
    text = UPDATING.replace("forward_propagation", "go").replace("backward_propagation", "come")
    outcome = check(text=text)
    assert outcome.status == 2
    assert as_text(outcome) == (
        "homework.py could not be checked: network() raised TypeError: each layer needs "
        "forward(x) and backward(dout), but FC has no forward.\nNote: Read as: batch in "
        "rows; layers[0].weights is 0.weight.T, layers[0].bias is 0.bias[None, :], "
        "layers[1].weights is 1.weight.T, layers[1].bias is 1.bias[None, :]. Its functions "
        "run in none of the ways that were tried."
    )
    outcome = check(text=text + 'METHODS = {"forward": "go", "backward": "come"}\n')
    assert outcome.status == 0, as_text(outcome)


@pytest.mark.parametrize("value", ['{"update": "go"}', '"go"', '{"forward": 1}'])
def test_what_methods_may_be(check, value: str) -> None:
    outcome = check(text=UPDATING + f"METHODS = {value}\n")
    assert outcome.status == 2
    assert re.search(r"METHODS (may have the keys|should be a dict)", as_text(outcome))


ONE = UPDATING.replace("error.sum(axis=0, keepdims=True)", "error")


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits", "cross_entropy"])
def test_layers_for_one_sample_at_a_time(check, loss: str) -> None:
    """Their bias takes the error of the only row, as one well-known article writes it."""
    text = ONE.replace('LOSS = "mse"', f'LOSS = "{loss}"')
    outcome = check(text=text)
    assert outcome.status == 2
    assert "takes one sample at a time, write ONE_SAMPLE = True" in as_text(outcome)
    text += "ONE_SAMPLE = True\n"
    outcome = check(text=text)
    assert outcome.status == 0, as_text(outcome)
    assert {"gradient/0.bias", "gradient/network/0.bias"} <= keys(outcome)
    assert check(("self.x.T @ error", "2 * self.x.T @ error"), text=text).status == 1


def test_a_gradient_that_is_small_beside_its_weight_is_read_off_exactly(check) -> None:
    """Far from 0 a sigmoid leaves gradients of 1e-9, of which W − (W − g) loses the digits."""
    sigmoid = """

class Sigmoid:
    def forward_propagation(self, x):
        self.p = 1 / (1 + np.exp(-x))
        return self.p

    def backward_propagation(self, error, learning_rate):
        return error * self.p * (1 - self.p)


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.Sigmoid())


def network():
    return [FC(6, 4), Sigmoid(), FC(4, 3), Sigmoid()], (bce, bce_prime)


def bce(y_true, p):
    return np.mean(-y_true * np.log(p) - (1 - y_true) * np.log(1 - p))


def bce_prime(y_true, p):
    return ((1 - y_true) / (1 - p) - y_true / p) / y_true.size
"""
    text = UPDATING.partition("def architecture")[0].replace('"mse"', '"bce"') + sigmoid
    outcome = check(text=text)
    assert outcome.status == 0, as_text(outcome)
    said = text + 'ATTRIBUTES = {"weight": "-weights", "bias": "-bias"}\n'
    outcome = check(text=said)
    assert outcome.status == 0, as_text(outcome)
    without_rate = said.replace(", learning_rate)", ")").replace("learning_rate * ", "")
    outcome = check(text=without_rate)  # what rounding W lost is allowed
    assert outcome.status == 0, as_text(outcome)


def test_one_sample_of_an_image_has_no_axis_for_it(check) -> None:
    text = IMAGES.replace("FLATTEN", "").replace("CHANNELS_LAST = True", "ONE_SAMPLE = True")
    single = text.replace("x.shape[1] - k + 1, x.shape[2]", "x.shape[0] - k + 1, x.shape[1]")
    single = single.replace("places = ", "every, places = (), ").replace("(every, slice", "(slice")
    single = single.replace('"nhwc,nhwo->co"', '"hwc,hwo->co"').replace("(0, 1, 2)", "(0, 1)")
    layer = """
    def network():
        class First(Conv):
            def forward(self, x):
                return super().forward(x.transpose(1, 2, 0)).transpose(2, 0, 1)

            def backward(self, dy):
                return super().backward(dy.transpose(1, 2, 0)).transpose(2, 0, 1)

        return [First(3, 2, 4), Reshape(), Dense(144, 3)]
    """
    reshape = """
    class Reshape:
        def forward(self, x):
            self.shape = x.shape
            return x.reshape(1, -1)

        def backward(self, dy):
            return dy.reshape(self.shape)
    """
    own = textwrap.dedent(reshape) + textwrap.dedent(layer)
    outcome = check(text=single.partition("def network")[0] + own)
    assert outcome.status == 0, as_text(outcome)


@pytest.mark.parametrize("layer", ["BatchNorm1d(4)", "Identity()"])
def test_one_sample_and_a_batch_normalisation(check, layer: str) -> None:
    text = ONE.replace("nn.Linear(6, 4), ", f"nn.Linear(6, 4), nn.{layer}, ")
    outcome = check(text=text + "ONE_SAMPLE = True\n")
    assert outcome.status == (2 if "Batch" in layer else 0), as_text(outcome)
    assert ("which takes several rows" in as_text(outcome)) is ("Batch" in layer)


OBJECT = """
import numpy as np


class Net:
    def __init__(self, i, h, o):
        self.W1, self.b1 = np.random.standard_normal((i, h)), np.zeros((1, h))
        self.W2, self.b2 = np.random.standard_normal((h, o)), np.zeros((1, o))

    def predict(self, x):
        self.h = np.maximum(0, x @ self.W1 + self.b1)
        return self.h @ self.W2 + self.b2

    def learn(self, x, y):
        z = self.predict(x)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        dh = p @ self.W2.T * (self.h > 0)
        self.dW2, self.db2 = self.h.T @ p, p.sum(axis=0, keepdims=True)
        self.dW1, self.db1 = x.T @ dh, dh.sum(axis=0, keepdims=True)


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def network():
    return Net(6, 5, 3)


def forward(net, x):
    return net.predict(x)


def gradients(net, x, y):
    net.learn(x, y)
"""


def test_functions_get_the_object_and_its_gradients_are_read(check) -> None:
    outcome = check(text=OBJECT)
    assert outcome.status == 0, as_text(outcome)
    assert keys(outcome) >= {"logits", "gradient/0.weight", "gradient/2.bias"}
    outcome = check(("p /= len(y)", "p = p"), text=OBJECT)
    codes = {d.code for one in outcome.result.checks if (d := one.diagnosis) is not None}
    assert (outcome.status, codes) == (1, {"sum-not-mean"})


def test_gradients_that_the_object_does_not_keep(check) -> None:
    outcome = check(("self.dW2, self.db2", "self.first, self.second"), text=OBJECT)
    assert outcome.status == 2
    assert as_text(outcome) == (
        "homework.py could not be checked: gradients(params, x, y) raised AttributeError: "
        "the network keeps no gradient of W2 under dW2, d_W2, grad_W2, W2_grad or the like: "
        "return a dict of gradients with the keys of PARAMETERS.\nNote: Read as: batch in "
        "rows, labels as class numbers; W1 is 0.weight.T, b1 is 0.bias[None, :], W2 is "
        "2.weight.T, b2 is 2.bias[None, :]."
    )


FIT = (
    OBJECT.partition("def forward(net")[0]
    + """
OPTIMIZER, SETTINGS = "SGD", {"lr": 0.05, "momentum": 0.9}


def step(net, x, y):
    net.learn(x, y)
    for name in ("W1", "b1", "W2", "b2"):
        moved = getattr(net, f"v{name}", 0) * 0.9 + getattr(net, f"d{name}")
        setattr(net, f"v{name}", moved)
        setattr(net, name, getattr(net, name) - 0.05 * moved)
"""
)


def test_a_step_of_the_object(check) -> None:
    """It lives as long as its steps are counted, and its arrays are the new parameters."""
    outcome = check(text=FIT)
    assert outcome.status == 0, as_text(outcome)
    assert keys(outcome) == {f"step/{n}.{kind}" for n in "02" for kind in ("weight", "bias")}
    outcome = check(("* 0.9 +", "* 0.8 +"), text=FIT)
    assert outcome.status == 1
    plain = FIT.replace(', "momentum": 0.9', "").replace('getattr(net, f"v{name}", 0) * 0.9 + ', "")
    outcome = check(text=plain)
    assert outcome.status == 0, as_text(outcome)
    assert "gradient/0.weight" in keys(outcome)


ENGINE = """
class Number:
    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents = data, 0.0, parents

    def __add__(self, other):
        other = other if isinstance(other, Number) else Number(other)
        return Number(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        other = other if isinstance(other, Number) else Number(other)
        return Number(self.data * other.data, ((self, other.data), (other, self.data)))

    __radd__, __rmul__ = __add__, __mul__

    def positive(self):
        return Number(max(self.data, 0.0), ((self, float(self.data > 0)),))

    def backward(self):
        order, seen = [], set()

        def visit(number):
            if id(number) not in seen:
                seen.add(id(number))
                for parent, _ in number.parents:
                    visit(parent)
                order.append(number)

        visit(self)
        self.grad = 1.0
        for number in reversed(order):
            for parent, slope in number.parents:
                parent.grad += number.grad * slope


class Neuron:
    def __init__(self, inputs):
        self.w, self.b = [Number(0.5) for _ in range(inputs)], Number(0)

    def __call__(self, x):
        return sum((w * v for w, v in zip(self.w, x)), self.b)


class Net:
    def __init__(self, i, h):
        self.layers = [[Neuron(i) for _ in range(h)], [Neuron(h)]]

    def __call__(self, x):
        hidden = [neuron(x).positive() for neuron in self.layers[0]]
        return [neuron(hidden) for neuron in self.layers[1]]


LOSS = "mse"


def architecture(nn):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


network = lambda: Net(3, 4)
forward = lambda net, x: [net(row) for row in x]


def loss_and_gradients(net, x, y):
    errors = [net(row)[0] + -t for row, (t,) in zip(x, y)]
    return sum(e * e for e in errors) * (1 / len(x))
"""


def test_an_autograd_engine_of_numbers(check) -> None:
    outcome = check(text=ENGINE)
    assert outcome.status == 0, as_text(outcome)
    assert keys(outcome) >= {"logits", "loss", "gradient/0.weight", "gradient/2.bias"}
    (note,) = (n for n in outcome.result.notes if n.startswith("Read as"))
    assert note == (
        "Read as: batch in rows; layers[0][:].w[:].data is 0.weight, layers[0][:].b.data is "
        "0.bias, layers[1][:].w[:].data is 2.weight, layers[1][:].b.data is 2.bias."
    )
    outcome = check(("parent.grad += number", "parent.grad = number"), text=ENGINE)
    assert outcome.status == 1  # a number used twice loses a part


IMAGES = """
import numpy as np

CHANNELS_LAST = True


class Conv:
    def __init__(self, k, c, o):
        self.W, self.b = np.random.standard_normal((k, k, c, o)), np.zeros(o)

    def windows(self, x):
        k, every = len(self.W), slice(None)
        h, w = x.shape[1] - k + 1, x.shape[2] - k + 1
        places = [(i, j) for i in range(k) for j in range(k)]
        return [(i, j, (every, slice(i, i + h), slice(j, j + w))) for i, j in places]

    def forward(self, x):
        self.x = x
        return sum(x[s] @ self.W[i, j] for i, j, s in self.windows(x)) + self.b

    def backward(self, dy):
        self.dW, dx = np.zeros_like(self.W), np.zeros_like(self.x)
        for i, j, s in self.windows(self.x):
            self.dW[i, j] = np.einsum("nhwc,nhwo->co", self.x[s], dy)
            dx[s] += dy @ self.W[i, j].T
        self.db = dy.sum(axis=(0, 1, 2))
        return dx


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


class Dense:
    def __init__(self, i, o):
        self.W, self.b = np.random.standard_normal((i, o)), np.zeros(o)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


def architecture(nn):
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


def network():
    return [Conv(3, 2, 4), FLATTENDense(144, 3)]
"""


@pytest.mark.parametrize("flatten", ["Flatten(), ", ""], ids=["own", "left out"])
def test_channels_last(check, flatten: str) -> None:
    outcome = check(text=IMAGES.replace("FLATTEN", flatten))
    assert outcome.status == 0, as_text(outcome)
    assert "gradient/network/0.weight" in keys(outcome)
    (note,) = (n for n in outcome.result.notes if n.startswith("Read as"))
    assert "layers[0].W is 0.weight.transpose(2, 3, 1, 0)" in note
    wrong = ("dx[s] += dy @ self.W[i, j].T", "dx[s] += dy @ self.W[j, i].T")
    outcome = check(wrong, text=IMAGES.replace("FLATTEN", flatten))
    first = next(one for one in outcome.result.checks if not one.passed)
    assert (outcome.status, first.key) == (1, "gradient/0.input")


def test_channels_last_is_hinted_at() -> None:
    with pytest.raises(ReturnValueError, match="write CHANNELS_LAST = True"):
        BatchLayout().from_homework(np.zeros((5, 6, 7, 2)), (5, 2, 6, 7), "the output of Conv")


FORMS = {
    ".T": (4, 6),
    ".transpose(2, 3, 1, 0)": (3, 5, 2, 4),
    ".transpose(1,2,3,0)": (2, 3, 5, 4),
    ".reshape(4, -1)": (4, 30),
    ".reshape(4,-1).T": (30, 4),
    "[ None, : ]": (1, 7),
    ".reshape(1, -1, 1, 1)": (1, 7, 1, 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_arrays(form: str) -> None:
    shape = {2: (6, 4), 4: (4, 2, 3, 5)}[len(FORMS[form]) if form == ".T" else 4]
    shape = (7,) if 7 in FORMS[form] else shape
    layout = ArrayLayout.parse("W", f"0.weight{form}")
    array = np.random.default_rng(0).standard_normal(shape)
    own = layout.to_homework(array)
    assert (layout.key, own.shape) == ("0.weight", FORMS[form])
    np.testing.assert_array_equal(own, eval(f"array{form}"))
    np.testing.assert_array_equal(layout.from_homework(own, shape, "it"), array)


@pytest.mark.parametrize("entry", ["0.weight.transpose(0, 1, 2)", "0.weight.reshape(7, -1)"])
def test_a_form_that_does_not_fit(check, entry: str) -> None:
    outcome = check(
        text=OBJECT.replace("def network", f'PARAMETERS = {{"W1": "{entry}"}}\n\n\ndef network')
    )
    assert outcome.status == 2
    assert "but 0.weight has the shape (5, 6)" in as_text(outcome)


class Holder:
    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


def test_arrays_of_an_object() -> None:
    shared = np.zeros((2, 3))
    net = Holder(
        params={"W1": shared, "b1": np.zeros(3)},
        layers=[Holder(W=shared, dW=shared * 0), Holder(weight=Holder(data=np.ones(4), grad=None))],
        grads={"W1": np.ones((2, 3))},
        bias={0: np.zeros(5)},
        velocity=np.zeros(9),
        counts=np.zeros(3, int),
        name="net",
    )
    assert arrays_of(net) == {
        "params['W1']": (2, 3),
        "params['b1']": (3,),
        "bias[0]": (5,),
        "layers[1].weight.data": (4,),
    }
    fill(net, {"params['W1']": np.full((2, 3), 7.0), "layers[1].weight.data": np.arange(4.0)})
    assert (net.layers[0].W == 7).all()  # in place: both have the same array
    assert get(net, "layers[1].weight.data").tolist() == [0, 1, 2, 3]
    net.layers[0] = net
    assert "params['W1']" in arrays_of(net)  # an object that holds itself ends, too


@pytest.mark.parametrize(
    ("path", "gradient"),
    [
        ("W1", "dW1"),
        ("W1", "grads['W1']"),
        ("W1", "grads['dW1']"),
        ("params['W1']", "grads['W1']"),
        ("layers[0].weight", "layers[0].grad_weight"),
        ("layers[0].weight.data", "layers[0].weight.grad"),
        ("layers[0][:].w[:].data", "layers[0][:].w[:].grad"),
        ("weights[1]", "dweights[1]"),
    ],
)
def test_where_gradients_may_be(path: str, gradient: str) -> None:
    assert gradient in gradient_paths(path)


def keys(outcome) -> set[str]:
    return {one.key for one in outcome.result.checks}
