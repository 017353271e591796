"""The layer objects of a homework, run one at a time in the homework's process.

A layer has ``forward(x)`` and ``backward(dout)`` and keeps its gradients in attributes, as in
"Deep Learning from Scratch" (``dW``, ``db``). Other conventions are recognised by the names of
methods, arguments and attributes below; ATTRIBUTES of the contract names those that are not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compare.check.filled_network import value_at

# Where a layer keeps the gradients of its parameters, and its running statistics.
USUAL_ATTRIBUTES = {
    "weight": (
        "dW", "dw", "dgamma", "dweight", "dweights", "dWeights", "grad_weight", "grad_weights",
        "grad_W", "weight_grad", "weights_grad", "W_grad", "grad_w", "d_weights", "dkernel",
        "grads['W']", "grads['w']", "grads['weight']", "grads['gamma']", "grads['dW']",
        "gradients['W']", "weight.grad", "weights.grad", "W.grad", "gamma.grad", "grads[0]",
    ),
    "bias": (
        "db", "dbeta", "dbias", "dbiases", "grad_bias", "grad_biases", "grad_b", "bias_grad",
        "biases_grad", "b_grad", "d_bias", "d_biases", "grads['b']", "grads['bias']",
        "grads['beta']", "grads['db']", "gradients['b']", "bias.grad", "biases.grad", "b.grad",
        "beta.grad", "grads[1]",
    ),
    "running_mean": ("running_mean", "moving_mean", "running_mu"),
    "running_var": ("running_var", "moving_var", "running_variance", "moving_variance"),
}  # fmt: skip

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

# Layers that add the bias to what the layer before them multiplied, and layers that may follow the
# logits before the loss.
BIAS_LAYER = re.compile(r"(add_?)?bias(_?(add|layer))?|addbias", re.IGNORECASE)
OUTPUT_LAYER = re.compile(r"(log_?)?soft_?max\w*|sigmoid\w*", re.IGNORECASE)
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
# Stands for the position of a Flatten that a list of layers leaves out.
FLATTEN = -1
# Methods that set gradients back to 0, of a layer or of the object that holds the layers.
CLEARING = (
    "zero_grad", "zero_grads", "zero_gradients", "clear_grad", "clear_grads", "cleargrads",
    "clear_gradients", "reset_grad", "reset_grads", "reset_gradients", "zero_gradient",
)  # fmt: skip

# The attributes in which a network object keeps its loss layer.
LOSS_LAYERS = ("last_layer", "lastLayer", "loss_layer", "lossLayer", "loss", "criterion")


class LayerObjects:
    """The layers that ``network(params)`` returned, in order, and the loss layer if there is one.

    Attributes:
        names: The keys, if the layers came in a dict.
        layers: The layers without the loss layer.
        loss_layer: The loss layer or None.

    Args:
        network: A sequence or a dict of layers; a pair of such a collection and a loss layer; or
            an object with ``layers`` and perhaps one of :data:`LOSS_LAYERS`. A list among the
            layers is one layer, and so is a layer together with one that adds its bias. A loss
            layer may also be a pair of functions, the loss and its derivative.
        flipped: Positions of layers whose argument of an unknown name means the opposite of
            what its default suggests.
        methods: What the layers call ``forward`` and ``backward``, where it is said.
        output_layer: Whether the network of the assignment ends in a softmax or a sigmoid. Where it
            does not, such a layer at the end belongs to the loss.
    """

    def __init__(
        self,
        network: Any,
        flipped: Sequence[int] = (),
        methods: Mapping[str, str] | None = None,
        output_layer: bool = True,
    ) -> None:
        self._whole = network
        self.loss_layer: Any = None
        if isinstance(network, tuple) and len(network) == 2 and _is_collection(network[0]):
            network, self.loss_layer = network
        elif not _is_collection(network) and hasattr(network, "layers"):
            candidates = [getattr(network, name, None) for name in LOSS_LAYERS]
            self.loss_layer = next((c for c in candidates if hasattr(c, "backward")), None)
            network = network.layers
        if not _is_collection(network) or not len(network):
            raise TypeError(
                "network(params) should return a list of layers, or (layers, loss layer), or an "
                f"object with .layers, but returned {type(network).__name__}"
            )
        named = isinstance(network, Mapping)
        self.names = [str(k) for k in network] if named else []
        self.layers: list[Any] = list(network.values()) if named else list(network)
        self.layers = [
            RowOfLayers([with_usual_names(one, methods) for one in layer])
            if isinstance(layer, (list, tuple)) and layer
            else with_usual_names(layer, methods)
            for layer in self.layers
        ]
        if isinstance(self.loss_layer, (list, tuple)) and len(self.loss_layer) == 2:
            self.loss_layer = LossFunctions(*self.loss_layer)
        self.loss_layer = with_usual_names(self.loss_layer, methods)
        if self.loss_layer is None and required_arguments(self.layers[-1], "forward") == 2:
            self.loss_layer = self.layers.pop()
            self.names = self.names[:-1]
        self.left_out = ""
        if not output_layer and OUTPUT_LAYER.fullmatch(class_name(self.layers[-1])):
            output = self.layers.pop()
            self.names = self.names[:-1]
            if self.loss_layer is None:
                self.left_out = class_name(output)
            else:
                self.loss_layer = LossOfOutputs(output, self.loss_layer)
        if not self.names:
            self.layers = _with_their_biases(self.layers)
        for layer in self.layers:
            if not hasattr(layer, "forward") or not hasattr(layer, "backward"):
                raise TypeError(
                    f"each layer needs forward(x) and backward(dout), but {class_name(layer)} "
                    f"has no {'backward' if hasattr(layer, 'forward') else 'forward'}"
                )
        self.switches = [
            TrainingSwitch(layer, number in flipped) for number, layer in enumerate(self.layers)
        ]

    def summary(self) -> dict[str, Any]:
        """The names and classes of the layers, and the class of the loss layer or None.

        A layer whose ``backward`` is None is one of which only ``forward`` can be asked.
        """
        return {
            "names": self.names,
            "classes": [class_name(layer) for layer in self.layers],
            "forward_only": [n for n, layer in enumerate(self.layers) if layer.backward is None],
            "loss": None if self.loss_layer is None else class_name(self.loss_layer),
            "left_out": self.left_out,
            "updating": any(takes_rate(layer) for layer in self.layers),
            "unknown_switches": [n for n, s in enumerate(self.switches) if s.unknown],
        }

    def run_layer(
        self,
        arrays: dict[str, np.ndarray],
        index: int,
        gradients: dict[str, list[str]],
        buffers: dict[str, list[str]],
    ) -> dict[str, Any]:
        """Run one layer alone: forward from ``x``, then backward from ``dy``.

        Args:
            arrays: ``x``, ``dy`` and the starting values of buffers.
            index: The position of the layer.
            gradients: Key of a parameter → the attributes that may hold its gradient. ``-W``
                means the amount that backward subtracts from ``W``.
            buffers: Key of a buffer → the attributes that may hold it. A buffer that the layer
                does not have is left out of the result.
        """
        layer = self.layers[index]
        for key, paths in buffers.items():
            path = next((p for p in paths if hasattr(layer, p)), None)  # its value may be None
            if path is not None:
                setattr(layer, path, np.array(arrays[key]))
        x = np.array(arrays["x"])
        found: dict[str, Any] = {"output": np.array(self.switches[index].run_forward(x))}
        for key, paths in buffers.items():
            path = next((p for p in paths if _has(layer, p)), None)
            if path is not None:
                found[f"buffer {key}"] = np.array(value_at(layer, path))
        if layer.backward is None:
            return found
        before = _own_updates(layer, gradients)
        tokens = x.dtype.kind in "iu"  # by which there is no gradient
        found["grad_input"] = np.array(layer_backward(layer, np.array(arrays["dy"]), not tokens))
        for key, paths in gradients.items():
            found[f"gradient {key}"] = _gradient(layer, key, paths, before)
        return found

    def run_dropout(self, arrays: dict[str, np.ndarray], index: int) -> dict[str, Any]:
        """Run a Dropout alone: forward, backward, forward again, and forward in evaluation.

        Args:
            arrays: ``x`` and ``dy``.
            index: The position of the layer.
        """
        layer = self.layers[index]
        switch = self.switches[index]

        def x() -> np.ndarray:
            return np.array(arrays["x"])

        found = {"output": np.array(switch.run_forward(x(), training=True))}
        found["grad_input"] = np.array(run_backward(layer, np.array(arrays["dy"])))
        found["again"] = np.array(switch.run_forward(x(), training=True))
        if switch.exists:
            found["evaluation"] = np.array(switch.run_forward(x(), training=False))
        return found

    def run_chain(self, x: np.ndarray, order: Sequence[int], axis: int = 0) -> Any:
        """Run layers forward, one after the other.

        Args:
            x: The input of the first.
            order: Their positions; :data:`FLATTEN` where the list leaves a Flatten out.
            axis: The batch axis.
        """
        self._flattened: list[tuple[int, ...]] = []
        for index in order:
            if index == FLATTEN:
                rows = np.moveaxis(np.asarray(x), axis, 0)
                self._flattened.append(rows.shape)
                x = np.moveaxis(rows.reshape(len(rows), -1), 0, axis)
            else:
                x = self.switches[index].run_forward(x)
        return x

    def run_step(
        self,
        arrays: dict[str, np.ndarray],
        order: Sequence[int],
        gradients: dict[str, dict[str, list[str]]],
        axis: int = 0,
    ) -> dict[str, Any]:
        """Run the whole network: forward, the loss, and backward through all layers.

        Args:
            arrays: ``x``, ``y`` and, for a network without a loss layer, ``grad_logits``.
            order: The positions of the layers, from the first to the last, as for
                :meth:`run_chain`.
            gradients: Position of a layer → as in :meth:`run_layer`.
            axis: The batch axis.
        """
        for thing in (self._whole, *self.layers):
            clear = next((getattr(thing, n) for n in CLEARING if hasattr(thing, n)), None)
            if clear is not None:
                clear()
        found: dict[str, Any] = {}
        logits = self.run_chain(np.array(arrays["x"]), order, axis)
        if self.loss_layer is None:
            dy = np.array(arrays["grad_logits"])
        else:
            loss = self.run_loss(logits, arrays["y"], copies=False)
            found["loss"], dy = loss["loss"], loss["gradient"]
        for index in reversed(order):
            if index == FLATTEN:
                rows = np.moveaxis(np.asarray(dy), axis, 0).reshape(self._flattened.pop())
                dy = np.moveaxis(rows, 0, axis)
                continue
            layer, own = self.layers[index], gradients.get(str(index), {})
            before = _own_updates(layer, own)
            dy = layer_backward(layer, dy, index != order[0])
            for key, paths in own.items():
                found[f"gradient {key}"] = np.array(_gradient(layer, key, paths, before))
        return found

    def run_loss(
        self, logits: np.ndarray, targets: np.ndarray, copies: bool = True
    ) -> dict[str, Any]:
        """Run the loss layer forward and backward; on copies, unless a whole network is run."""
        logits = np.array(logits) if copies else logits
        value = loss_forward(self.loss_layer, logits, np.array(targets))
        return {"loss": value, "gradient": loss_backward(self.loss_layer, logits, targets)}


class RowOfLayers:
    """Layers that do the work of one module: they run one after the other.

    Other attributes are those of the first of them that has one by the name.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = list(layers)
        for layer in self._layers:
            if not hasattr(layer, "forward") or not hasattr(layer, "backward"):
                raise TypeError(
                    f"each layer needs forward(x) and backward(dout), but {class_name(layer)} does "
                    "not have both"
                )

    def forward(self, x: Any) -> Any:
        """The output of the last."""
        for layer in self._layers:
            x = run_forward(layer, x)
        return x

    def backward(self, dy: Any) -> Any:
        """The gradient by the input of the first."""
        for layer in reversed(self._layers):
            dy = layer_backward(layer, dy)
        return dy

    def __getattr__(self, name: str) -> Any:
        for layer in self.__dict__.get("_layers", ()):
            if hasattr(layer, name):
                return getattr(layer, name)
        raise AttributeError(name)


def _with_their_biases(layers: Sequence[Any]) -> list[Any]:
    """The layers, those that add a bias joined with the layer before them."""
    found: list[Any] = []
    for layer in layers:
        if found and BIAS_LAYER.fullmatch(class_name(layer)):
            found[-1] = RowOfLayers([found[-1], layer])
        else:
            found.append(layer)
    return found


class LossFunctions:
    """A loss layer made of two functions, such as ``mse`` and ``mse_prime``, of the same arguments.

    Args:
        value: The loss.
        gradient: Its derivative by the predictions.
    """

    def __init__(self, value: Callable[..., Any], gradient: Callable[..., Any]) -> None:
        self._value, self._gradient = value, gradient
        self.__name__ = getattr(value, "__name__", "loss")

    def forward(self, predictions: Any, targets: Any) -> Any:
        """The loss."""
        self._arguments = (predictions, targets)
        return self._call(self._value)

    def backward(self) -> Any:
        """The gradient."""
        return self._call(self._gradient)

    def _call(self, function: Callable[..., Any]) -> Any:
        predictions, targets = self._arguments
        return function(*in_order(function, predictions, targets))


class LossOfOutputs:
    """A loss layer behind a softmax or a sigmoid that is a layer of its own."""

    def __init__(self, output: Any, loss: Any) -> None:
        self.output_layer, self.loss_layer = output, loss

    def forward(self, logits: Any, targets: Any) -> Any:
        """The loss of the logits."""
        self._predictions, self._targets = run_forward(self.output_layer, logits), targets
        return loss_forward(self.loss_layer, self._predictions, targets)

    def backward(self) -> Any:
        """The gradient by the logits."""
        dy = loss_backward(self.loss_layer, self._predictions, self._targets)
        return run_backward(self.output_layer, dy)


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
    if type(layer) is RowOfLayers:
        return " + ".join(class_name(one) for one in layer._layers)
    if type(layer) is LossOfOutputs:
        return f"{class_name(layer.output_layer)} + {class_name(layer.loss_layer)}"
    return layer.__name__ if type(layer) is LossFunctions else type(layer).__name__


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

    ``backward(dout, learning_rate)`` updates the layer itself; the rate 1 shows the gradient.

    Args:
        layer: The layer.
        dy: The gradient of its output.
        needed: Whether there has to be a result: the first of all layers may have none.
    """
    rate = (1.0,) if takes_rate(layer) else ()
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


def _own_updates(layer: Any, gradients: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    """What a layer holds that its backward is to subtract gradients from, by ``-W``."""
    paths = (path for several in gradients.values() for path in several if path.startswith("-"))
    return {path: np.array(value_at(layer, path[1:])) for path in paths if _has(layer, path[1:])}


def _gradient(
    layer: Any, key: str, paths: Sequence[str], before: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The gradient of a parameter, from the first of some attributes that the layer has."""
    path = next(
        (
            p
            for p in paths
            if _has(layer, p.removeprefix("-"))
            if len(paths) == 1 or not p.startswith("-") or takes_rate(layer)
        ),
        None,
    )
    if path is None:
        raise AttributeError(
            f"{class_name(layer)} keeps no gradient of its {key.rpartition('.')[2]} "
            f"under {', '.join(paths[:4])}"
            f"{'' if len(paths) <= 4 else ' or the like'}: name the attribute in ATTRIBUTES"
        )
    now = np.array(value_at(layer, path.removeprefix("-")))
    return before[path] - now if path in before else now


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


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)


def _has(layer: Any, path: str) -> bool:
    try:
        return value_at(layer, path) is not None
    except (AttributeError, KeyError, IndexError, TypeError):
        return False
