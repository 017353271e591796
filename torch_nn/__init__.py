"""PyTorch under the names that numpy_nn has. No layer is written here."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, default_generator, manual_seed, optim, randperm
from torch.nn import Module, Parameter, init

if TYPE_CHECKING:  # the layers below come through __getattr__, which tells an editor nothing
    from torch.nn import *

# The names of numpy_nn, and configure. Those that are not imported above are torch.nn's.
__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Generator",
    "GroupNorm",
    "Hardswish",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "configure",
    "default_generator",
    "init",
    "manual_seed",
    "optim",
    "randperm",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(torch.nn, name)
    raise AttributeError(
        f"torch_nn has no {name!r}: it has the names of numpy_nn, and torch.nn has the rest. "
        f"There are: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return __all__


def configure(threads: int | None = None, deterministic: bool = True) -> None:
    """Set how PyTorch computes, for the whole process.

    Args:
        threads: threads within one operation; None leaves them.
        deterministic: whether an operation without a deterministic form is refused.

    Raises:
        ValueError: if threads is not positive.

    Example:
        >>> configure(deterministic=True)
    """
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be positive. Received: {threads}")
        torch.set_num_threads(threads)
    # The same switch as torch.use_deterministic_algorithms, which also imports the compiler: 0.9 s.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
