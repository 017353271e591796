"""What a homework's functions returned, in the reference's layout, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.layout import Batches, MisfitError, Own
from compare.check.values import Value
from compare.mistakes.case import Case

SIGNATURES = {
    "forward": "forward(params, x)",
    "loss": "loss(params, x, y)",
    "gradients": "gradients(params, x, y)",
    "loss_and_gradients": "loss_and_gradients(params, x, y)",
    "update": "update(params, grads, state)",
}


@dataclass(frozen=True)
class Reader:
    """Reads what one homework returns.

    Args:
        batches: The form of its batches.
        own: Its own arrays.
        trainable: The reference's names of parameters, without buffers.
        shapes: The shapes of the reference's arrays.
    """

    batches: Batches
    own: Sequence[Own]
    trainable: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]

    def read(self, function: str, value: Value, case: Case) -> Arrays:
        """What was returned, by quantity.

        Raises:
            MisfitError: It is not what the function should return.
        """
        if function == "forward":
            return {"logits": self._logits(value, case)}
        if function == "loss":
            return {"loss": _number(value, "loss")}
        if function == "gradients":
            return self._gradients(value, "gradients")
        items = list(value.items.values())
        if value.kind != "tuple" or len(items) != 2:
            raise MisfitError(
                f"loss_and_gradients returned {value.said()}, but expected (loss, gradients)."
            )
        loss = {"loss": _number(items[0], "loss_and_gradients")}
        return {**loss, **self._gradients(items[1], "loss_and_gradients")}

    def _logits(self, value: Value, case: Case) -> np.ndarray:
        shape = case.expected["logits"].shape
        if value.kind == "tuple" and value.items:  # logits and what backward needs
            value = value.items["0"]
        if value.kind == "none":
            raise MisfitError(
                "forward returned None, but expected the logits; is a return missing?"
            )
        if value.array is None:
            raise MisfitError(f"forward returned {value.said()}, but expected an array of logits.")
        return self.batches.taken(value.array, shape, "what forward returned (logits)")

    def _gradients(self, value: Value, function: str) -> Arrays:
        wanted = {own.key: own for own in self.own if own.key in self.trainable}
        return {
            f"gradient/{key}": self.own_array(value, own, function, "gradient", key)
            for key, own in wanted.items()
        }

    def own_array(self, value: Value, own: Own, function: str, what: str, key: str) -> np.ndarray:
        """One array out of a returned dict.

        Raises:
            MisfitError: It is not there, or is something else.
        """
        name = repr(own.name) if own.name == key else f"{own.name!r} ({key})"
        if value.kind == "none":
            raise MisfitError(
                f"{function} returned None, but expected a dict; is a return missing?"
            )
        if value.kind != "dict":
            raise MisfitError(
                f"{function} returned {value.said()}, but expected a dict of own name → {what}."
            )
        if own.name not in value.items:
            raise MisfitError(
                f"{function} returned no {what} for {name}; the keys are those of params, and it "
                f"returned {', '.join(map(repr, value.items)) or 'none'}."
            )
        item = value.items[own.name]
        if item.array is None:
            raise MisfitError(
                f"{function} returned {item.said()} as the {what} for {name}, not an array."
            )
        shape = self.shapes[key]
        return own.taken(item.array, shape, f"the {what} for {name} that {function} returned")


def _number(value: Value, function: str) -> np.ndarray:
    if value.kind == "none":
        raise MisfitError(f"{function} returned None, but expected a number; is a return missing?")
    if value.array is None or value.array.size != 1:
        raise MisfitError(
            f"{function} returned {value.said()}, but expected one number, the loss of the batch."
        )
    return np.array(float(value.array.reshape(())))


def computed_in_float32(value: Value) -> bool:
    """Whether an array in it is float32, or float64 with values that float32 has all of."""
    if value.array is not None:
        array = value.array
        if array.dtype in (np.float32, np.float16):
            return True
        if array.dtype != np.float64 or not np.isfinite(array).all():
            return False
        with np.errstate(over="ignore"):
            short = array.astype(np.float16).astype(np.float64) == array
        # Zeros and other short numbers say nothing.
        return bool(np.any(~short)) and bool(np.all(array.astype(np.float32) == array))
    return any(computed_in_float32(item) for item in value.items.values())
