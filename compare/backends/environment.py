"""Where a run takes place: hardware, system, versions, threads."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compare.records.run import Environment


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads(model: Any = None) -> int:
    """As many threads as ``OMP_NUM_THREADS`` says, as PyTorch has it; else what suits the network.

    A network with convolutions gets a thread a core. One without gets a single thread: an
    operation of it takes some 100 µs, hardly more than it takes to wake another thread, and two
    libraries whose threads wait for each other on the same cores are slower by far: on two cores
    next to other work the main job took 89 s with two threads and 40 s with one.

    Args:
        model: A network of either backend.
    """
    variable = os.environ.get("OMP_NUM_THREADS", "")
    if variable.isdigit() and int(variable) > 0:
        return int(variable)
    convolutions = model is not None and any(hasattr(m, "in_channels") for m in model.modules())
    return usable_cores() if convolutions else 1


def shared_threads(models: Iterable[Any], jobs: int) -> int:
    """What suits the networks, but no more than one of ``jobs`` processes' share of the cores."""
    suit = max(default_threads(model) for model in models)
    return max(1, min(suit, usable_cores() // jobs)) if jobs > 1 else suit


def set_threads(threads: int) -> None:
    """Give NumPy's BLAS and PyTorch the same number of threads, PyTorch with fixed results."""
    from threadpoolctl import threadpool_limits

    import torch_nn

    threadpool_limits(threads, user_api="blas")
    torch_nn.configure(threads=threads, deterministic=True)


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    """While this lasts, NumPy's BLAS has so many threads."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads, user_api="blas")


def describe_environment() -> Environment:
    """Describe the machine and the libraries as they are now."""
    import torch

    from compare.records.run import Environment

    return Environment(
        processor=_processor(),
        cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        system=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        numpy=np.__version__,
        numpy_blas=numpy_blas(),
        numpy_threads=_blas_threads(),
        torch=torch.__version__,
        torch_blas=_torch_blas(torch.__config__.show()),
        torch_threads=torch.get_num_threads(),
        nncompare=own_version(),
        load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    )


def own_version() -> str:
    """The version of this package, or ``unknown`` where it is not installed."""
    try:
        return version("nncompare")
    except PackageNotFoundError:
        return "unknown"


def versions_line() -> str:
    """This program, and what its numbers depend on, on one line; PyTorch is not loaded for it."""
    others = [("NumPy", np.__version__)]
    try:
        others.append(("PyTorch", version("torch")))
    except PackageNotFoundError:
        others.append(("PyTorch", "not installed"))
    said = ", ".join(f"{name} {number}" for name, number in others)
    return f"nncompare {own_version()} (Python {platform.python_version()}, {said})"


def own_commit() -> str | None:
    """The commit of the checkout that this package runs from, if it is one."""
    return _of_checkout("describe", "--always", "--dirty", "--abbrev=12")


def own_repository() -> str | None:
    """The public address that the checkout was cloned from, ``https://…``, without a password.

    A folder of this machine, or an address of another kind, is none.
    """
    return repository_address(_of_checkout("remote", "get-url", "origin") or "")


def repository_address(remote: str) -> str | None:
    """What git calls a remote as an address for a browser: None where it has none."""
    from compare.records.validation import REPOSITORY

    remote = re.sub(r"^(?:ssh://)?git@([\w.-]+)[:/](?!\d+/)", r"https://\1/", remote)
    remote = re.sub(r"^https://[^/@]*@", "https://", remote).removesuffix("/").removesuffix(".git")
    return remote if len(remote) <= 200 and re.fullmatch(REPOSITORY, remote) else None


def _of_checkout(*arguments: str) -> str | None:
    """What git says of the checkout that this package runs from, if it is one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    # Without its lock, which a killed run would leave behind.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.system()} {platform.release()}"


def numpy_blas() -> str:
    """The matrix library that NumPy was built with, and which of its kernels are in use."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}{_kernels()}"


def _kernels() -> str:
    """Which processor's kernels OpenBLAS uses, where it says so."""
    from threadpoolctl import threadpool_info

    named = {i["architecture"] for i in threadpool_info() if i.get("internal_api") == "openblas"}
    return f", {' and '.join(sorted(named))} kernels" if named else ""


def _blas_threads() -> int:
    from threadpoolctl import threadpool_info

    counts = [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]
    return max(counts, default=1)


def _torch_blas(config: str) -> str:
    """The matrix libraries that torch was built with, from its own description."""
    found = []
    for pattern, name in (
        (r"Math Kernel Library Version (\S+)", "MKL {}"),
        (r"MKL-DNN v(\S+)", "oneDNN {}"),
        (r"BLAS_INFO=(\w+)", "BLAS {}"),
    ):
        match = re.search(pattern, config)
        if match and not (name.startswith("BLAS") and match[1] == "mkl"):
            found.append(name.format(match[1].removesuffix("-Product")))
    return ", ".join(found) or "unknown"
