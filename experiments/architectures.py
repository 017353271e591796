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


def mlp(
    nn: Any,
    sizes: Sequence[int] = (784, 100, 100, 100, 100, 10),
    activation: str = "ReLU",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Any:
    """Hidden layers of Linear, BatchNorm1d, an activation and dropout, each as one chooses.

    ``activation`` is the name of a module that takes no arguments. BatchNorm1d stands before the
    activation; Dropout, where its probability is not 0, behind it.
    """
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers.append(nn.Linear(fan_in, fan_out))
        if batch_norm:
            layers.append(nn.BatchNorm1d(fan_out))
        layers.append(getattr(nn, activation)())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def cnn(nn: Any, channels: Sequence[int] = (16, 32), negative_slope: float = 0.01) -> Any:
    """Two 3×3 convolutions with LeakyReLU and pooling, then two Linear layers, for 28×28 images."""
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1),
        nn.LeakyReLU(negative_slope),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.LeakyReLU(negative_slope),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * 7 * 7, 128),
        nn.LeakyReLU(negative_slope),
        nn.Linear(128, 10),
    )


def simple_convnet(nn: Any, channels: int = 30, hidden: int = 100) -> Any:
    """One 5×5 convolution with ReLU and pooling, then two Linear layers, for 28×28 images."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(channels * 12 * 12, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def deep_convnet(nn: Any, channels: Sequence[int] = (16, 32, 64), dropout: float = 0.5) -> Any:
    """Three pairs of 3×3 convolutions, each pair pooled, then Linear layers with dropout.

    The second convolution of the second pair has padding 2, so that 28×28 images shrink to 14, 8
    and 4 on their way.
    """
    layers = []
    fan_in = 1
    for width, second_padding in zip(channels, (1, 2, 1), strict=True):
        layers += [
            nn.Conv2d(fan_in, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=second_padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        fan_in = width
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(fan_in * 4 * 4, 50),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(50, 10),
    )


def vgg16(
    nn: Any,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    hidden: Sequence[int] = (4096, 256),
    dropout: float = 0.5,
) -> Any:
    """VGG16 with BatchNorm2d for 28×28 images, which the first padding makes 32×32."""
    layers: list[Any] = []
    fan_in = 1
    for width, convolutions in zip(widths, (2, 2, 3, 3, 3), strict=True):
        for _ in range(convolutions):
            padding = 1 if layers else 3  # 28 + 2·3 − 2 = 32, which survives five poolings
            layers += [
                nn.Conv2d(fan_in, width, 3, padding=padding),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            fan_in = width
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for width in hidden:
        layers += [nn.Linear(fan_in, width), nn.ReLU(), nn.Dropout(dropout)]
        fan_in = width
    return nn.Sequential(*layers, nn.Linear(fan_in, 10))


def covertype_dnn(nn: Any, sizes: Sequence[int] = (54, 32, 16, 1)) -> Any:
    """Hidden layers of Linear and ReLU; a sigmoid on top gives the probability of one class."""
    return nn.Sequential(*softmax_mlp(nn, sizes), nn.Sigmoid())


def pass_fail_mlp(
    nn: Any,
    activation: str = "LeakyReLU",
    sizes: Sequence[int] = (2, 16, 16, 2),
    dropout: float = 0.0,
) -> Any:
    """Hidden layers of Linear, an activation of one's choice and dropout, for a few features."""
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, fan_out), getattr(nn, activation)(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
