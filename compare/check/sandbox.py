"""A homework in a process of its own, as the checking process sees it.

Each request has to finish before the homework's time is used up. When it does not, or when the
process ends by itself, the process and all that it started are killed, and an exception says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np

from compare.check.notebook import NotebookError
from compare.check.return_values import CallResult, restore
from compare.check.source import read_source

# The limits of a homework, if no others are given.
TIMEOUT_S = 30.0
MEMORY_MB = 2048
# The part of the time that importing a homework may take: the rest is left for its definitions.
IMPORT_PART = 1 / 3
# The time that Python and NumPy may take to start, on a very busy machine.
START_S = 120.0
# The last characters of its output that are kept.
OUTPUT_CHARACTERS = 20_000
# How often a reader looks whether it has been stopped, and how long it then waits for output.
WAKE_S, LAST_OUTPUT_S = 0.1, 1.0
ROOT = Path(__file__).resolve().parents[2]


class HomeworkHandle(Protocol):
    """Takes requests for a homework: :class:`Sandbox`, or a ``Homework`` in this process."""

    def request(
        self,
        action: str,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        description: str = "",
        **details: Any,
    ) -> CallResult:
        """Carry out one request (see :meth:`compare.check.homework.Homework.request`)."""

    def restart(self) -> None:
        """Begin again, with nothing loaded."""


class ProcessEndedError(Exception):
    """The homework's process has ended; the message says why."""


class Sandbox:
    """Runs a homework in a process; a context manager, which starts and ends the process.

    Attributes:
        printed_characters: The number of characters that the homework has printed.

    Args:
        file: The homework.
        timeout_s: The time for all requests together.
        memory_mb: The limit of its address space.
    """

    def __init__(
        self, file: Path, timeout_s: float = TIMEOUT_S, memory_mb: int = MEMORY_MB
    ) -> None:
        self._file, self._memory_mb = file.resolve(), memory_mb
        self._timeout_s = self._left_s = timeout_s
        self._count, self._ready = 0, False
        self._printed, self._partial_line = bytearray(), bytearray()
        self.printed_characters = 0

    def __enter__(self) -> Sandbox:
        self._folder = Path(tempfile.mkdtemp(prefix="nncompare-"))
        self._start()
        return self

    def restart(self) -> None:
        """Kill the process and start another, for which the rest of the time is left."""
        self._close()
        self._start()

    def _start(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._partial_line.clear()
        self._ready = False
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "compare.check.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._file.parent,
            env={
                **os.environ,
                **threads,
                "PYTHONPATH": path,
                "PYTHONUTF8": "1",
                "MPLBACKEND": "Agg",
            },
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = (
            PipeReader(self._process.stdout, self._take_lines),
            PipeReader(self._process.stderr, self._take_output),
        )
        for reader in self._readers:
            reader.start()
        settings = {"folder": str(self._folder), "file": str(self._file)}
        self._send({**settings, "memory_mb": self._memory_mb})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        self._kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def request(
        self,
        action: str,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        description: str = "",
        **details: Any,
    ) -> CallResult:
        """Carry out one request (see :meth:`compare.check.homework.Homework.request`).

        Raises:
            ProcessEndedError: The process has ended or had to be killed.
        """
        subject = description or action
        self._count += 1
        path = None
        if arrays:
            path = self._folder / f"request-{self._count}.npz"
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        if not self._ready:
            self._wait_until_ready()
        limit_s = self._left_s
        if action == "load" and not details.get("definitions_only"):
            limit_s *= IMPORT_PART
        began = time.monotonic()
        sent = self._send(
            {
                "action": action,
                "arrays": path and str(path),
                "description": description,
                "details": details,
                "limit_s": max(limit_s - 0.25, 0.05),
            }
        )
        line = self._next_line(limit_s) if sent else None
        taken_s = time.monotonic() - began
        self._left_s -= taken_s
        if path is not None:
            path.unlink(missing_ok=True)
        if line is None:
            raise ProcessEndedError(self._reason(subject, limit_s, taken_s))
        try:
            return self._unpack(json.loads(line))
        except (ValueError, OSError, KeyError):
            raise ProcessEndedError(f"{subject} disturbed the process that it runs in.") from None

    @property
    def printed(self) -> str:
        """The end of what the homework has printed."""
        return bytes(self._printed).decode(errors="replace")[-OUTPUT_CHARACTERS:]

    def _send(self, message: dict[str, Any]) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(message)}\n".encode())
        except OSError:
            return False
        return True

    def _wait_until_ready(self) -> None:
        """Wait for Python and NumPy to start, which does not count as the homework's time."""
        try:
            ready = self._lines.get(timeout=START_S)
        except queue.Empty:
            ready = ""
        if not ready:
            self._kill()
            output = " ".join(self.printed.split())[-300:]
            raise ProcessEndedError(
                f"No process could be started for the homework: {output or 'too slow'}."
            )
        self._ready = True

    def _next_line(self, limit_s: float) -> str | None:
        """The next line of the process; None if it has ended or its time is over."""
        try:
            return self._lines.get(timeout=max(limit_s, 0.01)) or None
        except queue.Empty:
            return None

    def _unpack(self, tree: dict[str, Any]) -> CallResult:
        arrays: dict[str, np.ndarray] = {}
        if tree["arrays"] is not None:
            with np.load(tree["arrays"], allow_pickle=False) as file:
                arrays = dict(file)
            Path(tree["arrays"]).unlink()
        changed = {name: restore(value, arrays).array for name, value in tree["changed"]}
        return CallResult(
            restore(tree["value"], arrays),
            tree["problem"],
            {name: array for name, array in changed.items() if array is not None},
            tree["warnings"],
            tree["details"],
        )

    def _reason(self, subject: str, limit_s: float, taken_s: float) -> str:
        """Why a request has no result."""
        if taken_s >= limit_s - 0.01:
            self._kill()
            where = self._faulty_line()
            over = f"when the time limit of {self._timeout_s:g} s was over"
            if self._left_s > 0.01:
                over = f"after {limit_s:.3g} s of the time limit of {self._timeout_s:g} s"
            return f"{subject} had not returned {over}{where and f'; it was{where}'}."
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._kill()
            return f"{subject} closed the streams of its process."
        self._kill()
        if code >= 0:
            return (
                f"{subject} ended the process with exit status {code}: it should return its result."
            )
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        where = self._faulty_line()
        reason = "; perhaps the machine ran out of memory" if name == "SIGKILL" else ""
        return f"{subject} crashed with {name}{where}{reason}."

    def _faulty_line(self) -> str:
        """The homework's innermost line in the traceback of Python's fault handler."""
        try:
            text = (self._folder / "faults").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        found = re.search(rf'File "{re.escape(str(self._file))}", line (\d+)', text)
        if not found:
            return ""
        try:
            return f" {read_source(self._file).place(int(found[1]))}"
        except (OSError, NotebookError):
            return f" at line {found[1]}"

    def _kill(self) -> None:
        """End the process and all that it started."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self._process.poll() is None:
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(self._process.pid)],
                capture_output=True,
                check=False,
            )
        self._process.wait()
        for reader in self._readers:
            reader.stop()

    def _take_lines(self, data: bytes) -> None:
        self._partial_line += data
        *whole, rest = self._partial_line.split(b"\n")
        self._partial_line = rest
        for line in whole:
            self._lines.put(f"{line.decode(errors='replace')}\n")
        if not data:
            self._lines.put("")

    def _take_output(self, data: bytes) -> None:
        self.printed_characters += len(data.decode(errors="replace"))
        self._printed += data
        del self._printed[: -4 * OUTPUT_CHARACTERS]  # a character has up to four bytes


class PipeReader(threading.Thread):
    """Reads a pipe until it ends or :meth:`stop` is called.

    A process that outlives the homework may hold the other end of the pipe open for ever;
    :meth:`stop` does not wait for it.

    Args:
        pipe: The end to read from; closed by :meth:`stop`.
        take: Called with all data as it arrives, and with ``b""`` at the end.
    """

    def __init__(self, pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._pipe, self._take = pipe, take
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read."""
        with selectors.DefaultSelector() as selector:
            if os.name == "posix":  # elsewhere a selector cannot wait for a pipe
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
        """Read what has been written, then end the thread."""
        self.join(LAST_OUTPUT_S)
        self._stopped.set()
        if os.name == "posix":
            self.join()
        if not self.is_alive():
            self._pipe.close()
