"""A trace of a tinygrad model: its layers, and the methods of Tensor that stand for layers.

While the model is called, the classes of ``tinygrad.nn`` and methods such as ``Tensor.relu`` tell
what they are given and give. Everything is computed when the model has been called, so that
nothing that is fused is broken up before the gradients are known.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.trace.foreign import ForeignTrace, missing_package
from compare.trace.layouts import settings_from
from experiments.errors import InputError

try:
    from tinygrad import Tensor, nn
    from tinygrad.helpers import TRAINING
except ImportError as error:
    raise missing_package(error.name or "tinygrad", "tinygrad") from None

# Method of Tensor → class of torch, and our setting → the method's argument.
METHODS: dict[str, tuple[str, dict[str, str]]] = {
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": "neg_slope"}),
    "elu": ("ELU", {"alpha": "alpha"}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "silu": ("SiLU", {}),
    "gelu": ("GELU", {"approximate": "approximate"}),
    "softplus": ("Softplus", {"beta": "beta"}),
    "hardswish": ("Hardswish", {}),
    "softmax": ("Softmax", {"dim": "axis"}),
    "log_softmax": ("LogSoftmax", {"dim": "axis"}),
    "flatten": ("Flatten", {"start_dim": "start_dim", "end_dim": "end_dim"}),
    "dropout": ("Dropout", {"p": "p"}),
    "max_pool2d": (
        "MaxPool2d",
        {n: n for n in ("kernel_size", "stride", "dilation", "padding", "ceil_mode")},
    ),
    "avg_pool2d": (
        "AvgPool2d",
        {n: n for n in ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")},
    ),
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def record_tinygrad(
    path: str | Path,
    model: Callable[..., Any],
    inputs: Any,
    *,
    loss: Callable[[Any], Any] | None = None,
    force: bool = False,
) -> None:
    """Record what the layers of a tinygrad model compute, as a trace on disk.

    Layers have the names of ``tinygrad.nn.state.get_state_dict``, and functions in lists theirs:
    ``layers.1``. Methods of Tensor that are called in the model's own code are named ``relu_0``,
    ``relu_1``; a comparison matches them by order.

    Args:
        path: The folder to make.
        model: An object that is called with the inputs.
        inputs: A Tensor, or a tuple of them.
        loss: A function of the output to a Tensor of one value, for gradients.
        force: Replace an existing trace.

    Raises:
        experiments.errors.InputError: The model or the inputs are not as they should be, or the
            trace exists.
    """
    if not callable(model):
        raise InputError(f"model should be callable, but is a {type(model).__name__}.")
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    for x in given:
        if not isinstance(x, Tensor):
            raise InputError(
                f"inputs should be tinygrad's Tensors, but found a {type(x).__name__}."
            )
    layers = dict(_layers(model))
    before = {
        name: {k: v.numpy() for k, v in _own(layer, BUFFERS).items()}
        for name, layer in layers.items()
    }
    watch = _Watch(layers)
    with watch.patched(model):
        output = model(*given)
    if not isinstance(output, Tensor):
        raise InputError(f"model should return a Tensor, but returned a {type(output).__name__}.")
    gradients = {} if loss is None else _gradients(loss(output), layers, watch.calls)
    with ForeignTrace(path, _program(), force) as trace:
        trace.module("", f"tinygrad.{type(model).__name__}", container=True)
        for call in watch.calls:
            if call.name not in trace.modules:
                values = {k: v.numpy() for k, v in _own(call.layer, ("weight", "bias")).items()}
                kind, settings = call.kind, {**settings_from(call.kind, values), **call.settings}
                trace.module(
                    call.name, kind, settings, values, before.get(call.name),
                    training=watch.training,
                )  # fmt: skip
        stored = {id(x): f"call/0/input/{leaf}" for leaf, x in enumerate(given)}
        trace.call("", [x.numpy() for x in given], [output.numpy()], number=0)
        for number, call in enumerate(watch.calls, 1):
            buffers = before.get(call.name, {})
            after = {k: v.numpy() for k, v in _own(call.layer, BUFFERS).items()}
            x = stored.get(id(call.given))
            trace.call(
                call.name, [x or call.given.numpy()], [call.result.numpy()], number=number,
                buffers=buffers, buffers_after=after,
            )  # fmt: skip
            stored.setdefault(id(call.given), f"call/{number}/input/0")
            stored.setdefault(id(call.result), f"call/{number}/output/0")
        for name, gradient in gradients.items():
            trace.store(name, gradient.numpy())


class _Call(NamedTuple):
    """A call of a layer or of a method that stands for one."""

    name: str
    kind: str
    settings: dict[str, Any]
    layer: Any
    given: Any
    result: Any


def _program() -> str:
    from importlib.metadata import version

    return f"tinygrad {version('tinygrad')}"


def _is_layer(value: Any) -> bool:
    return type(value).__module__ == nn.__name__ and callable(value)


def _parts(
    value: Any, path: str = "", seen: frozenset[int] = frozenset()
) -> Iterator[tuple[str, Any, Any, Any]]:
    """What a model is made of: (path, holder, key in it, value), layers and functions alone."""
    if id(value) in seen:
        return
    seen |= {id(value)}
    if isinstance(value, (list, dict)):
        pairs: Any = enumerate(value) if isinstance(value, list) else value.items()
    elif (
        hasattr(value, "__dict__")
        and not isinstance(value, Tensor)
        and not inspect.isroutine(value)
    ):
        pairs = vars(value).items()
    else:
        return
    for key, part in list(pairs):
        name = f"{path}.{key}" if path else str(key)
        if _is_layer(part) or inspect.isroutine(part):
            yield name, value, key, part
        elif not isinstance(part, (Tensor, type)):
            yield from _parts(part, name, seen)


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    if _is_layer(model):
        yield type(model).__name__, model
    for name, _, _, part in _parts(model):
        if _is_layer(part):
            yield name, part


def _own(layer: Any, names: Sequence[str]) -> dict[str, Any]:
    """The tensors that a layer has under these names."""
    found = {name: getattr(layer, name, None) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _described(layer: Any, x: Any) -> tuple[str, dict[str, Any]]:
    """The class of torch that a layer is, and the settings that its tensors do not say."""
    kind, has = type(layer).__name__, vars(layer)
    if kind == "BatchNorm":
        axes = 1 if x.ndim == 2 else x.ndim - 2
        keys = ("eps", "momentum", "track_running_stats")
        return f"BatchNorm{axes}d", {k: has[k] for k in keys} | {"affine": layer.weight is not None}
    if kind in ("Conv2d", "ConvTranspose2d"):
        axes = len(layer.kernel_size)
        settings = {key: has[key] for key in ("stride", "dilation", "groups", "padding")}
        settings["in_channels"] = layer.weight.shape[1] * layer.groups
        if kind == "ConvTranspose2d":
            settings |= {
                "output_padding": has["output_padding"],
                "in_channels": layer.weight.shape[0],
                "out_channels": layer.weight.shape[1] * layer.groups,
            }
        padding = settings["padding"]
        if isinstance(padding, tuple) and len(padding) == 2 * axes:
            # The last axis first, before and behind, where torch has a number for each axis.
            starts, ends = padding[::2][::-1], padding[1::2][::-1]
            if starts != ends:
                return f"tinygrad.{kind}", settings
            settings["padding"] = starts
        return f"{kind.removesuffix('2d')}{axes}d", settings
    if kind == "LayerNorm":
        affine = layer.weight is not None
        return kind, {
            "normalized_shape": layer.normalized_shape, "eps": layer.eps,
            "elementwise_affine": affine,
        }  # fmt: skip
    if kind == "GroupNorm":
        keys = ("num_groups", "num_channels", "eps")
        return kind, {k: has[k] for k in keys} | {"affine": layer.weight is not None}
    return (kind if kind in ("Linear", "Embedding") else f"tinygrad.{kind}"), {}


class _Watch:
    """What is called while the model runs.

    Attributes:
        calls: In the order in which they end; none is inside another.
        training: Whether tinygrad trains.
    """

    def __init__(self, layers: Mapping[str, Any]) -> None:
        self.names = {id(layer): name for name, layer in layers.items()}
        self.calls: list[_Call] = []
        self.training = bool(TRAINING.value)
        self._inside = False
        self._hint = ""
        self._counts: Counter[str] = Counter()
        self._originals: dict[Any, str] = {}

    @contextmanager
    def patched(self, model: Any) -> Iterator[None]:
        """Watch while this lasts; classes, methods and the model are left as they were."""
        undo: list[Callable[[], Any]] = []
        try:
            for method in METHODS:
                original = getattr(Tensor, method)
                self._originals[original] = method
                undo.append(_replaced(Tensor, method, self._method(method, original)))
            for cls in {type(layer) for layer in dict(_layers(model)).values()}:
                undo.append(_replaced(cls, "__call__", self._layer(cls.__call__)))
            for name, holder, key, part in _parts(model):
                if not _is_layer(part):
                    new = self._function(name, part)
                    if isinstance(holder, (list, dict)):
                        holder[key] = new
                        undo.append(functools.partial(holder.__setitem__, key, part))
                    else:
                        setattr(holder, key, new)
                        undo.append(functools.partial(setattr, holder, key, part))
            yield
        finally:
            for step in reversed(undo):
                step()

    def _run(self, function: Callable[[], Any]) -> tuple[Any, bool]:
        """Call something, and say whether it was inside another call."""
        inside, self._inside = self._inside, True
        try:
            return function(), inside
        finally:
            self._inside = inside

    def _layer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(layer: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            name = self.names.get(id(layer))
            result, inside = self._run(lambda: original(layer, x, *args, **kwargs))
            if name is not None and not inside and isinstance(result, Tensor):
                kind, settings = _described(layer, x)
                self.calls.append(_Call(name, kind, settings, layer, x, result))
            return result

        return call

    def _method(self, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(x: Any, *args: Any, **kwargs: Any) -> Any:
            result, inside = self._run(lambda: original(x, *args, **kwargs))
            if not inside and isinstance(result, Tensor):
                kind, wanted = METHODS[method]
                bound = inspect.signature(original).bind(x, *args, **kwargs)
                bound.apply_defaults()
                settings = {ours: bound.arguments[theirs] for ours, theirs in wanted.items()}
                name, self._hint = self._hint or self._next(method), ""
                self.calls.append(_Call(name, kind, settings, None, x, result))
            return result

        return call

    def _next(self, method: str) -> str:
        self._counts[method] += 1
        return f"{method}_{self._counts[method] - 1}"

    def _function(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """A function in a list of the model: the first method that it calls has its name."""
        method = self._originals.get(original)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._hint = name
            try:
                function = original if method is None else getattr(Tensor, method)
                return function(*args, **kwargs)
            finally:
                self._hint = ""

        return call


def _replaced(cls: type, name: str, new: Any) -> Callable[[], Any]:
    """Give a class another attribute; what is returned takes it back."""
    own = vars(cls).get(name)
    setattr(cls, name, new)
    if own is None:
        return functools.partial(delattr, cls, name)
    return functools.partial(setattr, cls, name, own)


def _gradients(loss: Any, layers: Mapping[str, Any], calls: Sequence[_Call]) -> dict[str, Any]:
    """Name in the format → the gradient, not yet computed."""
    if not isinstance(loss, Tensor) or loss.shape != ():
        raise InputError("loss should return a Tensor of one value.")
    parameters = {
        f"{name}.{local}": tensor
        for name, layer in layers.items()
        for local, tensor in _own(layer, ("weight", "bias")).items()
    }
    wanted = [*parameters.values(), *(call.result for call in calls)]
    try:
        found = loss.gradient(*wanted)
    except RuntimeError as error:
        raise InputError(f"tinygrad gives no gradient of the loss: {error}.") from None
    named = {
        f"step/0/gradient/{name}": gradient
        for name, gradient in zip(parameters, found, strict=False)
    }
    for number, (call, gradient) in enumerate(zip(calls, found[len(parameters) :], strict=True), 1):
        named[f"call/{number}/output_gradient/0"] = gradient
        if np.issubdtype(_dtype(call.given), np.floating):
            back = call.result.gradient(call.given, gradient=gradient)[0]
            named[f"call/{number}/input_gradient/0"] = back
    return named


def _dtype(tensor: Any) -> np.dtype:
    return np.dtype(np.float32 if tensor.is_floating_point() else np.int64)
