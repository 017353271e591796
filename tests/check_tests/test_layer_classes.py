"""Homeworks of layer classes: every style, every mistake in its place."""

from __future__ import annotations

import pytest

from compare.check.grading import grade
from compare.check.layer_evaluation import match_layers
from compare.check.layer_methods import in_order

LAYERS = """
import numpy as np
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T
class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask
    def backward(self, dout):
        return dout * self.mask
class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.log(self.p[np.arange(len(t)), t]).mean()
    def backward(self, dout=1):
        dx = self.p.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx / len(dx)
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}
def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))
def network(p):
    return [Affine(p["W1"], p["b1"]), Relu(), Affine(p["W2"], p["b2"])], SoftmaxWithLoss()
"""

# Everything in attributes, nothing returned; biases as rows; two arguments for the loss.
ATTRIBUTES = """
import numpy as np
class Dense:
    def __init__(self, inputs, neurons):
        self.weights, self.biases = np.zeros((inputs, neurons)), np.zeros((1, neurons))
    def forward(self, inputs):
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases
    def backward(self, dvalues):
        self.dweights = self.inputs.T @ dvalues
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T
class Relu:
    def forward(self, inputs):
        self.inputs, self.output = inputs, np.maximum(0, inputs)
    def backward(self, dvalues):
        self.dinputs = np.where(self.inputs > 0, dvalues, 0)
class SoftmaxLoss:
    def forward(self, inputs, y):
        e = np.exp(inputs - inputs.max(axis=1, keepdims=True))
        self.output = e / e.sum(axis=1, keepdims=True)
        return np.mean(-np.log(self.output[range(len(y)), y]))
    def backward(self, dvalues, y):
        self.dinputs = (dvalues - np.eye(dvalues.shape[1])[y]) / len(y)
PARAMETERS = {"W1": "0.weight.T", "b1": "0.bias[None, :]",
              "W2": "2.weight.T", "b2": "2.bias[None, :]"}
def architecture(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))
def dense(W, b):
    layer = Dense(*W.shape)
    layer.weights, layer.biases = W, b
    return layer
def network(p):
    return [dense(p["W1"], p["b1"]), Relu(), dense(p["W2"], p["b2"])], SoftmaxLoss()
"""

OBJECT = (
    "def network(p):\n"
    "    class Net: pass\n"
    "    net = Net()\n"
    "    net.layers = {'Affine1': Affine(p['W1'], p['b1']), 'Relu1': Relu(), "
    "'Affine2': Affine(p['W2'], p['b2'])}\n"
    "    net.lastLayer = SoftmaxWithLoss()\n"
    "    return net\n"
)
MADE = "def network(p):\n    return "
LIST = '[Affine(p["W1"], p["b1"]), Relu(), Affine(p["W2"], p["b2"])], SoftmaxWithLoss()'
ALL = 18


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ([], ALL),
        ([(f"{MADE}{LIST}\n", OBJECT)], ALL),
        ([("], SoftmaxWithLoss()", ", SoftmaxWithLoss()]")], ALL),
        ([("], SoftmaxWithLoss()", "]")], ALL - 3),
        ([(LIST, '{"2": Affine(p["W2"], p["b2"]), "0": Affine(p["W1"], p["b1"]), '
                 '"1": Relu()}')], ALL - 3),
        ([("self.dW =", "self.gw ="),
          ("PARAMETERS =", 'ATTRIBUTES = {"weight": "gw"}\nPARAMETERS =')], ALL),
        ([("nn.ReLU(), ", "nn.ReLU(), nn.Dropout(0.5), "),
          ("2.weight", "3.weight"), ("2.bias", "3.bias")], ALL),
        ([("def backward(self, dout=1)", "def backward(self, dout)")], ALL),
    ],
    ids=["tuple", "object", "loss last", "no loss", "dict", "attributes", "dropout", "dout"],
)  # fmt: skip
def test_right_layers(check, changes, checks) -> None:
    outcome = check(*changes, text=LAYERS)
    assert (outcome.status, outcome.result.error) == (0, None)
    assert outcome.result.invariants == ()
    assert grade(outcome)["score"] == "1.0000"
    assert len(outcome.result.checks) == checks


def test_layers_that_return_nothing_and_keep_everything(check) -> None:
    outcome = check(text=ATTRIBUTES)
    assert (outcome.status, outcome.result.error) == (0, None)
    assert len(outcome.result.checks) == ALL


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("x * self.mask\n", "abs(x)\n"), ("activation", "1")),
        (("self.dW = self.x.T @ dout", "self.dW = self.x.T @ dout / 2"), ("gradient", "2.weight")),
        (("dout.sum(axis=0)", "0 * dout[0]"), ("gradient", "2.bias")),
        (("return dout * self.mask", "return dout"), ("gradient", "1.input")),
        (("dx / len(dx)", "dx"), ("gradient", "logits")),
        (("dout @ self.W.T", "-dout @ self.W.T"), ("gradient", "2.input")),
        (("]).mean()", "]).sum()"), ("loss", "loss")),
    ],
)
def test_a_mistake_shows_where_it_is_and_nowhere_else(check, change, place) -> None:
    outcome = check(change, text=LAYERS)
    assert outcome.status == 1
    first = outcome.result.first_divergence
    assert (first.quantity, first.name) == place
    kind = {"2": ("0", "2"), "1": ("1",)}.get(place[1][0], (place[1],))
    failed = [c.name for c in outcome.result.checks if not c.passed and c.quantity != "logits"]
    assert all(name.partition(".")[0] in kind for name in failed)


ONLY_ONE = "self.dW = self.x.T @ dout + 0.01 * self.W * (self.W.shape == (9, 5))"


@pytest.mark.parametrize(
    ("change", "places", "words"),
    [
        ("self.dW = self.x.T @ dout + 0.01 * self.W", ["2.weight", "0.weight"], "Each weight"),
        (ONLY_ONE, ["2.weight"], "The gradient of 2.weight has 0.01 · W"),
    ],
    ids=["in all", "in one"],
)
def test_a_penalty_in_the_gradients_alone_is_named(check, change, places, words) -> None:
    """Also where a row of the right gradient is 0, because a ReLU lets nothing through."""
    outcome = check(("self.dW = self.x.T @ dout", change), text=LAYERS)
    failed = [c for c in outcome.result.checks if not c.passed]
    assert [c.name for c in failed] == places
    assert {c.diagnosis.code for c in failed} == {"l2-missing-in-gradient"}
    assert words.lower() in failed[0].diagnosis.explanation.lower()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("self.dW = ", "self.nabla = "), "Affine (0) raised AttributeError: Affine keeps no "
                                          "gradient of its weight under dW, dw, dgamma, "
                                          "dweight or the like: name the attribute in "
                                          "ATTRIBUTES."),
        (("        return dout @ self.W.T", "        dout @ self.W.T"),
         "Affine (0) raised TypeError: Affine.backward returned None, and the layer has no "
         ".dinputs; is a return missing?"),
        (("def backward(self, dout):\n        return dout * self.mask", "pass"),
         "network(params) raised TypeError: each layer needs forward(x) and backward(dout), "
         "but Relu has no backward."),
        (("self.x.T @ dout", "dout.T @ self.x"),
         "the gradient of 'W1' (0.weight) in Affine (0) has the shape (9, 12), but expected "
         "(12, 9); it is transposed."),
        (("return dout * self.mask", "return (dout * self.mask).T"),
         "what backward of Relu (1) returned has the shape (9, 6), but expected (6, 9); if "
         "your batch is the columns, write BATCH_AXIS = 1."),
        (("return dout * self.mask", "return 1 / 0"),
         "Relu (1) raised ZeroDivisionError at line 18: division by zero."),
        (("Relu(), ", ""), "network(params) made 2 layers"),
        ((LIST, "None"), "network(params) raised TypeError: network(params) should return a "
                         "list of layers, or (layers, loss layer), or an object with .layers, "
                         "but returned NoneType."),
        (("]).mean()", "])"), "forward of SoftmaxWithLoss returned an array of shape (6,), but "
                              "expected one number, the loss of the batch."),
    ],
)  # fmt: skip
def test_one_clear_sentence(check, change, sentence) -> None:
    outcome = check(change, text=LAYERS)
    assert outcome.status == 2 or sentence.startswith("network(params) made 2")
    if outcome.status == 2:
        assert outcome.result.error == sentence


LEAVES = [("0", "Conv2d"), ("1", "ReLU"), ("2", "Flatten"), ("3", "Linear"), ("4", "Dropout"),
          ("5", "ReLU"), ("6", "Linear")]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "classes", "modules"),
    [
        ([], "Conv Relu Flat Lin Drop Relu Lin", "0 1 2 3 4 5 6"),
        ([], "Conv Relu Affine Relu Affine", "0 1 3 5 6"),
        ([], "Conv Relu Flatten Affine Relu Affine", "0 1 2 3 5 6"),
        ([], "Conv Relu Affine Dropout Relu Affine", "0 1 3 4 5 6"),
        ([], "Conv Dense Dense", "0-1-2 3-4-5 6"),
        (["0-1", "3", "6"], "A B C", "0-1 3 6"),
    ],
)
def test_which_layer_stands_for_which_modules(names, classes, modules) -> None:
    found = match_layers(names, classes.split(), LEAVES)
    assert " ".join("-".join(match.modules) for match in found) == modules


@pytest.mark.parametrize(
    ("function", "swapped"),
    [
        (lambda y_true, y_pred: None, True),
        (lambda targets, outputs: None, True),
        (lambda target_output, z: None, True),
        (lambda labels, logits, epsilon=1e-12: None, True),
        (lambda y_pred, y_true: None, False),
        (lambda x, t: None, False),
        (lambda a, b: None, False),
        (lambda y, b: None, False),
        (lambda x: None, False),
        (lambda: None, False),
    ],
)
def test_arguments_in_the_order_of_their_names(function, swapped):
    assert in_order(function, "predictions", "targets") == (
        ("targets", "predictions") if swapped else ("predictions", "targets")
    )
