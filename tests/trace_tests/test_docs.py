"""docs/traces.md shows what the program prints: its transcripts are run, one after the other."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from compare.cli import app
from compare.trace.format import Index
from compare.trace.mapping import read_map

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")
BEFORE, _, REST = TEXT.partition("## Other frameworks\n")
OTHERS, _, AFTER = REST.partition("\n## ")
INTRODUCTION, *FRAMEWORKS = re.split(r"^### ", OTHERS, flags=re.MULTILINE)


def transcripts(text):
    """(command, what it prints) of each, in order."""
    return re.findall(r"```\n\$ nncompare ([^\n]*)\n(.*?)```", text, re.DOTALL)


def python(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


TRANSCRIPTS = transcripts(BEFORE + AFTER)


def follow(commands, command_line):
    for command, shown in commands:
        ended = command_line(*shlex.split(command))
        assert ended.err == ""
        found, position = " ".join(ended.out.split()), 0
        for part in shown.split("…"):
            words = " ".join(part.split())
            assert words in found[position:], f"{words!r} is not in {found!r}"
            position = found.index(words, position) + len(words)


@pytest.mark.slow
@pytest.mark.parametrize("text", FRAMEWORKS, ids=lambda text: text.split("\n")[0])
def test_other_frameworks(text, command_line, tmp_path, monkeypatch):
    """Each section's program, behind the introduction's, and its transcripts."""
    package = {"JAX": "jax", "ONNX Runtime": "onnxruntime", "tinygrad": "tinygrad"}
    name = package[text.split("\n")[0]]
    pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEV", "PYTHON")  # tinygrad's own interpreter, which needs no compiler
    with contextlib.ExitStack() as stack:
        if name == "tinygrad":
            from tinygrad.helpers import Context

            stack.enter_context(Context(DEV="PYTHON"))
        exec(python(INTRODUCTION + text), {})
    commands = transcripts(text)
    assert commands
    follow(commands, command_line)


def test_the_transcripts(command_line, tmp_path, monkeypatch):
    """Word for word but for line breaks; … stands for what is left out."""
    assert len(TRANSCRIPTS) >= 7
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    follow(TRANSCRIPTS, command_line)
    assert [c.split()[0] for c, _ in TRANSCRIPTS].count("diff") >= 3


@pytest.mark.parametrize("command", ["record", "diff"])
def test_every_option_is_in_its_table(command):
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {name for p in commands[command].params for name in p.opts if name.startswith("--")}
    named = set(re.findall(r"`(--[a-z-]+)", TEXT))
    assert options - named <= {"--out"}


def test_its_json_is_read(tmp_path):
    first, second = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "map.json").write_text(first)
    names = read_map(tmp_path / "map.json")
    assert names.parameters["encoder.fc.weight"].transposed
    index = Index.model_validate(json.loads(second))
    assert index.calls[0].module == index.modules[0].name == "fc"
    assert not index.model_extra
