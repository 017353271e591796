"""What a homework says of itself, checked: docs/checking.md has it in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compare.check.layout import Batches, Own
from experiments.errors import InputError

LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "mse": "MSELoss",
    "bce": "BCELoss",
    "bce_with_logits": "BCEWithLogitsLoss",
}
ANSWERING = ("forward", "loss", "gradients", "loss_and_gradients", "update", "network")


@dataclass(frozen=True)
class Contract:
    """The conventions of one homework.

    Attributes:
        architecture: A name, or None where the homework gives the network itself or nothing.
        loss: A key of :data:`LOSSES`.
        parameters: Own name → entry, as written; None where the names are the reference's.
        batches: The batch axis and the form of labels.
        attributes: Where layers keep their gradients, as far as it is said.
        functions: The functions of the contract that it defines.
    """

    architecture: str | None = None
    loss: str | None = None
    parameters: dict[str, str] | None = None
    batches: Batches = field(default_factory=Batches)
    attributes: dict[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()

    def has(self, function: str) -> bool:
        """Whether the homework defines the function."""
        return function in self.functions


def read_contract(file: str, constants: Mapping[str, Any], functions: Iterable[str]) -> Contract:
    """The contract from what was found in the file.

    Raises:
        InputError: A constant is not what it may be, or there is nothing to check.
    """
    functions = tuple(functions)
    if not any(name in functions for name in ANSWERING):
        near = "forward(params, x), loss(params, x, y), gradients(params, x, y)"
        raise InputError(
            f"{file} defines nothing that can be checked: expected one or more of {near}, "
            "loss_and_gradients(params, x, y), update(params, grads, state), network(params)."
        )
    axis = _one_of(file, constants, "BATCH_AXIS", (0, 1), 0)
    one_hot = _one_of(file, constants, "ONE_HOT", (False, True), False)
    parameters = _names(file, constants, "PARAMETERS", '{"W1": "0.weight.T", "b1": "0.bias"}')
    attributes = _names(file, constants, "ATTRIBUTES", '{"weight": "dW", "bias": "db"}')
    architecture = constants.get("ARCHITECTURE")
    if architecture is not None and not isinstance(architecture, str):
        raise InputError(
            f'{file}: ARCHITECTURE should be a name such as "softmax_mlp", but is '
            f"{_said(architecture)}; a network itself is a function architecture(nn)."
        )
    loss = None
    if "LOSS" in constants:
        loss = _one_of(file, constants, "LOSS", tuple(LOSSES), "")
    return Contract(
        architecture, loss, parameters, Batches(axis, bool(one_hot)), attributes or {}, functions
    )


def own_arrays(
    file: str, parameters: dict[str, str] | None, keys: Iterable[str], needed: Iterable[str]
) -> list[Own]:
    """The homework's own arrays in the order in which it names them.

    Args:
        file: The homework, for sentences.
        parameters: PARAMETERS as written.
        keys: The keys of the network's ``state_dict``.
        needed: Those of parameters.

    Raises:
        InputError: A key does not exist, is named twice, or is missing.
    """
    keys, needed = list(keys), list(needed)
    if parameters is None:
        return [Own(key, key) for key in keys]
    found: dict[str, Own] = {}
    for name, text in parameters.items():
        own = Own.parse(name, text)
        if own.key not in keys:
            near = difflib.get_close_matches(own.key, keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{file}: PARAMETERS[{name!r}] is {text!r}, but the network has only "
                f"{', '.join(keys)}{hint}"
            )
        if own.key in found:
            raise InputError(
                f"{file}: PARAMETERS names {own.key} twice: {found[own.key].name!r} and {name!r}."
            )
        found[own.key] = own
    missing = [key for key in needed if key not in found]
    if missing:
        raise InputError(
            f"{file}: PARAMETERS has no entry for {', '.join(missing)}: every parameter of the "
            "network needs a name of yours."
        )
    return list(found.values())


def _one_of(
    file: str, constants: Mapping[str, Any], name: str, allowed: tuple, default: Any
) -> Any:
    value = constants.get(name, default)
    if name not in constants:
        return default
    if isinstance(value, dict) or value not in allowed:
        words = " or ".join(repr(v) for v in allowed)
        raise InputError(f"{file}: {name} should be {words}, but is {_said(value)}.")
    return value


def _names(
    file: str, constants: Mapping[str, Any], name: str, example: str
) -> dict[str, str] | None:
    value = constants.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InputError(
            f"{file}: {name} should be a dict such as {example}, but is {_said(value)}."
        )
    return value


def _said(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"unfit"}:
        return str(value["unfit"])
    return repr(value)
