"""Each layer of numpy_nn as nodes of ONNX, in evaluation mode.

A layer is read by torch's attribute names, which numpy_nn has too: the same function translates
either side's. Where ONNX says something else than PyTorch (windows that hang over the end, what an
average counts, a Softplus with a threshold), the nodes say what PyTorch computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from experiments.errors import InputError

Shape = tuple[int, ...]

# What pads an image by other values than zeros is called otherwise.
PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Nodes:
    """The nodes of one network as they are added, and the arrays that they use.

    Args:
        weights: ``state_dict`` of the network.
        dtype: What everything is computed in.

    Attributes:
        nodes: The nodes in the order of execution.
        arrays: Name → array: parameters and buffers under the network's own names, and constants.
        name: The layer that is being written.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: np.dtype) -> None:
        self.weights, self.dtype = weights, dtype
        self.nodes: list[NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.name = self._prefix = ""
        self._steps = 0

    def begin(self, path: str, kind: str) -> None:
        """The nodes that follow are those of another layer, of this path in the network."""
        self.name, self._prefix, self._steps = path or kind, f"{path}." if path else "", 0

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; its output's name is returned. The first of a layer has the layer's name."""
        own = self.name if not self._steps else f"{self.name}/{kind}_{self._steps}"
        self._steps += 1
        output = f"{own}/output"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=own, **attributes))
        return output

    def weight(self, local: str) -> str:
        """The name of a parameter or buffer of the layer; empty where it has none of this name."""
        full = f"{self._prefix}{local}"
        if full not in self.weights:
            return ""
        self.arrays[full] = np.asarray(self.weights[full])
        return full

    def constant(self, word: str, value: Any, dtype: Any = None) -> str:
        """The name of an array that the layer needs and the network does not have."""
        name = f"{self.name}/{word}"
        self.arrays[name] = np.asarray(value, dtype or self.dtype)
        return name

    def exact(self, word: str, value: float) -> float:
        """A setting that ONNX holds in float32.

        Raises:
            InputError: The network computes in float64, and the setting needs it.
        """
        if self.dtype == np.float64 and float(np.float32(value)) != value:
            raise InputError(
                f"the module {self.name} cannot be exported: ONNX holds its {word} = {value} in "
                "float32, and the network computes in float64."
            )
        return float(value)

    def initializers(self) -> list[TensorProto]:
        """The arrays, for the graph."""
        return [
            numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            for name, array in self.arrays.items()
        ]


Translation = Callable[[Nodes, Any, str, Shape], str]
"""Nodes, the module, the name of its input, that's shape → the name of its output."""


def refuse(nodes: Nodes, module: Any, why: str) -> InputError:
    """Why a layer has no translation, in one sentence."""
    return InputError(
        f"the module {nodes.name} ({type(module).__name__}) cannot be exported: {why}."
    )


def _pair(value: Any) -> Shape:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


# ---- Affine


def _linear(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    w, b = nodes.weight("weight"), nodes.weight("bias")
    if len(shape) == 2:
        return nodes.add("Gemm", x, w, *([b] if b else []), transB=1)
    turned = nodes.add("Transpose", w, perm=[1, 0])
    y = nodes.add("MatMul", x, turned)
    return nodes.add("Add", y, b) if b else y


def _embedding(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    return nodes.add("Gather", nodes.weight("weight"), x, axis=0)


# ---- Convolutions


def _pads(module: Any, kernel: Shape, dilation: Shape) -> list[int]:
    """First all beginnings, then all ends; ``same`` has the odd one at the end, as in PyTorch."""
    if module.padding == "valid":
        return [0] * 2 * len(kernel)
    if module.padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        starts = [total // 2 for total in totals]
        return starts + [t - s for t, s in zip(totals, starts, strict=True)]
    return [*module.padding, *module.padding]


def _conv(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    kernel, dilation = tuple(module.kernel_size), tuple(module.dilation)
    if len(shape) != len(kernel) + 2:
        raise refuse(nodes, module, f"it is given rows of shape {shape[1:]}, without channels")
    pads = _pads(module, kernel, dilation)
    if module.padding_mode != "zeros" and any(pads):
        axes = len(kernel)
        around = [0, 0, *pads[:axes], 0, 0, *pads[axes:]]
        amounts = nodes.constant("pads", around, np.int64)
        x = nodes.add("Pad", x, amounts, mode=PAD_MODES[module.padding_mode])
        pads = [0] * len(pads)
    w, b = nodes.weight("weight"), nodes.weight("bias")
    return nodes.add(
        "Conv", x, w, *([b] if b else []), kernel_shape=kernel, strides=tuple(module.stride),
        pads=pads, dilations=dilation, group=module.groups,
    )  # fmt: skip


def _conv_transpose(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    if len(shape) != len(module.kernel_size) + 2:
        raise refuse(nodes, module, f"it is given rows of shape {shape[1:]}, without channels")
    if any(o >= s for o, s in zip(module.output_padding, module.stride, strict=True) if o):
        raise refuse(nodes, module, "its output_padding is not below its stride")
    w, b = nodes.weight("weight"), nodes.weight("bias")
    return nodes.add(
        "ConvTranspose", x, w, *([b] if b else []), kernel_shape=tuple(module.kernel_size),
        strides=tuple(module.stride), pads=[*module.padding, *module.padding],
        dilations=tuple(module.dilation), group=module.groups,
        output_padding=tuple(module.output_padding),
    )  # fmt: skip


# ---- Pooling


class _Windows:
    """The windows of a pooling over an image, as PyTorch lays them.

    Attributes:
        kernel, stride, padding, dilation: For (rows, columns).
        output: How many windows there are.
        ends: How much has to be put behind the image for the last window.
    """

    def __init__(self, module: Any, size: Shape) -> None:
        self.kernel = _pair(module.kernel_size)
        self.stride = _pair(module.kernel_size if module.stride is None else module.stride)
        self.padding = _pair(module.padding)
        self.dilation = _pair(getattr(module, "dilation", 1))
        extents = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        output, ends = [], []
        for n, extent, s, p in zip(size, extents, self.stride, self.padding, strict=True):
            room = n + 2 * p - extent
            count = (-(-room // s) if module.ceil_mode else room // s) + 1
            if module.ceil_mode and (count - 1) * s >= n + p:
                count -= 1  # a window begins in the image or before it
            output.append(count)
            ends.append(max((count - 1) * s + extent - n - p, 0))
        self.output, self.ends = tuple(output), tuple(ends)

    @property
    def pads(self) -> list[int]:
        """As ONNX has them: all beginnings, then all ends."""
        return [*self.padding, *self.ends]


def _max_pool(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    if len(shape) != 4:
        raise refuse(nodes, module, f"it is given rows of shape {shape[1:]}, without channels")
    windows = _Windows(module, shape[2:])
    pads = windows.pads
    if any(p >= k for p, k in zip(pads, windows.kernel * 2, strict=True)):
        around = nodes.constant("pads", [0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
        x = nodes.add("Pad", x, around, nodes.constant("least", -np.inf), mode="constant")
        pads = [0] * 4
    return nodes.add(
        "MaxPool", x, kernel_shape=windows.kernel, strides=windows.stride, pads=pads,
        dilations=windows.dilation,
    )  # fmt: skip


def _avg_pool(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    if len(shape) != 4:
        raise refuse(nodes, module, f"it is given rows of shape {shape[1:]}, without channels")
    windows = _Windows(module, shape[2:])
    if not module.ceil_mode and module.divisor_override is None:
        return nodes.add(
            "AveragePool", x, kernel_shape=windows.kernel, strides=windows.stride,
            pads=[*windows.padding, *windows.padding],
            count_include_pad=int(module.count_include_pad),
        )  # fmt: skip
    around = [0, 0, *windows.padding, 0, 0, *windows.ends]
    x = nodes.add("Pad", x, nodes.constant("pads", around, np.int64), mode="constant")
    means = nodes.add("AveragePool", x, kernel_shape=windows.kernel, strides=windows.stride)
    counted = _counted(module, windows, shape[2:])
    divisor = counted if module.divisor_override is None else np.full_like(counted, 1.0)
    divisor *= module.divisor_override or 1
    return nodes.add("Mul", means, nodes.constant("counts", np.prod(windows.kernel) / divisor))


def _counted(module: Any, windows: _Windows, size: Shape) -> np.ndarray:
    """How many places of each window PyTorch counts: (H', W')."""
    lengths = []
    for axis, n in enumerate(size):
        k, s, p = windows.kernel[axis], windows.stride[axis], windows.padding[axis]
        begins = np.arange(windows.output[axis]) * s - p
        ends = np.minimum(begins + k, n + p)  # what is behind the padding never counts
        if not module.count_include_pad:
            begins, ends = np.maximum(begins, 0), np.minimum(ends, n)
        lengths.append((ends - begins).astype(np.float64))
    return np.outer(*lengths)


def _adaptive_avg_pool(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    if len(shape) != 4:
        raise refuse(nodes, module, f"it is given rows of shape {shape[1:]}, without channels")
    sizes = [
        n if s is None else s for s, n in zip(_pair(module.output_size), shape[2:], strict=True)
    ]
    if sizes == [1, 1]:
        return nodes.add("GlobalAveragePool", x)
    if all(s and n % s == 0 for s, n in zip(sizes, shape[2:], strict=True)):
        steps = [n // s for s, n in zip(sizes, shape[2:], strict=True)]
        return nodes.add("AveragePool", x, kernel_shape=steps, strides=steps)
    rows, columns = (_averages(n, s) for n, s in zip(shape[2:], sizes, strict=True))
    across = nodes.add("MatMul", nodes.constant("rows", rows), x)
    return nodes.add("MatMul", across, nodes.constant("columns", columns.T))


def _averages(size: int, count: int) -> np.ndarray:
    """The matrix (count, size) of the averages over windows as equal as they can be."""
    matrix = np.zeros((count, size))
    for window in range(count):
        first, end = window * size // count, -(-(window + 1) * size // count)
        matrix[window, first:end] = 1 / (end - first)
    return matrix


# ---- Normalisation


def _batch_norm(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    mean, variance = nodes.weight("running_mean"), nodes.weight("running_var")
    if not mean:
        raise refuse(nodes, module, "it keeps no running statistics, and would depend on the batch")
    size = shape[1]
    w = nodes.weight("weight") or nodes.constant("ones", np.ones(size))
    b = nodes.weight("bias") or nodes.constant("zeros", np.zeros(size))
    eps = float(module.eps)
    if nodes.dtype == np.float64 and float(np.float32(eps)) != eps:
        return _batch_norm_in_parts(nodes, x, shape, [w, b, mean, variance], eps)
    return nodes.add("BatchNormalization", x, w, b, mean, variance, epsilon=eps)


def _batch_norm_in_parts(nodes: Nodes, x: str, shape: Shape, of: list[str], eps: float) -> str:
    """In float64, whose ε does not fit into an attribute: γ (x − μ) / √(σ² + ε) + β."""
    broad = (shape[1],) + (1,) * (len(shape) - 2)
    w, b, mean, variance = (nodes.arrays[name].reshape(broad) for name in of)
    centred = nodes.add("Sub", x, nodes.constant("mean", mean))
    scaled = nodes.add("Div", centred, nodes.constant("deviation", np.sqrt(variance + eps)))
    scaled = nodes.add("Mul", scaled, nodes.constant("scale", w))
    return nodes.add("Add", scaled, nodes.constant("shift", b))


def _layer_norm(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    size = tuple(module.normalized_shape)
    w, b = nodes.weight("weight") or nodes.constant("ones", np.ones(size)), nodes.weight("bias")
    eps = nodes.exact("eps", module.eps)
    return nodes.add("LayerNormalization", x, w, *([b] if b else []), axis=-len(size), epsilon=eps)


def _group_norm(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    groups, channels = module.num_groups, shape[1]
    split = nodes.add("Reshape", x, nodes.constant("groups", [0, groups, -1], np.int64))
    ones, zeros = (nodes.constant(n, np.full(groups, v)) for n, v in (("ones", 1), ("zeros", 0)))
    eps = nodes.exact("eps", module.eps)
    y = nodes.add("InstanceNormalization", split, ones, zeros, epsilon=eps)
    y = nodes.add("Reshape", y, nodes.constant("shape", [0, *shape[1:]], np.int64))
    broad = (channels,) + (1,) * (len(shape) - 2)
    for local, kind in (("weight", "Mul"), ("bias", "Add")):
        if full := nodes.weight(local):
            turned = nodes.constant("channels", broad, np.int64)
            y = nodes.add(kind, y, nodes.add("Reshape", full, turned))
    return y


# ---- Activations and shapes


def _named(kind: str, **attributes: str) -> Translation:
    """A layer that ONNX has, whose attributes are these settings."""

    def translate(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
        values = {
            theirs: nodes.exact(ours, getattr(module, ours)) for theirs, ours in attributes.items()
        }
        return nodes.add(kind, x, **values)

    return translate


def _leaky_relu(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    slope = float(module.negative_slope)
    if nodes.dtype == np.float64 and float(np.float32(slope)) != slope:
        scaled = nodes.add("Mul", x, nodes.constant("slope", slope))
        above = nodes.add("Greater", x, nodes.constant("zero", 0.0))
        return nodes.add("Where", above, x, scaled)
    return nodes.add("LeakyRelu", x, alpha=slope)


def _silu(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    return nodes.add("Mul", x, nodes.add("Sigmoid", x))


def _gelu(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    return nodes.add("Gelu", x, approximate=module.approximate)


def _softplus(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    """log(1 + exp(β x)) / β, and x itself where β x is above the threshold."""
    beta = nodes.constant("beta", module.beta)
    scaled = nodes.add("Mul", x, beta)
    smooth = nodes.add("Div", nodes.add("Softplus", scaled), beta)
    above = nodes.add("Greater", scaled, nodes.constant("threshold", module.threshold))
    return nodes.add("Where", above, x, smooth)


def _softmax(kind: str) -> Translation:
    def translate(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
        if module.dim is None:
            raise refuse(nodes, module, "its dim is not set")
        if module.dim % len(shape) == 0:
            raise refuse(nodes, module, "it goes over the rows of a batch")
        return nodes.add(kind, x, axis=module.dim)

    return translate


def _flatten(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    first, last = module.start_dim % len(shape), module.end_dim % len(shape)
    if first == 1 and last == len(shape) - 1:
        return nodes.add("Flatten", x, axis=1)
    if first == 0 and last:
        raise refuse(nodes, module, "it mixes the rows of a batch")
    sizes = [*([0] * first), -1, *shape[last + 1 :]]
    return nodes.add("Reshape", x, nodes.constant("shape", sizes, np.int64))


def _dropout(nodes: Nodes, module: Any, x: str, shape: Shape) -> str:
    if module.p == 1:  # ONNX Runtime refuses it, though in evaluation mode p means nothing
        return nodes.add("Identity", x)
    return nodes.add("Dropout", x, nodes.constant("p", module.p, np.float32))


LAYERS: dict[str, Translation] = {
    "Linear": _linear,
    "Embedding": _embedding,
    "Identity": _named("Identity"),
    "Flatten": _flatten,
    "Dropout": _dropout,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "ConvTranspose2d": _conv_transpose,
    "MaxPool2d": _max_pool,
    "AvgPool2d": _avg_pool,
    "AdaptiveAvgPool2d": _adaptive_avg_pool,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "ReLU": _named("Relu"),
    "LeakyReLU": _leaky_relu,
    "ELU": _named("Elu", alpha="alpha"),
    "GELU": _gelu,
    "SiLU": _silu,
    "Hardswish": _named("HardSwish"),
    "Sigmoid": _named("Sigmoid"),
    "Tanh": _named("Tanh"),
    "Softplus": _softplus,
    "Softmax": _softmax("Softmax"),
    "LogSoftmax": _softmax("LogSoftmax"),
}
"""Class → what writes it."""
