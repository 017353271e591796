"""Output in encodings that lack characters is written, with what reads alike in their place."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compare.console.encodings import make_printable

ROOT = Path(__file__).resolve().parents[2]
ENCODINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp949": {"PYTHONIOENCODING": "cp949"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    # As Python before 3.7 and Windows take it: no UTF-8 in the place of the C locale's ASCII.
    "C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


def ended(arguments: list[str], encoding: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    command = [sys.executable, "-m", "compare", *arguments]
    environment = {**own, "PYTHONPATH": str(ROOT), **ENCODINGS[encoding]}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)


def written(text: str, encoding: str) -> str:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding)
    make_printable(stream)
    stream.write(text)
    stream.flush()
    return content.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "784 → 256 … “x”", '784 -> 256 ... "x"'),
        ("ascii", "10⁻³, σ², √n, 3 × 3", "10^-3, sigma^2, sqrtn, 3 x 3"),
        ("ascii", "Müller", "Muller"),
        ("ascii", "漢字 \N{GRINNING FACE}", "\\u6f22\\u5b57 \\U0001f600"),
        ("ascii", "한글", "\\ud55c\\uae00"),
        ("latin-1", "σ² − 3 × 3", "sigma² - 3 × 3"),
        ("cp1252", "a – b … → “x”", "a – b … -> “x”"),
        ("cp949", "한글 → 학습률 − x₁₂ 10⁻³", "한글 → 학습률 - x₁₂ 10^-³"),
    ],
)
def test_what_is_written_in_place(encoding, text, expected):
    assert written(text, encoding) == expected


@pytest.mark.parametrize("encoding", ["cp1252", "C locale"])
def test_list(encoding, tmp_path):
    found = ended(["list"], encoding, tmp_path)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"mnist_bn_mlp" in found.stdout


HOMEWORK = """
import numpy as np

def forward(x, params):
    print("→ 784 × 10 한글")
    return x @ params["0.weight"].T
"""


def commands(folder: Path) -> dict[str, tuple[list[str], int]]:
    """Name → (arguments, status where everything can be printed)."""
    (folder / "과제.py").write_text(HOMEWORK, encoding="utf-8")
    small = ["--sample", "--max-steps=2", "--out=run", "--author=홍길동 → Ω"]
    bench = ["--part=steps", "--architecture=softmax_mlp", "--batch-size=8", "--repeats=3"]
    return {
        "list": (["list"], 0),
        "run": (["run", "mnist_bn_mlp", *small], 0),
        "report": (["report", "run"], 0),
        "parity": (["parity", "--architecture=softmax_mlp"], 0),
        "graph": (["parity", "--architecture=softmax_mlp", "--graph"], 0),
        "bench": (["bench", *bench, "--seconds=0.05", "--out=speed"], 0),
        "check": (["check", "과제.py", "--architecture=softmax_mlp", "--prints"], 2),
        "diff": (["diff", "a.trace", "b → c.trace"], 2),
        "help": (["run", "--help"], 0),
    }


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints(encoding, tmp_path):
    """Status and sentences are those of a terminal with every character."""
    for name, (arguments, status) in commands(tmp_path).items():
        found = ended(arguments, encoding, tmp_path)
        assert found.returncode == status, (name, found.stderr.decode(errors="replace"))
        assert b"Traceback" not in found.stdout + found.stderr, name
