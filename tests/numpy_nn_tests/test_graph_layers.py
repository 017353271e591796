"""Layers composed of nodes, against the closed formulas and against PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from layer_cases import EMPTY, LAYERS, LOSSES, Case, Pair, Weight, indices, normal

import numpy_nn
import numpy_nn.graph
import torch_nn
from experiments.architectures import bn_mlp, softmax_mlp
from numpy_nn.graph import Value, nodes
from numpy_nn.graph.layers import Composed

pytestmark = pytest.mark.parity

DTYPES = ("float64", "float32")


class Three(Pair):
    """One case composed of nodes, as a closed formula, and in PyTorch, from the same values.

    ``module`` is the closed formula's, ``nodes`` the composed one.
    """

    def __init__(self, case: Case, dtype: str) -> None:
        super().__init__(case, dtype)
        weights = {
            key: self.module.state_dict()[key]
            for key, value in case.kwargs.items()
            if isinstance(value, Weight)
        }
        self.nodes = self._make(numpy_nn.graph, self.dtype, weights)
        self.nodes.load_state_dict(self.module.state_dict())
        self.nodes.train(case.training)

    @property
    def rest(self) -> tuple[Any, ...]:
        return () if self.target is None else (self.target,)

    def run(self, compare: Callable[..., None]) -> None:
        """A step forward and back by each of the three, and everything compared."""
        x = self.draw_input()
        kept = x.copy()
        closed = self.forward(x)
        self._seed(numpy_nn)
        output = self.nodes(x, *self.rest)
        dy = self.draw(np.shape(output))
        expected, expected_grad = self.torch_step(x, dy)
        given = dy if self.target is None else dy[()]
        grad_input, closed_grad = self.nodes.backward(given), self.module.backward(given)
        np.testing.assert_array_equal(x, kept)

        if self.target is not None:
            assert type(output) is type(closed)  # a mean or a sum is a scalar
        compare(output, closed, "module", "output, closed")
        compare(output, expected, "module", "output, PyTorch")
        compare(grad_input, closed_grad, "module", "grad_input, closed")
        compare(grad_input, expected_grad, "module", "grad_input, PyTorch")
        others = zip(self.module.parameters(), self.reference.parameters(), strict=True)
        for (name, p), (q, r) in zip(self.nodes.named_parameters(), others, strict=True):
            compare(p.grad, q.grad, "module", f"{name}, closed")
            compare(p.grad, r.grad.numpy(), "module", f"{name}, PyTorch")
        theirs = dict(self.reference.named_buffers())
        mine = dict(self.nodes.named_buffers())
        assert list(mine) == list(theirs)
        for name, buffer in mine.items():
            compare(buffer, theirs[name].numpy(), "module", name)


def composed() -> set[str]:
    return {
        name
        for name in numpy_nn.graph.__all__
        if isinstance(found := getattr(numpy_nn.graph, name), type) and issubclass(found, Composed)
    }


CASES = [case for case in LAYERS + LOSSES + EMPTY if case.name in composed()]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_closed_formula_and_torch(case: Case, close: Any) -> None:
    """Over two steps, so that gradients accumulate and running statistics move on."""
    for dtype in DTYPES:
        # Two rows that are near to each other: no float32 gradient is worth 2e-5 there.
        if dtype == "float32" and case.name == "BatchNorm1d" and case.shape == (2, 3):
            continue
        three = Three(case, dtype)
        three.run(close)
        three.run(close)


def test_every_composed_layer_has_a_case() -> None:
    assert composed() == {case.name for case in CASES}


# ---------------------------------------------------------------------- nodes and nothing else

# One full case of each layer, and the nodes that it is to be made of.
MADE_OF = {
    "Linear": (Case("Linear", (4, 3), {}, (5, 4)), "Add Broadcast MatMul Reshape Transpose"),
    "ReLU": (Case("ReLU", (), {}, (3, 4)), "Broadcast Where"),
    "LeakyReLU": (Case("LeakyReLU", (0.1,), {}, (3, 4)), "Broadcast Mul Where"),
    "Flatten": (Case("Flatten", (), {}, (3, 4, 2)), "Reshape"),
    "BatchNorm1d": (
        Case("BatchNorm1d", (3,), {}, (6, 3)),
        "Add Broadcast Div Mul Power Reshape Sub Sum",
    ),
    "BatchNorm2d": (
        Case("BatchNorm2d", (3,), {}, (4, 3, 2, 5)),
        "Add Broadcast Div Mul Power Reshape Sub Sum",
    ),
    "Conv2d": (
        Case("Conv2d", (2, 4, 3), {"padding": 1}, (3, 2, 7, 8)),
        "Add Broadcast Index MatMul Pad Reshape Transpose",
    ),
    "MaxPool2d": (
        Case("MaxPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9, 10)),
        "Index Max Pad",
    ),
    "Dropout": (Case("Dropout", (0.5,), {}, (4, 5)), "Mul"),
    "CrossEntropyLoss": (
        Case("CrossEntropyLoss", (), {}, (6, 4), input=normal, target=indices),
        "Broadcast Div Exp Index Log Max Mul Reshape Sub Sum Transpose Where",
    ),
}
# Nodes on whose gradient nothing depends: what is broadcast is a number and no parameter, and the
# gradient through the maximum of the logits is 0.
IDLE = {("ReLU", "Broadcast"), ("LeakyReLU", "Broadcast"), ("CrossEntropyLoss", "Max")}
PARTS = [
    (layer, node)
    for layer, (_, made) in MADE_OF.items()
    for node in made.split()
    if (layer, node) not in IDLE
]


def used(layer: Any) -> set[str]:
    return {type(step.node).__name__ for step in layer.graph.steps}


def test_every_composed_layer_is_taken_apart() -> None:
    assert set(MADE_OF) == composed()


@pytest.mark.parametrize("layer", MADE_OF)
def test_is_made_of_these_nodes(layer: str, close: Any) -> None:
    case, made = MADE_OF[layer]
    three = Three(case, "float64")
    three.run(close)
    assert used(three.nodes) == set(made.split())


@pytest.mark.parametrize("layer", MADE_OF)
def test_no_closed_formula_is_called(layer: str, close: Any, monkeypatch: Any) -> None:
    case, _ = MADE_OF[layer]
    three = Three(case, "float64")
    closed = three.module

    def refuse(*_: Any) -> None:
        raise AssertionError("a closed formula was called")

    names = ["backward", "backward_parameters"]
    # Flatten asks the closed layer for its shape, and Dropout for its draws.
    if layer not in ("Flatten", "Dropout"):
        names.append("forward")
    x, rest = three.draw(case.shape), three.rest
    numpy_nn.manual_seed(0)
    expected = closed(x, *rest)
    dy = three.draw(np.shape(expected))[()]
    dx = closed.backward(dy)
    for base in type(closed).__mro__:
        if base.__module__ != "numpy_nn.modules.module":
            for name in names:
                if name in vars(base):
                    monkeypatch.setattr(base, name, refuse)
    numpy_nn.manual_seed(0)
    close(three.nodes(x, *rest), expected, "module")
    close(three.nodes.backward(dy), dx, "module")
    three.nodes.backward_parameters(dy)
    with pytest.raises(AssertionError, match="closed formula"):
        closed.backward(dy)


@pytest.mark.parametrize(("layer", "node"), PARTS)
def test_stands_and_falls_with_each_of_its_nodes(
    layer: str, node: str, close: Any, monkeypatch: Any
) -> None:
    """A mistake in the backward of one node is a mistake of every layer that is made of it."""
    case, _ = MADE_OF[layer]
    honest = getattr(nodes, node).backward

    def wrong(self: nodes.Node, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(1.001 * da for da in honest(self, dz))

    three = Three(case, "float64")
    three.run(close)
    monkeypatch.setattr(getattr(nodes, node), "backward", wrong)
    with pytest.raises(AssertionError, match=r"(grad_input|weight|bias), closed: .* allowed"):
        three.run(close)


def overwritten(self: Any, dz: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `da[index] = dz` in the place of `+=` does."""
    da = np.zeros(self.shape)
    da[self.index] = dz
    return (da,)


def spread(self: Any, dz: np.ndarray) -> tuple[np.ndarray, ...]:
    """What a mean in the place of a maximum would pass on."""
    kept = np.expand_dims(dz, self.axes)
    return (np.broadcast_to(kept, self.shape) / 9,)


PLANTED: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "Sub without its sign": ("BatchNorm1d", "Sub", lambda self, dz: (dz, dz)),
    "Div's divisor forgotten": (
        "BatchNorm1d",
        "Div",
        lambda self, dz: (dz / self.b, np.zeros_like(dz)),
    ),
    "Power's exponent forgotten": (
        "BatchNorm1d",
        "Power",
        lambda self, dz: (dz * self.a ** (self.exponent - 1),),
    ),
    "MatMul with its factors exchanged": (
        "Linear",
        "MatMul",
        lambda self, dz: (dz @ self.b.T, (dz.T @ self.a).T * 1.5),
    ),
    "Where's sides exchanged": (
        "LeakyReLU",
        "Where",
        lambda self, dz: (np.where(self.condition, 0, dz), np.where(self.condition, dz, 0)),
    ),
    "Index that keeps one of many picks": ("Conv2d", "Index", overwritten),
    "Max that passes on to all": ("MaxPool2d", "Max", spread),
    "Log's derivative that of exp": ("CrossEntropyLoss", "Log", lambda self, dz: (dz * self.a,)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_mistakes_are_found(name: str, close: Any, monkeypatch: Any) -> None:
    layer, node, wrong = PLANTED[name]
    monkeypatch.setattr(getattr(nodes, node), "backward", wrong)
    with pytest.raises(AssertionError, match=r"(grad_input|weight|bias), closed: .* allowed"):
        Three(MADE_OF[layer][0], "float64").run(close)


# ---------------------------------------------------------------------- the contract of a layer


@pytest.mark.parametrize("layer", MADE_OF)
def test_refuses_what_does_not_fit(layer: str) -> None:
    case, _ = MADE_OF[layer]
    three = Three(case, "float32")
    rest = three.rest
    with pytest.raises(RuntimeError, match=f"{layer}.backward was called before forward"):
        three.nodes.backward(np.ones(3, np.float32))
    with pytest.raises(TypeError, match=f"{layer} expects a numpy array. Received: list"):
        three.nodes([1.0], *rest)
    with pytest.raises(TypeError, match=r"int64"):
        three.nodes(np.ones(case.shape, np.int64), *rest)
    output = three.nodes(three.draw(case.shape), *rest)
    with pytest.raises(ValueError, match=r"backward expects .* Received"):
        three.nodes.backward(three.draw((*np.shape(output), 2)))
    if list(three.nodes.parameters()):
        with pytest.raises((TypeError, ValueError), match=r"expects .* Received"):
            three.nodes(np.ones((case.shape[0], 7, *case.shape[2:]), np.float32))
        with pytest.raises(TypeError, match="float64"):
            three.nodes(np.ones(case.shape, np.float64))


class Shift(Composed):
    """y = x + weight, of one shape: the gradient of all three is one array."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = numpy_nn.Parameter(np.ones(3))

    def compose(self, x: Value, weight: Value) -> Value:
        return x + weight


def test_gradients_of_parameters_are_their_own_arrays() -> None:
    """What a parameter accumulates into must be no one else's."""
    layer, dy = Shift(), np.array([1.0, 2.0, 3.0])
    layer(np.zeros(3))
    grad_input = layer.backward(dy)
    layer.backward(dy)
    np.testing.assert_array_equal(layer.weight.grad, [2, 4, 6])
    np.testing.assert_array_equal(dy, [1, 2, 3])
    np.testing.assert_array_equal(grad_input, [1, 2, 3])


def test_class_probabilities_of_another_dtype_are_refused() -> None:
    loss = numpy_nn.graph.CrossEntropyLoss()
    with pytest.raises(TypeError, match=r"dtype float32\. Received: float64"):
        loss(np.zeros((2, 3), np.float32), np.full((2, 3), 1 / 3))


def test_a_target_that_is_no_class_is_refused() -> None:
    with pytest.raises(IndexError, match="Target 3 is out of bounds: there are 3 classes"):
        numpy_nn.graph.CrossEntropyLoss()(np.zeros((2, 3)), np.array([0, 3]))


def test_one_value_a_channel_is_refused_in_training() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        numpy_nn.graph.BatchNorm1d(3)(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "logits",
    [
        [[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]],
        [[0.0, 0.0, 0.0], [5.0, 5.0, -5.0]],
        [[-np.inf, 0.0, 1.0], [2.0, -np.inf, 1.0]],
    ],
)
def test_extreme_and_equal_logits(logits: list, dtype: str, close: Any) -> None:
    x, target = np.array(logits, dtype), np.array([2, 0])
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.CrossEntropyLoss()(tensor, torch.from_numpy(target))
    expected.backward()
    loss = numpy_nn.graph.CrossEntropyLoss()
    close(loss(x, target), expected.detach().numpy(), "module")
    assert tensor.grad is not None
    close(loss.backward(), tensor.grad.numpy(), "module")


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU"])
def test_the_slope_at_zero_is_torch_s(name: str) -> None:
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf], np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, name)()(tensor)
    expected.backward(torch.ones(5))
    layer = getattr(numpy_nn.graph, name)()
    np.testing.assert_array_equal(layer(x), expected.detach().numpy())
    assert tensor.grad is not None
    np.testing.assert_array_equal(layer.backward(np.ones(5, np.float32)), tensor.grad.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kwargs", [{}, {"stride": 1}, {"stride": 1, "padding": 1}])
def test_of_equal_values_in_a_window_the_first_gets_the_gradient(
    kwargs: dict[str, int], dtype: str
) -> None:
    """Images of the values 0, 1 and 2 have ties in almost every window."""
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 8, 8)).astype(dtype)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.MaxPool2d(2, **kwargs)(tensor)
    dy = np.arange(expected.numel(), dtype=dtype).reshape(expected.shape)  # sums are exact
    expected.backward(torch.from_numpy(dy))
    layer = numpy_nn.graph.MaxPool2d(2, **kwargs)
    np.testing.assert_array_equal(layer(x), expected.detach().numpy())
    assert tensor.grad is not None
    np.testing.assert_array_equal(layer.backward(dy), tensor.grad.numpy())


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (numpy_nn.graph.Conv2d(2, 3, 3), (1, 3, 5, 5), "in_channels = 2"),
        (numpy_nn.graph.Conv2d(2, 3, 3), (2, 5), r"\(N, C, H, W\) or \(C, H, W\)"),
        (numpy_nn.graph.Conv2d(2, 3, 5, dilation=2), (1, 2, 6, 6), "larger than the padded"),
        (numpy_nn.graph.MaxPool2d(4), (1, 2, 3, 3), "too large"),
    ],
)
def test_images_that_do_not_fit_are_refused(layer: Any, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, np.float32))


# ---------------------------------------------------------------------- whole networks


def test_what_is_not_composed_yet_says_so() -> None:
    with pytest.raises(AttributeError, match=r"numpy_nn\.graph has no 'Softplus'"):
        numpy_nn.graph.Softplus  # noqa: B018


@pytest.mark.parametrize("architecture", [bn_mlp, softmax_mlp])
def test_networks_start_from_the_same_bits(architecture: Callable[..., Any]) -> None:
    states = []
    for nn in (numpy_nn.graph, numpy_nn, torch_nn):
        nn.manual_seed(3)
        states.append(architecture(nn).state_dict())
    assert list(states[0]) == list(states[1]) == list(states[2])
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key])
        np.testing.assert_array_equal(value, states[2][key].numpy())


@pytest.mark.parametrize("architecture", [bn_mlp, softmax_mlp])
def test_networks_print_alike(architecture: Callable[..., Any]) -> None:
    assert repr(architecture(numpy_nn.graph)) == repr(architecture(torch_nn))


@pytest.mark.parametrize("architecture", [bn_mlp, softmax_mlp])
def test_networks_train_alike(architecture: Callable[..., Any], close: Any) -> None:
    """Three steps of SGD in float64: every parameter and buffer afterwards."""
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(16, 20)), rng.integers(0, 4, 16)) for _ in range(3)]
    states, losses = [], []
    for nn in (numpy_nn.graph, numpy_nn):
        nn.manual_seed(0)
        model, criterion = architecture(nn, sizes=(20, 12, 8, 4)).double(), nn.CrossEntropyLoss()
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for x, target in batches:
            optimizer.zero_grad()
            losses.append(criterion(model(x), target))
            model.backward(criterion.backward())
            optimizer.step()
        states.append(model.state_dict())
    close(np.array(losses[:3]), np.array(losses[3:]), "module")
    for key, value in states[0].items():
        close(value, states[1][key], "module", key)
