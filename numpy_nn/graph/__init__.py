"""The layers once more, composed of small nodes: how backpropagation comes about.

A network is a graph of operations. Each operation is a node of :mod:`numpy_nn.graph.nodes` that
knows its own derivative and nothing else; :class:`Graph` runs them forward, and their backward
in reverse. That gives the gradient of anything that is made of nodes, with no formula derived
by hand.

The package is a namespace like ``numpy_nn``, with the same constructors, initialisation and
``state_dict`` keys, so that an architecture builds from it too::

    from experiments.architectures import bn_mlp
    bn_mlp(numpy_nn.graph)

To read in this order: ``nodes.py``, ``graph.py``, and then ``layers.py``.
"""

from typing import NoReturn

from .. import init, optim
from ..modules import Identity, Module, Sequential
from ..parameter import Parameter
from ..random import Generator, default_generator, manual_seed, randperm
from . import layers, nodes
from .graph import Graph, Value
from .layers import *

__all__ = [
    "Generator",
    "Graph",
    "Identity",
    "Module",
    "Parameter",
    "Sequential",
    "Value",
    "default_generator",
    "init",
    "manual_seed",
    "nodes",
    "optim",
    "randperm",
]
__all__ += layers.__all__


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.graph has no {name!r}: it is not composed of nodes yet. "
        f"There are: {', '.join(sorted(__all__))}"
    )
