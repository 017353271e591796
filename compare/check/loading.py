"""A file run as a module: whole or its definitions only, and in its package if it needs that.

A file with relative imports (``from ..layers import *``) is run under its dotted name, below the
topmost folder that belongs to its package.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from compare.check.definitions import Definitions
from compare.check.source import Source, read_source


def run_homework(source: Source, tree: ast.Module, definitions: Definitions | None) -> ModuleType:
    """Run a homework as a module, in its package if it has relative imports.

    Args:
        source: The homework.
        tree: Its syntax tree.
        definitions: What executes its definitions only; None to execute everything.
    """
    folders = package_folders(source.path, _dots(tree))
    own, above = str(source.path.parent), str(folders[0].parent) if folders else ""
    if not _dots(tree):
        sys.path.insert(0, own)
        if folders:
            sys.path.append(above)
        return run_file(source, tree, definitions=definitions)
    sys.path[:0] = [above]
    sys.path.append(own)
    names = [folder.name for folder in folders]
    whole = all((folder / "__init__.py").is_file() for folder in folders)
    if definitions is None and whole and names[0] not in sys.modules:
        return importlib.import_module(".".join([*names, source.path.stem]))
    packages = _make_packages(folders)
    package = packages[-1].__name__
    if definitions is None:
        for module in packages:
            if module.__spec__ is not None and module.__spec__.loader is not None:
                module.__spec__.loader.exec_module(module)
        imported = sys.modules.get(f"{package}.{source.path.stem}")
        return imported or run_file(source, tree, package)
    module = _make_module(source.path, f"{package}.{source.path.stem}")
    for one in packages:
        if getattr(one, "__file__", None):
            definitions.run(read_source(Path(str(one.__file__))), one)
    definitions.run(source, module)
    return module


def run_file(
    source: Source,
    tree: ast.Module,
    package: str = "",
    *,
    names: Mapping[str, Any] | None = None,
    definitions: Definitions | None = None,
) -> ModuleType:
    """Run a file as a module named like the file.

    Args:
        source: The file.
        tree: Its syntax tree.
        package: The package that it is a module of, if any.
        names: Names that are defined before it runs.
        definitions: What executes its definitions only; None to execute everything.
    """
    name = f"{package}.{source.path.stem}" if package else _free(source.path.stem)
    module = _make_module(source.path, name)
    vars(module).update(names or {})
    if definitions is None:
        exec(compile(tree, str(source.path), "exec", dont_inherit=True), vars(module))
    else:
        definitions.run(source, module)
    return module


def package_folders(path: Path, dots: int) -> list[Path]:
    """The folders of the packages that a file is in, the topmost first.

    Args:
        path: The file.
        dots: How many dots its relative imports have at most; without ``__init__.py`` so many
            folders are packages.
    """
    found: list[Path] = []
    for folder in path.parents:
        if folder == folder.parent or (
            len(found) >= dots and not (folder / "__init__.py").is_file()
        ):
            break
        found.insert(0, folder)
    return found


def _dots(tree: ast.Module) -> int:
    """The most dots that a relative import of a file has; 0 if it has none."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return max((node.level for node in imports), default=0)


def _make_packages(folders: list[Path]) -> list[ModuleType]:
    """A module for each folder, one inside the other, with nothing executed yet."""
    made: list[ModuleType] = []
    for folder in folders:
        part = folder.name.replace(".", "_")
        name = f"{made[-1].__name__}.{part}" if made else _free(part)
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        if (folder / "__init__.py").is_file():
            found = importlib.util.spec_from_file_location(name, folder / "__init__.py")
            assert found is not None
            spec = found
        spec.submodule_search_locations = [str(folder)]
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        if made:
            setattr(made[-1], part, module)
        made.append(module)
    return made


def _make_module(path: Path, name: str) -> ModuleType:
    """A module with nothing executed yet, where imports and dataclasses look for it."""
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    return module


def _free(name: str) -> str:
    """The name, with underscores before it while a module has it."""
    while name in sys.modules:
        name = f"_{name}"
    return name
