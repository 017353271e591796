"""A handful of malformed inputs given to a process of its own, as a person meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def ended(*arguments: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "compare", *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )


def check(result: subprocess.CompletedProcess[bytes], *names: bytes) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(b"nncompare: ")
    assert result.stderr.count(b"\n") == 1
    assert b"\x1b" not in result.stderr
    for name in names:
        assert name in result.stderr


def test_a_file_that_is_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "déjà\x1b.toml"
    check(ended("run", path, PYTHONIOENCODING="ascii:strict"), b"not seen, U+001B")
    path = tmp_path / "ünder.toml"
    path.write_text("a = " + "[" * 100_000)
    check(ended("run", path, PYTHONIOENCODING="latin-1:strict"), b"\xfcnder.toml", b"too deeply")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp949", "utf-8"])
def test_encodings_that_lack_characters(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text('title = "漢字 → ² \u202e"\n"é" = 1\n', encoding="utf-8")
    check(ended("run", path, PYTHONIOENCODING=f"{encoding}:strict"), b"x.toml")
    os.mkfifo(tmp_path / "run.toml")
    check(ended("run", tmp_path / "run.toml"), b"found a pipe")
    check(ended("run", "/dev/stdin.toml"), b"stdin")
    check(ended("report", b"\xff\xfe".decode("utf-8", "surrogateescape")), b"not a folder")
