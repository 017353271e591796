"""Neural networks in NumPy alone: torch.nn, torch.optim and torch.nn.init by the same names."""

from typing import NoReturn

from . import init, modules, optim
from .modules import *
from .parameter import Parameter
from .random import Generator, default_generator, manual_seed, randperm

__all__ = [
    "Generator",
    "Parameter",
    "default_generator",
    "init",
    "manual_seed",
    "optim",
    "randperm",
]
__all__ += modules.__all__  # type: ignore[attr-defined]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn has no {name!r}; what PyTorch has under that name, if anything, is not "
        f"supported here. There are: {', '.join(sorted(__all__))}"
    )
