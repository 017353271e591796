"""A homework in a process of its own, as the checking process sees it.

Each request has to finish before the homework's time is used up. When it does not, or when the
process ends by itself, the process and all that it started are killed, and an exception says why.
What the process may see and do is :mod:`compare.check.isolation`'s and
:mod:`compare.check.worker`'s; the verdict is made here, from messages that are bounded and typed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np

from compare.check import messages
from compare.check.foreign_modules import OWN, forbidden_names, needed_parts, places_of
from compare.check.isolation import (
    MOST_PROCESSES,
    STANDARD,
    ControlGroup,
    View,
    find_isolation,
)
from compare.check.limits import processes_counted_by_namespace
from compare.check.notebook import NotebookError
from compare.check.return_values import CallResult
from compare.check.source import read_source
from compare.check.visible_files import visible_files

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
# The processor time of each of its processes, for each second of its time.
CPU_FACTOR = 4
# The characters of the fault handler's traceback that are looked at.
FAULT_BYTES = 100_000
# The answers that may wait to be read, and the names of modules that are kept.
MOST_WAITING, MOST_NAMES = 2, 5
# What a homework finds in its environment, beside where Python looks for modules.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ENVIRONMENT = {
    **THREADS, "PYTHONUTF8": "1", "MPLBACKEND": "Agg", "LANG": "C.UTF-8", "TZ": "UTC",
}  # fmt: skip
# What Windows needs to start a process.
WINDOWS = ("SYSTEMROOT", "PATH", "TEMP", "TMP", "NUMBER_OF_PROCESSORS")
# What a pipe holds on every system.
PIPE_BYTES = 4096
ROOT = Path(__file__).resolve().parents[2]
# What a bad message is called.
DISTURBED = "disturbed the process that it runs in."


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
        isolation: What separates the process from the machine.
        arguments: What it was made with; two with the same ones do the same.

    Args:
        file: The homework.
        timeout_s: The time for all requests together.
        memory_mb: The limit of its address space, in megabytes.
        isolation: A key of :data:`compare.check.isolation.LEVELS`.
        allow_import: Modules that it may import though they could write its answers.
        readable: Further files that it reads, such as a mapping file.
        others: Other homeworks and files of the person who checks, which it does not see.

    Raises:
        InputError: This isolation cannot be had here.
    """

    def __init__(
        self,
        file: Path,
        timeout_s: float = TIMEOUT_S,
        memory_mb: int = MEMORY_MB,
        isolation: str = STANDARD,
        *,
        allow_import: Sequence[str] = (),
        readable: Sequence[Path] = (),
        others: Sequence[Path] = (),
    ) -> None:
        self.arguments = (
            file.resolve(), timeout_s, memory_mb, isolation,
            tuple(allow_import), tuple(readable), tuple(others),
        )  # fmt: skip
        self._file, self._memory_mb = file.resolve(), memory_mb
        self._started = False
        self._timeout_s = self._left_s = timeout_s
        self._count, self._ready = 0, False
        self._readable = readable
        found = (one.resolve() for one in others)
        self._others = [one for one in found if not self._file.is_relative_to(one)]
        self._forbidden = forbidden_names(allow_import)
        places = places_of(self._forbidden)
        self._needed, others_of_own = needed_parts(ROOT / "compare")
        self._places = [place for place in places if place != str(ROOT / "compare")]
        if str(ROOT / "compare") in places:
            self._places += map(str, others_of_own)
        self._most_bytes = int(memory_mb * 2**20 * messages.ARRAYS_PART)
        self._printed = bytearray()
        self._loaded: dict[str, None] = {}  # once loaded, no other process makes it undone
        self.printed_characters = 0
        self.isolation = find_isolation(isolation)

    def __enter__(self) -> Sandbox:
        if not self._started:
            self.start()
        return self

    def start(self) -> None:
        """Start the process, before the block that ends it is entered."""
        self._start()
        self._started = True

    def close(self) -> None:
        """End the process where no such block does."""
        if self._started:
            self._close()
            self._started = False

    def restart(self) -> None:
        """Kill the process and start another, for which the rest of the time is left."""
        self._close()
        self._start()

    def _start(self) -> None:
        self._frames: queue.Queue[messages.Frame | None] = queue.Queue()
        self._reader = messages.FrameReader(self._most_bytes)
        self._ready = self._disturbed = False
        descriptor, self._faults = tempfile.mkstemp(prefix="nncompare-")
        self._descriptor = descriptor
        passed: tuple[int, ...] = ()
        if os.name == "posix":
            os.unlink(self._faults)
            passed = (descriptor,)
        locked = self.isolation.level != "off"
        self._group = ControlGroup(self._memory_mb if locked else None)
        command = [sys.executable, "-P", "-m", "compare.check.worker"]
        if locked:
            command.insert(1, "-s")
        try:
            self._process = self.isolation.start(
                self._view(),
                command,
                self._group,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._file.parent,
                env=self._environment(),
                bufsize=0,
                start_new_session=True,
                pass_fds=passed,
            )
        except BaseException:  # there is nothing to be ended, and nothing is to be left
            self._leave_nothing()
            raise
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = (
            PipeReader(self._process.stdout, self._take_frames),
            PipeReader(self._process.stderr, self._take_output),
        )
        for reader in self._readers:
            reader.start()
        counted = bool(self.isolation.tool) and processes_counted_by_namespace()
        settings = {
            "file": str(self._file),
            "faults": descriptor if passed else self._faults,
            "memory_mb": self._memory_mb,
            "most_bytes": self._most_bytes,
            "locked": locked,
            "cpu_s": CPU_FACTOR * self._timeout_s,
            "processes": MOST_PROCESSES if counted else None,
            "forbidden": self._forbidden,
            "places": self._places,
            "own_path": "" if self._allowed_own() else str(ROOT),
        }
        self._send(messages.write_request(settings, None))

    def _view(self) -> View:
        """What the process sees of the file system, if that can be chosen."""
        if not self.isolation.tool:
            return View(self._file.parent, ())
        shown = visible_files(self._file, self._others)
        for file in self._readable:
            shown += visible_files(file.resolve(), self._others)
        return View(
            self._file.parent,
            (*self._needed, *map(Path, self._allowed_own()), *self._packages(), *shown),
            tuple(self._others),
            tuple(map(Path, self._places)),
        )

    def _allowed_own(self) -> tuple[str, ...]:
        """Where the packages of this project are that it may import."""
        return places_of(tuple(name for name in OWN if name not in self._forbidden))

    def _packages(self) -> list[Path]:
        """The folders of PYTHONPATH but those with this project or with the homework."""
        folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        found = [Path(folder).resolve() for folder in folders]
        return [
            one
            for one in found
            if one.is_dir() and one != ROOT and not self._file.is_relative_to(one)
        ]

    def _environment(self) -> dict[str, str]:
        """The environment of the process: what is listed here, unless isolation is off."""
        if self.isolation.level == "off":
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            fixed = {"PYTHONPATH": path, "PYTHONUTF8": "1", "MPLBACKEND": "Agg"}
            return {**os.environ, **THREADS, **fixed}
        home = "/tmp" if self.isolation.tool else tempfile.gettempdir()
        path = os.pathsep.join(map(str, (ROOT, *self._packages())))
        kept = {name: os.environ[name] for name in WINDOWS if name in os.environ}
        return {
            "PATH": os.defpath.lstrip(os.pathsep),
            **(kept if os.name == "nt" else {}),
            **ENVIRONMENT,
            "HOME": home,
            "TMPDIR": home,
            "PYTHONPATH": path,
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self) -> None:
        self._kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._leave_nothing()

    def _leave_nothing(self) -> None:
        """Remove the control group and the file of the fault handler."""
        self._group.remove()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if os.name != "posix":
            Path(self._faults).unlink(missing_ok=True)

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
        if not self._ready:
            self._wait_until_ready()
        limit_s = self._left_s
        if action == "load" and not details.get("definitions_only"):
            limit_s *= IMPORT_PART
        tree = {
            "number": self._count,
            "action": action,
            "description": description,
            "details": details,
            "limit_s": max(limit_s - 0.25, 0.05),
        }
        began = time.monotonic()
        self._send(messages.write_request(tree, arrays))
        frame = self._next_frame(limit_s)
        taken_s = time.monotonic() - began
        self._left_s -= taken_s
        if self._loaded:
            self._kill()
            raise ProcessEndedError(
                f"{subject} loaded {' and '.join(self._loaded)}, by a way around the import that "
                "was refused: a homework is to compute by itself; --allow-import allows it."
            )
        if frame is None and not self._disturbed:
            raise ProcessEndedError(self._reason(subject, limit_s, taken_s))
        try:
            if frame is None:
                raise messages.MessageError
            result = messages.read_answer(frame, self._count, action)
        except messages.MessageError:
            self._kill()
            raise ProcessEndedError(f"{subject} {DISTURBED}") from None
        if result.problem is not None and action == "declaration":
            raise ProcessEndedError(result.problem)
        return result

    @property
    def printed(self) -> str:
        """The end of what the homework has printed, without what could do something."""
        text = bytes(self._printed).decode(errors="replace")[-OUTPUT_CHARACTERS:]
        return "".join(
            c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}"
            for c in text.replace("\r\n", "\n")
        )

    def _send(self, message: bytes) -> None:
        """Write a message; a process that does not read it is noticed by its missing answer."""
        stream = self._process.stdin
        assert stream is not None

        def write() -> None:
            with contextlib.suppress(OSError, ValueError):
                view = memoryview(message)
                while view:
                    view = view[stream.write(view) :]

        if len(message) <= PIPE_BYTES:
            write()
        else:
            threading.Thread(target=write, daemon=True).start()

    def _wait_until_ready(self) -> None:
        """Wait for Python and NumPy to start, which does not count as the homework's time."""
        ready, over, until = None, True, time.monotonic() + START_S
        # What is in the namespaces may hold the streams when the tool around it was killed early.
        while ready is None and over and self._process.poll() is None:
            part_s = min(until - time.monotonic(), 1.0)
            if part_s <= 0:
                break
            asked = time.monotonic()
            ready = self._next_frame(part_s)
            over = time.monotonic() - asked >= part_s
        if ready is None or ready.kind != messages.READY:
            self._kill()
            output = " ".join(self.printed.split())[-300:]
            raise ProcessEndedError(
                f"No process could be started for the homework: {output or 'too slow'}."
            )
        self._ready = True

    def _next_frame(self, limit_s: float) -> messages.Frame | None:
        """The next message; None if the process has ended or its time is over."""
        try:
            frame = self._frames.get(timeout=max(limit_s, 0.01))
        except queue.Empty:
            return None
        if frame is None:  # and there will be no other
            self._frames.put(None)
        return frame

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
        if self.isolation.tool and code > 128:  # so the tool says that a signal ended it
            code = 128 - code
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
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            text = os.read(self._descriptor, FAULT_BYTES).decode(errors="replace")
        except OSError:
            return ""
        found = re.search(rf'File "{re.escape(str(self._file))}", line (\d{{1,9}})', text)
        if not found:
            return ""
        try:
            return f" {read_source(self._file).place(int(found[1]))}"
        except (OSError, NotebookError):
            return f" at line {found[1]}"

    def _kill(self) -> None:
        """End the process and all that it started."""
        self._group.kill()
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

    def _take_frames(self, data: bytes) -> None:
        """Put whole messages where requests wait for them; nothing more after a bad one."""
        if self._disturbed:
            return
        try:
            for frame in self._reader.take(data):
                if frame.kind != messages.FORBIDDEN:
                    self._frames.put(frame)
                elif len(self._loaded) < MOST_NAMES:
                    self._loaded[messages.read_name(frame)] = None
            if self._frames.qsize() > MOST_WAITING:
                raise messages.MessageError("more answers than requests")
        except messages.MessageError:
            self._disturbed = True
        if self._disturbed or not data:
            self._frames.put(None)

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
