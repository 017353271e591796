"""A trace of an ONNX model: ONNX Runtime makes every tensor visible, nodes are told as modules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare.trace.foreign import ForeignTrace, missing_package
from experiments.errors import InputError

try:
    import onnx
    import onnxruntime
    from onnx import NodeProto
except ImportError as error:
    raise missing_package(error.name or "onnx", "onnx") from None

from compare.trace.onnx_nodes import Found, linear, read_node


def record_onnx(
    path: str | Path,
    model: str | Path,
    inputs: Any,
    *,
    force: bool = False,
) -> None:
    """Record what ONNX Runtime computes of an ONNX model, as a trace on disk.

    Every node that computes what a class of torch does is a module of the trace: a MatMul with the
    Add behind it is one Linear. Nodes are run one by one, without ONNX Runtime's fusions. There are
    no gradients. A module's name is that of its parameters (``fc1`` of ``fc1.weight``), else its
    node's.

    Args:
        path: The folder to make.
        model: The ONNX file.
        inputs: An array, a sequence of them in the order of the model's inputs, or a mapping of
            names to them.
        force: Replace an existing trace.

    Raises:
        experiments.errors.InputError: The model or the inputs are not as they should be, ONNX
            Runtime does not run it, or the trace exists.
    """
    file = Path(model)
    loaded = _load(file)
    graph = loaded.graph
    feeds = _feeds(file, graph, inputs)
    values = _every_tensor(file, loaded, feeds)
    walk = _Walk(graph, values)
    program = f"ONNX Runtime {onnxruntime.__version__}"
    with ForeignTrace(path, program, force) as trace:
        trace.module("", "onnx.Graph", {"nodes": len(graph.node)}, container=True)
        for name, found in walk.modules.items():
            trace.module(
                name, found.kind, found.settings, found.parameters, found.buffers,
                full_names={k: v for k, v in found.sources.items() if v.endswith(f".{k}")},
            )  # fmt: skip
        stored = {name: f"call/0/input/{leaf}" for leaf, name in enumerate(feeds)}
        for leaf, value in enumerate(feeds.values()):
            trace.store(f"call/0/input/{leaf}", value)
        for number, (name, given, result) in enumerate(walk.calls, 1):
            known = stored.get(given)
            buffers = walk.modules[name].buffers
            trace.call(
                name, [known or values[given]], [values[result]], number=number,
                buffers=buffers, buffers_after=buffers,
            )  # fmt: skip
            stored[given] = known or f"call/{number}/input/0"
            stored[result] = f"call/{number}/output/0"
        last = [o.name for o in graph.output]
        trace.call(
            "", [f"call/0/input/{leaf}" for leaf in range(len(feeds))],
            [stored.get(name, values[name]) for name in last], number=0,
        )  # fmt: skip


def _load(file: Path) -> Any:
    if not file.is_file():
        raise InputError(f"{file}: there is no such ONNX file.")
    try:
        loaded = onnx.load(str(file))
        onnx.checker.check_model(loaded)
    except Exception as error:  # protobuf's and the checker's, which share no class
        text = " ".join(str(error).split())
        raise InputError(f"{file} is no ONNX model, or it is damaged: {text}.") from None
    return loaded


def _feeds(file: Path, graph: Any, inputs: Any) -> dict[str, np.ndarray]:
    """Input's name → array, in the order of the model's."""
    constants = {tensor.name for tensor in graph.initializer}
    names = [given.name for given in graph.input if given.name not in constants]
    if isinstance(inputs, Mapping):
        found = {str(name): np.asarray(array) for name, array in inputs.items()}
    else:
        several = inputs if isinstance(inputs, (tuple, list)) else [inputs]
        if len(several) != len(names):
            raise InputError(
                f"{file} takes {len(names)} inputs ({', '.join(names)}), but got {len(several)}."
            )
        found = {n: np.asarray(array) for n, array in zip(names, several, strict=True)}
    if set(found) != set(names):
        raise InputError(
            f"{file} takes the inputs {', '.join(names)}, but got {', '.join(found) or 'none'}."
        )
    return {name: found[name] for name in names}


def _every_tensor(file: Path, model: Any, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name → value of every tensor: those given, the constants, and what each node puts out."""
    graph = model.graph
    values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    values |= feeds
    wanted = [name for node in graph.node for name in node.output if name]
    open_ = onnx.ModelProto()
    open_.CopyFrom(model)
    del open_.graph.output[:]
    for name in wanted:
        open_.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            open_.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs = session.run(wanted, dict(feeds))
    except Exception as error:  # of the library's own, which share no class
        text = " ".join(str(error).split())
        raise InputError(f"ONNX Runtime does not run {file}: {text}.") from None
    return {**values, **dict(zip(wanted, outputs, strict=True))}


class _Walk:
    """The modules and calls of a graph.

    Attributes:
        modules: Name → what it is.
        calls: (module, the tensor it is given, the tensor it gives), in the order of execution.
    """

    def __init__(self, graph: Any, values: Mapping[str, np.ndarray]) -> None:
        self.graph, self.values = graph, values
        self.constants = {t.name: values[t.name] for t in graph.initializer}
        for node in graph.node:  # what is computed from constants alone is constant
            if node.output and all(name in self.constants for name in node.input if name):
                self.constants |= {name: values[name] for name in node.output if name}
        uses = Counter(name for node in graph.node for name in node.input)
        self.uses = uses + Counter(output.name for output in graph.output)
        self.modules: dict[str, Found] = {}
        self.calls: list[tuple[str, str, str]] = []
        merged: set[int] = set()
        for place, node in enumerate(graph.node):
            if place in merged or not node.output or node.output[0] in self.constants:
                continue
            given, result = node.input[0] if node.input else "", node.output[0]
            if not given:
                continue
            found = read_node(
                node, self.constants, np.shape(values[given]), np.shape(values[result])
            )
            if found is None:
                continue
            if node.op_type == "MatMul" and (after := self._bias_after(place, result)) is not None:
                following, bias = after
                merged.add(following)
                sources = {**found.sources, "bias": bias}
                found = linear(found.parameters["weight"], self.constants[bias], sources)
                result = graph.node[following].output[0]
            name = self._name(node, found, len(self.modules))
            self.modules[name] = found
            self.calls.append((name, given, result))

    def _bias_after(self, place: int, result: str) -> tuple[int, str] | None:
        """The Add that puts a bias to a product that nobody else uses, and the bias."""
        if self.uses[result] != 1:
            return None
        for later, node in self._following(place):
            if result in node.input:
                others = [name for name in node.input if name != result]
                bias = self.constants.get(others[0]) if node.op_type == "Add" and others else None
                width = self.values[result].shape[-1:]
                if bias is not None and bias.shape[-1:] == width and bias.size == width[0]:
                    return later, others[0]
                return None
        return None

    def _following(self, place: int) -> Iterator[tuple[int, NodeProto]]:
        for later in range(place + 1, len(self.graph.node)):
            yield later, self.graph.node[later]

    def _name(self, node: NodeProto, found: Found, number: int) -> str:
        """A name that no module has yet."""
        owners = {
            source.rpartition(".")[0]
            for local, source in found.sources.items()
            if source.endswith(f".{local}")
        }
        name = owners.pop() if len(owners) == 1 else _of_node(node)
        name = name or f"{node.op_type.lower()}{number}"
        taken = name
        for again in range(2, len(self.modules) + 3):
            if taken not in self.modules:
                return taken
            taken = f"{name}_{again}"
        return taken


def _of_node(node: NodeProto) -> str:
    """The module's path in a node's name, as exporters write it: ``/layers/layers.0/act/Relu``."""
    parts: Sequence[str] = [part for part in node.name.split("/") if part]
    if len(parts) > 1 and re.fullmatch(rf"{node.op_type}(_\d+)?", parts[-1]):
        parts = parts[:-1]
    path = ""
    for part in parts:
        nested = path and part.startswith(f"{path.rpartition('.')[2]}.")
        path = f"{path.rpartition('.')[0]}.{part}".lstrip(".") if nested else f"{path}.{part}"
        path = path.lstrip(".")
    return path
