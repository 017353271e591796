"""A trace of a JAX model: functions of a pytree of parameters, whose layers are called by name.

What a JAX model has is functions, so it says itself where a layer is: it is given ``call``, and
calls ``call("fc1", linear, params["fc1"], x)`` for ``linear(params["fc1"], x)``. Gradients come
from ``jax.grad``, by zeros that are added to what each layer is given and gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.trace.foreign import ForeignTrace, missing_package
from compare.trace.layouts import Layout, parameter, settings_from
from experiments.errors import InputError

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise missing_package(error.name or "jax", "jax") from None

Layer = Mapping[str, Any]
KEYS = ("kind", "settings", "parameters")
BUFFERS = ("running_mean", "running_var")


def record_jax(
    path: str | Path,
    function: Callable[..., Any],
    parameters: Any,
    inputs: Any,
    *,
    layers: Mapping[str, Layer],
    loss: Callable[[Any], Any] | None = None,
    layout: str | None = None,
    training: bool | None = None,
    force: bool = False,
) -> None:
    """Record what the layers of a JAX model compute, as a trace on disk.

        def model(params, x, call):
            x = call("fc1", linear, params["fc1"], x)
            x = call("act1", jax.nn.relu, None, x)
            return call("fc2", linear, params["fc2"], x)

    ``call(name, f, params, *inputs)`` gives ``f(params, *inputs)``, or ``f(*inputs)`` where params
    is None. Operations are run one by one, as without ``jax.jit``.

    Args:
        path: The folder to make.
        function: The model: parameters, inputs and ``call`` to the output.
        parameters: Its parameters, a pytree; ``{"fc1": {"w": …}}`` has the name ``fc1.w``.
        inputs: An array, or a tuple of them.
        layers: Name → what the layer is: ``kind``, a class of torch; ``settings``, those arguments
            of it that the shapes do not say; ``parameters``, torch's name to the name here, or to
            ``(name, axes)`` where the axes are ordered otherwise, as ``("fc1.w", "IO")``.
        loss: A function of the output, for gradients.
        layout: How images are laid out, ``NHWC`` or ``NCHW``.
        training: Whether normalisations and dropouts train; else so where there is a loss.
        force: Replace an existing trace.

    Raises:
        experiments.errors.InputError: A layer is not described as it should be, or the trace
            exists.
    """
    order = Layout(layout)
    trains = loss is not None if training is None else training
    named = _named(parameters)
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    calls: list[_Call] = []
    output = function(parameters, *given, _recording(calls))
    _check(layers, calls, named)
    with ForeignTrace(path, f"JAX {jax.__version__}", force) as trace:
        trace.module("", "jax.function", container=True)
        buffers = {
            name: _tell_module(trace, name, layers.get(name), named, trains)
            for name in dict.fromkeys(call.name for call in calls)
        }
        stored: dict[int, str] = {}
        held: list[Any] = []  # so that no other array gets its id
        _tell_call(trace, 0, _Call("", list(given), [output]), order, stored, held, buffers)
        for number, call in enumerate(calls, 1):
            _tell_call(trace, number, call, order, stored, held, buffers)
        if loss is not None:
            _tell_gradients(trace, function, parameters, given, loss, calls, layers, order)


class _Call(NamedTuple):
    """A call of a layer: the arrays that went in and came out."""

    name: str
    inputs: list[Any]
    outputs: list[Any]


def _recording(calls: list[_Call]) -> Callable[..., Any]:
    def call(name: str, function: Callable[..., Any], params: Any, *inputs: Any) -> Any:
        output = function(*inputs) if params is None else function(params, *inputs)
        leaves = jax.tree_util.tree_leaves
        calls.append(_Call(name, leaves(inputs), leaves(output)))
        return output

    return call


def _named(parameters: Any) -> dict[str, Any]:
    """Name → leaf of a pytree."""

    def word(key: Any) -> str:
        return str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))))

    found = jax.tree_util.tree_flatten_with_path(parameters)[0]
    return {".".join(word(key) for key in path): leaf for path, leaf in found}


def _check(layers: Mapping[str, Layer], calls: Sequence[_Call], named: Mapping[str, Any]) -> None:
    called = dict.fromkeys(call.name for call in calls)
    for name, layer in layers.items():
        if name not in called:
            raise InputError(
                f"layers: {name!r} is never called: the model calls {', '.join(called) or 'none'}."
            )
        for key in layer:
            if key not in KEYS:
                raise InputError(
                    f"layers: {name!r}: expected the keys {', '.join(KEYS)}, but found {key!r}."
                )
        if not isinstance(layer.get("kind"), str):
            raise InputError(f"layers: {name!r}: expected kind to be the name of a class of torch.")
        for local, source in layer.get("parameters", {}).items():
            where, _ = _source(source)
            if where not in named:
                raise InputError(
                    f"layers: {name!r}: {local} should be one of the parameters "
                    f"{', '.join(named)}, but is {where!r}."
                )


def _source(source: Any) -> tuple[str, str | None]:
    """The name of a parameter, and its axes where they are said."""
    return (source, None) if isinstance(source, str) else (source[0], source[1])


def _tell_module(
    trace: ForeignTrace, name: str, layer: Layer | None, named: Mapping[str, Any], trains: bool
) -> dict[str, np.ndarray]:
    """Tell of a layer; its buffers are returned."""
    if layer is None:
        trace.module(name, f"jax.{name}", training=trains)
        return {}
    kind, values, full = layer["kind"], {}, {}
    for local, source in layer.get("parameters", {}).items():
        full[local], axes = _source(source)
        values[local] = parameter(named[full[local]], axes, kind, f"layers: {name!r}: {local}")
    buffers = {local: values.pop(local) for local in BUFFERS if local in values}
    settings = {**settings_from(kind, values), **layer.get("settings", {})}
    trace.module(name, kind, settings, values, buffers, training=trains, full_names=full)
    return buffers


def _tell_call(
    trace: ForeignTrace,
    number: int,
    call: _Call,
    layout: Layout,
    stored: dict[int, str],
    held: list[Any],
    buffers: Mapping[str, dict[str, np.ndarray]],
) -> None:
    """Store a call; an input that is an earlier output, untouched, is named as that."""
    title = call.name or "the model"
    inputs = [stored.get(id(x), layout.torch(x, title)) for x in call.inputs]
    entry = trace.modules[call.name]
    values = buffers.get(call.name, {})
    trace.call(
        call.name, inputs, [layout.torch(y, title) for y in call.outputs], number=number,
        buffers=values, buffers_after=None if entry.training else values,
    )  # fmt: skip
    for word, arrays in (("input", call.inputs), ("output", call.outputs)):
        for leaf, array in enumerate(arrays):
            if word == "output" and not call.name:
                continue  # the model's output is that of its last layer
            held.append(array)
            stored.setdefault(id(array), f"call/{number}/{word}/{leaf}")


def _tell_gradients(
    trace: ForeignTrace,
    function: Callable[..., Any],
    parameters: Any,
    given: Sequence[Any],
    loss: Callable[[Any], Any],
    calls: Sequence[_Call],
    layers: Mapping[str, Layer],
    layout: Layout,
) -> None:
    """Gradients of parameters, and by what every call was given and gave."""
    zeros = [([_zero(x) for x in call.inputs], [_zero(y) for y in call.outputs]) for call in calls]

    def shifted(values: Any, by: Sequence[Any]) -> Any:
        leaves, tree = jax.tree_util.tree_flatten(values)
        moved = [x if d is None else x + d for x, d in zip(leaves, by, strict=True)]
        return jax.tree_util.tree_unflatten(tree, moved)

    def value(params: Any, shifts: Any) -> Any:
        left = iter(shifts)

        def call(name: str, f: Callable[..., Any], own: Any, *inputs: Any) -> Any:
            before, after = next(left)
            inputs = shifted(inputs, before)
            output = f(*inputs) if own is None else f(own, *inputs)
            return shifted(output, after)

        return loss(function(params, *given, call))

    by_parameters, by_sites = jax.grad(value, argnums=(0, 1), allow_int=True)(parameters, zeros)
    found = _named(by_parameters)
    for name, layer in layers.items():
        for local, source in layer.get("parameters", {}).items():
            where, axes = _source(source)
            if local not in BUFFERS and jnp.issubdtype(found[where].dtype, jnp.floating):
                gradient = parameter(found[where], axes, layer["kind"], name)
                trace.store(f"step/0/gradient/{where}", gradient)
    for number, (before, after) in enumerate(by_sites, 1):
        for word, gradients in (("input_gradient", before), ("output_gradient", after)):
            for leaf, gradient in enumerate(gradients):
                if gradient is not None:
                    array = layout.torch(gradient, calls[number - 1].name)
                    trace.store(f"call/{number}/{word}/{leaf}", array)


def _zero(array: Any) -> Any:
    """What is added to a value; None to one that has no gradient."""
    found = jnp.asarray(array)
    return jnp.zeros_like(found) if jnp.issubdtype(found.dtype, np.floating) else None
