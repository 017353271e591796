"""Where a contender works: in a process of its own, or in this one.

NumPy's BLAS and PyTorch each keep a pool of threads. After its work a pool spins for a while on
the cores (OpenBLAS about 26 ms), waiting for more, and slows whoever comes next. So by default
each library works in a process of its own, with the same number of threads, and is asked in turn,
with a pause in which the pools fall asleep. No process then holds the other's pools, heap or
caches, and its memory is its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from compare.bench.catalogue import NotInstalledError, make
from compare.bench.contender import CannotRunError, Contender, block
from experiments.errors import InputError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Host(Protocol):
    """Somebody who holds one contender at a time for each name, and does as it is told."""

    def prepare(self, name: str, workload: Any) -> dict[str, Any]:
        """Make a contender for a workload or a training; return its ``dtype`` and ``phases``.

        Raises:
            CannotRunError: It cannot do this work.
        """

    def call(self, name: str, method: str, *args: Any) -> Any:
        """Call a method of a contender, or ``block``."""

    def drop(self, name: str) -> None:
        """Forget a contender and its memory."""

    def close(self) -> None:
        """End."""


class Here:
    """The contenders in this process, all pools mixed: for tests, and where it is asked for."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._made: dict[str, Contender] = {}

    def prepare(self, name: str, workload: Any) -> dict[str, Any]:
        self._made[name] = made = make(name, workload)
        limit_threads(self._threads)
        return {"dtype": made.dtype, "phases": tuple(made.phases)}

    def call(self, name: str, method: str, *args: Any) -> Any:
        if method == "block":
            return block(self._made[name], *args)
        if method == "surroundings":
            return surroundings(self._threads)
        return getattr(self._made[name], method)(*args)

    def drop(self, name: str) -> None:
        self._made.pop(name, None)

    def close(self) -> None:
        self._made.clear()


class Apart:
    """The same in a process of its own, started when it is first asked."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._process: Any = None
        self._pipe: Any = None

    def prepare(self, name: str, workload: Any) -> dict[str, Any]:
        return self._ask("prepare", name, workload)

    def call(self, name: str, method: str, *args: Any) -> Any:
        return self._ask("call", name, method, *args)

    def drop(self, name: str) -> None:
        if self._process is not None:
            self._ask("drop", name)

    def close(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.join(5)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join()
            self._process = None

    def _ask(self, *message: Any) -> Any:
        if self._process is None:
            self._start()
        try:
            self._pipe.send(message)
            failed, answer = self._pipe.recv()
        except (EOFError, OSError):
            code = self._ended()
            raise CannotRunError(f"its process ended with status {code}") from None
        if failed:
            raise answer
        return answer

    def _ended(self) -> int | None:
        self._process.join(5)
        code = self._process.exitcode
        self._process = None  # whoever is asked next gets a new one
        return code

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        with thread_variables(self._threads):
            self._process = context.Process(target=serve, args=(other, self._threads), daemon=True)
            self._process.start()
        other.close()


@contextmanager
def thread_variables(threads: int) -> Iterator[None]:
    """While this lasts, a process that starts finds so many threads in its environment."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def limit_threads(threads: int) -> None:
    """So many threads in whatever is loaded by now."""
    import sys

    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def surroundings(threads: int) -> tuple[Any, bool]:
    """The machine and the libraries, and whether there is a compiler for ``torch.compile``."""
    from compare.backends.environment import describe_environment
    from compare.bench.contenders.torch_steps import compiler_here

    limit_threads(threads)
    return describe_environment(), compiler_here()


def serve(pipe: Any, threads: int) -> None:
    """What the process does: answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the one who asks
    host = Here(threads)
    while True:
        try:
            action, *args = pipe.recv()
        except EOFError:
            return
        try:
            answer = (False, getattr(host, action)(*args))
        except (CannotRunError, NotInstalledError, InputError) as error:
            answer = (True, error)
        except Exception as error:
            answer = (True, RuntimeError(f"{type(error).__name__}: {error}"))
        pipe.send(answer)
