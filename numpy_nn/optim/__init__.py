"""The optimizers, one a file, named as in torch.optim, and the schedules of learning rates."""

from typing import NoReturn

from . import lr_scheduler
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .nadam import NAdam
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.optim has no {name!r}; what PyTorch has under that name, if anything, is not "
        f"supported here. There are: {', '.join(__all__)}"
    )
