"""Which matrix kernels OpenBLAS uses, settled before NumPy is loaded.

OpenBLAS chooses its kernels by the processor's name, and takes AMD's processors with AVX-512 for
Haswell, which has none; PyTorch's libraries ask which instructions there are. So that both sides
use the same, the command line names the kernels for AVX-512 where the processor has what they
need and nobody has chosen others. The environment of a run records which were used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"
KERNELS = "SkylakeX"
NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
"""The instructions that these kernels are compiled to use."""


def choose_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Name the kernels in this process's environment, for it and for those that it starts."""
    if VARIABLE in os.environ or "numpy" in sys.modules:
        return
    first = _first_processor(cpuinfo)
    if first.get("vendor_id") == "AuthenticAMD" and set(first.get("flags", "").split()) >= NEEDED:
        os.environ[VARIABLE] = KERNELS


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    """The lines of Linux's description of one processor; nothing on other systems."""
    found: dict[str, str] = {}
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, colon, value = line.partition(":")
                if not colon:
                    break
                found[key.strip()] = value.strip()
    except OSError:
        pass
    return found
