"""Faults of the system, put into one call at a time: a full disk, a short read, no new process.

An operation is done once while its calls are counted, and then once for each call, which fails.
Only calls made by this project's code count, directly or through a library, and each is known by
the function of this project that is nearest to it: its *site*.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import multiprocessing.util
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(f"{ROOT / name}{os.sep}" for name in ("compare", "experiments", "reports"))
WRITES, READS, STARTS, DIES = "failing write", "short read", "failing start", "dying worker"
HALF = 2


def site() -> str | None:
    """``compare/records/atomic.py:write_atomically`` of the nearest frame; None if it is far."""
    frame = sys._getframe(2)
    for _ in range(14):
        if frame is None:
            return None
        if frame.f_code.co_filename.startswith(OURS):
            file = Path(frame.f_code.co_filename).relative_to(ROOT)
            return f"{file.as_posix()}:{frame.f_code.co_name}"
        frame = frame.f_back
    return None


class Faults:
    """Counts the calls of a kind, and lets one of them fail.

    Args:
        kind: WRITES, READS, STARTS or DIES.
        number: Of the call that fails, from 0; None for none.

    Attributes:
        sites: The site of each call, in their order.
    """

    def __init__(self, kind: str, number: int | None = None) -> None:
        self.kind, self.number = kind, number
        self.sites: list[str] = []

    def _due(self, where: str | None) -> bool:
        if where is None:
            return False
        self.sites.append(where)
        return len(self.sites) - 1 == self.number

    def _failing(self, real: Callable[..., Any], code: int) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            if self._due(site()):
                raise OSError(code, os.strerror(code))
            return real(*arguments, **settings)

        return call

    def _dying(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(worker: Any, *arguments: Any, **settings: Any) -> Any:
            if self._due(site()):
                worker._process.kill()
            return real(worker, *arguments, **settings)

        return call

    def _os_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *arguments: Any, **settings: Any) -> int:
            if flags & os.O_CREAT and self._due(site()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(path, flags, *arguments, **settings)

        return call

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
            writing = any(letter in mode for letter in "wax+")
            if str(file).startswith(("/proc", "/sys", "/dev")) or _is_pipe(file):
                return real(file, mode, *arguments, **settings)
            if writing and self.kind == WRITES:
                where = site()
                if self._due(where):
                    if isinstance(file, int):
                        os.close(file)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                opened = real(file, mode, *arguments, **settings)
                return _HalfWritten(opened, lambda: self._due(where)) if where else opened
            opened = real(file, mode, *arguments, **settings)
            if not writing and self.kind == READS and self._due(site()):
                return _shortened(opened, real, mode, arguments, settings)
            return opened

        return call

    @contextlib.contextmanager
    def injected(self) -> Iterator[None]:
        """Count, and fail, while the context lasts."""
        with contextlib.ExitStack() as stack:

            def patch(place: Any, name: str, made: Callable[..., Any]) -> None:
                stack.enter_context(mock.patch.object(place, name, made))

            if self.kind == WRITES:
                patch(os, "open", self._os_open(os.open))
                for name in ("replace", "fsync", "mkdir"):
                    patch(os, name, self._failing(getattr(os, name), errno.ENOSPC))
            if self.kind == STARTS:
                start = self._failing(subprocess.Popen.__init__, errno.EAGAIN)
                patch(subprocess.Popen, "__init__", lambda *a, **s: start(*a, **s))
                spawn = multiprocessing.util.spawnv_passfds
                patch(multiprocessing.util, "spawnv_passfds", self._failing(spawn, errno.EAGAIN))
            elif self.kind == DIES:
                from compare.check.child_process import ChildProcess
                from compare.check.sandbox import Sandbox

                for place, name in ((ChildProcess, "receive"), (Sandbox, "request")):
                    patch(place, name, self._dying(getattr(place, name)))
            else:
                opening = self._open(io.open)
                patch(io, "open", opening)
                patch(builtins, "open", opening)
            yield


def _is_pipe(file: Any) -> bool:
    return isinstance(file, int) and stat.S_ISFIFO(os.fstat(file).st_mode)


class _HalfWritten:
    """A file of which a write may find the disk full, when half of it has been written."""

    def __init__(self, file: Any, due: Callable[[], bool]) -> None:
        self._file, self._due = file, due

    def write(self, content: Any) -> int:
        if self._due():
            self._file.write(content[: len(content) // HALF])
            self._file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written: int = self._file.write(content)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _HalfWritten:
        self._file.__enter__()
        return self

    def __exit__(self, *ended: Any) -> Any:
        return self._file.__exit__(*ended)

    def __iter__(self) -> Any:
        return iter(self._file)


def _shortened(opened: Any, real: Any, mode: str, arguments: Any, settings: Any) -> Any:
    """A file with the first half of what another has."""
    with opened:
        content = opened.read()
    half = content[: len(content) // HALF]
    file = tempfile.TemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)  # noqa: SIM115
    file.write(half if isinstance(half, bytes) else half.encode("utf-8"))
    file.seek(0)
    handle = os.dup(file.fileno())
    file.close()
    return real(handle, mode, *arguments, **settings)
