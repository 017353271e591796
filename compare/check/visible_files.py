"""Which files a homework needs: those that it imports from beside it, and those that it names.

An isolated homework sees no folder of other people's work. It sees its own file; the modules and
packages beside it that it imports, and what they import; and files and folders below its own folder
that a text in its code names, such as ``np.load("data/mnist.npz")``. Other homeworks never belong
to them, nor does anything that a link leads out of the folder.
"""

from __future__ import annotations

import ast
import importlib.machinery
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from compare.check.notebook import NotebookError
from compare.check.source import read_source

# The endings of modules, compiled ones too.
ENDINGS = (*importlib.machinery.EXTENSION_SUFFIXES, ".py", ".pyc")
# What a text that names a file is at most, and how many files are looked into.
LONGEST_NAME = 200
MOST_FILES = 500
# The functions whose first argument is the name of a module.
IMPORTERS = ("import_module", "__import__")
# How many folders above its own are searched for what it imports, where it changes sys.path.
MOST_ABOVE = 3


def visible_files(file: Path, others: Collection[Path] = ()) -> list[Path]:
    """The files and folders that a homework needs, its own file the first.

    Args:
        file: The homework, an absolute path without links.
        others: Other homeworks, files or folders.
    """
    search = _Search(file, {Path(os.path.realpath(one)) for one in others})
    search.look_into(file)
    return list(search.found)


class _Search:
    def __init__(self, file: Path, others: Collection[Path]) -> None:
        self._others = others
        self._top = self._folder = file.parent
        while (self._top / "__init__.py").is_file() and self._top != self._top.parent:
            self._top = self._top.parent
        self.found: dict[Path, None] = {file: None}
        self._looked_into: set[Path] = set()

    def look_into(self, file: Path) -> None:
        """Add what a file needs, and what those files need."""
        waiting = [file]
        while waiting and len(self._looked_into) < MOST_FILES:
            path = waiting.pop()
            if path in self._looked_into:
                continue
            self._looked_into.add(path)
            try:
                tree = read_source(path).parse()
            except (OSError, SyntaxError, ValueError, NotebookError, RecursionError, MemoryError):
                continue
            waiting += self._initialisers(path)
            for found in (*self._imported(path, tree), *self._named(path, tree)):
                if self._add(found):
                    waiting += self._sources(found)

    def _add(self, path: Path) -> bool:
        """Add a file or folder, unless it is another homework or outside; whether it is new."""
        real = Path(os.path.realpath(path))
        inside = any(real.is_relative_to(root) for root in self._roots())
        if real != path or not inside or path in self.found or not path.exists():
            return False
        if any(real == other or real.is_relative_to(other) for other in self._others):
            return False
        if path.is_dir() and any(self._folder.is_relative_to(one) for one in (path, real)):
            return False  # it holds the homework, and who knows what else
        self.found[path] = None
        return True

    def _roots(self) -> Iterator[Path]:
        """The folders that needed files may be in: the homework's, its packages', some above."""
        yield self._folder
        folder = self._folder
        for _ in range(MOST_ABOVE):
            folder = folder.parent
            if folder == folder.parent:
                return
            yield folder

    def _initialisers(self, path: Path) -> list[Path]:
        """The ``__init__.py`` of the packages that a file is in."""
        found, folder = [], path.parent
        while (folder / "__init__.py").is_file() and folder != folder.parent:
            if self._add(folder / "__init__.py"):
                found.append(folder / "__init__.py")
            folder = folder.parent
        return found

    def _sources(self, path: Path) -> list[Path]:
        """The Python files in what was added."""
        if path.is_dir():
            return sorted(path.rglob("*.py"))[:MOST_FILES]
        return [path] if path.suffix == ".py" else []

    def _imported(self, path: Path, tree: ast.Module) -> Iterator[Path]:
        """The files and packages beside it, or above it, that a file imports."""
        above = any(
            isinstance(node, ast.Attribute)
            and node.attr == "path"
            and getattr(node.value, "id", "") == "sys"
            for node in ast.walk(tree)
        )
        for dots, name in _modules(tree):
            parts = name.split(".") if name else []
            folders = [path.parent, self._folder, self._top]
            if dots:
                folder = path.parent
                for _ in range(dots - 1):
                    folder = folder.parent
                folders = [folder]
            elif above:
                folders += [f for f in self._roots() if f not in folders]
            for folder in dict.fromkeys(folders):
                found = list(_module_files(folder, parts))
                yield from found
                if found:
                    break

    def _named(self, path: Path, tree: ast.Module) -> Iterator[Path]:
        """The files and folders below its own folder that a text in a file names."""
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            text = node.value
            if not text.strip("./") or len(text) > LONGEST_NAME or not text.isprintable():
                continue
            for folder in dict.fromkeys((self._folder, path.parent)):
                found = Path(os.path.normpath(folder / text))
                if not found.is_relative_to(folder) or found == folder:
                    continue
                if found.suffix in (".py", ".ipynb") or not found.exists():
                    continue
                yield found


def _modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The dots and the name of each module that code imports, or may import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield node.level, base
            for alias in node.names:
                yield node.level, f"{base}.{alias.name}" if base else alias.name
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            first = node.args[0]
            if name in IMPORTERS and isinstance(first, ast.Constant):
                text = str(first.value)
                yield 0, text.lstrip(".")


def _module_files(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files of a module below a folder; a package without the homework is taken whole."""
    for place, part in enumerate(parts):
        if not part.isidentifier():
            return
        if (folder / part).is_dir():
            yield folder / part
            if place == len(parts) - 1:
                yield folder / part / "__init__.py"
            folder = folder / part
            continue
        for ending in ENDINGS:
            if (folder / f"{part}{ending}").is_file():
                yield folder / f"{part}{ending}"
        return
