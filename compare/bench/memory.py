"""Peak memory of one contender in one case, in a process that does nothing else.

Read is the most that the process ever had in memory (``VmHWM`` of /proc/self/status on Linux;
``ru_maxrss`` elsewhere, which on Linux begins with that of the parent). From it is taken what the
process holds once its library is loaded and a step of the same network on two rows has been made
and freed, so that neither the code of a library nor its thread pools count, but data, parameters,
activations, gradients, the optimizer's state and all buffers do.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from compare.bench.cases import BenchCase
from compare.bench.contenders import block, make

STATUS = Path("/proc/self/status")
STEPS = 3


def peak_memory(name: str, case: BenchCase) -> int:
    """Bytes that this process takes to make some steps; it should have done nothing else."""
    made = make(name, replace(case, batch_size=2))
    block(made, 0, 2)
    del made
    _free()
    before = _bytes("VmRSS")
    made = make(name, case)
    _free()  # making it took more for a moment than it holds
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # lets VmHWM begin again from here
    block(made, 0, STEPS)
    return max(0, _bytes("VmHWM") - before)


def _bytes(key: str) -> int:
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
