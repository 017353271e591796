"""The graph: order, accumulation, broadcasting, and what it refuses."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn.graph
from numpy_nn.graph import Graph, Value, nodes


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def gradients(f: Any, *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """The result of ``f`` on values of a graph, and what a random gradient of it leads to."""
    graph = Graph()
    values = [graph.value(array) for array in arrays]
    output = f(*values)
    graph.backward(output, rng().normal(size=output.shape))
    return output.data, [value.grad for value in values]


def torch_gradients(f: Any, *arrays: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
    output = f(*tensors)
    output.backward(torch.from_numpy(np.asarray(rng().normal(size=tuple(output.shape)))))
    return output.detach().numpy(), [
        None if tensor.grad is None else tensor.grad.numpy() for tensor in tensors
    ]


def chain(x: Any, y: Any, _: Any) -> Any:
    """A value that goes three ways, which meet again."""
    a = x * y
    b = a + a * a
    return (b - x / (y * y + 1.0)) * a


EXPRESSIONS = {
    "a value used twice by one node": lambda x, y, z: x * x,
    "a value used by itself in a sum": lambda x, y, z: x + x,
    "a difference from itself": lambda x, y, z: x - x + y,
    "several ways": chain,
    "a number before": lambda x, y, z: (2.0 - x) * (3.0 + y) / (1.0 / (z * z + 1.0)),
    "a number after": lambda x, y, z: (x - 2.0) * (y + 3.0) / 4.0,
    "broadcasting both": lambda x, y, z: x[:, :1] * y[:1] + z,
    "a broadcast value used twice": lambda x, y, z: (x + z) * (y - z),
    "powers": lambda x, y, z: (x * x + 1.0) ** -0.5 * y**3,
    "products of matrices": lambda x, y, z: x @ (y * z).reshape(4, 3) @ x,
    "the same matrix on both sides": lambda x, y, z: (x @ x.reshape(4, 3)) @ y,
    "softmax": lambda x, y, z: x.exp() / (x.exp().sum(1, True) if isinstance(x, Value) else
                                          x.exp().sum(1, keepdim=True)) * y,
    "log": lambda x, y, z: (x * x + 0.5).log() * z,
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_equal_torch(name: str, close: Any) -> None:
    draw = np.random.default_rng(1)
    arrays = draw.normal(size=(3, 4)), draw.normal(size=(3, 4)), draw.normal(size=4)
    output, found = gradients(EXPRESSIONS[name], *arrays)
    expected, wanted = torch_gradients(EXPRESSIONS[name], *arrays)
    close(output, expected, "module", "output")
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            close(mine, theirs, "module", "gradient")


def test_every_use_counts() -> None:
    """x goes into four nodes: its gradient is the sum of what the four send back."""
    graph = Graph()
    x = graph.value(np.array(3.0))
    y = x + x * x + 5.0 * x  # x, x and x, x
    graph.backward(y, np.array(1.0))
    assert x.grad == 1 + 2 * 3 + 5


def test_what_the_output_does_not_depend_on_has_no_gradient() -> None:
    graph = Graph()
    x = graph.value(np.ones(3))
    aside = x.exp()
    y = x * 2.0
    later = y * aside
    graph.backward(y, np.ones(3))
    assert aside.grad is None
    assert later.grad is None
    np.testing.assert_array_equal(x.grad, [2, 2, 2])


def test_each_backward_starts_from_nothing() -> None:
    graph = Graph()
    x = graph.value(np.ones(3))
    y = x * 2.0
    z = y * y
    for _ in range(2):
        graph.backward(z, np.ones(3))
        np.testing.assert_array_equal(x.grad, [8, 8, 8])
    graph.backward(y, np.ones(3))
    np.testing.assert_array_equal(x.grad, [2, 2, 2])
    assert z.grad is None


def test_a_value_is_its_own_output() -> None:
    graph = Graph()
    x = graph.value(np.ones(3))
    for _ in range(2):
        graph.backward(x, np.full(3, 2.0))
        np.testing.assert_array_equal(x.grad, [2, 2, 2])


def test_a_gradient_that_is_passed_to_two_values_stays_as_it_is() -> None:
    """Add passes one array on to both; what one of them accumulates must not reach the other."""
    graph = Graph()
    a, b = graph.value(np.ones(3)), graph.value(np.ones(3))
    y = (a + b) + a
    dy = np.array([1.0, 2.0, 3.0])
    graph.backward(y, dy)
    np.testing.assert_array_equal(a.grad, [2, 4, 6])
    np.testing.assert_array_equal(b.grad, [1, 2, 3])
    np.testing.assert_array_equal(dy, [1, 2, 3])


def test_broadcasting_is_a_node() -> None:
    graph = Graph()
    x, b = graph.value(np.ones((3, 4))), graph.value(np.ones(4))
    y = x + b
    assert [type(step.node) for step in graph.steps] == [nodes.Broadcast, nodes.Add]
    graph.backward(y, np.ones((3, 4)))
    np.testing.assert_array_equal(b.grad, [3, 3, 3, 3])
    assert x.broadcast((3, 4)) is x


def test_where_broadcasts_condition_and_values() -> None:
    graph = Graph()
    x, y = graph.value(np.array([[1.0], [2.0]])), graph.value(np.array([5.0, 6.0, 7.0]))
    z = x.where(np.array([True, False, True]), y)
    np.testing.assert_array_equal(z.data, [[1, 6, 1], [2, 6, 2]])
    graph.backward(z, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(x.grad, [[4], [10]])
    np.testing.assert_array_equal(y.grad, [0, 7, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_take_the_dtype_of_the_value_beside_them(dtype: Any) -> None:
    graph = Graph()
    x = graph.value(np.ones(3, dtype))
    y = (2.0 * x + 1.0) / 3 - (x**0.5) * np.array([1.0, 2.0, 3.0])
    y = y.where(np.array([True, False, True]), 0.5).pad((1, 1), value=-1.0)[1:4]
    graph.backward(y, np.ones(3, dtype))
    assert {step.output.data.dtype for step in graph.steps} == {np.dtype(dtype)}
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_an_array_beside_a_value_is_left_to_the_value() -> None:
    graph = Graph()
    y = np.ones(3) * graph.value(np.ones(3))
    assert isinstance(y, Value)


def test_values_of_two_graphs_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="Add was given a value of another graph"):
        Graph().value(np.ones(2)) + Graph().value(np.ones(2))


def test_a_gradient_of_another_shape_is_refused() -> None:
    graph = Graph()
    y = graph.value(np.ones(2)) * 2.0
    with pytest.raises(ValueError, match=r"Graph.backward gave .* shape \(3,\) .* shape \(2,\)"):
        graph.backward(y, np.ones(3))


class NotSummed(nodes.Broadcast):
    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        return (dz,)


class OneForgotten(nodes.Mul):
    def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
        return super().backward(dz)[:1]


def test_a_node_whose_gradient_does_not_fit_is_named() -> None:
    graph = Graph()
    y = graph.apply(NotSummed((2, 3)), graph.value(np.ones(3)))
    with pytest.raises(ValueError, match=r"NotSummed.backward gave .* \(2, 3\) .* \(3,\)"):
        graph.backward(y, np.ones((2, 3)))


def test_a_node_that_forgets_an_input_is_found() -> None:
    graph = Graph()
    x = graph.value(np.ones(3))
    y = graph.apply(OneForgotten(), x, x)
    with pytest.raises(ValueError, match="shorter"):
        graph.backward(y, np.ones(3))


def test_a_node_is_to_define_both_directions() -> None:
    with pytest.raises(NotImplementedError, match="Node defines no forward"):
        nodes.Node().forward(np.ones(1))
    with pytest.raises(NotImplementedError, match="Node defines no backward"):
        nodes.Node().backward(np.ones(1))


# ---------------------------------------------------------------------- what is shown

MODULES = [
    module.name
    for module in pkgutil.walk_packages(numpy_nn.graph.__path__, f"{numpy_nn.graph.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_in_the_document() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "graph.md").read_text(encoding="utf-8")
    examples = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if ">>>" in block]
    assert examples
    for block in examples:
        test = doctest.DocTestParser().get_doctest(block, {}, "graph.md", None, None)
        assert doctest.DocTestRunner().run(test).failed == 0


def test_the_namespace_lists_what_it_has() -> None:
    names = {
        name
        for name, value in vars(numpy_nn.graph).items()
        if not name.startswith("_") and (isinstance(value, type) or name in ("init", "optim"))
    }
    assert names <= set(numpy_nn.graph.__all__)
    assert all(hasattr(numpy_nn.graph, name) for name in numpy_nn.graph.__all__)
