"""What the mapping files of presets share: functions made into layers, and what is not written yet.

This file is imported beside the homework, in its process.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from compare.check.definitions import Placeholder
from compare.check.layer_methods import required_arguments, run_backward
from compare.parity.tolerances import SAME_ANSWER


class AdaptationError(Exception):
    """A homework does not have the interface of its preset.

    The message says what was expected and what was found; the file's name goes before it.
    """


def not_written(function: Callable[..., Any] | None, *arguments: Any) -> str:
    """What shows that a function is still the course's skeleton; empty if nothing does.

    A skeleton returns None, also as one of several results, or an empty dict, or raises
    NotImplementedError. A function that raises anything else is written, and is asked again where
    its error is reported.

    Args:
        function: The function, or None if there is none.
        arguments: What to call it with.
    """
    if function is None:
        return "not defined"
    try:
        result = function(*arguments)
    except NotImplementedError:
        return "raises NotImplementedError"
    except Exception:
        return ""
    if result is None:
        return "returns None"
    if isinstance(result, dict) and all(value is None for value in result.values()):
        return "returns a dict of None" if result else "returns an empty dict"
    if isinstance(result, tuple):
        position = next((n for n, part in enumerate(result) if part is None), None)
        if position is not None:
            return f"returns None as its result {position + 1} of {len(result)}"
    return ""


class FunctionLayer:
    """A layer object made of a function for each direction.

    ``forward(x, *arguments)`` returns (out, cache), ``backward(dout, cache)`` returns dx, or dx
    and the gradients of the first arguments: (dx, dw, db).

    Attributes:
        weight_gradient, bias_gradient: These gradients, flat for a bias.

    Args:
        forward: The function.
        backward: The other; None if only ``forward`` can be asked.
        arguments: What ``forward`` gets after x.
        parameters: How many of these are parameters, of which ``backward`` returns gradients.
    """

    weight_gradient: np.ndarray
    bias_gradient: np.ndarray

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        *arguments: Any,
        parameters: int = 0,
    ) -> None:
        self._forward, self._backward = forward, backward
        self.arguments, self._parameters = list(arguments), parameters
        if backward is None:  # for those who ask whether there is one
            self.backward = None  # type: ignore[assignment, method-assign]

    def forward(self, x: np.ndarray) -> Any:
        """The first result of the function; the second is kept for :meth:`backward`."""
        result = self._forward(x, *self.arguments)
        if not isinstance(result, tuple) or len(result) != 2:
            raise AdaptationError(
                f"{_name(self._forward)} should return (out, cache), but returned {shown(result)}"
            )
        out, self._cache = result
        return out

    def backward(self, dout: np.ndarray) -> Any:
        """The gradient by x; those of parameters are kept."""
        assert self._backward is not None
        result = self._backward(dout, self._cache)
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != 1 + self._parameters:
            expected = f"{1 + self._parameters} results, the first of them dx"
            raise AdaptationError(
                f"{_name(self._backward)} should return {expected}, but returned {shown(result)}"
            )
        if self._parameters:
            _, self.weight_gradient, bias = results
            self.bias_gradient = np.ravel(bias)
        return results[0]


class Entry(NamedTuple):
    """One module of a network that is put together from what a homework defines.

    Attributes:
        name: Its name in the network, by which messages call it.
        make: The function that makes it of ``torch.nn``.
        layer: The function that makes the homework's layer of weight and bias, or of nothing;
            None if the homework has no such layer.
        keys: The keys of its arrays, with ``.T`` where the homework's is transposed.
    """

    name: str
    make: Callable[[Any], Any]
    layer: Callable[..., Any] | None = None
    keys: str = ""


def parameters_of(entries: Sequence[Entry]) -> dict[str, str]:
    """PARAMETERS of a network, whose own names are PyTorch's keys."""
    return {
        f"{entry.name}.{key.removesuffix('.T')}": f"{entry.name}.{key}"
        for entry in entries
        for key in entry.keys.split()
    }


def sequential(nn: Any, **modules: Any) -> Any:
    """``nn.Sequential`` whose modules have names."""
    return nn.Sequential(OrderedDict(modules))


def network_of(entries: Sequence[Entry], nn: Any) -> Any:
    """The network of torch.nn that the entries make."""
    return sequential(nn, **{entry.name: entry.make(nn) for entry in entries})


def layers_of(entries: Sequence[Entry], params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The homework's layers of a network by the names of their modules."""
    found = {}
    for entry in entries:
        if entry.layer is not None:
            arrays = [params[f"{entry.name}.{key}"] for key in ("weight", "bias") if entry.keys]
            found[entry.name] = entry.layer(*arrays)
    return found


def named(name: str, base: type = FunctionLayer) -> Any:
    """A class of layers under the name by which messages call them."""
    return type(name, (base,), {})


def cost_layer(function: Callable[..., Any]) -> Any:
    """A loss layer made of ``function(x, y)``, which returns (loss, dx)."""

    class CostLayer:
        def forward(self, x: np.ndarray, y: np.ndarray) -> Any:
            result = function(x, y)
            if not isinstance(result, tuple) or len(result) != 2:
                raise AdaptationError(
                    f"{_name(function)} should return (loss, dx), but returned {shown(result)}"
                )
            loss, self._dx = result
            return loss

        def backward(self) -> Any:
            return self._dx

    return named(_name(function), CostLayer)()


def without_offset(loss: Any, probabilities: np.ndarray, one_hot: np.ndarray) -> Any:
    """The mean of −log p where a loss is that of −log(p + 1e-7); any other loss as it is.

    The offset is what "Deep Learning from Scratch" teaches. It is taken out here, and not accepted
    as a mistake, so that a mistake in the same loss can be named.
    """
    p = (probabilities * one_hot).sum(axis=1)
    taught = -np.log(p + 1e-7).mean()
    return -np.log(p).mean() if np.allclose(loss, taught, rtol=SAME_ANSWER, atol=0) else loss


class LossWithoutOffset:
    """A loss layer of "Deep Learning from Scratch", its offset taken out.

    Args:
        layer: The homework's layer, which has forward(x, t) and backward().
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def forward(self, x: np.ndarray, t: np.ndarray) -> Any:
        """The loss."""
        return without_offset(self._layer.forward(x, t), softmax(x), t)

    def backward(self) -> Any:
        """The gradient by x."""
        return run_backward(self._layer, *[1] * (required_arguments(self._layer, "backward") > 0))


def loss_without_offset(layer: Any) -> Any:
    """A :class:`LossWithoutOffset` under the name of the layer's class."""
    return named(type(layer).__name__, LossWithoutOffset)(layer)


def softmax(x: np.ndarray) -> np.ndarray:
    """The softmax of each row."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def gradients_by_name(
    grads: Any, names: Sequence[str], function: str, prefix: str = ""
) -> dict[str, Any]:
    """The gradients of a returned dict under the names of their parameters.

    Args:
        grads: What was returned.
        names: The names of the parameters.
        function: What returned it, for messages.
        prefix: What its keys have before the name: ``d`` for ``dW1``.
    """
    if not isinstance(grads, Mapping):
        raise AdaptationError(
            f"{function} should return a dict of gradients, but returned {shown(grads)}"
        )
    for name in names:
        if grads.get(f"{prefix}{name}") is None:
            keys = ", ".join(repr(key) for key in grads if grads[key] is not None) or "nothing"
            raise AdaptationError(
                f"{function} should return a gradient as {f'{prefix}{name}'!r}, but returned a "
                f"dict of {keys}"
            )
    return {name: grads[f"{prefix}{name}"] for name in names}


def set_parameters(network: Any, params: Mapping[str, np.ndarray]) -> None:
    """Put arrays into the dict ``params`` of a network object, in place where they are there."""
    held = getattr(network, "params", None)
    if not isinstance(held, dict):
        raise AdaptationError(
            f"{type(network).__name__} should keep its parameters in a dict self.params, but has "
            f"{'none' if held is None else shown(held)}"
        )
    for name, array in params.items():
        before = held.get(name)
        if isinstance(before, np.ndarray) and before.shape == array.shape:
            held[name][...] = array
        elif isinstance(before, np.ndarray):
            raise AdaptationError(
                f"{type(network).__name__} should make params[{name!r}] of shape {array.shape}, "
                f"but made it of shape {before.shape}"
            )
        else:
            keys = ", ".join(map(repr, held)) or "nothing"
            raise AdaptationError(
                f"{type(network).__name__} should make params[{name!r}], but its params has {keys}"
            )


def supply(function: FunctionType, helpers: Mapping[str, Any]) -> list[str]:
    """Give a function the course's helpers that could not be imported beside it.

    Args:
        function: A function of the homework.
        helpers: The names and what they should be.

    Returns:
        The names that were absent.
    """
    own = function.__globals__
    codes = [f.__code__ for f in own.values() if inspect.isfunction(f) and f.__globals__ is own]
    used = {name for code in codes for name in code.co_names}
    absent = [n for n in helpers if n in used and isinstance(own.get(n), Placeholder | None)]
    own.update({name: helpers[name] for name in absent})
    return absent


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "a function")


def shown(value: Any) -> str:
    """What a value is, for messages."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"a value of type {type(value).__name__}"
