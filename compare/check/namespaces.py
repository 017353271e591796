"""Enters namespaces of Linux without a tool: ``python -I namespaces.py PIPE COMMAND …``.

For machines without bubblewrap, with the standard library alone. The plan comes as JSON from a
pipe, of which PIPE is the descriptor, since the command could read it among the arguments. The
process gets namespaces of its own for users, mounts, processes, the network and messages between
processes; a root file system in memory in which there is only what the plan lists; and no rights
over any of it. Then it starts the command, waits for it and ends as it does: with 128 plus the
number of the signal where one ended it. As process 1 of its namespace it takes all that the command
started with it when it ends.

This file is run by path, so that no other module of this project is needed to run it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

# unshare(2): mount, cgroup, UTS, IPC, user, PID and network namespaces.
NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000
NEW_NETWORK = 0x40000000
# mount(2) and umount2(2)
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
# mount_setattr(2), which is since Linux 5.12; the number is the same on all processors.
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_READ_ONLY = 442, -100, 0x8000, 0x1 | 0x2 | 0x4
# pivot_root(2), by processor, and prctl(2).
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
MOST_CAPABILITIES = 64
DEVICES = ("null", "zero", "full", "random", "urandom")
FAILED = 126

LIBRARY = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int, command: list[str]) -> NoReturn:
    """Enter the namespaces, start the command, and end as it ends."""
    with os.fdopen(descriptor, "rb") as pipe:
        plan = json.loads(pipe.read())
    parent = os.getppid()
    LIBRARY.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(FAILED)
    user, group = os.geteuid(), os.getegid()
    try:
        _checked("unshare", LIBRARY.unshare(NEW_NAMESPACES | NEW_NETWORK))
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError as error:
        _fail(error)
    first = os.fork()
    if first:
        _, status = os.waitpid(first, 0)
        os._exit(_code(status))
    LIBRARY.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        _make_root(plan)
        _give_up_rights()
    except OSError as error:
        _fail(error)
    worker = os.fork()
    if not worker:
        try:
            os.chdir(plan["folder"])
            os.execv(command[0], command)
        except OSError as error:
            _fail(error)
    # Process 1 holds no pipe open, so that its readers see the end when the command ends.
    os.closerange(0, 3)
    while True:
        ended, status = os.wait()
        if ended == worker:
            os._exit(_code(status))


def _make_root(plan: dict[str, Any]) -> None:
    """Put a file system with what the plan lists in the place of the one there is."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # /tmp is covered, and uncovered again where the old root is seen from the new one.
    _mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    _mount("tmpfs", "/tmp/new", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")
    _pivot("/tmp", "/tmp/old")
    os.chdir("/")
    new, old = "/new", "/old"
    for place, target in plan["links"]:
        os.makedirs(os.path.dirname(new + place), exist_ok=True)
        os.symlink(target, new + place)
    for folder in ("/tmp", "/dev/shm"):
        os.makedirs(new + folder)
        room = f"mode=1777,size={plan['room_bytes']}"
        _mount("tmpfs", new + folder, "tmpfs", MS_NOSUID | MS_NODEV, room)
    for place in plan["read_only"]:
        _make_place(old + place, new + place)
        _mount(old + place, new + place, None, MS_BIND | MS_REC)
        _read_only(new + place, AT_RECURSIVE)
    os.makedirs(f"{new}/proc", exist_ok=True)
    _mount("proc", f"{new}/proc", "proc", MS_NOSUID | MS_NODEV)
    for device in DEVICES:
        _make_place(f"{old}/dev/{device}", f"{new}/dev/{device}")
        _mount(f"{old}/dev/{device}", f"{new}/dev/{device}", None, MS_BIND)
    for link, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{new}/dev/{link}")
    for place, cover in plan["covers"].items():
        if cover:
            _mount(old + cover, new + place, None, MS_BIND)
        else:
            _mount("tmpfs", new + place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4k")
        if cover != os.devnull:
            _read_only(new + place, 0)
    os.chdir(new)
    _checked("umount2", LIBRARY.umount2(os.fsencode(old), MNT_DETACH))
    _pivot(".", ".")
    _checked("umount2", LIBRARY.umount2(b".", MNT_DETACH))
    os.chdir("/")
    _read_only("/", 0)


def _make_place(source: str, target: str) -> None:
    """Make what something is to be mounted on."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))


def _give_up_rights() -> None:
    """Lose every capability with the next program that is started."""
    for capability in range(MOST_CAPABILITIES):
        LIBRARY.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    _checked("prctl", LIBRARY.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    arguments = [one and os.fsencode(one) for one in (source, target, kind)]
    result = LIBRARY.mount(*arguments, ctypes.c_ulong(flags), options and options.encode())
    _checked(f"mount {target}", result)


def _read_only(path: str, flags: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(ATTR_READ_ONLY, 0, 0, 0)
    result = LIBRARY.syscall(
        ctypes.c_long(MOUNT_SETATTR), ctypes.c_int(AT_FDCWD), os.fsencode(path),
        ctypes.c_uint(flags), ctypes.byref(attributes), ctypes.c_size_t(32),
    )  # fmt: skip
    _checked(f"mount_setattr {path}", result)


def _pivot(new: str, old: str) -> None:
    number = PIVOT_ROOT.get(os.uname().machine, -1)
    _checked(
        "pivot_root", LIBRARY.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old))
    )


def _checked(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _fail(error: OSError) -> NoReturn:
    print(f"{error.filename or 'namespaces'}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(FAILED)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
