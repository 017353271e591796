"""How the methods of a homework's layers are called, whatever they are named and return.

Other conventions than ``forward(x)`` and ``backward(dout)`` are recognised by the names of methods
and arguments below.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Where a layer keeps what its methods do not return, as in "Neural Networks from Scratch".
OUTPUTS = ("output", "out", "outputs", "y", "loss")


GRAD_INPUTS = (
    "dinputs", "dinput", "d_inputs", "d_input", "grad_input", "grad_inputs", "dx", "dX",
    "input_gradient", "input_grad",
)  # fmt: skip


# Other names of the two methods.
METHODS = {
    "forward": ("forward_pass", "forward_propagation", "forward_prop", "fprop", "feedforward"),
    "backward": ("backward_pass", "backward_propagation", "backward_prop", "bprop", "backprop"),
}


# Arguments of a loss: the targets, and what they are compared with.
TARGETS = re.compile(r"y|t|\w*(true|target|label|truth|gt)s?\w*|y_?train", re.IGNORECASE)


PREDICTIONS = re.compile(
    r"x|p|o|\w*(pred|hat|prob|logit|output|score)\w*|y_?p|a|z|out", re.IGNORECASE
)


# The names of the argument, or the attribute, that tells a layer whether it is training or not.
MODE = re.compile(
    r"(is_?|in_?)?(?P<training>train|training)(_?(flg|flag|mode|phase|time))?"
    r"|(is_?|in_?)?(test|testing|eval|evaluate|evaluation|infer|inference|predict)"
    r"(_?(flg|flag|mode|phase|time))?"
    r"|mode|phase",
    re.IGNORECASE,
)


def loss_forward(layer: Any, predictions: Any, targets: np.ndarray) -> Any:
    """The loss that a loss layer computes."""
    arguments = in_order(layer.forward, predictions, targets)
    return loss_value(run_forward(layer, *arguments))


def loss_backward(layer: Any, predictions: Any, targets: np.ndarray) -> Any:
    """The gradient by the predictions, for the loss that the layer computed last."""
    match required_arguments(layer, "backward"):
        case 0:
            return run_backward(layer)
        case 1:
            return run_backward(layer, 1.0)
        case _:
            # backward(dvalues, y) expects the softmax's output, if the layer keeps it.
            output: Any = getattr(layer, "output", None)
            same = np.shape(output) == np.shape(predictions)
            dvalues = output if same else np.array(predictions)
            return run_backward(layer, *in_order(layer.backward, dvalues, np.array(targets)))


def in_order(function: Callable[..., Any], predictions: Any, targets: Any) -> tuple[Any, Any]:
    """Predictions and targets in the order in which a function's arguments name them."""
    names = [p.name for p in _arguments(function)[:2]]
    if len(names) < 2:
        return predictions, targets
    first, second = names
    swapped = TARGETS.fullmatch(first) and PREDICTIONS.fullmatch(second)
    clear = not (PREDICTIONS.fullmatch(first) and TARGETS.fullmatch(second))
    return (targets, predictions) if swapped and clear else (predictions, targets)


# The rate at which layers update themselves: so large that the parameter is nothing beside the
# step, and the difference of the two loses no digits; a power of 2, so that none are changed.
RATE = 2.0**30


class RenamedMethods:
    """A layer whose methods have other names, under the usual ones; all else is the layer's."""

    def __init__(self, layer: Any, names: Mapping[str, str]) -> None:
        object.__setattr__(self, "_renamed", (layer, names))

    def __getattr__(self, name: str) -> Any:
        layer, names = object.__getattribute__(self, "_renamed")
        return getattr(layer, names.get(name, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_renamed")[0], name, value)

    def __dir__(self) -> list[str]:
        return dir(object.__getattribute__(self, "_renamed")[0])


def with_usual_names(layer: Any, methods: Mapping[str, str] | None = None) -> Any:
    """The layer, or one that has ``forward`` and ``backward`` where it calls them otherwise.

    Args:
        layer: The layer.
        methods: What it calls them, if somebody has said it.
    """
    names = {}
    for method, own in (methods or {}).items():
        if layer is not None and callable(getattr(layer, own, None)):
            names[method] = own
    for method, others in METHODS.items():
        if method in names:
            continue
        other = next((n for n in others if callable(getattr(layer, n, None))), None)
        if not hasattr(layer, method) and other is not None:
            names[method] = other
    return RenamedMethods(layer, names) if names else layer


def class_name(layer: Any) -> str:
    """The name of the class that the homework wrote."""
    if type(layer) is RenamedMethods:
        layer = object.__getattribute__(layer, "_renamed")[0]
    own = getattr(layer, "__name__", None)  # of one that is put together here
    return own if isinstance(own, str) else type(layer).__name__


def loss_value(value: Any) -> Any:
    """The loss, if it is one of several results, such as probabilities and loss."""
    if not isinstance(value, (tuple, list)):
        return value
    numbers = [item for item in value if np.size(item) == 1]
    return numbers[0] if len(numbers) == 1 else value


class TrainingSwitch:
    """How a layer is told whether it is training: by an argument, an attribute or two methods.

    Attributes:
        exists: Whether there is such a way.
        unknown: Whether it is an argument of which only the default, True or False, suggests it.

    Args:
        layer: The layer.
        flipped: Whether the opposite of an unknown argument's default means training.
    """

    def __init__(self, layer: Any, flipped: bool = False) -> None:
        self.layer, self.unknown = layer, False
        self._argument: str | None = None
        self._attribute: str | None = None
        self._values: tuple[Any, Any] = (True, False)  # in training, in evaluation
        for parameter in _arguments(layer.forward)[1:]:
            values = _mode_values(parameter.name, parameter.default)
            if values is not None:
                self._argument, self._values = parameter.name, values
                break
        else:
            flags = [p for p in _arguments(layer.forward)[1:] if isinstance(p.default, bool)]
            attributes = {
                name: values
                for name in dir(layer)
                if MODE.fullmatch(name) and isinstance(getattr(layer, name, None), bool | str)
                if (values := _mode_values(name, getattr(layer, name))) is not None
            }
            if len(flags) == 1:
                self._argument, self.unknown = flags[0].name, True
                self._values = (flags[0].default ^ flipped, not flags[0].default ^ flipped)
            elif attributes:
                self._attribute, self._values = next(iter(attributes.items()))
        self._methods = all(callable(getattr(layer, name, None)) for name in ("train", "eval"))
        self.exists = bool(self._argument or self._attribute or self._methods)

    def run_forward(self, x: np.ndarray, training: bool = True) -> Any:
        """Run ``forward`` in training or in evaluation mode."""
        value = self._values[0 if training else 1]
        if self._argument is not None:
            result = self.layer.forward(x, **{self._argument: value})
            return _first_of_several(_result_or_attribute(self.layer, "forward", result, OUTPUTS))
        if self._attribute is not None:
            setattr(self.layer, self._attribute, value)
        elif self._methods:
            (self.layer.train if training else self.layer.eval)()
        return _first_of_several(run_forward(self.layer, x))


def _mode_values(name: str, value: Any) -> tuple[Any, Any] | None:
    """What an argument or attribute is in training and in evaluation; None if it is no mode.

    Args:
        name: Its name.
        value: Its default or present value.
    """
    match = MODE.fullmatch(name)
    if match is None:
        return None
    if isinstance(value, str):
        training = value.lower().startswith("train")
        if not training and not MODE.fullmatch(value):  # such as a convolution's mode "same"
            return None
        return (value, "test") if training else ("train", value)
    if name.lower() in ("mode", "phase"):
        return ("train", "test") if value is inspect.Parameter.empty else None
    return (True, False) if match["training"] else (False, True)


def _is_switch(parameter: inspect.Parameter) -> bool:
    return _mode_values(parameter.name, parameter.default) is not None


def run_forward(layer: Any, *args: Any) -> Any:
    """The result of ``forward``; a loss layer, too, is told that it is training."""
    switches = {
        p.name: values[0]
        for p in _arguments(layer.forward)
        if (values := _mode_values(p.name, p.default)) is not None
    }
    result = layer.forward(*args, **switches)
    return _result_or_attribute(layer, "forward", result, OUTPUTS)


def layer_backward(layer: Any, dy: np.ndarray, needed: bool = True) -> Any:
    """The result of a layer's ``backward``; of several, such as that by a first state, the first.

    ``backward(dout, learning_rate)`` updates the layer itself, which shows the gradient.

    Args:
        layer: The layer.
        dy: The gradient of its output.
        needed: Whether there has to be a result: the first of all layers may have none.
    """
    rate = (RATE,) if takes_rate(layer) else ()
    if not needed:
        result = layer.backward(dy, *rate)
        return np.zeros(()) if result is None else _first_of_several(result)
    return _first_of_several(run_backward(layer, dy, *rate))


def takes_rate(layer: Any) -> bool:
    """Whether ``backward`` takes a learning rate, and so updates the layer itself."""
    return required_arguments(layer, "backward") == 2


def _first_of_several(result: Any) -> Any:
    """The first of a tuple: an output before a cache or a last state."""
    return result[0] if isinstance(result, tuple) and result else result


def run_backward(layer: Any, *args: Any) -> Any:
    """The result of ``backward``."""
    return _result_or_attribute(layer, "backward", layer.backward(*args), GRAD_INPUTS)


def _result_or_attribute(layer: Any, method: str, result: Any, attributes: Sequence[str]) -> Any:
    """The result of a method or, if it is None, the attribute in which the layer keeps it."""
    if result is not None:
        return result
    name = next((n for n in attributes if getattr(layer, n, None) is not None), None)
    if name is None:
        raise TypeError(
            f"{class_name(layer)}.{method} returned None, and the layer has no "
            f".{attributes[0]}; is a return missing?"
        )
    return getattr(layer, name)


def required_arguments(layer: Any, method: str) -> int:
    """The number of arguments that a method needs, or −1 if it does not exist or cannot tell.

    Arguments with a default are not counted, and neither is one that says the mode.
    """
    function: Callable[..., Any] | None = getattr(layer, method, None)
    if function is None:
        return -1
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return -1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        p.default is p.empty and p.kind in positional and not _is_switch(p)
        for p in _arguments(function)
    )


def _arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The arguments of a function; none if Python cannot tell them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
