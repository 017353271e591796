"""Baselines, and the assertion and the fixture of pytest that use them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from planted.traced_networks import encoder, tokens

import nncompare
from experiments.errors import InputError


@pytest.fixture
def traces(trace):
    """A right one, one whose ε is off, and one whose ε is further off."""
    return [trace(f"{eps}.trace", encoder(eps=eps), tokens()) for eps in (1e-5, 1e-4, 1e-3)]


def test_the_assertion(traces, tmp_path):
    right, off, further = traces
    nncompare.assert_traces_agree(right, right)
    with pytest.raises(AssertionError, match=r"eps is 1e-05 in a, 0\.0001 in b"):
        nncompare.assert_traces_agree(right, off)
    file = tmp_path / "baseline.json"
    with pytest.raises(InputError, match="there is no such baseline"):
        nncompare.assert_traces_agree(right, off, baseline=file)
    nncompare.assert_traces_agree(right, off, baseline=file, update=True)
    nncompare.assert_traces_agree(right, off, baseline=file)
    nncompare.assert_traces_agree(right, right, baseline=file)
    with pytest.raises(AssertionError, match=r"sites are further off than in .*baseline\.json"):
        nncompare.assert_traces_agree(right, further, baseline=file)


@pytest.mark.slow  # four processes that load PyTorch
def test_the_fixture(traces, tmp_path):
    right, off, further = traces
    (tmp_path / "test_port.py").write_text(
        f"def test_off(traces_agree):\n"
        f"    traces_agree({str(right)!r}, {str(off)!r}, baseline='base.json')\n"
        f"def test_same(traces_agree):\n"
        f"    traces_agree({str(right)!r}, {str(right)!r})\n"
    )

    def run(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:nncompare"]
        command += ["-p", "nncompare", "--rootdir", str(tmp_path), *options, "test_port.py"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    ended = run()
    assert "1 failed, 1 passed" in ended.stdout
    assert "there is no such baseline" in ended.stdout
    assert "2 passed" in run("--update-baselines").stdout
    assert "2 passed" in run().stdout
    test = tmp_path / "test_port.py"
    test.write_text(test.read_text().replace(str(off), str(further)))
    ended = run()
    assert "1 failed, 1 passed" in ended.stdout
    assert "further off than in base.json" in ended.stdout
