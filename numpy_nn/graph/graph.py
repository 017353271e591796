"""The graph: which node was applied to which values, in which order."""

from typing import Any, NamedTuple

import numpy as np

from . import nodes
from .nodes import Axes


class Value:
    """An array in a graph, and the gradient that reached it.

    Operators and methods apply a node each and record it; where the shapes of two operands
    differ, Broadcast nodes come before. Plain numbers and arrays may stand beside a value: they
    become values of the same graph and dtype.

    Attributes:
        data: the array.
        grad: after :meth:`Graph.backward` its gradient, or None if the output does not depend
            on it.

    Example:
        >>> x = Graph().value(np.array([1.0, 2.0]))
        >>> y = (x * x + 3 * x).sum()
        >>> y.graph.backward(y, np.array(1.0))
        >>> x.grad  # 2 x + 3: x is used three times, and what comes back adds up
        array([5., 7.])
    """

    __slots__ = ("data", "grad", "graph")
    # NumPy leaves `array * value` to the value instead of looping over the array.
    __array_ufunc__ = None

    def __init__(self, graph: "Graph", data: Any) -> None:
        self.graph = graph
        self.data = np.asarray(data)
        self.grad: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    # ---- two operands

    def __add__(self, other: Any) -> "Value":
        return self._with(nodes.Add(), self, other)

    def __radd__(self, other: Any) -> "Value":
        return self._with(nodes.Add(), other, self)

    def __sub__(self, other: Any) -> "Value":
        return self._with(nodes.Sub(), self, other)

    def __rsub__(self, other: Any) -> "Value":
        return self._with(nodes.Sub(), other, self)

    def __mul__(self, other: Any) -> "Value":
        return self._with(nodes.Mul(), self, other)

    def __rmul__(self, other: Any) -> "Value":
        return self._with(nodes.Mul(), other, self)

    def __truediv__(self, other: Any) -> "Value":
        return self._with(nodes.Div(), self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self._with(nodes.Div(), other, self)

    def __matmul__(self, other: Any) -> "Value":
        return self.graph.apply(nodes.MatMul(), self, self._of(other))

    def where(self, condition: np.ndarray, other: Any) -> "Value":
        """This where a condition holds, and the other elsewhere."""
        other = self._of(other)
        shape = np.broadcast_shapes(condition.shape, self.shape, other.shape)
        node = nodes.Where(np.broadcast_to(condition, shape))
        return self.graph.apply(node, self.broadcast(shape), other.broadcast(shape))

    # ---- one operand

    def __pow__(self, exponent: float) -> "Value":
        return self.graph.apply(nodes.Power(exponent), self)

    def __getitem__(self, index: Any) -> "Value":
        return self.graph.apply(nodes.Index(index), self)

    def exp(self) -> "Value":
        """The exponential."""
        return self.graph.apply(nodes.Exp(), self)

    def log(self) -> "Value":
        """The natural logarithm."""
        return self.graph.apply(nodes.Log(), self)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> "Value":
        """The sum over some axes, or over all."""
        return self.graph.apply(nodes.Sum(axis, keepdims), self)

    def max(self, axis: Axes = None, keepdims: bool = False) -> "Value":
        """The maximum over some axes, or over all."""
        return self.graph.apply(nodes.Max(axis, keepdims), self)

    def reshape(self, *shape: int) -> "Value":
        """The same elements in another shape."""
        return self.graph.apply(nodes.Reshape(shape), self)

    def transpose(self, *axes: int) -> "Value":
        """The axes in another order."""
        return self.graph.apply(nodes.Transpose(axes), self)

    def pad(self, *widths: tuple[int, int], value: float = 0.0) -> "Value":
        """With a border of so many before and after, for each axis."""
        return self.graph.apply(nodes.Pad(widths, value), self)

    def broadcast(self, shape: tuple[int, ...]) -> "Value":
        """Repeated to a shape; itself where it has that shape."""
        if self.shape == shape:
            return self
        return self.graph.apply(nodes.Broadcast(shape), self)

    def _of(self, other: Any) -> "Value":
        if isinstance(other, Value):
            return other
        return self.graph.value(np.asarray(other, self.data.dtype))

    def _with(self, node: nodes.Node, *operands: Any) -> "Value":
        values = [self._of(operand) for operand in operands]
        shape = np.broadcast_shapes(*(value.shape for value in values))
        return self.graph.apply(node, *(value.broadcast(shape) for value in values))


class Step(NamedTuple):
    """One application of a node."""

    node: nodes.Node
    inputs: tuple[Value, ...]
    output: Value


class Graph:
    """Runs nodes, remembers them, and runs their backward in reverse.

    A node can only be applied to values that are there already. So the order in which nodes
    were applied is a topological order of the graph, and in its reverse a node's backward runs
    when everything that used its result has sent its part of the gradient.

    Attributes:
        steps: what was applied, in order.

    Example:
        >>> graph = Graph()
        >>> x, w = graph.value(np.ones((1, 2))), graph.value(np.array([[3.0], [4.0]]))
        >>> y = x @ w
        >>> graph.backward(y, np.ones((1, 1)))
        >>> x.grad
        array([[3., 4.]])
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def value(self, data: np.ndarray) -> Value:
        """Put an array into the graph."""
        return Value(self, data)

    def apply(self, node: nodes.Node, *inputs: Value) -> Value:
        """Run a node forward and remember it.

        Raises:
            ValueError: if an input belongs to another graph.
        """
        if any(value.graph is not self for value in inputs):
            raise ValueError(f"{type(node).__name__} was given a value of another graph")
        output = self.value(node.forward(*(value.data for value in inputs)))
        self.steps.append(Step(node, inputs, output))
        return output

    def backward(self, output: Value, grad_output: np.ndarray) -> None:
        """Set ``grad`` of every value that ``output`` depends on; each call starts from nothing.

        Formula: the gradient of a value is the sum of what comes back from every node that it
        went into.

        Args:
            output: the value to start from.
            grad_output: its gradient.

        Raises:
            ValueError: if a gradient has another shape than its value.
        """
        for step in self.steps:
            for value in (*step.inputs, step.output):
                value.grad = None
        output.grad = None
        _accumulate(output, np.asarray(grad_output), "Graph.backward")
        for node, inputs, result in reversed(self.steps):
            if result.grad is None:  # the output does not depend on it
                continue
            for value, gradient in zip(inputs, node.backward(result.grad), strict=True):
                _accumulate(value, gradient, f"{type(node).__name__}.backward")


def _accumulate(value: Value, gradient: np.ndarray, source: str) -> None:
    """Add to a gradient, never in place: nodes may pass one array on to several values."""
    if np.shape(gradient) != value.shape:
        raise ValueError(
            f"{source} gave a gradient of shape {np.shape(gradient)} for a value of shape "
            f"{value.shape}"
        )
    value.grad = gradient if value.grad is None else value.grad + gradient
