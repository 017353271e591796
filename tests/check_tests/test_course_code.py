"""Code in the interfaces of courses: network objects, functions of a notebook, unfinished ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.adapters import AdaptationError
from compare.check.network_objects import LossNetwork
from compare.check.specialisation import HELPERS, Functions

X, Y = np.ones((3, 4)), np.array([0, 1, 2])
NAMES = {"W": "0.weight", "b": "0.bias"}


class Net:
    """scores x @ W + b; its loss is their sum, with what the test puts in its place."""

    result = None
    scores = None

    def __init__(self, size, scale=1.0) -> None:
        self.params = {"W": np.zeros((size, 3)), "b": np.zeros(3)}
        self.scale = scale

    def loss(self, X, y=None):
        scores = self.scale * (X @ self.params["W"] + self.params["b"])
        if y is None:
            return scores if self.scores is None else self.scores()
        loss = (scores.sum() + y.sum(), {"W": scores, "b": y, "more": 3})
        return loss if self.result is None else self.result(*loss)


def of(result=None, scores=None) -> LossNetwork:
    keeps = {"result": result and staticmethod(result), "scores": scores and staticmethod(scores)}
    return LossNetwork(type("Net", (Net,), keeps), "TwoLayerNet", 4, scale=2.0)


def raised(function, *arguments) -> str:
    with pytest.raises(AdaptationError) as error:
        function(*arguments)
    return str(error.value)


def test_a_network_object_as_functions() -> None:
    network = of()
    notes, forward, loss, both = network.offer(NAMES, (4,))
    assert (notes, loss) == ([], None)
    params = {"W": np.ones((4, 3)), "b": np.ones(3)}
    np.testing.assert_array_equal(forward(params, X), np.full((3, 3), 10.0))
    value, gradients = both(params, X, Y)
    assert value == 93
    assert list(gradients) == ["W", "b"]
    np.testing.assert_array_equal(gradients["W"], np.full((3, 3), 10.0))
    assert network.loss(params, X, Y) == 93


LEFT_OUT = "Left out of the comparison: {}."


@pytest.mark.parametrize(
    ("result", "notes", "there"),
    [
        (lambda loss, grads: (None, grads),
         LEFT_OUT.format("TwoLayerNet.loss(X, y) (returns None)"), (True, False, False)),
        (lambda loss, grads: (loss, {}),
         LEFT_OUT.format("the gradients of TwoLayerNet.loss(X, y) (returns an empty dict)"),
         (True, True, False)),
        (lambda loss, grads: (loss, None),
         LEFT_OUT.format("the gradients of TwoLayerNet.loss(X, y) (returns None)"),
         (True, True, False)),
    ],
)  # fmt: skip
def test_what_of_a_network_object_is_written(result, notes, there) -> None:
    found = of(result).offer(NAMES, (4,))
    assert found[0] == [notes]
    assert tuple(one is not None for one in found[1:]) == there


def test_what_a_network_object_may_not_do() -> None:
    assert raised(LossNetwork, None, "FullyConnectedNet") == (
        "expected a class FullyConnectedNet, but none is defined"
    )
    unwritten = of(scores=lambda: None)
    assert raised(unwritten.offer, NAMES, (4,)) == (
        "expected TwoLayerNet.loss(X) to return scores, but it returns None"
    )
    triple = of(lambda loss, grads: (loss, grads, 3))
    triple.offer(NAMES, (4,))
    params = {"W": np.ones((4, 3)), "b": np.ones(3)}
    assert raised(triple.loss, params, X, Y) == (
        "TwoLayerNet.loss(X, y) should return (loss, gradients), but returned a tuple of 3"
    )
    lacking = of(lambda loss, grads: (loss, {"W": 1}))
    lacking.offer(NAMES, (4,))
    assert raised(lacking.loss_and_gradients, params, X, Y) == (
        "TwoLayerNet.loss(X, y) should return a gradient as 'b', but returned a dict of 'W'"
    )


def test_the_helpers_of_the_course() -> None:
    z = np.array([[-2.0, 0.5], [3.0, -0.1]])
    given = torch.tensor(z, requires_grad=True)
    da = np.array([[1.0, -2.0], [0.5, 3.0]])
    helpers = HELPERS["dnn_utils"]
    for name, right in (("sigmoid", torch.sigmoid), ("relu", torch.relu)):
        value, cache = helpers[name](z)
        out = right(given)
        (gradient,) = torch.autograd.grad(out, given, torch.tensor(da))
        np.testing.assert_allclose(value, out.detach(), rtol=1e-12)
        np.testing.assert_allclose(helpers[f"{name}_backward"](da, cache), gradient, rtol=1e-12)
    np.testing.assert_allclose(HELPERS["planar_utils"]["sigmoid"](z), torch.sigmoid(given.detach()))
    assert helpers["relu_backward"](1.0, np.zeros(1)) == 0


NOTEBOOK = """
def forward_propagation(X, parameters):
    asked.append(("forward", X.shape, sorted(parameters)))
    return X[:1] * 0 + 0.5, {"Z1": X}
def compute_cost(A2, Y):
    return float((A2 - Y).sum())
def backward_propagation(parameters, cache, X, Y):
    return {"d" + k: v * 2 for k, v in parameters.items()}
def update_parameters(parameters, grads, learning_rate):
    return {k: v - learning_rate * grads["d" + k] for k, v in parameters.items()}
"""


def functions(code: str = NOTEBOOK, **more) -> tuple[Functions, list]:
    names: dict = {"asked": []}
    exec(code, names)
    settings = {"forward": "forward_propagation", "backward": "backward_propagation",
                "module": "planar_utils", "learning_rate": 0.5, **more}  # fmt: skip
    return Functions(names, **settings), names["asked"]


PARAMETERS = dict.fromkeys(("W1", "b1", "W2", "b2"))


def test_the_functions_of_a_notebook() -> None:
    found, asked = functions()
    notes, forward, loss, gradients, update = found.offer(PARAMETERS, found.from_arguments)
    assert notes == []
    assert asked[0] == ("forward", (3, 2), ["W1", "W2", "b1", "b2"])
    params = {"W1": np.ones((3, 3)), "b1": np.ones((3, 1))}
    np.testing.assert_array_equal(forward(params, np.ones((3, 2))), [[0.5, 0.5]])
    assert loss(params, np.ones((3, 2)), np.ones((1, 2))) == -1.0
    both = gradients(params, np.ones((3, 2)), np.ones((1, 2)))
    np.testing.assert_array_equal(both["W1"], 2 * np.ones((3, 3)))
    after = update(params, both, {})
    np.testing.assert_array_equal(after["W1"], np.zeros((3, 3)))


def test_a_backward_that_takes_caches() -> None:
    code = NOTEBOOK.replace(
        "def backward_propagation(parameters, cache, X, Y):\n"
        '    return {"d" + k: v * 2 for k, v in parameters.items()}',
        "def backward_propagation(AL, Y, caches):\n"
        '    return {"dW1": AL, "db1": Y, "dW2": caches["Z1"], "db2": 1}',
    )
    found, _ = functions(code)
    notes, _, _, gradients, _ = found.offer(PARAMETERS, found.from_caches)
    assert notes == []
    both = gradients({key: np.ones(1) for key in PARAMETERS}, np.ones((3, 2)), 7)
    assert (both["b1"], both["b2"], both["W2"].shape) == (7, 1, (3, 2))


def test_shapes_that_functions_are_tried_with() -> None:
    code = NOTEBOOK.replace("sorted(parameters)", "{k: v.shape for k, v in parameters.items()}")
    found, asked = functions(code)
    found.offer({**PARAMETERS, "W3": None, "b3": None}, found.from_arguments)
    assert asked[0][2] == {
        "W1": (3, 3), "b1": (3, 1), "W2": (3, 3), "b2": (3, 1), "W3": (1, 3), "b3": (1, 1),
    }  # fmt: skip


def test_a_cost_that_takes_the_parameters() -> None:
    code = NOTEBOOK.replace("compute_cost(A2, Y)", "compute_cost(A2, Y, parameters)").replace(
        "float((A2 - Y).sum())", "len(parameters)"
    )
    found, _ = functions(code)
    assert found.loss({"W1": 1, "b1": 2}, X, Y) == 2


@pytest.mark.parametrize(
    ("change", "notes", "there"),
    [
        (("def compute_cost", "def cost"), [LEFT_OUT.format("compute_cost (not defined)")],
         [True, False, True, True]),
        (("return float((A2 - Y).sum())", "pass"),
         [LEFT_OUT.format("compute_cost (returns None)")], [True, False, True, True]),
        (('return {"d" + k: v * 2 for k, v in parameters.items()}', "return {}"),
         [LEFT_OUT.format("backward_propagation (returns an empty dict)")],
         [True, True, False, True]),
        (("def update_parameters", "def update"),
         [LEFT_OUT.format("update_parameters (not defined)")], [True, True, True, False]),
        (("X[:1] * 0 + 0.5", "sigmoid(X[:1] * 0)"),
         ["planar_utils could not be imported: nncompare's own sigmoid took its place."],
         [True] * 4),
    ],
)  # fmt: skip
def test_what_of_a_notebook_is_written(change, notes, there) -> None:
    assert change[0] in NOTEBOOK
    found, _ = functions(NOTEBOOK.replace(*change))
    said, *offered = found.offer(PARAMETERS, found.from_arguments)
    assert said == notes
    assert [one is not None for one in offered] == there


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('return X[:1] * 0 + 0.5, {"Z1": X}', "return None"),
         "forward_propagation should return a pair, (A, cache)"),
        (('return X[:1] * 0 + 0.5, {"Z1": X}', "raise NotImplementedError"),
         "expected forward_propagation to return (A, cache), but it raises NotImplementedError"),
    ],
)  # fmt: skip
def test_what_a_notebook_may_not_do(change, sentence) -> None:
    found, _ = functions(NOTEBOOK.replace(*change))
    if "pair" in sentence:
        assert raised(found.forward, {}, X) == sentence
    else:
        assert raised(found.offer, PARAMETERS, found.from_arguments) == sentence


def test_a_notebook_without_its_first_function() -> None:
    with pytest.raises(AdaptationError) as error:
        functions("x = 1\nforward_propagation = 3\n")
    assert str(error.value) == "expected a function forward_propagation, but none is defined"
