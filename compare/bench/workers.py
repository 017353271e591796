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
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
        self._process: ProcessPoolExecutor | None = None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function(*args)`` in the process.

        Raises:
            InputError: The function raised it.
            CannotRunError: The function raised something else, or the process ended.
        """
        if self._process is None:
            # Ctrl-C is answered by the process that asks.
            ignored = (signal.SIGINT, signal.SIG_IGN)
            context = multiprocessing.get_context("spawn")
            self._process = ProcessPoolExecutor(1, context, signal.signal, ignored)
        try:
            with thread_variables(self._threads):
                answer = self._process.submit(call, function, *args)
            return answer.result()
        except BrokenProcessPool:
            self._process = None  # the next call starts another
            raise CannotRunError("its process ended before it answered") from None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.shutdown()
            self._process = None


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
