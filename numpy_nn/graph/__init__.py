"""The layers once more, composed of small nodes: how backpropagation comes about.

A network is a graph of operations. Each operation is a node of :mod:`numpy_nn.graph.nodes` that
knows its own derivative and nothing else; :class:`Graph` runs them forward, and their backward
in reverse. That gives the gradient of anything that is made of nodes, with no formula derived
by hand.

The package is a namespace like ``numpy_nn``, with the same constructors, initialisation and
``state_dict`` keys, so that an architecture builds from it too::

    from experiments.architectures import bn_mlp
    bn_mlp(numpy_nn.graph)

To read in this order: ``nodes/node.py``, ``nodes/arithmetic.py`` and the other nodes,
``graph.py``, ``layer.py``, and then any layer.
"""

from typing import NoReturn

from .. import init, optim
from ..modules import Identity, Module, Sequential
from ..parameter import Parameter
from ..random import Generator, default_generator, manual_seed, randperm
from . import nodes
from .activation import LeakyReLU, ReLU
from .batchnorm import BatchNorm1d, BatchNorm2d
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .graph import Graph, Value
from .linear import Linear
from .loss import CrossEntropyLoss
from .pooling import MaxPool2d

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Generator",
    "Graph",
    "Identity",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Value",
    "default_generator",
    "init",
    "manual_seed",
    "nodes",
    "optim",
    "randperm",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.graph has no {name!r}: it is not composed of nodes yet. "
        f"There are: {', '.join(__all__)}"
    )
