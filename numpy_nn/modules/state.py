"""The state of a module and of all below it, by dotted names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found no counterpart for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def collect_state(module: "Module", prefix: str) -> dict[str, np.ndarray]:
    """Parameters, buffers and the state of each submodule, in PyTorch's order."""
    state: dict[str, np.ndarray] = {}
    for name, parameter in module._parameters.items():
        if parameter is not None:
            state[prefix + name] = parameter.data
    for name, buffer in module._buffers.items():
        if buffer is not None:
            state[prefix + name] = buffer
    for name, child in module._modules.items():
        if child is not None:
            state |= child.state_dict(prefix=f"{prefix}{name}.")
    return state


def load_state(module: "Module", state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Copy values into the arrays of a module, all of them or, where one is wrong, none."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict must be a mapping. Received: {type(state_dict).__name__}")
    own = module.state_dict()
    later = set() if hasattr(state_dict, "_metadata") else _later_keys(module)
    missing = [key for key in own if key not in state_dict and key not in later]
    unexpected = [key for key in state_dict if key not in own]
    errors = []
    if strict and missing:
        errors.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if strict and unexpected:
        errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    values = {}
    for key, target in own.items():
        if key not in state_dict:
            continue
        value = np.asarray(state_dict[key])
        if target.shape == () and value.shape == (1,):
            value = value[0]
        if value.dtype.kind not in "fiub":
            errors.append(f"{key}: expected numbers. Received: {value.dtype}.")
        elif value.shape != target.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                f"checkpoint, the shape in current model is {target.shape}."
            )
        values[key] = value
    if errors:
        raise RuntimeError(
            "Error(s) in loading state_dict for {}:\n\t{}".format(
                type(module).__name__, "\n\t".join(errors)
            )
        )
    for key, value in values.items():
        np.copyto(own[key], value, casting="unsafe")
    return IncompatibleKeys(missing, unexpected)


def _later_keys(module: "Module") -> set[str]:
    modules = module.named_modules(remove_duplicate=False)
    return {join(prefix, key) for prefix, m in modules for key in m._later_keys}


def join(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)
