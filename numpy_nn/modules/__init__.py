"""The layers, one idea a file, named as in torch.nn.modules."""

from .activation import ELU, Hardswish, LeakyReLU, ReLU
from .adaptive_pooling import AdaptiveAvgPool2d
from .batchnorm import BatchNorm1d, BatchNorm2d
from .binary_cross_entropy import BCELoss, BCEWithLogitsLoss
from .container import Sequential
from .conv import Conv1d, Conv2d
from .convtranspose import ConvTranspose2d
from .cross_entropy import CrossEntropyLoss
from .dropout import Dropout
from .flatten import Flatten
from .gelu import GELU
from .kl_divergence import KLDivLoss
from .layernorm import GroupNorm, LayerNorm
from .linear import Identity, Linear
from .module import Module
from .nll import NLLLoss
from .pooling import AvgPool2d, MaxPool2d
from .regression_loss import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from .sigmoid import Sigmoid, SiLU, Softplus, Tanh
from .softmax import LogSoftmax, Softmax
from .sparse import Embedding

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
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
]
