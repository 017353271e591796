"""Which module and parameter of one trace is which of the other: by name, then by order and shape.

The mapping can be written to a JSON file, edited by a person, and read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import torch

from compare.records.atomic import write_atomically
from compare.records.validation import readable_tree
from compare.trace.format import ModuleEntry, Trace
from experiments.errors import InputError
from experiments.files import read_text

FORMAT, VERSION = "nncompare map", 1
# What wrappers put before the names of the model in them.
PREFIXES = ("module.", "_orig_mod.", "model.")

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ParameterName:
    """A parameter of the second trace, and whether it holds the transpose."""

    name: str
    transposed: bool = False


@dataclass
class NameMap:
    """Names of the first trace → names of the second.

    Attributes:
        modules: Of modules.
        parameters: Of parameters and buffers, where both modules have them.
        by_order: Modules that were matched by order, class and shape, their names being different.
    """

    modules: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, ParameterName] = field(default_factory=dict)
    by_order: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """As a file that :func:`read_map` reads."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "modules": self.modules,
            "parameters": {
                a: {"name": b.name, "transposed": b.transposed} for a, b in self.parameters.items()
            },
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_map(path: Path, names: NameMap) -> None:
    """Write a mapping for a person to edit."""
    write_atomically(path, names.to_json())


def read_map(path: Path) -> NameMap:
    """Read a mapping.

    Raises:
        InputError: It is missing, or not as it should be.
    """
    try:
        content = readable_tree(json.loads(read_text(path)))
    except RecursionError:
        raise InputError(f"{path} could not be read: its values are nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} could not be read: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: expected the key format to be {FORMAT!r}.")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path}: expected version {VERSION}, but found {content.get('version')!r}."
        )
    modules, parameters = content.get("modules", {}), content.get("parameters", {})
    if not isinstance(modules, dict) or not all(isinstance(v, str) for v in modules.values()):
        raise InputError(f"{path}: expected modules to be an object of names.")
    if not isinstance(parameters, dict):
        raise InputError(f"{path}: expected parameters to be an object.")
    return NameMap(modules, {a: _parameter(path, a, b) for a, b in parameters.items()})


def _parameter(path: Path, name: str, value: Any) -> ParameterName:
    if isinstance(value, str):
        return ParameterName(value)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise InputError(
            f"{path}: parameters.{name}: expected a name, or an object with name and transposed."
        )
    return ParameterName(value["name"], value.get("transposed") is True)


def checked_map(names: NameMap, a: Trace, b: Trace, path: Path) -> NameMap:
    """A mapping completed by what it does not say.

    Raises:
        InputError: It names a module that a trace does not have.
    """
    for one, other in names.modules.items():
        for trace, name in ((a, one), (b, other)):
            if name not in trace.modules:
                raise InputError(f"{path}: modules: {trace.path} has no module {name!r}.")
    return propose(a, b, names)


def propose(a: Trace, b: Trace, given: NameMap | None = None) -> NameMap:
    """Match what can be matched.

    Args:
        a: The first trace.
        b: The second.
        given: What a person has said already.
    """
    found = NameMap(dict(given.modules) if given else {})
    _by_name(a, b, found)
    kinds: list[Callable[[Trace, ModuleEntry], Any]] = [
        lambda trace, m: (m.short, shapes(trace, m)),
        lambda trace, m: shapes(trace, m) or None,
    ]
    for signature in kinds:
        _by_order(a, b, found, signature)
    for one, other in found.modules.items():
        _match_parameters(a, a.modules[one], b, b.modules[other], found)
    if given:
        found.parameters |= given.parameters
    return found


def _in_order(trace: Trace) -> list[ModuleEntry]:
    """Modules in the order of their first calls, then those that were not called."""
    called = dict.fromkeys(call.module for call in trace.index.calls)
    names = [*called, *(name for name in trace.modules if name not in called)]
    return [trace.modules[name] for name in names]


def shapes(trace: Trace, module: ModuleEntry) -> Shapes:
    """The shapes of the module's parameters, each with its axes sorted, in order."""
    names = [f"step/{_first_step(trace)}/parameter/{full}" for full in module.parameters.values()]
    return tuple(sorted(tuple(sorted(trace.tensor(n).shape)) for n in names if n in trace))


def _first_step(trace: Trace) -> int:
    return min((step.number for step in trace.index.steps), default=0)


def _by_name(a: Trace, b: Trace, found: NameMap) -> None:
    taken = set(found.modules.values())
    names = {_without_prefix(name, b): name for name in b.modules}
    ours = {name: _without_prefix(name, a) for name in a.modules}
    all_alike = set(names) == set(ours.values())
    for name, plain in ours.items():
        other = names.get(plain)
        if name in found.modules or other is None or other in taken:
            continue
        if all_alike or _compatible(a, a.modules[name], b, b.modules[other]):
            found.modules[name] = other


def _without_prefix(name: str, trace: Trace) -> str:
    for prefix in PREFIXES:
        if name and all(m.startswith(prefix) for m in trace.modules if "." in m):
            name = name.removeprefix(prefix)
    return name


def _compatible(a: Trace, one: ModuleEntry, b: Trace, other: ModuleEntry) -> bool:
    if not one.name and not other.name:
        return True
    if shapes(a, one) != shapes(b, other):
        return False
    return bool(shapes(a, one)) or one.short == other.short or one.container or other.container


def _by_order(
    a: Trace, b: Trace, found: NameMap, signature: Callable[[Trace, ModuleEntry], Any]
) -> None:
    taken = set(found.modules.values())
    ours = [m for m in _in_order(a) if m.name not in found.modules and signature(a, m)]
    theirs = [m for m in _in_order(b) if m.name not in taken and signature(b, m)]
    matcher = SequenceMatcher(
        None,
        [signature(a, m) for m in ours],
        [signature(b, m) for m in theirs],
        autojunk=False,
    )
    for block in matcher.get_matching_blocks():
        for k in range(block.size):
            found.modules[ours[block.a + k].name] = theirs[block.b + k].name
            found.by_order.append(ours[block.a + k].name)


def _match_parameters(
    a: Trace, one: ModuleEntry, b: Trace, other: ModuleEntry, found: NameMap
) -> None:
    for word in ("parameter", "buffer"):
        ours = dict(one.parameters if word == "parameter" else one.buffers)
        theirs = dict(other.parameters if word == "parameter" else other.buffers)
        pairs = [(ours.pop(n), theirs.pop(n)) for n in list(ours) if n in theirs]
        for full in ours.values():
            near = _first_alike(a, full, b, theirs.values(), word)
            if near is not None:
                pairs.append((full, near))
                theirs = {k: v for k, v in theirs.items() if v != near}
        for full, match in pairs:
            x, y = _shape(a, full, word), _shape(b, match, word)
            transposed = x != y and x is not None and y == x[::-1]
            found.parameters[full] = ParameterName(match, transposed)


def _shape(trace: Trace, full: str, word: str) -> tuple[int, ...] | None:
    name = f"step/{_first_step(trace)}/{word}/{full}"
    return tuple(trace.tensor(name).shape) if name in trace else None


def _first_alike(a: Trace, full: str, b: Trace, candidates: Iterable[str], word: str) -> str | None:
    shape = _shape(a, full, word)
    if shape is None:
        return None
    return next((c for c in candidates if _shape(b, c, word) in (shape, shape[::-1])), None)


def taken_over(tensor: torch.Tensor, name: ParameterName) -> torch.Tensor:
    """A parameter of the second trace as the first would hold it."""
    return tensor.t().contiguous() if name.transposed and tensor.dim() == 2 else tensor
