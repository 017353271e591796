"""Checking a homework without a process of its own, for tests in which the process plays no part.

A process takes half a second to start. What it adds (limits of time and memory, crashes, output
kept apart, arrays sent through files) is tested by the tests that do start one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compare.check.checking import check_file
from compare.check.homework import Homework
from compare.check.reading import Options
from compare.check.result import Outcome


def check_in_process(file: Path, options: Options | None = None) -> Outcome:
    """Check a file by the same requests as in a sandbox, answered in this process."""
    file = Path(file)
    options = options or Options()
    with _unchanged_interpreter(file.resolve().parent):
        homework = Homework(file=file.resolve(), memory_mb=options.memory_mb)
        return check_file(homework, file.name, options)


@contextmanager
def _unchanged_interpreter(folder: Path) -> Iterator[None]:
    """Undo what loading a homework changes: the path, modules from its folder, NumPy's draws."""
    path, bytecode, draws = list(sys.path), sys.dont_write_bytecode, np.random.get_state()  # noqa: NPY002
    modules = set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = bytecode
        np.random.set_state(draws)  # noqa: NPY002
        for name in set(sys.modules) - modules:
            source = getattr(sys.modules[name], "__file__", None)
            if source and Path(source).parent == folder:
                del sys.modules[name]
