"""The layer objects of a homework, run one at a time in the homework's process.

A layer has ``forward(x)`` and ``backward(dout)`` and keeps its gradients in attributes, as in
"Deep Learning from Scratch" (``dW``, ``db``). Other conventions are recognised by the names of
methods, arguments and attributes below; ATTRIBUTES of the contract names those that are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compare.check.filled_network import value_at
from compare.check.layer_methods import (
    RATE,
    TrainingSwitch,
    class_name,
    in_order,
    layer_backward,
    loss_backward,
    loss_forward,
    required_arguments,
    run_backward,
    run_forward,
    takes_rate,
    with_usual_names,
)

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


# Layers that add the bias to what the layer before them multiplied, and layers that may follow the
# logits before the loss.
BIAS_LAYER = re.compile(r"(add_?)?bias(_?(add|layer))?|addbias", re.IGNORECASE)
OUTPUT_LAYER = re.compile(r"(log_?)?soft_?max\w*|sigmoid\w*", re.IGNORECASE)

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

    @property
    def __name__(self) -> str:
        return " + ".join(map(class_name, self._layers))

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
        self.__name__ = f"{class_name(output)} + {class_name(loss)}"

    def forward(self, logits: Any, targets: Any) -> Any:
        """The loss of the logits."""
        self._predictions, self._targets = run_forward(self.output_layer, logits), targets
        return loss_forward(self.loss_layer, self._predictions, targets)

    def backward(self) -> Any:
        """The gradient by the logits."""
        dy = loss_backward(self.loss_layer, self._predictions, self._targets)
        return run_backward(self.output_layer, dy)


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
    if path not in before:
        return now
    return (before[path] - now) / (RATE if takes_rate(layer) else 1.0)


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)


def _has(layer: Any, path: str) -> bool:
    try:
        return value_at(layer, path) is not None
    except (AttributeError, KeyError, IndexError, TypeError):
        return False
