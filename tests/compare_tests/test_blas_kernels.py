"""The kernels of OpenBLAS are named only where they can run and nobody has named others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from compare.blas_kernels import NEEDED, VARIABLE, choose_kernels


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    def choose(vendor: str, flags: set[str], set_already: str | None = None) -> str | None:
        monkeypatch.delenv(VARIABLE, raising=False)
        if set_already is not None:
            monkeypatch.setenv(VARIABLE, set_already)
        monkeypatch.delitem(sys.modules, "numpy", raising=False)
        cpuinfo = tmp_path / "cpuinfo"
        text = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {' '.join(flags)}\n\n"
        cpuinfo.write_text(text + "processor\t: 1\nvendor_id\t: Other\nflags\t\t: sse\n\n")
        choose_kernels(cpuinfo)
        return os.environ.get(VARIABLE)

    return choose


def test_an_amd_processor_with_all_instructions(chosen):
    assert chosen("AuthenticAMD", {"sse", *NEEDED}) == "SkylakeX"


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_an_instruction_that_is_missing(chosen, missing):
    assert chosen("AuthenticAMD", {"sse", *NEEDED} - {missing}) is None


def test_other_processors_are_left_alone(chosen):
    assert chosen("GenuineIntel", {"sse", *NEEDED}) is None


def test_what_somebody_chose_stays(chosen):
    assert chosen("AuthenticAMD", set(NEEDED), "Zen") == "Zen"
    assert chosen("AuthenticAMD", set(NEEDED), "") == ""


def test_no_description(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    choose_kernels(tmp_path / "none")
    assert VARIABLE not in os.environ


def test_too_late_once_numpy_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"vendor_id\t: AuthenticAMD\nflags\t\t: {' '.join(NEEDED)}\n\n")
    choose_kernels(cpuinfo)
    assert VARIABLE not in os.environ


def test_the_command_line_has_not_loaded_numpy_yet():
    """Or the choice would come too late."""
    code = "import sys, compare.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
