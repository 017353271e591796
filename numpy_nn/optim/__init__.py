"""The optimizers, one a file, named as in torch.optim."""

from typing import NoReturn

from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.optim has no {name!r}; what PyTorch has under that name, if anything, is not "
        f"supported here. There are: {', '.join(__all__)}"
    )
