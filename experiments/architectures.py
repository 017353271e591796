"""The networks, each written once: a function of a namespace.

``bn_mlp(numpy_nn)`` builds the network in pure NumPy and ``bn_mlp(torch_nn)`` builds the same
network in PyTorch. The module imports neither: whatever offers ``Linear``, ``Sequential`` and
the rest under torch's names is a namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any


def bn_mlp(
    nn: Any,
    sizes: Sequence[int] = (784, 256, 128, 64, 32, 10),
    negative_slope: float = 0.01,
) -> Any:
    """Hidden layers of Linear, BatchNorm1d and LeakyReLU; a Linear on top gives the logits."""
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [
            nn.Linear(fan_in, fan_out),
            nn.BatchNorm1d(fan_out),
            nn.LeakyReLU(negative_slope),
        ]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def softmax_mlp(nn: Any, sizes: Sequence[int] = (784, 128, 64, 10)) -> Any:
    """Hidden layers of Linear and ReLU; a Linear on top gives the logits of the softmax."""
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
