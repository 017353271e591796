"""A lock that one living process holds on a folder, and no dead one.

The system keeps it, on an open file: however the process ends, kill -9 included, the lock is free
again. That the file is there says nothing; a killed process leaves it behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

LOCK = "run.lock"
_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class FolderLock:
    """The lock of a folder, which has to exist before the lock is taken.

    A file system without locks (some of those that are reached over a network) gives it to
    everyone who asks.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._handle: int | None = None

    @property
    def is_mine(self) -> bool:
        """Whether this object holds it."""
        return self._handle is not None

    def take(self) -> bool:
        """Take the lock; False where another process, or another object of this one, has it.

        Raises:
            OSError: The file cannot be made.
        """
        while self._handle is None:
            handle = os.open(self.path, _FLAGS | os.O_CREAT, 0o666)
            if not _locked(handle):
                os.close(handle)
                return False
            if self._is_still(handle):
                self._handle = handle
                with contextlib.suppress(OSError):  # for people; a full disk has no room for it
                    os.ftruncate(handle, 0)
                    os.write(handle, f"{os.getpid()}\n".encode())
            else:  # its last holder removed the file between the two calls
                os.close(handle)
        return True

    def is_taken(self) -> bool:
        """Whether somebody else holds it."""
        if self.is_mine:
            return False
        try:
            handle = os.open(self.path, _FLAGS)
        except OSError:
            return False
        try:
            return not _locked(handle)
        finally:
            os.close(handle)

    def holder(self) -> str:
        """``process 123``, or ``another process`` where the file does not say which."""
        try:
            text = self.path.read_bytes()[:32].decode("ascii", "replace").strip()
        except OSError:
            text = ""
        return f"process {text}" if text.isdigit() else "another process"

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with contextlib.suppress(OSError):
            if sys.platform == "win32":  # an open file cannot be removed there
                os.close(handle)
                self.path.unlink()
                return
            if self._is_still(handle):
                self.path.unlink()
        with contextlib.suppress(OSError):
            os.close(handle)

    def _is_still(self, handle: int) -> bool:
        """Whether the path names the open file."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except OSError:
            return False


def _locked(handle: int) -> bool:
    """Lock an open file without waiting; False where it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 1 << 20, os.SEEK_SET)  # a locked byte cannot be read; the number is before
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
