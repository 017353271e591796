"""Neural networks in NumPy alone: torch.nn, torch.optim and torch.nn.init by the same names."""

from typing import NoReturn

from . import init, optim
from .modules import (
    BatchNorm1d,
    CrossEntropyLoss,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Sequential,
)
from .parameter import Parameter
from .random import Generator, default_generator, manual_seed, randperm

__all__ = [
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Flatten",
    "Generator",
    "Identity",
    "LeakyReLU",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "default_generator",
    "init",
    "manual_seed",
    "optim",
    "randperm",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn has no {name!r}; what PyTorch has under that name, if anything, is not "
        f"supported here. There are: {', '.join(__all__)}"
    )
