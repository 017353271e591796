"""Peak memory of one contender at one workload, in a process that does nothing else.

What is read is the most that the process ever had in memory (``VmHWM`` of /proc/self/status on
Linux; ``ru_maxrss`` elsewhere). ``ru_maxrss`` would not do on Linux: a child begins with its
parent's. From it is taken what the process holds once its library is loaded and a step of the
same network on two rows has been made and forgotten, so that neither the code of a library nor
its thread pools count, but data, parameters, activations, gradients, the optimizer's state and
all buffers do.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from compare.bench.catalogue import make
from compare.bench.contender import CannotRunError, block
from compare.bench.host import limit_threads, thread_variables
from compare.bench.records import MemoryRecord
from compare.bench.workloads import Workload

STATUS = Path("/proc/self/status")
STEPS = 3


def measure_memory(name: str, workload: Workload, threads: int) -> MemoryRecord:
    """Start a process, let it make some steps, and return what it held at most.

    Raises:
        CannotRunError: The contender cannot do this work, or its process ended.
    """
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    with thread_variables(threads):
        process = context.Process(target=_serve, args=(other, name, workload, threads), daemon=True)
        process.start()
    other.close()
    try:
        failed, answer = pipe.recv()
    except EOFError:
        process.join()
        raise CannotRunError(f"its process ended with status {process.exitcode}") from None
    finally:
        pipe.close()
    process.join()
    if failed:
        raise answer
    return answer


def _serve(pipe: Any, name: str, workload: Workload, threads: int) -> None:
    try:
        pipe.send((False, peak(name, workload, threads)))
    except CannotRunError as error:
        pipe.send((True, error))
    except Exception as error:
        pipe.send((True, CannotRunError(f"{type(error).__name__}: {error}")))


def peak(name: str, workload: Workload, threads: int) -> MemoryRecord:
    """The same in this process, which should have done nothing else."""
    made = make(name, replace(workload, batch_size=2))
    limit_threads(threads)
    block(made, 0, 2)
    del made
    _give_back()
    before = _now()
    made = make(name, workload)
    _give_back()  # making it took more for a moment than it holds
    _forget_peak()
    block(made, 0, STEPS)
    highest, method = _highest()
    return MemoryRecord(used_bytes=max(0, highest - before), process_bytes=highest, method=method)


def _status(key: str) -> int:
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _now() -> int:
    """Bytes in memory now; where the system does not say, at most so far."""
    return _status("VmRSS") if STATUS.exists() else _highest()[0]


def _highest() -> tuple[int, str]:
    if STATUS.exists():
        return _status("VmHWM"), "VmHWM"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss"


def _forget_peak() -> None:
    """Let the highest value begin again from what is held now, where Linux allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _give_back() -> None:
    """Return free memory of the C library's heap to the system."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
