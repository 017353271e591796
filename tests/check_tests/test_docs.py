"""docs/checking.md shows what the program prints: its transcripts are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")
TRANSCRIPTS = re.findall(r"```\n\$ nncompare (check [^\n]*)\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_transcripts():
    assert len(TRANSCRIPTS) >= 3


@pytest.mark.parametrize(("command", "shown"), TRANSCRIPTS, ids=[c for c, _ in TRANSCRIPTS])
def test_a_transcript(command, shown, nncompare, monkeypatch):
    """Word for word but for line breaks; … stands for what is left out."""
    monkeypatch.chdir(ROOT)
    ended = nncompare(*shlex.split(command))
    assert ended.err == ""
    found, position = " ".join(ended.out.split()), 0
    for part in shown.split("…"):
        words = " ".join(part.split())
        assert words in found[position:], f"{words!r} is not in {found!r}"
        position = found.index(words, position) + len(words)


def test_every_option_in_its_tables_exists():
    import typer

    from compare.cli import app

    options = {
        name
        for parameter in typer.main.get_command(app).commands["check"].params  # type: ignore[attr-defined]
        for name in parameter.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", TEXT))
    others = {"--version", "--golden-file"}
    assert named - others <= options | {"--to", "--force", "-o"}, named - options
