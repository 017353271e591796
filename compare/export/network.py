"""A network of either namespace with its trained weights as one ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper

from compare.export.layers import LAYERS, Nodes
from experiments.errors import InputError

OPSET, IR_VERSION = 20, 9
"""Of 2023: read by ONNX Runtime 1.17 and later."""
INPUT, OUTPUT, ROWS = "input", "output", "rows"

Forward = Callable[[Any, np.ndarray], np.ndarray]


def onnx_model(
    model: Any,
    weights: Mapping[str, np.ndarray],
    example: np.ndarray,
    forward: Forward,
    *,
    name: str = "network",
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """Write a network as ONNX.

    Nodes have the names of the modules, initializers those of ``state_dict``. The network computes
    as in evaluation mode; the number of rows is left open.

    Args:
        model: A network of Sequentials and layers, of ``numpy_nn`` or ``torch_nn``.
        weights: Its ``state_dict`` as arrays.
        example: Some rows of input (N, …), from which the shapes on the way are seen.
        forward: Calls one layer in evaluation mode: the layer and its input to its output.
        name: What the graph is called.
        metadata: What else is to be known of the model.

    Raises:
        InputError: A part of the network has no counterpart in ONNX.
    """
    floats = [w.dtype for w in weights.values() if w.dtype.kind == "f"]
    dtype = np.dtype(floats[0] if floats else example.dtype)
    x = example.astype(dtype) if example.dtype.kind == "f" else example
    nodes, at = Nodes(weights, dtype), INPUT
    given = helper.np_dtype_to_tensor_dtype(x.dtype)
    first = helper.make_tensor_value_info(INPUT, given, [ROWS, *x.shape[1:]])
    for path, layer in list(_layers(model)):
        nodes.begin(path, type(layer).__name__)
        at = LAYERS[type(layer).__name__](nodes, layer, at, x.shape)
        x = forward(layer, x)
    nodes.nodes.append(helper.make_node("Identity", [at], [OUTPUT], name=OUTPUT))
    # The rows that come out are as many as go in, unless the network merges or splits them.
    rows = ROWS if len(x) == len(example) else "rows_out"
    last = helper.make_tensor_value_info(
        OUTPUT, helper.np_dtype_to_tensor_dtype(x.dtype), [rows, *x.shape[1:]]
    )
    graph = helper.make_graph(nodes.nodes, name, [first], [last], nodes.initializers())
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nncompare",
    )
    helper.set_model_props(made, dict(metadata or {}))
    onnx.checker.check_model(made, full_check=True)
    return made


def _layers(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a network in the order of execution.

    Raises:
        InputError: A module is neither a Sequential nor a layer of the list.
    """
    kind = type(model).__name__
    if _is_own(model) and kind == "Sequential":
        for name, child in model._modules.items():
            yield from _layers(child, f"{path}.{name}" if path else name)
    elif _is_own(model) and kind in LAYERS:
        yield path, model
    else:
        title = f"the module {path} ({kind})" if path else f"the network, a {kind},"
        why = "its forward is code of its own"
        if _is_own(model):
            why = "it has no translation"
        raise InputError(
            f"{title} cannot be exported: {why}, and only a Sequential of "
            f"{', '.join(LAYERS)} can be written as ONNX."
        )


def _is_own(module: Any) -> bool:
    """Whether the class is one of the namespace itself, and not somebody's subclass."""
    return type(module).__module__.startswith(("numpy_nn.", "torch.nn."))
