"""What a process takes from itself before it runs somebody's code: rights, memory, system calls.

All of this lasts until the process ends, and what it starts inherits it. Where the system has no
such limit (macOS and Windows lack most), nothing happens.
"""

from __future__ import annotations

import ctypes
import platform
import signal
import struct
import sys

# prctl(2)
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 38, 22
SECCOMP_MODE_FILTER = 2
# What a file may grow to, how many processes and threads there may be, and the seconds of
# processor time above those of the clock.
FILE_BYTES = 256 * 2**20
MOST_PROCESSES = 256
MORE_CPU_S = 30
# System calls that no homework needs and that attacks on the kernel or on other processes begin
# with, by their numbers on both processors: mount, umount2, pivot_root, chroot, ptrace,
# process_vm_readv and _writev, unshare, setns, add_key, request_key, keyctl, bpf,
# perf_event_open, userfaultfd, io_uring_setup, _enter and _register, open_by_handle_at,
# init_module, finit_module, delete_module, kexec_load, reboot, swapon, swapoff, open_tree,
# move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, pidfd_getfd, prlimit is kept.
_COMMON = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)
SYSTEM_CALLS = {
    "x86_64": (
        0xC000003E, 56, 435,
        (165, 166, 155, 161, 101, 310, 311, 272, 308, 248, 249, 250, 321, 298, 323, 304, 175, 313,
         176, 246, 169, 167, 168, *_COMMON),
    ),
    "aarch64": (
        0xC00000B7, 220, 435,
        (40, 39, 41, 51, 117, 270, 271, 97, 268, 217, 218, 219, 280, 241, 282, 265, 105, 273, 106,
         104, 142, 224, 225, *_COMMON),
    ),
}  # fmt: skip
# The flags of clone(2) that make a namespace.
NEW_NAMESPACES = 0x7E020080
# Berkeley packet filter: load a word, jump if equal, jump if any bit is set, return.
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS = 1, 38


def end_with_parent() -> None:
    """Be killed as soon as the process that started this one ends (Linux)."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def gain_no_rights() -> bool:
    """Never get more rights, by a set-user-ID program for one; whether the system has that."""
    return sys.platform == "linux" and _prctl(PR_SET_NO_NEW_PRIVS, 1)


def limit_memory(megabytes: int) -> None:
    """Limit the address space for good, if the system can: Linux does, macOS and Windows do not."""
    try:
        import resource
    except ImportError:
        return
    _limit(resource.RLIMIT_AS, megabytes * 2**20)
    _limit(resource.RLIMIT_CORE, 0)


def limit_resources(cpu_s: float, processes: int | None) -> None:
    """Limit processor time, the size of files, and processes, for good.

    Args:
        cpu_s: The seconds of processor time of each process.
        processes: How many processes and threads there may be, or None for no limit: where they
            are counted for a user and not for a namespace, the user's others count, too.
    """
    try:
        import resource
    except ImportError:
        return
    _limit(resource.RLIMIT_CPU, int(cpu_s) + MORE_CPU_S)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    if processes is not None and hasattr(resource, "RLIMIT_NPROC"):
        _limit(resource.RLIMIT_NPROC, processes)


def processes_counted_by_namespace() -> bool:
    """Whether Linux counts processes for each user namespace: since 5.14."""
    if sys.platform != "linux":
        return False
    numbers = platform.release().split("-")[0].split(".")[:2]
    try:
        return [int(number) for number in numbers] >= [5, 14]
    except ValueError:
        return False


def refuse_system_calls() -> bool:
    """Have the system refuse the calls of :data:`SYSTEM_CALLS`; whether it does.

    Needs :func:`gain_no_rights` first. Calls of another architecture end the process, since their
    numbers mean something else.
    """
    calls = SYSTEM_CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None or struct.calcsize("P") != 8:
        return False
    program = _filter(*calls)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    return _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(head))


def _filter(architecture: int, clone: int, clone3: int, refused: tuple[int, ...]) -> bytes:
    """The program of a filter: each step has a code, two jumps and a number."""
    refused = tuple(dict.fromkeys(refused))
    steps: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, 4),  # the architecture
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # the number of the call
        (EQUAL, 0, 1, clone3),  # its flags are in memory, where no filter looks: use clone
        (RETURN, 0, 0, REFUSE | ENOSYS),
        (EQUAL, 0, 3, clone),
        (LOAD, 0, 0, 16),  # its first argument
        (ANY_BIT, len(refused) + 2, 0, NEW_NAMESPACES),
        (RETURN, 0, 0, ALLOW),
    ]
    steps += [(EQUAL, len(refused) - place, 0, call) for place, call in enumerate(refused)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE | EPERM)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _limit(what: int, most: int) -> None:
    """Lower both limits, the one that holds and the one that it could be raised to."""
    import resource

    try:
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(what, (most, most))
    except (ValueError, OSError):
        return


def _prctl(option: int, *arguments: object) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    filled = [*arguments, *[0] * (4 - len(arguments))]
    values = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in filled]
    return bool(library.prctl(option, *values) == 0)
