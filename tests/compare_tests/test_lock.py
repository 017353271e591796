"""The lock of a run's folder: one living process has it, a dead one never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from compare.records.lock import LOCK, FolderLock

PROGRAM = """
import sys, time
from pathlib import Path
from compare.records.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
assert lock.take()
print("taken", flush=True)
time.sleep(60)
"""


def test_one_holder(tmp_path):
    one, two = FolderLock(tmp_path), FolderLock(tmp_path)
    assert not one.is_taken()
    assert one.take()
    assert one.take()  # it has it
    assert one.is_mine
    assert not one.is_taken()  # by somebody else
    assert two.is_taken()
    assert not two.take()
    assert two.holder() == f"process {os.getpid()}"
    one.release()
    assert not (tmp_path / LOCK).exists()
    assert not two.is_taken()
    assert two.take()
    one.release()  # it has none: the other's stays
    assert one.is_taken()
    two.release()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed on Windows")
def test_a_file_that_was_removed_is_no_lock(tmp_path, monkeypatch):
    """The holder removes the file between the other's opening and locking it."""
    one, two = FolderLock(tmp_path), FolderLock(tmp_path)
    assert one.take()
    opened, real = [], os.open

    def late(path, *rest):
        handle = real(path, *rest)
        if not opened:
            one.release()
        opened.append(handle)
        return handle

    monkeypatch.setattr(os, "open", late)
    assert two.take()
    monkeypatch.undo()
    assert len(opened) == 2
    assert one.is_taken()
    two.release()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_dead_process_holds_nothing(tmp_path):
    lock = FolderLock(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        assert lock.is_taken()
        assert not lock.take()
        assert lock.holder() == f"process {holder.pid}"
        os.kill(holder.pid, signal.SIGKILL)
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / LOCK).exists()
    last = time.monotonic() + 10
    while lock.is_taken() and time.monotonic() < last:
        time.sleep(0.01)
    assert lock.take()
    lock.release()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    one, two = FolderLock(tmp_path), FolderLock(tmp_path)
    assert one.take()
    assert two.take()
    one.release()
    two.release()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        FolderLock(tmp_path / "no").take()
    assert not FolderLock(tmp_path / "no").is_taken()
    (tmp_path / LOCK).write_bytes(b"\xff\xfe")
    assert FolderLock(tmp_path).holder() == "another process"
