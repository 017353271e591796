"""A process that has loaded PyTorch, NumPy and the data, and forks those that perform trainings.

Loading takes a process a second and a half, each anew and all on the same cores. Here one process
loads while the run itself still does, makes no operation, and so has no threads; each fork of it
begins at once and shares what was loaded, the data among it, as long as neither writes to it. For
systems where a fork is safe; elsewhere :mod:`compare.training.processes` starts each process anew.

``python -m compare.training.fork_server DESCRIPTOR`` is that process; DESCRIPTOR is a socket, from
which it reads what to do. When the other end closes, it ends, and its forks end after it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from compare.training.jobs import DataSource, RemoteResult, TrainingJob

ROOT = Path(__file__).resolve().parents[2]
# Libraries read these on being loaded, and start so many threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
POLL_S = 0.5
"""How often a process looks whether the one that started it is still there."""
MOST_GROWTH_BYTES = 300 * 2**20
"""A process that has grown by more since its first training is replaced by a new one."""

_begun: list[ForkServer] = []


class ProcessEndedError(Exception):
    """A process has ended; the message says how, as a part of a sentence, or is empty."""


def can_fork() -> bool:
    """Whether trainings are made in forks here: on Linux, whose libraries allow for it."""
    return sys.platform == "linux"


@contextmanager
def early_start() -> Iterator[None]:
    """Start a server now, for the first who calls :func:`begun_or_new`; end it if nobody does."""
    if can_fork():
        _begun.append(ForkServer())
    try:
        yield
    finally:
        while _begun:
            _begun.pop().close()


def begun_or_new() -> ForkServer:
    """The server that :func:`early_start` started, or a new one."""
    return _begun.pop() if _begun else ForkServer()


def read_ahead(source: DataSource, folder: Path) -> None:
    """Have the server of :func:`early_start` read the data, while the run prepares all else."""
    for server in _begun:
        server.read(source, folder.expanduser().absolute())


class ForkServer:
    """The process that forks, as the run sees it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        mine, other = socket.socketpair()
        with other:
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(other.fileno(),),
                env={**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C on a terminal is the run's alone
            )
        self._control = Connection(mine.detach())
        self._lock = threading.Lock()

    def read(self, source: DataSource, folder: Path) -> None:
        """Have the data read, once for all forks that come after."""
        with suppress(OSError), self._lock:
            self._control.send(("read", source, folder))

    def fork(self, threads: int) -> ForkedProcess:
        """A new process, whose libraries are to have so many threads.

        Raises:
            OSError or EOFError: The server ends again and again.
        """
        try:
            return self._fork(threads)
        except (OSError, EOFError):  # it was killed, perhaps for memory: its forks end, too
            self.close()
            self._start()
            return self._fork(threads)

    def _fork(self, threads: int) -> ForkedProcess:
        mine, other = socket.socketpair()
        connection = Connection(mine.detach())
        with other, self._lock:
            self._control.send(("fork", sys.path, dict.fromkeys(THREADS, str(threads))))
            send_handle(self._control, other.fileno(), self._process.pid)
            return ForkedProcess(self, self._answer(), connection)

    def _answer(self) -> Any:
        """What the server says. That it has ended is asked, too.

        A fork that was stopped before it closed its copy of the socket would hide it for ever.
        """
        while not self._control.poll(POLL_S):
            if self._process.poll() is not None:
                raise EOFError
        return self._control.recv()

    def exit_code(self, pid: int) -> int | None:
        """With what a fork has ended, when it has; None if nobody can tell any more."""
        with suppress(OSError, EOFError), self._lock:
            self._control.send(("exit code", pid))
            code: int | None = self._answer()
            return code
        return None

    def close(self) -> None:
        """End the server; its forks end after it."""
        self._process.kill()
        self._process.wait()
        self._control.close()


class ForkedProcess:
    """A process that performs one training at a time, with the interface of an executor.

    Args:
        server: The process that forked it.
        pid: Its number there.
        connection: Leads to it.
    """

    def __init__(self, server: ForkServer, pid: int, connection: Connection) -> None:
        self._server, self._pid, self._connection = server, pid, connection
        self._ended = False

    def submit(
        self,
        function: Callable[..., RemoteResult],
        job: TrainingJob,
        *,
        meter: tuple[Path, int],
    ) -> Future[RemoteResult]:
        """Have a training performed.

        Args:
            function: ``perform_remotely``, which a fork knows already.
            job: The training.
            meter: As for that function.

        Raises:
            ProcessEndedError: It ended while it had nothing to do.
        """
        try:
            self._connection.send((job, meter))
        except OSError:
            raise ProcessEndedError(self._how_it_ended()) from None
        future: Future[RemoteResult] = Future()
        threading.Thread(target=self._receive, args=(future,), daemon=True).start()
        return future

    def _receive(self, future: Future[RemoteResult]) -> None:
        try:
            remote, last = self._connection.recv()
        except (OSError, EOFError):
            future.set_exception(ProcessEndedError(self._how_it_ended()))
            return
        except Exception as error:  # what came cannot be unpickled here
            future.set_exception(error)
            return
        if last:
            self._connection.close()
        future.set_result(remote)

    def shutdown(self, *, kill_workers: bool = True) -> None:
        """End it, whatever it does; it is never waited for, as an executor may be."""
        if not self._ended:
            with suppress(OSError):  # until the server is asked how it ended, the number is its own
                os.kill(self._pid, signal.SIGKILL)
            self._ended = True

    def _how_it_ended(self) -> str:
        if self._ended:
            return ""
        self._ended = True
        code = self._server.exit_code(self._pid)
        if code is None:
            return ""
        with suppress(ValueError):
            return f" (exit status {signal.Signals(-code).name}({code}))"
        return f" (exit status {code})"


# The server itself.


def main(descriptor: int) -> None:
    """Load what trainings need, then do what is asked until the other end closes."""
    from compare.backends.torch_parts import postpone_compiler

    postpone_compiler()
    from compare.training.jobs import read_data

    gc.collect()
    gc.freeze()  # a fork that looked through what it shares would copy it
    control = Connection(descriptor)
    while True:
        try:
            what, *details = control.recv()
        except (EOFError, OSError):
            return
        if what == "read":
            with suppress(Exception):  # a training says so
                read_data(*details)
            gc.freeze()
        elif what == "fork":
            given = recv_handle(control)
            pid = os.fork()
            if not pid:
                control.close()
                _work(Connection(given), *details)
            os.close(given)
            control.send(pid)
        else:
            try:
                _, status = os.waitpid(details[0], 0)
            except ChildProcessError:  # a fork of the server before this one
                control.send(None)
            else:
                control.send(os.waitstatus_to_exitcode(status))


def _work(connection: Connection, path: list[str], variables: dict[str, str]) -> NoReturn:
    """Perform the trainings that come, in a fork."""
    status = 1
    try:
        threading.Thread(target=exit_after, args=(os.getppid(),), daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.environ.update(variables)
        sys.path[:] = path
        _perform_all(connection)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _perform_all(connection: Connection) -> None:
    from compare.training.jobs import perform_remotely

    first_bytes = 0
    last = False
    while not last:
        try:
            job, meter = connection.recv()
        except EOFError:
            return
        remote = perform_remotely(job, meter=meter)
        sys.stdout.flush()
        first_bytes = first_bytes or _resident_bytes()
        if _resident_bytes() > first_bytes + MOST_GROWTH_BYTES:
            gc.collect()
            last = _resident_bytes() > first_bytes + MOST_GROWTH_BYTES
        connection.send((remote, last))


def exit_after(parent: int) -> None:
    """End this process when the one that started it has ended."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(int(sys.argv[1]))
