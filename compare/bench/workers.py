"""Processes in which contenders work, and the peak memory of one.

NumPy's BLAS and PyTorch each keep a pool of threads. After its work a pool spins on the cores for
a while (OpenBLAS for about 26 ms), waiting for more, and slows the next contender. So each library
works in a process of its own, with the same number of threads, and they take turns, with a pause
in which the pools fall asleep. No process then holds the pools, heap or caches of another library.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from compare.bench.cases import TrainingStep
from compare.bench.contenders import CannotRunError, block, make
from experiments.errors import InputError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
STATUS = Path("/proc/self/status")
MEMORY_STEPS = 3


class Worker:
    """A process that calls functions, with so many threads for each library."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._start()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function(*args)`` in the process.

        Raises:
            InputError: The function raised it.
            CannotRunError: The function raised something else, or the process ended; the next
                call finds another.
        """
        try:
            self._pipe.send((function, *args))
            result = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            status = self._process.exitcode
            self._start()
            raise CannotRunError(f"its process ended with status {status}") from None
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        environment = dict(os.environ)
        # The libraries read these when the process imports them.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(self._threads)))
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(environment)
        other.close()


def _serve(pipe: Any) -> None:
    """What the process does: call functions until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that started this one
    with suppress(EOFError):
        while True:
            try:
                result = call(*pipe.recv())
            except (InputError, CannotRunError) as error:
                result = error
            pipe.send(result)


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function; what goes wrong becomes an InputError or a CannotRunError."""
    try:
        return function(*args)
    except (InputError, CannotRunError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise CannotRunError(f"{type(error).__name__}: {message}".rstrip(": ")) from None


def peak_memory(name: str, case: TrainingStep) -> int:
    """Bytes that this process takes to make some steps; it should have done nothing else.

    Read is the most that the process ever had in memory (``VmHWM`` of /proc/self/status on Linux,
    elsewhere ``ru_maxrss``, which on Linux begins with that of the parent). From it is taken what
    it holds once a step of the same network on two rows has been made and freed: so neither the
    code of a library nor its thread pools count, but data, parameters, activations, gradients, the
    optimizer's state and all buffers do.
    """
    small = make(name, replace(case, batch_size=2))
    block(small, 0, 2)
    del small
    _free()
    before = _memory_bytes("VmRSS")
    contender = make(name, case)
    _free()  # making it took more for a moment than it holds
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # lets VmHWM begin again from here
    block(contender, 0, MEMORY_STEPS)
    return max(0, _memory_bytes("VmHWM") - before)


def _memory_bytes(key: str) -> int:
    """A line of /proc/self/status; where there is none, the peak so far."""
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _free() -> None:
    """Return free memory of the C library's heap to the system."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
