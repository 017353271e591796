"""The layer classes of a homework, run one at a time.

A layer has ``forward(x)`` and ``backward(dout)`` and keeps its gradients in attributes, as in
"Deep Learning from Scratch" (``dW``, ``db``) and its like.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Where a layer keeps the gradient of its weight and of its bias, unless ATTRIBUTES says where.
USUAL = {
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
GRAD_INPUTS = ("dinputs", "dinput", "grad_input", "dx", "dX", "input_gradient")

# What a layer calls the argument, or the attribute, that says whether it is training.
TRAINING = ("train_flg", "train_flag", "training", "train", "is_training", "is_train", "trainmode")

LOSS_LAYERS = ("last_layer", "lastLayer", "loss_layer", "lossLayer", "loss", "criterion")


class Layers:
    """The layers that ``network(params)`` made, in order, and the loss layer if there is one.

    Args:
        made: A sequence or a dict of layers; such a thing and a loss layer; or an object with
            ``layers`` and, as ``last_layer`` or ``loss_layer``, the loss layer.
    """

    def __init__(self, made: Any) -> None:
        self.loss_layer: Any = None
        if isinstance(made, tuple) and len(made) == 2 and _is_collection(made[0]):
            made, self.loss_layer = made
        elif not _is_collection(made) and hasattr(made, "layers"):
            holders = [getattr(made, name, None) for name in LOSS_LAYERS]
            self.loss_layer = next((h for h in holders if hasattr(h, "backward")), None)
            made = made.layers
        if not _is_collection(made) or not len(made):
            raise TypeError(
                "network(params) should return a list of layers, or (layers, loss layer), or an "
                f"object with .layers, but returned {type(made).__name__}"
            )
        named = isinstance(made, Mapping)
        self.names = [str(k) for k in made] if named else []
        self.layers: list[Any] = list(made.values()) if named else list(made)
        if self.loss_layer is None and takes(self.layers[-1], "forward") == 2:
            self.loss_layer = self.layers.pop()
            self.names = self.names[:-1]
        for layer in self.layers:
            if not hasattr(layer, "forward") or not hasattr(layer, "backward"):
                raise TypeError(
                    f"each layer needs forward(x) and backward(dout), but {type(layer).__name__} "
                    f"has no {'backward' if hasattr(layer, 'forward') else 'forward'}"
                )

    def described(self) -> dict[str, Any]:
        """How many layers there are, their names and classes, and whether there is a loss."""
        return {
            "names": self.names,
            "classes": [type(layer).__name__ for layer in self.layers],
            "loss": None if self.loss_layer is None else type(self.loss_layer).__name__,
        }

    def alone(
        self,
        arrays: dict[str, np.ndarray],
        index: int,
        wanted: dict[str, list[str]],
        held: dict[str, list[str]],
    ) -> dict[str, Any]:
        """One layer alone: forwards from ``x``, backwards from ``dy``.

        Args:
            arrays: ``x`` and ``dy``, and starting values of buffers.
            index: The position of the layer.
            wanted: Name of a gradient → where to look for it. ``-W`` is what backward takes off W.
            held: Name of a buffer → where to look for it. A layer that lacks it is not asked.
        """
        layer = self.layers[index]
        for name, paths in held.items():
            path = next((p for p in paths if hasattr(layer, p)), None)  # it may still be None
            if path is not None:
                setattr(layer, path, np.array(arrays[name]))
        found: dict[str, Any] = {"output": np.array(forwards(layer, np.array(arrays["x"])))}
        for name, paths in held.items():
            path = next((p for p in paths if _has(layer, p)), None)
            if path is not None:
                found[f"buffer {name}"] = np.array(_get(layer, path))
        # A layer that updates itself, backward(dout, learning_rate), is given the rate 1.
        before = {
            path: np.array(_get(layer, path[1:]))
            for paths in wanted.values()
            for path in paths
            if path.startswith("-")
        }
        rate = (1.0,) if takes(layer, "backward") == 2 else ()
        found["grad_input"] = np.array(backwards(layer, np.array(arrays["dy"]), *rate))
        for name, paths in wanted.items():
            path = next((p for p in paths if _has(layer, p.removeprefix("-"))), None)
            if path is None:
                raise AttributeError(
                    f"{type(layer).__name__} keeps no gradient of its {name.rpartition('.')[2]} "
                    f"under {', '.join(paths[:4])}"
                    f"{'' if len(paths) <= 4 else ' or the like'}: name the attribute in ATTRIBUTES"
                )
            now = np.array(_get(layer, path.removeprefix("-")))
            found[f"gradient {name}"] = before[path] - now if path in before else now
        return found

    def dropout(self, arrays: dict[str, np.ndarray], index: int) -> dict[str, Any]:
        """A Dropout alone: in training forwards, backwards and forwards again; in evaluation.

        Args:
            arrays: ``x`` and ``dy``.
            index: The position of the layer.
        """
        layer = self.layers[index]
        mode = Mode(layer)

        def given() -> np.ndarray:
            return np.array(arrays["x"])

        found = {"output": np.array(mode.forwards(given(), training=True))}
        found["grad_input"] = np.array(backwards(layer, np.array(arrays["dy"])))
        found["again"] = np.array(mode.forwards(given(), training=True))
        if mode.can_be_told:
            found["evaluation"] = np.array(mode.forwards(given(), training=False))
        return found

    def chain(self, x: np.ndarray, order: Sequence[int]) -> Any:
        """All layers, one after the other."""
        for index in order:
            x = forwards(self.layers[index], x)
        return x

    def loss(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """The loss layer, forwards and backwards."""
        layer = self.loss_layer
        value = forwards(layer, np.array(logits), np.array(targets))
        match takes(layer, "backward"):
            case 0:
                gradient = backwards(layer)
            case 1:
                gradient = backwards(layer, 1.0)
            case _:
                # The softmax's output, where the layer keeps it, stands for the logits.
                output: Any = getattr(layer, "output", None)
                given = output if np.shape(output) == np.shape(logits) else np.array(logits)
                gradient = backwards(layer, given, np.array(targets))
        return {"loss": value, "gradient": gradient}


class Mode:
    """How a layer is told whether it is training: by an argument, an attribute or a method."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._argument = next((p.name for p in _arguments(layer.forward) if _says_mode(p)), None)
        self._attribute = next((n for n in TRAINING if isinstance(_held(layer, n), bool)), None)
        self._methods = all(callable(_held(layer, name)) for name in ("train", "eval"))
        self.can_be_told = bool(self._argument or self._attribute or self._methods)

    def forwards(self, x: np.ndarray, training: bool) -> Any:
        """``forward`` in one mode."""
        if self._argument is not None:
            returned = self.layer.forward(x, **{self._argument: training})
            return _returned_or_kept(self.layer, "forward", returned, OUTPUTS)
        if self._attribute is not None:
            setattr(self.layer, self._attribute, training)
        elif self._methods:
            (self.layer.train if training else self.layer.eval)()
        return forwards(self.layer, x)


def _says_mode(parameter: inspect.Parameter) -> bool:
    return parameter.name in TRAINING


def _held(layer: Any, name: str) -> Any:
    return getattr(layer, name, None)


def forwards(layer: Any, *args: Any) -> Any:
    """What ``forward`` returns or, where it returns nothing, leaves in an attribute.

    Where it must be told whether it is training, it is.
    """
    needed = [p for p in _arguments(layer.forward) if _says_mode(p) and p.default is p.empty]
    returned = layer.forward(*args, **{p.name: True for p in needed})
    return _returned_or_kept(layer, "forward", returned, OUTPUTS)


def backwards(layer: Any, *args: Any) -> Any:
    """What ``backward`` returns or, where it returns nothing, leaves in an attribute."""
    return _returned_or_kept(layer, "backward", layer.backward(*args), GRAD_INPUTS)


def _returned_or_kept(layer: Any, method: str, returned: Any, names: Sequence[str]) -> Any:
    if returned is not None:
        return returned
    kept = next((name for name in names if getattr(layer, name, None) is not None), None)
    if kept is None:
        raise TypeError(
            f"{type(layer).__name__}.{method} returned None, and the layer has no "
            f".{names[0]}; is a return missing?"
        )
    return getattr(layer, kept)


def takes(owner: Any, method: str) -> int:
    """How many arguments a method needs.

    One without a default counts, ``dout=1`` does not; nor does one that says whether the layer is
    training.
    """
    function: Callable[..., Any] | None = getattr(owner, method, None)
    if function is None:
        return -1
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return -1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        p.default is p.empty and p.kind in positional and not _says_mode(p)
        for p in _arguments(function)
    )


def _arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The arguments of a function; none where it does not say."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)


def _get(layer: Any, path: str) -> Any:
    value = layer
    for step in _path(path):
        value = getattr(value, step[1]) if step[0] == "." else value[step[1]]
    return value


def _path(path: str) -> list[tuple[str, Any]]:
    pattern = r"\[(\d+)\]|\[['\"](.*?)['\"]\]|\.?([A-Za-z_]\w*)"
    return [
        ("[", int(index)) if index else ("[", key) if key else (".", attribute)
        for index, key, attribute in re.findall(pattern, path)
    ]


def _has(layer: Any, path: str) -> bool:
    try:
        return _get(layer, path) is not None
    except (AttributeError, KeyError, IndexError, TypeError):
        return False
