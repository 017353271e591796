"""The process of a homework: ``python -m compare.check.worker``, started by :mod:`sandbox`.

It reads requests from its standard input and writes an answer to each to its standard output, in
the form of :mod:`compare.check.messages`. The homework itself sees an empty standard input, and
what it prints goes to standard error. Before it is loaded the process gives up what a homework does
not need; what it sees of the machine is decided outside (:mod:`compare.check.isolation`).
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from compare.check import foreign_modules, limits, messages
from compare.check.homework import Homework


def main() -> None:
    """Answer requests until the input ends."""
    limits.end_with_parent()
    requests, results = _take_over_streams()
    first = messages.read_request(requests)
    if first is None:
        return
    settings, _ = first
    place = settings["faults"]
    faults = os.open(place, os.O_WRONLY) if isinstance(place, str) else place
    faulthandler.enable(faults)
    _give_up(settings)
    homework = Homework(file=Path(settings["file"]), memory_mb=settings["memory_mb"])
    read_request, write_answer = messages.read_request, messages.write_answer

    def send(message: bytes) -> None:
        results.write(message)
        results.flush()

    _keep_away(settings, send)
    send(messages.frame(messages.READY, {}))  # the homework's time begins
    while (request := read_request(requests)) is not None:
        tree, arrays = request
        faulthandler.dump_traceback_later(tree["limit_s"], file=faults)
        action, subject = tree["action"], tree["description"] or tree["action"]
        result = homework.request(
            action, arrays, description=tree["description"], **tree["details"]
        )
        faulthandler.cancel_dump_traceback_later()
        _flush()
        send(write_answer(tree["number"], result, subject, settings["most_bytes"]))


def _give_up(settings: dict[str, Any]) -> None:
    """Limit memory; unless isolation is off, also time, files and processes, and lose rights."""
    limits.limit_memory(settings["memory_mb"])
    if settings["locked"]:
        limits.limit_resources(settings["cpu_s"], settings["processes"])
        if limits.gain_no_rights():
            limits.refuse_system_calls()


def _keep_away(settings: dict[str, Any], send: Any) -> None:
    """Let a homework import none of the modules that would write its answers.

    It may have a module of its own with the name of this project's.
    """
    report, name_of = messages.FORBIDDEN, messages.frame
    for name in list(sys.modules):
        if name.partition(".")[0] in foreign_modules.OWN:
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path != settings["own_path"]]
    sys.meta_path.insert(0, foreign_modules.OwnModulesOnly(settings["forbidden"]))
    foreign_modules.watch_files(
        settings["forbidden"],
        settings["places"],
        lambda name: send(name_of(report, {"name": name})),
    )


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for messages; give the homework an empty stdin, and stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    results = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    return requests, results


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


if __name__ == "__main__":
    main()
