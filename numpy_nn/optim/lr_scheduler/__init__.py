"""Schedules of the learning rate, named as in torch.optim.lr_scheduler."""

from typing import NoReturn

from .annealing import CosineAnnealingLR, LinearLR
from .decay import ExponentialLR, MultiStepLR, StepLR
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.optim.lr_scheduler has no {name!r}; what PyTorch has under that name, if "
        f"anything, is not supported here. There are: {', '.join(__all__)}"
    )
