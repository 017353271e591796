"""The process of a homework: ``python -m compare.check.worker``, started by :mod:`sandbox`.

It reads one request per line from its standard input and writes one line of JSON for each to its
standard output; arrays travel in files. The homework itself sees an empty standard input, and
what it prints goes to standard error. This protects the checking process from accidents, not from
an attacker: the homework has the rights of the person who runs the check.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from compare.check.homework import Homework
from compare.check.return_values import CallResult, ReturnValue, flatten


def main() -> None:
    """Answer requests until the input ends."""
    requests, results = _take_over_streams()
    settings = json.loads(requests.readline())
    folder = Path(settings["folder"])
    faults = (folder / "faults").open("w", encoding="utf-8")
    faulthandler.enable(faults)
    limit_memory(settings["memory_mb"])
    homework = Homework(file=Path(settings["file"]), memory_mb=settings["memory_mb"])
    _forget_own_modules()
    results.write("\n")  # ready: the homework's time begins
    results.flush()
    for number, line in enumerate(requests):
        request = json.loads(line)
        arrays = _read(request["arrays"])
        faulthandler.dump_traceback_later(request["limit_s"], file=faults)
        result = homework.request(
            request["action"], arrays, description=request["description"], **request["details"]
        )
        faulthandler.cancel_dump_traceback_later()
        _flush()
        results.write(_pack(result, folder / f"result-{number}.npz"))
        results.write("\n")
        results.flush()


def limit_memory(megabytes: int) -> None:
    """Limit the address space, if the system can: Linux does, macOS and Windows do not."""
    try:
        import resource
    except ImportError:
        return
    limit = megabytes * 2**20
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        return


def _take_over_streams() -> tuple[io.TextIOBase, io.TextIOBase]:
    """Keep stdin and stdout for requests; give the homework an empty stdin, and stderr."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    return requests, results


def _forget_own_modules() -> None:
    """Let a homework import a module of its own that is named ``compare``."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "compare":
            del sys.modules[name]


def _read(path: str | None) -> dict[str, np.ndarray]:
    if path is None:
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _pack(result: CallResult, path: Path) -> str:
    """A result as JSON; its arrays are written to ``path``."""
    arrays: list[np.ndarray] = []
    tree: dict[str, Any] = {
        "problem": result.problem,
        "value": flatten(result.value, arrays),
        "changed": [
            [name, flatten(ReturnValue("array", "ndarray", array), arrays)]
            for name, array in result.changed.items()
        ],
        "warnings": result.warnings,
        "details": result.details,
        "arrays": None,
    }
    if arrays:
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **{str(i): a for i, a in enumerate(arrays)})
        tree["arrays"] = str(path)
    return json.dumps(tree)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


if __name__ == "__main__":
    main()
