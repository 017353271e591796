"""Which module of torch a node of ONNX is: its class, settings and parameters.

A node that computes what no class of torch does, such as a convolution with more padding on one
side, keeps ONNX's name: its outputs are compared, and it is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, helper

Constants = Mapping[str, np.ndarray]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """What a node is.

    Attributes:
        kind: The class, ``Linear``; or ``onnx.Conv`` where torch has none.
        settings: Its arguments.
        parameters, buffers: Local name → array, as torch has them.
        sources: Local name → the name of the tensor in ONNX that it was.
    """

    kind: str
    settings: dict[str, Any]
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    buffers: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


Reading = Callable[[NodeProto, dict[str, Any], Constants, Shape, Shape], Found | None]
"""Node, attributes, constants, shapes of its first input and output → what it is, if a module."""


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Its attributes as Python has them."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def read_node(node: NodeProto, constants: Constants, given: Shape, result: Shape) -> Found | None:
    """What a node is; None where it is no module, as an addition."""
    reading = READINGS.get(node.op_type)
    if reading is None:
        return None
    return reading(node, attributes_of(node), constants, given, result)


def linear(weight: np.ndarray, bias: np.ndarray | None, sources: dict[str, str]) -> Found:
    """A Linear of torch's weight (out, in)."""
    out, into = weight.shape
    parameters = {"weight": weight, **({} if bias is None else {"bias": bias.reshape(-1)})}
    settings = {"in_features": into, "out_features": out, "bias": bias is not None}
    return Found("Linear", settings, parameters, {}, sources)


def _gemm(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    names = list(node.input)
    if names[1] not in constants or has.get("transA") or any(n not in constants for n in names[2:]):
        return None
    weight = constants[names[1]] * np.asarray(has.get("alpha", 1.0), constants[names[1]].dtype)
    weight = weight if has.get("transB") else weight.T
    bias = (
        constants[names[2]] * np.asarray(has.get("beta", 1.0), weight.dtype) if names[2:] else None
    )
    sources = dict(zip(("weight", "bias"), names[1:], strict=False))
    return linear(weight, bias, sources)


def _matmul(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    weight = constants.get(node.input[1])
    if weight is None or weight.ndim != 2 or node.input[0] in constants:
        return None
    return linear(weight.T, None, {"weight": node.input[1]})


def _padding(
    has: dict[str, Any], kernel: Shape, stride: Shape, dilation: Shape, given: Shape
) -> Any:
    """As torch has it: numbers for the axes, or ``same``; None where torch has no such padding."""
    axes, auto = len(kernel), has.get("auto_pad", "NOTSET")
    pads = list(has.get("pads", [0] * 2 * axes))
    if auto == "VALID":
        pads = [0] * 2 * axes
    elif auto.startswith("SAME"):
        totals = [
            max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, k, s, d in zip(given[2:], kernel, stride, dilation, strict=True)
        ]
        less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = less + more if auto == "SAME_UPPER" else more + less
    if pads[:axes] == pads[axes:]:
        return pads[:axes]
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    same = [t // 2 for t in totals] + [t - t // 2 for t in totals]
    return "same" if pads == same and set(stride) == {1} else None


def _conv(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    weight = constants.get(node.input[1])
    if weight is None:
        return None
    axes = weight.ndim - 2
    kernel = tuple(has.get("kernel_shape", weight.shape[2:]))
    stride = tuple(has.get("strides", [1] * axes))
    dilation = tuple(has.get("dilations", [1] * axes))
    groups = has.get("group", 1)
    named = [("weight", node.input[1])]
    if len(node.input) > 2 and node.input[2]:
        named.append(("bias", node.input[2]))
    if any(source not in constants for _, source in named):
        return None
    padding = _padding(has, kernel, stride, dilation, given)
    turned = node.op_type == "ConvTranspose"
    channels = (weight.shape[0], weight.shape[1] * groups)
    into, out = channels if turned else (weight.shape[1] * groups, weight.shape[0])
    settings = {
        "in_channels": into, "out_channels": out, "kernel_size": kernel, "stride": stride,
        "dilation": dilation, "groups": groups, "bias": len(named) == 2, "padding_mode": "zeros",
    }  # fmt: skip
    kind = f"{node.op_type}{axes}d"
    if turned:
        settings["output_padding"] = tuple(has.get("output_padding", [0] * axes))
        if "output_shape" in has or has.get("auto_pad", "NOTSET") != "NOTSET":
            padding = None
    if padding is None or (padding == "same" and turned):
        kind, settings = f"onnx.{node.op_type}", {**settings, **_shown(has)}
    else:
        settings["padding"] = padding
    return Found(kind, settings, {k: constants[s] for k, s in named}, {}, dict(named))


def _shown(has: dict[str, Any]) -> dict[str, Any]:
    """How a node pads, for a message."""
    return {key: has[key] for key in ("auto_pad", "pads") if key in has}


def _pool(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    kernel = tuple(has["kernel_shape"])
    axes = len(kernel)
    stride = tuple(has.get("strides", [1] * axes))
    dilation = tuple(has.get("dilations", [1] * axes))
    padding = _padding(has, kernel, stride, dilation, given)
    settings: dict[str, Any] = {
        "kernel_size": kernel, "stride": stride, "ceil_mode": bool(has.get("ceil_mode", 0)),
    }  # fmt: skip
    average = node.op_type == "AveragePool"
    if average:
        settings["count_include_pad"] = bool(has.get("count_include_pad", 0))
    else:
        settings["dilation"] = dilation
    possible = padding not in (None, "same") and (not average or set(dilation) == {1})
    if not possible:
        return Found(f"onnx.{node.op_type}", {**settings, **_shown(has)})
    if average and not any(padding):
        settings["count_include_pad"] = True  # there is none: as torch has it by default
    return Found(
        f"{'Avg' if average else 'Max'}Pool{axes}d", {**settings, "padding": tuple(padding)}
    )


def _global_pool(word: str) -> Reading:
    def reading(
        node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
    ) -> Found | None:
        return Found(f"Adaptive{word}Pool{len(given) - 2}d", {"output_size": 1})

    return reading


def _batch_norm(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    named = dict(
        zip(("weight", "bias", "running_mean", "running_var"), node.input[1:5], strict=True)
    )
    if any(source not in constants for source in named.values()):
        return None
    values = {local: constants[source] for local, source in named.items()}
    buffers = {local: values.pop(local) for local in ("running_mean", "running_var")}
    axes = 1 if len(given) == 2 else len(given) - 2
    settings = {
        "num_features": len(buffers["running_mean"]), "eps": _rounded(has.get("epsilon", 1e-5)),
        "affine": True, "track_running_stats": True,
    }  # fmt: skip
    if has.get("training_mode"):
        return Found("onnx.BatchNormalization", {**settings, "training_mode": 1}, values)
    return Found(f"BatchNorm{axes}d", settings, values, buffers, named)


def _layer_norm(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    named = dict(zip(("weight", "bias"), node.input[1:], strict=False))
    if any(source not in constants for source in named.values()):
        return None
    values = {local: constants[source] for local, source in named.items()}
    axis = has.get("axis", -1) % len(given)
    settings = {
        "normalized_shape": given[axis:], "eps": _rounded(has.get("epsilon", 1e-5)),
        "elementwise_affine": True, "bias": "bias" in named,
    }  # fmt: skip
    return Found("LayerNorm", settings, values, {}, named)


def _activation(kind: str, **settings: tuple[str, Any]) -> Reading:
    """A class of torch, and its settings: ours = (attribute, default)."""

    def reading(
        node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
    ) -> Found | None:
        values = {ours: has.get(theirs, default) for ours, (theirs, default) in settings.items()}
        return Found(
            kind, {k: _rounded(v) if isinstance(v, float) else v for k, v in values.items()}
        )

    return reading


def _rounded(value: float) -> float:
    """A number of float32 as the few digits that were meant: 0.01, and not 0.00999999978."""
    return float(f"{value:.7g}")


def _flatten(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    """Flatten, and a Reshape that does the same for every row."""
    plain = has.get("axis", 1) == 1 if node.op_type == "Flatten" else len(given) > 2
    rows = given[:1] == result[:1] and len(result) == 2
    return Found("Flatten", {"start_dim": 1, "end_dim": -1}) if plain and rows else None


def _dropout(
    node: NodeProto, has: dict[str, Any], constants: Constants, given: Shape, result: Shape
) -> Found | None:
    ratio = constants.get(node.input[1], 0.5) if node.input[1:] else has.get("ratio", 0.5)
    return Found("Dropout", {"p": _rounded(float(np.asarray(ratio)))})


READINGS: dict[str, Reading] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool("Avg"),
    "GlobalMaxPool": _global_pool("Max"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Relu": _activation("ReLU"),
    "LeakyRelu": _activation("LeakyReLU", negative_slope=("alpha", 0.01)),
    "Elu": _activation("ELU", alpha=("alpha", 1.0)),
    "Selu": _activation("SELU"),
    "Sigmoid": _activation("Sigmoid"),
    "Tanh": _activation("Tanh"),
    "Softplus": _activation("Softplus"),
    "Softsign": _activation("Softsign"),
    "Gelu": _activation("GELU", approximate=("approximate", "none")),
    "HardSwish": _activation("Hardswish"),
    "Mish": _activation("Mish"),
    "Softmax": _activation("Softmax", dim=("axis", -1)),
    "LogSoftmax": _activation("LogSoftmax", dim=("axis", -1)),
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Dropout": _dropout,
}
"""Kind of node → how it is read."""
