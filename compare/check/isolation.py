"""What separates a homework's process from the machine, and the command that starts it so.

On Linux the process gets namespaces of its own, by bubblewrap if it is installed and else by
:mod:`compare.check.namespaces`; neither needs root. In them it sees Python, its packages, and the
files that it needs, all read-only; no process but those that it started; no network; and a small
folder in memory to write to. A control group, where there may be one, bounds its memory and its
processes. What there is not is said: ``strict`` refuses to start, ``standard`` takes what there is.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.errors import InputError

LEVELS = ("strict", "standard", "off")
STANDARD = "standard"
# What its folder in memory may hold, and how many processes and threads it may have.
ROOM_BYTES = 256 * 2**20
MOST_PROCESSES = 256
# What a control group may have above the limit of memory: what Python and NumPy share.
MORE_MEMORY_MB = 256
# How long an attempt to enter namespaces may take, on a busy machine.
PROBE_S = 20.0
# The system's programs, libraries and what these read; links stay links.
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime",
)  # fmt: skip
CONTROL_GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# How a shell enters a control group: by its own number, before it becomes the command.
ENTER = 'echo $$ 2>/dev/null > "$1" || exit 126'
REFUSED = Path(__file__).with_name("refused")
NAMESPACES = Path(__file__).with_name("namespaces.py")
_numbers = itertools.count()


@dataclass(frozen=True)
class View:
    """What an isolated process sees of the file system, beside the system's and Python's files.

    Attributes:
        folder: The folder that it starts in.
        read_only: Files and folders.
        hidden: Files and folders that are empty for it, though a folder that it sees holds them.
        refused: Modules, files and folders, in whose place it sees :mod:`compare.check.refused`.
    """

    folder: Path
    read_only: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    refused: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Isolation:
    """How a homework's process is separated.

    Attributes:
        level: One of :data:`LEVELS`, as it was asked for.
        tool: ``bubblewrap``, ``unshare``, or nothing where there are no namespaces.
        lacking: Why there are none, as a part of a sentence.
    """

    level: str
    tool: str = ""
    lacking: str = ""

    @property
    def sentence(self) -> str:
        """What was used, for a report."""
        if self.tool:
            return (
                f"It ran apart from the machine, by {self.tool}: no network, no other processes, "
                "no files but its own and Python's."
            )
        if self.level == "off":
            return "It ran with all rights of the person who checked it: --isolation off."
        return (
            "It ran in a process of its own with limits, but with the files and the network of the "
            f"person who checked it, as {self.lacking}."
        )

    def plan(self, view: View) -> bytes:
        """What the tool reads from a pipe, since its arguments can be read in the namespace."""
        links, read_only = _system()
        places = _outermost([*read_only, *map(str, view.read_only)])
        links = tuple(
            link for link in links if not any(_within(link[0], place) for place in places)
        )
        covers: dict[str, str] = {}
        for one in map(str, (*view.hidden, *view.refused)):
            if os.path.exists(one) and any(_within(one, place) for place in places):
                whole = os.path.isdir(one)
                if Path(one) in view.refused:
                    covers[one] = str(REFUSED if whole else REFUSED / "__init__.py")
                else:
                    covers[one] = "" if whole else os.devnull
        if self.tool == "bubblewrap":
            return os.fsencode("\0".join(_bubblewrap(links, places, covers, str(view.folder))))
        return json.dumps(
            {
                "links": links,
                "read_only": places,
                "covers": covers,
                "folder": str(view.folder),
                "room_bytes": ROOM_BYTES,
            }
        ).encode()

    def command(self, command: Sequence[str], descriptor: int) -> list[str]:
        """The command that runs ``command`` under this isolation.

        Args:
            command: The command.
            descriptor: The end of a pipe from which the tool reads its plan.
        """
        if self.tool == "bubblewrap":
            return [shutil.which("bwrap") or "bwrap", "--args", str(descriptor), "--", *command]
        if self.tool == "unshare":
            start = [sys.executable, "-I", "-S", str(NAMESPACES)]
            return [*start, str(descriptor), *command]
        return list(command)

    def start(
        self, view: View, command: Sequence[str], group: ControlGroup, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command under this isolation, in a control group.

        Args:
            view: What it sees of the file system.
            command: The command.
            group: The group.
            options: Those of ``subprocess.Popen``.
        """
        if not self.tool:
            return subprocess.Popen(group.command(list(command)), **options)
        reading, writing = os.pipe()
        try:
            passed = (*options.pop("pass_fds", ()), reading)
            arguments = group.command(self.command(command, reading))
            process = subprocess.Popen(arguments, pass_fds=passed, **options)
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(self.plan(view))
        return process


def find_isolation(level: str = STANDARD) -> Isolation:
    """What this machine has of what a level asks for.

    Raises:
        InputError: There is no such level, or ``strict`` cannot be had here.
    """
    if level not in LEVELS:
        raise InputError(f"--isolation expects one of {', '.join(LEVELS)}, but got {level!r}.")
    if level == "off":
        return Isolation(level)
    tool, lacking = _tool()
    if not tool and level == "strict":
        raise InputError(
            f"--isolation strict cannot be had here: {lacking}; docs/checking.md says what to use "
            "instead."
        )
    return Isolation(level, tool, lacking)


@lru_cache
def _tool() -> tuple[str, str]:
    """The tool that makes namespaces here, or nothing and why; found by trying."""
    if sys.platform != "linux":
        return "", "this system is not Linux, which alone has namespaces"
    reasons = []
    for tool in ("bubblewrap", "unshare"):
        if tool == "bubblewrap" and shutil.which("bwrap") is None:
            reasons.append("bubblewrap is not installed")
            continue
        attempt = Isolation(STANDARD, tool)
        try:
            with attempt.start(
                View(Path("/"), ()),
                [sys.executable, "-I", "-S", "-c", ""],
                ControlGroup(None),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
            ) as process:
                try:
                    _, complaint = process.communicate(timeout=PROBE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{tool} failed ({type(error).__name__})")
            continue
        if process.returncode == 0:
            return tool, ""
        said = " ".join(complaint.decode(errors="replace").split())[-150:]
        reasons.append(f"{tool} failed ({said or f'status {process.returncode}'})")
    return "", " and ".join(reasons)


@lru_cache
def _system() -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The links, and the files and folders, that every isolated process sees."""
    links, places = [], []
    for path in SYSTEM:
        if os.path.islink(path):
            links.append((path, os.readlink(path)))
        elif os.path.exists(path):
            places.append(path)
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders = {
        *prefixes,
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
    }
    for folder in sorted(folders):
        real = os.path.realpath(folder)
        if real != os.sep and os.path.isdir(real):
            places.append(real)
            if real != folder:
                links.append((folder, real))
    return tuple(links), tuple(_outermost(places))


def _bubblewrap(
    links: Iterable[tuple[str, str]],
    places: Iterable[str],
    covers: Mapping[str, str],
    folder: str,
) -> list[str]:
    """The arguments of bubblewrap.

    Args:
        links: Path and target of symbolic links.
        places: The files and folders that are seen.
        covers: File or folder → what is seen in its place; nothing for an empty folder.
        folder: Where the command starts.
    """
    room = str(ROOM_BYTES)
    arguments = [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL",
        "--dev", "/dev", "--size", room, "--tmpfs", "/dev/shm", "--proc", "/proc",
        "--size", room, "--tmpfs", "/tmp",
    ]  # fmt: skip
    for place in places:
        arguments += ["--ro-bind", place, place]
    for place, target in links:
        arguments += ["--symlink", target, place]
    for place, cover in covers.items():
        if cover:
            arguments += ["--ro-bind", cover, place]
        else:
            arguments += ["--size", "4096", "--tmpfs", place, "--remount-ro", place]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", folder]


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths without those in a folder that is among them."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda one: (one.count(os.sep), one)):
        if not any(_within(path, one) for one in kept):
            kept.append(path)
    return kept


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class ControlGroup:
    """A control group of Linux for one process and what it starts, where there may be one.

    Args:
        memory_mb: The megabytes that all of it may take, or None for no group.

    Attributes:
        folders: Its folders, one for each hierarchy; empty where there may be none.
    """

    def __init__(self, memory_mb: int | None) -> None:
        self.folders: list[Path] = []
        if sys.platform != "linux" or memory_mb is None:
            return
        name = f"nncompare-{os.getpid()}-{next(_numbers)}"
        memory = (memory_mb + MORE_MEMORY_MB) * 2**20
        limits = {"memory": ("memory.max", memory), "pids": ("pids.max", MOST_PROCESSES)}
        try:
            lines = OWN_GROUPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if not controllers:
                self._make_unified(path, name, limits)
            elif controllers in limits:
                file, most = limits[controllers]
                file = file if controllers == "pids" else "memory.limit_in_bytes"
                self._make(CONTROL_GROUPS / controllers / path.lstrip("/") / name, {file: most})

    def _make_unified(self, path: str, name: str, limits: dict[str, tuple[str, int]]) -> None:
        """Version 2: a sibling, since a group with processes has no children with limits."""
        own = CONTROL_GROUPS / path.lstrip("/")
        parent = own if path == "/" else own.parent
        try:
            there = (parent / "cgroup.subtree_control").read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            return
        files = {file: most for key, (file, most) in limits.items() if key in there}
        if files:
            # What the memory does not hold is not to go to the swap instead, without a limit.
            self._make(parent / name, files, {"memory.swap.max": 0} if "memory" in there else {})

    def _make(
        self, folder: Path, files: dict[str, int], wanted: Mapping[str, int] | None = None
    ) -> None:
        """Make a group with these limits, and those wanted that the system has, or none."""
        for left in folder.parent.glob("nncompare-*-*"):  # by a check that was killed
            if not Path("/proc", left.name.split("-")[1]).exists():
                with contextlib.suppress(OSError):  # processes are still in it
                    left.rmdir()
        try:
            folder.mkdir()
        except OSError:
            return
        try:
            for file, most in files.items():
                (folder / file).write_text(str(most), encoding="ascii")
            _require_entrance(folder)
        except (OSError, subprocess.SubprocessError):
            with contextlib.suppress(OSError):
                folder.rmdir()
            return
        for file, most in (wanted or {}).items():
            with contextlib.suppress(OSError):
                (folder / file).write_text(str(most), encoding="ascii")
        self.folders.append(folder)

    def command(self, command: list[str]) -> list[str]:
        """The command that runs ``command`` in the group."""
        if not self.folders:
            return command
        enter = f'while [ "$1" != -- ]; do {ENTER}; shift; done; '
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["/bin/sh", "-c", f'{enter}shift; exec "$@"', "sh", *files, "--", *command]

    def kill(self) -> None:
        """End every process in it, also those that left their session."""
        for folder in self.folders:
            try:
                (folder / "cgroup.kill").write_text("1", encoding="ascii")
            except OSError:  # version 1, or Linux before 5.14
                _kill_each(folder)

    def remove(self) -> None:
        """Remove it as soon as its last process has gone; wait for that a moment."""
        for _ in range(50):
            for folder in list(self.folders):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    self.folders.remove(folder)
            if not self.folders:
                return
            time.sleep(0.01)


def _require_entrance(folder: Path) -> None:
    """Try to enter a control group: who may make one need not be allowed to move a process there.

    Raises:
        OSError or SubprocessError: It cannot be entered.
    """
    subprocess.run(
        ["/bin/sh", "-c", ENTER, "sh", folder / "cgroup.procs"],
        check=True, timeout=PROBE_S, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip


def _kill_each(folder: Path) -> None:
    """Kill the processes of a control group one by one, until none is left or none can be killed.

    One of another namespace is a 0 here, which would mean this process's own group.
    """
    for _ in range(MOST_PROCESSES):
        try:
            lines = (folder / "cgroup.procs").read_text(encoding="ascii").split()
        except OSError:
            return
        killed = 0
        for number in {int(line) for line in lines} - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
                killed += 1
        if not killed:
            return
        time.sleep(0.001)
