"""One sentence for whatever a homework raised, with the line where it did."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

LONGEST = 300


def blame(error: BaseException, what: str, file: Path | None, memory_mb: int | None = None) -> str:
    """Say what went wrong in one sentence.

    Args:
        error: What was raised.
        what: What was being done: ``gradients(params, x, y)``.
        file: The homework; lines in it or in files beside it are named.
        memory_mb: The memory limit, where there is one.
    """
    where = _place(error, file)
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        return f"{what} called sys.exit({code}){where}: it should return its result instead."
    if isinstance(error, MemoryError):
        limit = f" of {memory_mb} MB" if memory_mb else ""
        return f"{what} needed more memory than the limit{limit} allows{where}."
    if isinstance(error, KeyboardInterrupt):
        return f"{what} raised KeyboardInterrupt{where}."
    if isinstance(error, RecursionError):
        return f"{what} calls itself without end{where}: maximum recursion depth exceeded."
    if isinstance(error, EOFError):
        return f"{what} reads the keyboard{where}: there is nobody to type; remove input()."
    if isinstance(error, SyntaxError):
        name = Path(error.filename or file or "the code").name
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{name}{line}: {error.msg}; Python cannot read the file."
    if isinstance(error, ImportError) and error.name:
        return f"{what} needs the module {error.name!r}, which cannot be imported{where}: {error}."
    try:
        message = " ".join(str(error).split())
    except Exception:  # a broken __str__ of the homework's own
        message = ""
    message = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
    if len(message) > LONGEST:
        message = f"{message[: LONGEST - 1]}…"
    return f"{what} raised {type(error).__name__}{where}{': ' if message else ''}{message}."


def _place(error: BaseException, file: Path | None) -> str:
    """The last line of the homework on the way to the error."""
    ours = os.path.dirname(__file__) + os.sep
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)
    ]
    if file is None:
        return f" at line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    folder = str(file.parent) + os.sep
    for frame in reversed(frames):
        if frame.filename == str(file):
            return f" at line {frame.lineno}"
        if frame.filename.startswith(folder) and "site-packages" not in frame.filename:
            return f" at line {frame.lineno} of {os.path.relpath(frame.filename, folder)}"
    return ""
