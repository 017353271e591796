"""The layers, one idea a file, named as in torch.nn.modules."""

from .activation import LeakyReLU, ReLU
from .batchnorm import BatchNorm1d
from .container import Sequential
from .flatten import Flatten
from .linear import Identity, Linear
from .loss import CrossEntropyLoss
from .module import Module

__all__ = [
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "Module",
    "ReLU",
    "Sequential",
]
