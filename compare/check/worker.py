"""The process that a homework runs in: ``python -m compare.check.worker``.

It reads one request a line and answers each with one line; arrays travel in files beside. What
the homework prints goes elsewhere, and what it reads is empty. This keeps accidents away from
the program that checks; it is no wall against an attacker, who runs with the same rights.
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
from compare.check.values import Reply, Value, flatten


def main() -> None:
    """Serve until the input ends."""
    requests, replies = _take_over_streams()
    settings = json.loads(requests.readline())
    folder = Path(settings["folder"])
    faults = (folder / "faults").open("w", encoding="utf-8")
    faulthandler.enable(faults)
    limit_memory(settings["memory_mb"])
    homework = Homework(file=Path(settings["file"]), memory_mb=settings["memory_mb"])
    _leave_no_names_behind()
    replies.write("\n")  # ready: from now on it is the homework's time
    replies.flush()
    for number, line in enumerate(requests):
        request = json.loads(line)
        arrays = _read(request["arrays"])
        faulthandler.dump_traceback_later(request["limit_s"], file=faults)
        reply = homework.ask(request["what"], arrays, **request["details"])
        faulthandler.cancel_dump_traceback_later()
        _flush()
        replies.write(_packed(reply, folder / f"reply-{number}.npz"))
        replies.write("\n")
        replies.flush()


def limit_memory(megabytes: int) -> None:
    """Bound the address space, where the system can (Linux; macOS and Windows cannot)."""
    try:
        import resource
    except ImportError:
        return
    bound = megabytes * 2**20
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        return


def _take_over_streams() -> tuple[io.TextIOBase, io.TextIOBase]:
    """Keep stdin and stdout for the requests; the homework has an empty one and stderr."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    return requests, replies


def _leave_no_names_behind() -> None:
    """A homework may have modules named like ours: it imports its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "compare":
            del sys.modules[name]


def _read(path: str | None) -> dict[str, np.ndarray]:
    if path is None:
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _packed(reply: Reply, path: Path) -> str:
    arrays: list[np.ndarray] = []
    tree: dict[str, Any] = {
        "problem": reply.problem,
        "value": flatten(reply.value, arrays),
        "changed": [
            [name, flatten(Value("array", "ndarray", array), arrays)]
            for name, array in reply.changed.items()
        ],
        "warnings": reply.warnings,
        "details": reply.details,
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
