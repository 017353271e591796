"""Reading what a process writes, without waiting for whoever inherited its streams."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from typing import IO

WAKE_S = 0.1
# How long what was written last may take to arrive when the process has ended.
LAST_S = 1.0


class Drain(threading.Thread):
    """Reads a pipe until it ends or is told to stop.

    Args:
        pipe: The end to read from; closed by :meth:`stop`.
        take: Is given whatever arrives, and ``b""`` at the end.
    """

    def __init__(self, pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._pipe, self._take = pipe, take
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read."""
        with selectors.DefaultSelector() as selector:
            if os.name == "posix":  # elsewhere a pipe cannot be waited for
                selector.register(self._pipe, selectors.EVENT_READ)
            while not self._stopped.is_set():
                if os.name == "posix" and not selector.select(WAKE_S):
                    continue
                data = os.read(self._pipe.fileno(), 65536)
                if not data:
                    break
                self._take(data)
        self._take(b"")

    def stop(self) -> None:
        """Read what there is, then end, even if a process out of reach still holds the pipe."""
        self.join(LAST_S)
        self._stopped.set()
        if os.name == "posix":
            self.join()
        if not self.is_alive():
            self._pipe.close()
