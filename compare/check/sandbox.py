"""A homework in a process of its own, seen from the process that checks.

Every request has to be answered before the homework's time is up; then, or when the process
ends by itself, whatever it started is killed and there is one sentence about it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from compare.check.drain import Drain
from compare.check.values import Reply, restore

TIMEOUT_S = 30.0
MEMORY_MB = 2048
# How long Python and NumPy may take to start, on a very busy machine.
START_S = 120.0
# What is kept of what a homework prints.
KEPT_CHARACTERS = 20_000
ROOT = Path(__file__).resolve().parents[2]


class Asked(Protocol):
    """Whatever answers as a homework does: one in this process or one in its own."""

    def ask(
        self, what: str, arrays: Mapping[str, np.ndarray] | None = None, **details: Any
    ) -> Reply:
        """Do one thing with the homework."""


class GoneError(Exception):
    """The homework's process is no more; the sentence says why."""


class Sandbox:
    """Starts the process; to be used in a ``with``, which ends it.

    Args:
        file: The homework.
        timeout_s: How long it may take altogether.
        memory_mb: How much address space it may have.
    """

    def __init__(
        self, file: Path, timeout_s: float = TIMEOUT_S, memory_mb: int = MEMORY_MB
    ) -> None:
        self._file, self._memory_mb = file.resolve(), memory_mb
        self._timeout_s = self._left_s = timeout_s
        self._count = 0
        self._printed, self._reply = bytearray(), bytearray()
        self.printed_characters = 0
        self._replies: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Sandbox:
        self._folder = Path(tempfile.mkdtemp(prefix="nncompare-"))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "compare.check.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._file.parent,
            env={**os.environ, **threads, "PYTHONPATH": path, "PYTHONUTF8": "1"},
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._drains = (
            Drain(self._process.stdout, self._take_reply),
            Drain(self._process.stderr, self._take_print),
        )
        for drain in self._drains:
            drain.start()
        settings = {"folder": str(self._folder), "file": str(self._file)}
        self._send({**settings, "memory_mb": self._memory_mb})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(
        self, what: str, arrays: Mapping[str, np.ndarray] | None = None, **details: Any
    ) -> Reply:
        """Do one thing with the homework (see :class:`compare.check.homework.Homework`).

        Raises:
            GoneError: The process ended or had to be ended.
        """
        said = str(details.get("said", what))
        self._count += 1
        path = None
        if arrays:
            path = self._folder / f"request-{self._count}.npz"
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        if self._count == 1:
            self._wait_until_ready()
        began = time.monotonic()
        sent = self._send(
            {
                "what": what,
                "arrays": path and str(path),
                "details": details,
                "limit_s": max(self._left_s - 0.25, 0.05),
            }
        )
        line = self._next_line() if sent else None
        self._left_s -= time.monotonic() - began
        if path is not None:
            path.unlink(missing_ok=True)
        if line is None:
            raise GoneError(self._obituary(said))
        try:
            return self._unpacked(json.loads(line))
        except (ValueError, OSError, KeyError):
            raise GoneError(f"{said} disturbed the process that it runs in.") from None

    @property
    def printed(self) -> str:
        """What the homework printed last."""
        return bytes(self._printed).decode(errors="replace")[-KEPT_CHARACTERS:]

    def _send(self, message: dict[str, Any]) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(message)}\n".encode())
        except OSError:
            return False
        return True

    def _wait_until_ready(self) -> None:
        """Python and NumPy start on nobody's time."""
        try:
            ready = self._replies.get(timeout=START_S)
        except queue.Empty:
            ready = ""
        if not ready:
            self._kill()
            said = " ".join(self.printed.split())[-300:]
            raise GoneError(f"No process could be started for the homework: {said or 'too slow'}.")

    def _next_line(self) -> str | None:
        """The next reply; None when the process ended or the time did."""
        try:
            return self._replies.get(timeout=max(self._left_s, 0.01)) or None
        except queue.Empty:
            return None

    def _unpacked(self, tree: dict[str, Any]) -> Reply:
        arrays: dict[str, np.ndarray] = {}
        if tree["arrays"] is not None:
            with np.load(tree["arrays"], allow_pickle=False) as file:
                arrays = dict(file)
            Path(tree["arrays"]).unlink()
        changed = {name: restore(value, arrays).array for name, value in tree["changed"]}
        return Reply(
            restore(tree["value"], arrays),
            tree["problem"],
            {name: array for name, array in changed.items() if array is not None},
            tree["warnings"],
            tree["details"],
        )

    def _obituary(self, said: str) -> str:
        """Why there is no reply."""
        if self._left_s <= 0.01:
            self._kill()
            where = self._where()
            return (
                f"{said} had not returned when the time limit of {self._timeout_s:g} s was "
                f"over{where and f'; it was{where}'}."
            )
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._kill()
            return f"{said} closed the streams of its process."
        self._kill()
        if code >= 0:
            return f"{said} ended the process with exit status {code}: it should return its result."
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        where = self._where()
        reason = "; perhaps the machine ran out of memory" if name == "SIGKILL" else ""
        return f"{said} crashed with {name}{where}{reason}."

    def _where(self) -> str:
        """The line of the homework that Python's fault handler saw last."""
        try:
            told = (self._folder / "faults").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        found = re.search(rf'File "{re.escape(str(self._file))}", line (\d+)', told)
        return f" at line {found[1]}" if found else ""

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
        for drain in self._drains:
            drain.stop()

    def _take_reply(self, data: bytes) -> None:
        self._reply += data
        *whole, rest = self._reply.split(b"\n")
        self._reply = rest
        for line in whole:
            self._replies.put(f"{line.decode(errors='replace')}\n")
        if not data:
            self._replies.put("")

    def _take_print(self, data: bytes) -> None:
        self.printed_characters += len(data.decode(errors="replace"))
        self._printed += data
        del self._printed[: -4 * KEPT_CHARACTERS]  # a character has up to four bytes
