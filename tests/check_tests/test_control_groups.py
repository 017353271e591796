"""Control groups, on a folder that looks like the system's: what is made, entered, killed, removed.

The names, the rules and who may do what are those of the kernel's documentation,
https://docs.kernel.org/admin-guide/cgroup-v2.html. A folder makes no files of its own, and is not
removed while it has some: the tests do both in the kernel's place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compare.check import isolation
from compare.check.isolation import MORE_MEMORY_MB, MOST_PROCESSES, ControlGroup

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
OWN = "user.slice/app.slice/checks.scope"


@pytest.fixture
def unified(tmp_path, monkeypatch):
    """Version 2: this process is in ``OWN``, whose parent hands on these controllers."""

    def make(handed_on: str = "cpu memory pids", path: str = f"/{OWN}") -> Path:
        (tmp_path / "fs" / OWN).mkdir(parents=True)
        for folder in (tmp_path / "fs", (tmp_path / "fs" / OWN).parent):
            (folder / "cgroup.subtree_control").write_text(f"{handed_on}\n")
        (tmp_path / "own").write_text(f"0::{path}\n")
        monkeypatch.setattr(isolation, "CONTROL_GROUPS", tmp_path / "fs")
        monkeypatch.setattr(isolation, "OWN_GROUPS", tmp_path / "own")
        return tmp_path / "fs"

    return make


def limits_of(folder: Path) -> dict[str, str]:
    files = (file for file in folder.iterdir() if file.name != "cgroup.procs")
    return {file.name: file.read_text() for file in files}


def emptied(folder: Path) -> None:
    """As the kernel's, which can be removed with its files."""
    for file in folder.iterdir():
        file.rmdir() if file.is_dir() else file.unlink()


def test_it_is_a_sibling_with_limits(unified):
    """A group that has processes hands on no controllers: its children have no limits."""
    fs = unified()
    (folder,) = ControlGroup(512).folders
    assert folder.parent == (fs / OWN).parent
    assert folder.name.startswith(f"nncompare-{os.getpid()}-")
    assert limits_of(folder) == {
        "memory.max": str((512 + MORE_MEMORY_MB) * 2**20),
        "pids.max": str(MOST_PROCESSES),
        "memory.swap.max": "0",
    }


def test_a_process_enters_it_before_it_becomes_the_command(unified):
    unified()
    group = ControlGroup(512)
    command = group.command(["/bin/sh", "-c", "echo $$ $1", "sh", "--"])
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    entered = (group.folders[0] / "cgroup.procs").read_text()
    assert said == f"{entered.strip()} --\n"


@pytest.mark.parametrize("handed_on", ["memory", "cpu pids io"])
def test_only_what_is_handed_on(unified, handed_on):
    unified(handed_on)
    (folder,) = ControlGroup(512).folders
    expected = {"memory.max", "memory.swap.max"} if handed_on == "memory" else {"pids.max"}
    assert limits_of(folder).keys() == expected


@pytest.mark.parametrize(
    ("handed_on", "path"),
    [
        ("", f"/{OWN}"),  # systemd hands nothing on
        ("cpu io", f"/{OWN}"),
        ("memory", "/../../elsewhere"),  # seen from another namespace
        ("memory", "/not/mounted/here"),
    ],
)
def test_none_where_none_may_be_made(unified, handed_on, path):
    fs = unified(handed_on, path)
    before = sorted(fs.rglob("*"))
    group = ControlGroup(512)
    assert group.folders == []
    assert group.command(["a", "b"]) == ["a", "b"]
    assert sorted(fs.rglob("*")) == before


def test_the_root_of_a_namespace_is_no_ones_sibling(unified):
    fs = unified(path="/")
    (folder,) = ControlGroup(512).folders
    assert folder.parent == fs


def test_none_is_wanted(unified):
    unified()
    assert ControlGroup(None).folders == []


def test_limits_that_are_refused_leave_nothing(unified, monkeypatch):
    fs = unified()
    write = Path.write_text

    def refused(self, *arguments, **settings):
        if self.name == "memory.max":
            raise PermissionError
        return write(self, *arguments, **settings)

    monkeypatch.setattr(Path, "write_text", refused)
    assert ControlGroup(512).folders == []
    assert not list(fs.rglob("nncompare-*"))


def test_a_group_that_cannot_be_entered_is_none(unified, monkeypatch):
    """Who may make a group need not be allowed to move a process to it: then a check goes on."""
    fs = unified()
    make = Path.mkdir

    def unwritable(self, *arguments, **settings):
        make(self, *arguments, **settings)
        if self.name.startswith("nncompare-"):
            make(self / "cgroup.procs")

    monkeypatch.setattr(Path, "mkdir", unwritable)
    monkeypatch.setattr(Path, "rmdir", lambda self: emptied(self) or os.rmdir(self))
    assert ControlGroup(512).folders == []
    assert not list(fs.rglob("nncompare-*"))


def test_all_of_it_is_killed_at_once(unified):
    unified()
    group = ControlGroup(512)
    group.kill()
    assert (group.folders[0] / "cgroup.kill").read_text() == "1"


def test_each_of_it_is_killed_where_the_system_cannot(unified, monkeypatch):
    """Before Linux 5.14; a process of another namespace is a 0, which must not be killed."""
    unified()
    group = ControlGroup(512)
    folder = group.folders[0]
    (folder / "cgroup.kill").mkdir()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        (folder / "cgroup.procs").write_text(f"0\n{process.pid}\n")
        killed = []
        kill = os.kill

        def noted(number: int, by: int) -> None:
            killed.append(number)
            kill(number, by)
            process.wait(10)
            (folder / "cgroup.procs").write_text("0\n")

        monkeypatch.setattr(os, "kill", noted)
        group.kill()
        assert killed == [process.pid]
        assert process.wait(10) == -signal.SIGKILL


def test_it_is_removed_and_so_are_those_of_the_dead(unified):
    fs = unified()
    with subprocess.Popen(["true"]) as process:
        process.wait()
    dead = (fs / OWN).parent / f"nncompare-{process.pid}-0"
    alive = (fs / OWN).parent / f"nncompare-{os.getppid()}-0"
    dead.mkdir()
    alive.mkdir()
    group = ControlGroup(512)
    assert (dead.exists(), alive.exists()) == (False, True)
    (folder,) = group.folders
    emptied(folder)
    group.remove()
    assert (folder.exists(), group.folders) == (False, [])


def test_version_1_has_a_folder_for_each_controller(tmp_path, monkeypatch):
    (tmp_path / "own").write_text("9:name=systemd:/a\n4:memory:/a\n3:cpu,cpuacct:/a\n2:pids:/a\n")
    monkeypatch.setattr(isolation, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(isolation, "OWN_GROUPS", tmp_path / "own")
    for name in ("memory", "pids", "cpu,cpuacct"):
        (tmp_path / name / "a").mkdir(parents=True)
    memory, pids = ControlGroup(512).folders
    assert (memory.parent, pids.parent) == (tmp_path / "memory" / "a", tmp_path / "pids" / "a")
    assert limits_of(memory) == {"memory.limit_in_bytes": str((512 + MORE_MEMORY_MB) * 2**20)}
    assert limits_of(pids) == {"pids.max": str(MOST_PROCESSES)}
