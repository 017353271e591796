"""The optimizers, one a file, named as in torch.optim, and the schedules of learning rates.

A file is imported when its class is first asked for: a training uses one or two of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(
            f"numpy_nn.optim has no {name!r}; what PyTorch has under that name, if anything, is "
            f"not supported here. There are: {', '.join(__all__)}"
        )
    module = import_module(f"{__name__}.{name.lower()}")
    found = globals()[name] = getattr(module, name, module)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
