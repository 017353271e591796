"""The processes of a check, started while this one still imports what it needs itself.

A check needs three processes: this one, the homework's, and one with PyTorch where no golden file
takes its place. Each takes a while to load its libraries. What is imported here is little, so that
the other two load while this one does.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compare.check.child_process import begin, end_begun
from compare.check.isolation import STANDARD, find_isolation
from experiments.errors import InputError

if TYPE_CHECKING:
    from compare.check.sandbox import Sandbox

REFERENCE = "compare.check.reference_process"

_sandboxes: list[Sandbox] = []


def begin_by_arguments(arguments: Sequence[str]) -> None:
    """Start PyTorch's process before a command line is read, where it is sure to be needed.

    That is where it checks a file and names no golden file; it ends with this process, or with
    :func:`early_start`.

    Args:
        arguments: The words after the program's name.
    """
    if arguments[:1] != ["check"]:
        return
    options = [one.partition("=")[0] for one in arguments if one.startswith("-")]
    if any(one in ("--help", "--golden") for one in options):
        return
    if any(one.endswith((".py", ".ipynb")) and Path(one).is_file() for one in arguments[1:]):
        atexit.register(end_begun)
        begin(REFERENCE)


@contextmanager
def early_start(
    file: Path,
    *,
    torch: bool,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    isolation: str = "",
    allow_import: Sequence[str] = (),
    readable: Sequence[Path] = (),
    others: Sequence[Path] = (),
) -> Iterator[None]:
    """Start the processes of a check of ``file``, and end those that nobody takes.

    The homework's process gets its limits and its view when it starts: it is taken by a check with
    the same ones alone (:func:`taken_sandbox`). Nothing is started for what is no file, and what
    cannot be started is left to the check, which says why.

    Args:
        file: The homework.
        torch: Whether PyTorch will be asked.
        timeout_s, memory_mb, isolation, allow_import, readable, others: As for
            :class:`compare.check.sandbox.Sandbox`; None or an empty text for its default.
    """
    with ExitStack() as stack:
        if file.is_file():
            if torch:
                stack.callback(end_begun)
                begin(REFERENCE)
            stack.callback(_end_sandboxes)
            # What separates processes here is tried while the rest is imported.
            trial = threading.Thread(target=_try_isolation, args=(isolation or STANDARD,))
            trial.start()
            with _one_blas_thread():  # to be there when it is needed
                import compare.check.sandbox  # noqa: F401

            trial.join()
            _start_sandbox(file, timeout_s, memory_mb, isolation, allow_import, readable, others)
        yield


def _try_isolation(level: str) -> None:
    with suppress(InputError):  # the check says so
        find_isolation(level)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Have NumPy's BLAS start no threads if it is loaded now.

    They would spin for some 50 ms, on the cores where processes start. Where a check computes with
    large matrices it says how many threads these get (``blas_threads`` of
    :mod:`compare.backends.environment`).
    """
    name = "OPENBLAS_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def _start_sandbox(
    file: Path,
    timeout_s: float | None,
    memory_mb: int | None,
    isolation: str,
    allow_import: Sequence[str],
    readable: Sequence[Path],
    others: Sequence[Path],
) -> None:
    from compare.check.sandbox import MEMORY_MB, TIMEOUT_S, Sandbox

    try:
        sandbox = Sandbox(
            file,
            timeout_s or TIMEOUT_S,
            memory_mb or MEMORY_MB,
            isolation or STANDARD,
            allow_import=allow_import,
            readable=readable,
            others=others,
        )
        sandbox.start()
    except (InputError, KeyError, OSError, ValueError):
        return
    _sandboxes.append(sandbox)


def taken_sandbox(wanted: Sandbox) -> Sandbox:
    """The process that was started early, if it is as ``wanted``; else ``wanted``, not started."""
    if _sandboxes and _sandboxes[-1].arguments == wanted.arguments:
        return _sandboxes.pop()
    return wanted


def _end_sandboxes() -> None:
    while _sandboxes:
        _sandboxes.pop().close()
