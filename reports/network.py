"""What the network is made of, read from its recorded source and its recorded parameters."""

from __future__ import annotations

import ast
from typing import NamedTuple

from compare.records import ParityRow, Run, RunRecord
from reports.parity_grid import site_of


def module_kinds(source: str) -> list[str]:
    """The classes that an architecture function takes from its namespace, in order of appearance.

    ``def net(nn): return nn.Sequential(nn.Linear(2, 1))`` gives Sequential and Linear.
    """
    try:
        function = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))
    except (SyntaxError, StopIteration):
        return []
    if not function.args.args:
        return []
    namespace = function.args.args[0].arg
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    found = [
        (node.func.lineno, node.func.col_offset, node.func.attr)
        for node in calls
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == namespace
    ]
    return list(dict.fromkeys(name for _, _, name in sorted(found)))


def class_defaults(source: str) -> dict[str, object]:
    """The literal defaults of the first constructor in a source, by argument name."""
    try:
        nodes = ast.walk(ast.parse(source))
    except SyntaxError:
        return {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            named = node.args.args[-len(node.args.defaults) :] if node.args.defaults else []
            pairs = zip(named, node.args.defaults, strict=True)
            return {a.arg: d.value for a, d in pairs if isinstance(d, ast.Constant)}
    return {}


class Module(NamedTuple):
    """A module of the network: its name in the state_dict and its parameters' shapes."""

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]


def module_names(rows: list[ParityRow]) -> list[str]:
    """The names of all modules in the order in which they compute, the loss left out."""
    sites = [site_of(row) for row in rows]
    names = dict.fromkeys(site.module for site in sites if site.part == "forward")
    return [name for name in names if name not in ("", "loss")]


def architecture_source(run: Run) -> str:
    """The recorded source of the architecture function: the first that is recorded."""
    return next(iter(run.record.sources.values()), "")


# A source that is worth showing only where the run uses what it defines.
USED_FOR = {"batchnorm": "BatchNorm", "adam": "Adam"}


def used_sources(record: RunRecord) -> list[tuple[str, str]]:
    """(name, source) of the recorded sources, without layers and optimizers that are not used."""
    recorded = list(record.sources.items())
    kinds = module_kinds(recorded[0][1]) if recorded else []
    used = kinds + [settings.algorithm for settings in record.experiment.optimizers.values()]

    def belongs(name: str) -> bool:
        wanted = [kind for part, kind in USED_FOR.items() if f"/{part}.py" in name]
        return not wanted or any(kind.startswith(wanted[0]) for kind in used)

    return [(name, source) for name, source in recorded if belongs(name)]
