"""What presets make of a course's functions and classes: layers, losses, dicts of gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check import adapters
from compare.check.adapters import (
    AdaptationError,
    Entry,
    FunctionLayer,
    cost_layer,
    gradients_by_name,
    layers_of,
    loss_without_offset,
    named,
    network_of,
    not_written,
    parameters_of,
    sequential,
    set_parameters,
    shown,
    supply,
)

X = np.arange(6.0).reshape(2, 3)


def raises(error: Exception):
    def function(*_):
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (None, "not defined"),
        (raises(NotImplementedError()), "raises NotImplementedError"),
        (raises(ValueError()), ""),
        (lambda x: None, "returns None"),
        (lambda x: {}, "returns an empty dict"),
        (lambda x: {"a": None, "b": None}, "returns a dict of None"),
        (lambda x: {"a": None, "b": x}, ""),
        (lambda x: (x, None, None), "returns None as its result 2 of 3"),
        (lambda x: (None, x), "returns None as its result 1 of 2"),
        (lambda x: (x, x), ""),
        (lambda x: x, ""),
    ],
)
def test_what_is_not_written_yet(function, why) -> None:
    assert not_written(function, X) == why


def test_it_is_asked_with_the_arguments() -> None:
    asked = []
    assert not_written(lambda *given: asked.append(given), 1, 2) == "returns None"
    assert asked == [(1, 2)]


def times(x, w, b):
    return x @ w + b, (x, w)


def times_back(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0, keepdims=True)


def test_a_layer_of_two_functions() -> None:
    w, b, dout = np.arange(12.0).reshape(3, 4), np.ones(4), np.ones((2, 4))
    layer = FunctionLayer(times, times_back, w, b, parameters=2)
    assert [one is given for one, given in zip(layer.arguments, (w, b), strict=True)] == [
        True,
        True,
    ]
    np.testing.assert_array_equal(layer.forward(X), X @ w + b)
    np.testing.assert_array_equal(layer.backward(dout), dout @ w.T)
    np.testing.assert_array_equal(layer.weight_gradient, X.T @ dout)
    np.testing.assert_array_equal(layer.bias_gradient, [2, 2, 2, 2])
    alone = FunctionLayer(lambda x: (x + 1, "kept"), lambda dout, cache: (dout, cache))
    np.testing.assert_array_equal(alone.forward(X), X + 1)
    plain = FunctionLayer(lambda x: (x, 3), lambda dout, cache: cache * dout)
    plain.forward(X)
    np.testing.assert_array_equal(plain.backward(X), 3 * X)
    assert FunctionLayer(times, None).backward is None


def called(layer, method, *arguments):
    with pytest.raises(AdaptationError) as error:
        getattr(layer, method)(*arguments)
    return str(error.value)


def test_functions_that_return_something_else() -> None:
    def relu(x):
        return x

    expected = "relu should return (out, cache), but returned an array of shape (2, 3)"
    assert called(FunctionLayer(relu, None), "forward", X) == expected

    def three(x):
        return x, x, x

    assert called(FunctionLayer(three, None), "forward", X) == (
        "three should return (out, cache), but returned a tuple of 3"
    )
    wrong = FunctionLayer(times, lambda dout, cache: (dout, dout), X.T, np.ones(2), parameters=2)
    wrong.forward(X)
    assert called(wrong, "backward", X) == (
        "<lambda> should return 3 results, the first of them dx, but returned a tuple of 2"
    )
    one = FunctionLayer(lambda x: (x, x), lambda dout, cache: (dout, dout))
    one.forward(X)
    assert called(one, "backward", X) == (
        "<lambda> should return 1 results, the first of them dx, but returned a tuple of 2"
    )

    def svm(x, y):
        return 3.0

    assert called(cost_layer(svm), "forward", X, [0, 1]) == (
        "svm should return (loss, dx), but returned a value of type float"
    )
    layer = cost_layer(lambda x, y: (x.sum() + y, 2 * x))
    assert type(cost_layer(svm)).__name__ == "svm"
    assert layer.forward(X, 1) == 16
    np.testing.assert_array_equal(layer.backward(), 2 * X)
    assert shown(None) == "None"


ENTRIES = [
    Entry("first", lambda nn: nn.Linear(3, 2), lambda w, b: (w, b), "weight.T bias"),
    Entry("flat", lambda nn: nn.Flatten()),
    Entry("relu", lambda nn: nn.ReLU(), lambda: "relu"),
    Entry("norm", lambda nn: nn.BatchNorm1d(2), lambda w, b: [w, b], "weight bias running_mean"),
]


def test_a_network_of_entries() -> None:
    assert parameters_of(ENTRIES) == {
        "first.weight": "first.weight.T", "first.bias": "first.bias",
        "norm.weight": "norm.weight", "norm.bias": "norm.bias",
        "norm.running_mean": "norm.running_mean",
    }  # fmt: skip
    modules = dict(network_of(ENTRIES, torch.nn).named_children())
    assert {name: str(module) for name, module in modules.items()} == {
        "first": "Linear(in_features=3, out_features=2, bias=True)",
        "flat": "Flatten(start_dim=1, end_dim=-1)",
        "relu": "ReLU()",
        "norm": str(torch.nn.BatchNorm1d(2)),
    }
    params = {key: key for key in parameters_of(ENTRIES)}
    assert layers_of(ENTRIES, params) == {
        "first": ("first.weight", "first.bias"), "relu": "relu",
        "norm": ["norm.weight", "norm.bias"],
    }  # fmt: skip
    assert list(dict(sequential(torch.nn, a=torch.nn.ReLU()).named_children())) == ["a"]
    assert named("conv").__name__ == "conv"
    assert issubclass(named("conv"), FunctionLayer)


class Taught:
    """A loss of the book: the mean of −log(p + 1e-7) of one-hot targets."""

    def forward(self, x, t):
        self.p, self.t = adapters.softmax(x), t
        return -np.log((self.p * t).sum(axis=1) + 1e-7).mean()

    def backward(self, dout=1):
        return dout * (self.p - self.t) / len(self.t)


def test_the_offset_of_a_loss_is_taken_out() -> None:
    x, t = 20.0 * np.random.default_rng(0).standard_normal((4, 3)), np.eye(3)[[0, 1, 2, 0]]
    layer = loss_without_offset(Taught())
    assert type(layer).__name__ == "Taught"
    right = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(t))
    assert layer.forward(x, t) == pytest.approx(float(right), rel=1e-12)
    assert Taught().forward(x, t) != pytest.approx(float(right), rel=1e-9)
    np.testing.assert_allclose(layer.backward(), (adapters.softmax(x) - t) / 4)

    class Needs(Taught):
        def backward(self, dout):
            return 3 * dout

    assert loss_without_offset(Needs()).backward() == 3

    class Nothing(Taught):
        def backward(self):
            return 5

    assert loss_without_offset(Nothing()).backward() == 5

    class Wrong(Taught):
        def forward(self, x, t):
            return super().forward(x, t) * (1 + 1e-9)

    assert loss_without_offset(Wrong()).forward(x, t) == Wrong().forward(x, t)


@pytest.mark.parametrize(
    ("grads", "sentence"),
    [
        ([1], "loss should return a dict of gradients, but returned a value of type list"),
        ({"dW": X, "x": X, "y": None},
         "loss should return a gradient as 'db', but returned a dict of 'dW', 'x'"),
        ({"dW": X, "db": None},
         "loss should return a gradient as 'db', but returned a dict of 'dW'"),
        ({}, "loss should return a gradient as 'dW', but returned a dict of nothing"),
    ],
)  # fmt: skip
def test_gradients_that_are_not_there(grads, sentence) -> None:
    with pytest.raises(AdaptationError) as error:
        gradients_by_name(grads, ("W", "b"), "loss", "d")
    assert str(error.value) == sentence


def test_gradients_by_name() -> None:
    assert gradients_by_name({"W": 1, "b": 2, "c": 3}, ("W", "b"), "f") == {"W": 1, "b": 2}
    assert gradients_by_name({"dW": 1, "W": 2}, ("W",), "f", "d") == {"W": 1}


class Net:
    def __init__(self, params) -> None:
        if params is not None:
            self.params = params


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (None, "Net should keep its parameters in a dict self.params, but has none"),
        ([X], "Net should keep its parameters in a dict self.params, but has a value of type list"),
        ({"W": X.T}, "Net should make params['W'] of shape (2, 3), but made it of shape (3, 2)"),
        ({"W1": X, "b": X}, "Net should make params['W'], but its params has 'W1', 'b'"),
        ({}, "Net should make params['W'], but its params has nothing"),
    ],
)
def test_parameters_that_do_not_fit(held, sentence) -> None:
    with pytest.raises(AdaptationError) as error:
        set_parameters(Net(held), {"W": X})
    assert str(error.value) == sentence


def test_parameters_are_set_in_place() -> None:
    held = {"W": np.zeros((2, 3)), "b": np.zeros(2)}
    before = dict(held)
    set_parameters(Net(held), {"W": X, "b": np.ones(2)})
    assert held["W"] is before["W"]
    np.testing.assert_array_equal(held["W"], X)
    np.testing.assert_array_equal(held["b"], [1, 1])


def test_helpers_are_supplied_where_they_are_absent() -> None:
    names: dict = {}
    code = "def relu(x):\n    return maximum(x)\ndef net(x):\n    return relu(x) + sigmoid(x)\n"
    exec(code, names)
    helpers = {"sigmoid": abs, "maximum": max, "relu": min, "tanh": sum}
    assert supply(names["net"], helpers) == ["sigmoid", "maximum"]
    assert names["sigmoid"] is abs
    assert names["maximum"] is max
    assert names["relu"]((-1, 2)) == 2
    assert "tanh" not in names
