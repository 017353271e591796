"""What a module was made with, read off it; and a module of torch.nn made again from that."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import nn

# Classes that are made again from their settings; of others only outputs can be compared.
_NAMES = (
    "Linear Bilinear Identity Embedding Flatten Unflatten "
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d "
    "BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm RMSNorm "
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d LocalResponseNorm "
    "ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign "
    "Hardtanh Hardswish Hardsigmoid Hardshrink Softshrink Tanhshrink Threshold LogSigmoid GLU "
    "Softmax LogSoftmax Softmin Softmax2d "
    "MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d "
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d "
    "AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d "
    "ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ReflectionPad1d ReflectionPad2d "
    "ReplicationPad1d ReplicationPad2d Upsample PixelShuffle PixelUnshuffle "
    "RNN LSTM GRU RNNCell LSTMCell GRUCell MultiheadAttention CosineSimilarity PairwiseDistance "
    "CrossEntropyLoss NLLLoss MSELoss L1Loss SmoothL1Loss HuberLoss BCELoss BCEWithLogitsLoss "
    "KLDivLoss PoissonNLLLoss GaussianNLLLoss"
)
ALLOWED = frozenset(_NAMES.split())

# Modules that draw random numbers in training mode, and do nothing else.
DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")

# Which of PyTorch's switches decides whether a GPU rounds what it multiplies.
CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
NO_PRODUCTS = (
    nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU, nn.Embedding,
)  # fmt: skip

# They run their children's parameters without calling the children.
WHOLE = (nn.MultiheadAttention,)

# Arguments that say where and how a tensor is made, or that are deprecated.
IGNORED = {"self", "device", "dtype", "inplace", "size_average", "reduce", "_weight", "_freeze"}

# The constructors of RNN, LSTM and GRU take *args.
OF_RNNS = (
    "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
)  # fmt: skip

OWN_READING = {
    "bias": lambda m: _has(m, "bias", "in_proj_bias"),
    "add_bias_kv": lambda m: m.bias_k is not None,
    "elementwise_affine": lambda m: bool(m.elementwise_affine),
}


def _has(module: nn.Module, *names: str) -> bool:
    found = [getattr(module, name) for name in names if hasattr(module, name)]
    return any(value is True or isinstance(value, torch.Tensor) for value in found)


def kind_of(module: nn.Module) -> str:
    """The class with its package: ``torch.nn.Linear`` for torch's own."""
    cls = type(module)
    if getattr(nn, cls.__name__, None) is cls:
        return f"torch.nn.{cls.__name__}"
    if isinstance(module, nn.MultiheadAttention | nn.Linear) and cls.__module__.startswith(
        "torch."
    ):
        return f"torch.nn.{cls.__bases__[0].__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


Products = Literal["", "bfloat16", "float16", "tf32"]


def products_of(module: nn.Module) -> Products:
    """The format to which a module now rounds what it multiplies, if its tensors are float32."""
    floats = [p for p in module.parameters() if p.dtype == torch.float32]
    if not floats or isinstance(module, NO_PRODUCTS):
        return ""
    device = floats[0].device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        narrow = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
        return cast(Products, narrow.get(torch.get_autocast_dtype(device), ""))
    if device != "cuda":
        return ""
    if isinstance(module, CONVOLUTIONS):
        place, former = "cudnn.conv", "cudnn.allow_tf32"
    elif isinstance(module, nn.RNNBase):
        place, former = "cudnn.rnn", "cudnn.allow_tf32"
    else:
        place, former = "cuda.matmul", "cuda.matmul.allow_tf32"
    # PyTorch 2.9 has a name for the format, earlier versions a switch.
    found = _backends(f"{place}.fp32_precision")
    if found is None:
        found = "tf32" if _backends(former) else "ieee"
    return "tf32" if found == "tf32" else ""


def _backends(name: str) -> Any:
    try:
        return operator.attrgetter(name)(torch.backends)
    except AttributeError:
        return None


def settings_of(module: nn.Module) -> dict[str, Any]:
    """The arguments of its constructor where they can be read off, else its numbers and words."""
    cls = type(module)
    if not cls.__module__.startswith("torch.nn."):
        return _scalars(module)
    found: dict[str, Any] = {}
    for name in _arguments(cls):
        if name in OWN_READING and (name != "elementwise_affine" or hasattr(module, name)):
            found[name] = OWN_READING[name](module)
        elif hasattr(module, name):
            value = getattr(module, name)
            if isinstance(value, torch.Tensor):
                continue  # a weight of classes, which is a buffer
            if (plain := as_plain(value)) is not _NONE:
                found[name] = plain
    return found


def _arguments(cls: type) -> list[str]:
    if issubclass(cls, nn.RNNBase):
        more = {nn.RNN: ["nonlinearity"], nn.LSTM: ["proj_size"]}
        return [*OF_RNNS, *more.get(cls, [])]
    names = list(inspect.signature(cls).parameters)
    return [name for name in names if name not in IGNORED and name not in ("args", "kwargs")]


_NONE = object()


def as_plain(value: Any) -> Any:
    """A value that JSON can hold; lists for tuples, words for what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        parts = [as_plain(part) for part in value]
        return _NONE if any(part is _NONE for part in parts) else parts
    if isinstance(value, Mapping):
        named = {str(key): as_plain(part) for key, part in value.items()}
        return {key: part for key, part in named.items() if part is not _NONE}
    return _NONE


def _scalars(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "training"
        and (value is None or isinstance(value, (bool, int, float, str)))
        and not (isinstance(value, float) and not math.isfinite(value))
    }


def rebuild(kind: str, settings: Mapping[str, Any]) -> nn.Module | None:
    """A module of torch.nn from its class and settings, its parameters yet to be filled.

    Returns:
        None for a class that is not on the list, and for settings that it does not take.
    """
    package, _, name = kind.rpartition(".")
    if package != "torch.nn" or name not in ALLOWED or not hasattr(nn, name):
        return None
    cls = getattr(nn, name)
    known = set(_arguments(cls))
    arguments = {
        key: tuple(value) if isinstance(value, list) else _number(value)
        for key, value in settings.items()
        if key in known
    }
    try:
        with torch.device("meta"):
            built: nn.Module = cls(**arguments)
        built.to_empty(device="cpu")
    except Exception:  # settings of a file: whatever they may be, the module is not made
        return None
    return built


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
