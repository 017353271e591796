"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from compare.records import atomic
from compare.records.atomic import remove_leftovers, write_atomically
from experiments.errors import InputError


def test_text_and_bytes(tmp_path):
    write_atomically(tmp_path / "a", "γ\n")
    assert (tmp_path / "a").read_bytes() == "γ\n".encode()
    write_atomically(tmp_path / "a", b"\r\n\x00")
    assert (tmp_path / "a").read_bytes() == b"\r\n\x00"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="file modes of POSIX")
def test_the_mode_is_the_usual_one(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "x")
        assert os.umask(0o027) == 0o027  # as it was
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def failing(number: int):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("where", ["os.fsync", "os.replace", "os.chmod", "tempfile.mkstemp"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch, where, number):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(f"compare.records.atomic.{where}", failing(number))
    with pytest.raises(InputError) as caught:
        write_atomically(path, "new")
    assert str(caught.value) == f"{path} could not be written: {os.strerror(number)}."
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_without_a_number(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("odd")

    monkeypatch.setattr(atomic.os, "replace", fail)
    with pytest.raises(InputError, match=r"could not be written: odd\."):
        write_atomically(tmp_path / "a", "new")


def test_an_interruption_leaves_the_old_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(atomic.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("path", ["no/such/folder/a", "file/a"])
def test_no_such_folder(tmp_path, path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="could not be written: No"):
        write_atomically(tmp_path / path, "x")


def test_a_name_that_is_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="could not be written"):
        write_atomically(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_disk_that_is_really_full(tmp_path):
    """The limit on a file's size stands in for the disk: the write fails half way."""
    (tmp_path / "a").write_text("old")
    program = (
        "import resource, sys, pathlib\n"
        "from compare.records.atomic import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "write_atomically(pathlib.Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "InputError" in done.stderr
    assert "could not be written: File too large." in done.stderr
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_leftovers_of_a_killed_process(tmp_path):
    program = (
        "import os, signal, sys, pathlib\n"
        "from compare.records import atomic\n"
        "atomic.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write_atomically(pathlib.Path(sys.argv[1]), 'new')\n"
    )
    (tmp_path / "w").mkdir()
    path = tmp_path / "w" / "a"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path / "w")) == 2
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path / "w") == ["a"]
