"""Processes in which contenders work.

NumPy's BLAS and PyTorch each keep a pool of threads. After its work a pool spins on the cores for
a while (OpenBLAS for about 26 ms), waiting for more, and slows the next contender. So each library
works in a process of its own, with the same number of threads, and is asked in turn, with a pause
in which the pools fall asleep. No process then holds the pools, heap or caches of another library.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from compare.bench.contenders import CannotRunError
from experiments.errors import InputError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Worker:
    """A process that calls functions, started at its first call, with so many threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._process: Any = None
        self._pipe: Any = None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function(*args)`` in the process.

        Raises:
            InputError: The function raised it.
            CannotRunError: The function raised something else, or the process ended.
        """
        if self._process is None:
            self._start()
        try:
            self._pipe.send((function, *args))
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            status, self._process = self._process.exitcode, None  # the next call starts another
            raise CannotRunError(f"its process ended with status {status}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        with thread_variables(self._threads):
            self._process = context.Process(target=_serve, args=(other,), daemon=True)
            self._process.start()
        other.close()


def _serve(pipe: Any) -> None:
    """What the process does: answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the process that asks
    with suppress(EOFError):
        while True:
            try:
                answer = call(*pipe.recv())
            except (InputError, CannotRunError) as error:
                answer = error
            pipe.send(answer)


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function; what goes wrong becomes an InputError or a CannotRunError."""
    try:
        return function(*args)
    except (InputError, CannotRunError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise CannotRunError(f"{type(error).__name__}: {message}".rstrip(": ")) from None


@contextmanager
def thread_variables(threads: int) -> Iterator[None]:
    """While this lasts, a process that starts finds so many threads in its environment."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
