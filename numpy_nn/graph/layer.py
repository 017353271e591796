"""A layer that is composed of nodes."""

from typing import Any

import numpy as np

from ..modules.checks import check_grad_output, check_input
from ..modules.module import Module
from .graph import Graph, Value

# Infinite values and nan pass through in silence, as in PyTorch.
quiet = np.errstate(all="ignore")


class Composed(Module):
    """Base class of the layers here, in front of the layer of ``numpy_nn`` of the same name.

    The constructor, the parameters and buffers with their initialisation, and the checks of
    the input come from that layer. What is computed does not: a subclass defines ``compose``,
    which applies nodes to the input, and there is no ``backward`` to write. It is the nodes'
    backward in reverse order, the same for every layer.

    Example:
        >>> from numpy_nn.graph import Linear, manual_seed
        >>> _ = manual_seed(0)
        >>> layer = Linear(3, 2)
        >>> y = layer(np.ones((1, 3), np.float32))
        >>> [type(step.node).__name__ for step in layer.graph.steps]
        ['Reshape', 'Transpose', 'MatMul', 'Broadcast', 'Add', 'Reshape']
        >>> layer.backward(np.ones_like(y)).shape
        (1, 3)
    """

    graph: Graph

    def compose(self, x: Value, *rest: Any, **parameters: Any) -> Value:
        """Apply nodes to the input and to the parameters, which come by name (or None)."""
        raise NotImplementedError(f"{type(self).__name__} defines no compose")

    @quiet
    def forward(self, input: np.ndarray, *rest: Any) -> Any:
        """Run the nodes."""
        check_input(self, input)
        self.graph = Graph()
        self._x = self.graph.value(input)
        self._leaves = {
            name: None if parameter is None else self.graph.value(parameter.data)
            for name, parameter in self._parameters.items()
        }
        self._y = self.compose(self._x, *rest, **self._leaves)
        return self._y.data

    @quiet
    def backward(self, grad_output: Any) -> Any:
        """Run the nodes' backward, add to the parameters' gradients, return the input's."""
        output: Value = self._saved("_y")
        check_grad_output(self, grad_output, output.shape, output.data.dtype)
        self.graph.backward(output, grad_output)
        for name, leaf in self._leaves.items():
            parameter = self._parameters[name]
            if parameter is not None and leaf is not None:
                # A copy: the parameter adds to it in place, and it may be another's gradient.
                parameter.accumulate_grad(np.array(leaf.grad))
        return self._x.grad

    def backward_parameters(self, grad_output: Any) -> None:
        """Do as ``backward`` does: a graph goes all the way back."""
        self.backward(grad_output)
