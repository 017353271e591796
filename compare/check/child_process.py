"""A Python process of this program's own, which answers messages.

Messages are pickles, which is safe between two processes that run this program's code alone;
nothing that a homework's process sends is ever unpickled. The process ends by itself when its
starter ends, however that happens.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
# What is kept of what a process has printed, for the message when it ends.
OUTPUT_BYTES = 4000
# How long a process may take to end what it has started.
LAST_S = 3.0
# A process that has grown by more than this is replaced by a new one.
MOST_GROWTH_BYTES = 400 * 2**20


# Processes that were started before anybody asked for them.
_begun: dict[str, ChildProcess] = {}


class ChildEndedError(Exception):
    """A process has ended; the message says with which signal or status."""


class ChildTimeoutError(Exception):
    """A process has not answered in time."""


class ChildProcess:
    """A process that runs a module of this program, which calls :func:`serve`.

    Args:
        module: The dotted name of the module.
    """

    def __init__(self, module: str) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        self._answers: queue.Queue[Any] = queue.Queue()
        self._printed = bytearray()
        self._first_bytes = 0
        threading.Thread(target=self._read_answers, daemon=True).start()
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            ChildEndedError: The process has ended.
        """
        assert self._process.stdin is not None
        try:
            write_message(self._process.stdin, message)
        except OSError:
            raise ChildEndedError(self._how_it_ended()) from None

    def receive(self, timeout_s: float | None = None) -> Any:
        """The next message from the process.

        Raises:
            ChildEndedError: The process has ended.
            ChildTimeoutError: There was none in time.
        """
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise ChildTimeoutError from None
        if answer is None:
            self._answers.put(None)
            raise ChildEndedError(self._how_it_ended())
        if not self._first_bytes:
            self._first_bytes = self._resident_bytes()
        return answer[0]

    def has_grown(self) -> bool:
        """Whether it takes much more memory than after its first message."""
        return self._resident_bytes() > self._first_bytes + MOST_GROWTH_BYTES

    def close(self) -> None:
        """End the process; it may end what it has started first."""
        assert self._process.stdin is not None
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_S)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _resident_bytes(self) -> int:
        """The memory that it takes; 0 where the system does not say so."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.close()
            return "it closed its streams"
        self._reader.join(1.0)
        if code >= 0:
            lines = bytes(self._printed).decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")[:200]
            words = "".join(c for c in last if c.isprintable())
            return f"it ended with status {code}{': ' if words else ''}{words}"
        with contextlib.suppress(ValueError):
            return f"it ended with {signal.Signals(-code).name}"
        return f"it ended with signal {-code}"

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for message in read_messages(pipe):
                self._answers.put((message,))
        self._answers.put(None)

    def _read_output(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            # IO[bytes] does not say that what Popen gives is buffered.
            while data := pipe.read1(65536):  # type: ignore[attr-defined]
                self._printed += data
                del self._printed[:-OUTPUT_BYTES]


def begin(module: str) -> None:
    """Start a process of this module now, for the first who calls :func:`begun_or_new`."""
    if module not in _begun:
        _begun[module] = ChildProcess(module)


def begun_or_new(module: str) -> ChildProcess:
    """The process that :func:`begin` started, or a new one."""
    return _begun.pop(module, None) or ChildProcess(module)


def end_begun() -> None:
    """End the processes of :func:`begin` that nobody has asked for."""
    while _begun:
        _begun.popitem()[1].close()


def serve() -> tuple[queue.Queue[Any], IO[bytes]]:
    """Take over the standard streams of this process.

    A thread reads; when the other end is gone, it ends the process at once, whatever that does.

    Returns:
        A queue of the messages that arrive, and where to write answers.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)  # what is printed is no answer
    arrived: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        for message in read_messages(requests):
            arrived.put(message)
        os.kill(os.getpid(), signal.SIGTERM)  # who has started something ends it then
        time.sleep(LAST_S)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return arrived, answers


def write_message(stream: IO[bytes], message: Any) -> None:
    """Write one message: its length in eight bytes, and its pickle."""
    data = pickle.dumps(message, protocol=5)
    stream.write(len(data).to_bytes(8, "little"))
    stream.write(data)
    stream.flush()


def read_messages(stream: IO[bytes]) -> Iterator[Any]:
    """The messages of a stream, until it ends."""
    # A raw stream may give less than is asked for; its type is IO[bytes] as well.
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    with contextlib.suppress(OSError, ValueError):
        while len(size := buffered.read(8)) == 8:
            data = buffered.read(int.from_bytes(size, "little"))
            yield pickle.loads(data)
            del data
