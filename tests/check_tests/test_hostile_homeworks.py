"""Homeworks that attack: none is believed, and each ends in one outcome under every isolation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from planted.hostile import AGREES, NAMES, mark_of, text_of

from compare.check.checking import check_homework
from compare.check.isolation import LEVELS, find_isolation
from compare.check.reading import Options
from compare.console.check import show_outcome
from experiments.errors import InputError

SECRET = "secret-of-the-checker"
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S, MOST_S = 4.0, 40.0
# Without isolation a homework has the rights of the person who checks, as the documentation says.
RIGHTS = {
    "writes to the checker's file", "removes the checker's file", "reads the checker's file",
    "reads the environment", "reads other environments", "rewrites itself",
    "leaves a forked child", "leaves a child", "asks another interpreter",
}  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its attacks are those of Linux")


def attacked(name: str, level: str, folder: Path) -> str:
    """Check a hostile homework; what is wrong, or nothing."""
    victim = folder / "victim.txt"
    victim.write_text(SECRET)
    (folder / "work").mkdir()
    file = folder / "work" / "homework.py"
    file.write_text(text_of(name, victim), encoding="utf-8", errors="surrogatepass")
    before = file.read_bytes()
    if level == "off" and name == "kills its parent":
        return _apart(file)
    os.environ["NNCOMPARE_SECRET"] = SECRET
    began = time.monotonic()
    try:
        outcome = check_homework(
            file, Options(isolation=level, timeout_s=TIMEOUT_S, memory_mb=512, seed=1)
        )
    finally:
        del os.environ["NNCOMPARE_SECRET"]
    lasted = time.monotonic() - began
    if outcome.status == 0:
        return "it is believed"
    if lasted > MOST_S:
        return f"it took {lasted:.0f} s"
    error = outcome.result.error or ""
    if outcome.status == 2 and not (error.isprintable() and error.endswith((".", "…"))):
        return f"no sentence: {error!r}"
    if level == "off" and name in RIGHTS:
        return ""
    if not victim.exists() or victim.read_text() != SECRET or file.read_bytes() != before:
        return "a file of the checker is changed"
    if SECRET in f"{error} {outcome.printed} {outcome.result}":
        return "it has read what is the checker's"
    return _left(mark_of(victim).encode())


def _apart(file: Path) -> str:
    """Check a homework that may end who checks it; then there is no verdict."""
    done = subprocess.run(
        [sys.executable, "-m", "compare", "check", file, "--isolation", "off"],
        cwd=ROOT, capture_output=True, text=True, timeout=MOST_S, check=False,
    )  # fmt: skip
    agrees = done.returncode == 0 or "agrees with PyTorch" in done.stdout
    return "it is believed" if agrees else ""


def _left(mark: bytes) -> str:
    last = time.monotonic() + 3
    while time.monotonic() < last:
        if not any(mark in _command(p) for p in Path("/proc").glob("[0-9]*")):
            return ""
        time.sleep(0.05)
    return "a process lives on"


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def can_be_had(level: str) -> bool:
    try:
        return bool(find_isolation(level).tool) or level == "off"
    except InputError:
        return False


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "equals everything" else [pytest.mark.slow]) for n in NAMES],
)
def test_it_is_not_believed(name, level, tmp_path):
    if not can_be_had(level):
        pytest.skip(f"--isolation {level} cannot be had here")
    assert attacked(name, level, tmp_path) == ""


def test_what_it_prints_is_no_verdict(write, capfd):
    from planted.hostile import BEFORE, WRONG

    file = write(text=f"{BEFORE['prints a verdict past Python']}\n{WRONG}")
    show_outcome(check_homework(file, Options(timeout_s=TIMEOUT_S)), prints=True)
    shown: Any = capfd.readouterr().out
    assert not [line for line in shown.splitlines() if line.startswith(AGREES)]
    assert "\x1b" not in shown
