"""The commands: options, statuses, and scripts that go wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from planted.traced_networks import encoder, tokens
from safetensors.torch import save_file

from compare.trace.format import read_trace

SCRIPT = """
import torch
from torch import nn

def model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

def forward_alone():
    return model(), torch.ones(2, 3)

def keywords():
    return nn.Bilinear(2, 2, 2), {"input1": torch.ones(1, 2), "input2": torch.ones(1, 2)}

def by_itself(record):
    net = model()
    with record(net):
        net(torch.ones(2, 3)).sum().backward()

def forgets(record):
    pass

def nothing():
    return 3

def fails():
    raise KeyError("no\\nsuch thing")

def fails_later():
    return model(), torch.ones(2, 7)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "script.py"


@pytest.mark.parametrize(
    ("function", "calls"), [("forward_alone", 4), ("keywords", 1), ("by_itself", 4)]
)
def test_what_a_function_may_return(function, calls, script, command_line, tmp_path):
    ended = command_line("record", f"{script}:{function}", "-o", tmp_path / "t")
    assert ended.status == 0, ended.err
    assert len(read_trace(tmp_path / "t").index.calls) == calls


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "should return (model, inputs)"),
        ("forgets", "did not record"),
        ("fails", "line 26: KeyError"),
        ("fails_later", "RuntimeError"),
        ("nobody", "defines no nobody()"),
    ],
)
def test_a_script_that_goes_wrong(function, words, script, command_line, tmp_path):
    ended = command_line("record", f"{script}:{function}", "-o", tmp_path / "t")
    assert ended.status == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == ["script.py"]


def test_no_script(command_line, tmp_path):
    assert "SCRIPT.py:FUNCTION" in command_line("record", "x", "-o", tmp_path / "t").err
    assert "no Python file" in command_line("record", "x.py:f", "-o", tmp_path / "t").err
    assert "no such trace" in command_line("diff", tmp_path / "a", tmp_path / "b").err


def test_outputs_of_diff(trace, command_line, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.documents.html_document", lambda text, *_: text.encode())
    monkeypatch.setattr("reports.documents.pdf_document", lambda *_: b"")
    a = trace("a.trace", encoder(), tokens())
    b = trace("b.trace", encoder(eps=1e-4), tokens())
    ended = command_line("diff", a, b, "--json", tmp_path / "o.json", "--report", tmp_path / "r")
    assert ended.status == 1
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["status"] == 1
    assert found["first"]["module"] == "layers.1.norm1"
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "diff.html", "diff.json", "diff.pdf",
    ]  # fmt: skip
    assert "Every site" in (tmp_path / "r" / "diff.html").read_text()


def test_a_baseline(trace, command_line, tmp_path):
    """A port that is off by a known amount may stay so, but not become worse."""
    a = trace("a.trace", encoder(), tokens())
    b = trace("b.trace", encoder(eps=1e-4), tokens())
    worse = trace("c.trace", encoder(eps=1e-3), tokens())
    file = tmp_path / "baseline.json"
    ended = command_line("diff", a, b, "--baseline", file)
    assert ended.status == 0
    assert "is written, the baseline" in ended.out
    assert command_line("diff", a, b, "--baseline", file).status == 0
    ended = command_line("diff", a, worse, "--baseline", file)
    assert ended.status == 1
    assert "layers.1.norm1 (LayerNorm), forward: " in ended.out
    file.write_text("{}")
    ended = command_line("diff", a, b, "--baseline", file)
    assert (ended.status, ended.err.count("\n")) == (2, 1)


def test_state_dicts(command_line, tmp_path):
    """By name, by order and shape, and transposed."""
    one = {"a.weight": torch.randn(3, 2), "a.bias": torch.randn(3), "b.weight": torch.randn(4, 3)}
    other = {"x.kernel": one["a.weight"].t().contiguous(), "x.shift": one["a.bias"],
             "y.kernel": one["b.weight"].t().contiguous()}  # fmt: skip
    save_file(one, tmp_path / "a.safetensors")
    save_file(other, tmp_path / "b.safetensors")
    ended = command_line(
        "diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors",
        "--propose", tmp_path / "map.json",
    )  # fmt: skip
    assert ended.status == 0, ended.out
    names = json.loads((tmp_path / "map.json").read_text())["parameters"]
    assert names["a.weight"] == {"name": "x.kernel", "transposed": True}
    other["x.shift"] = other["x.shift"] + 1
    save_file(other, tmp_path / "b.safetensors")
    ended = command_line("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert ended.status == 1
    assert "1 of 3 parameters differ before the first step: a.bias" in ended.out


def test_nothing_in_common(command_line, tmp_path):
    save_file({"a.weight": torch.ones(3)}, tmp_path / "a.safetensors")
    save_file({"b.weight": torch.ones(5, 2)}, tmp_path / "b.safetensors")
    ended = command_line("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert ended.status == 2
    assert "could not be compared" in ended.out


def test_two_processes_need_no_model_at_once(trace, command_line, tmp_path):
    """A trace is all that is read: it can be moved."""
    a = trace("a.trace", encoder(), tokens())
    moved = Path(shutil.copytree(a, tmp_path / "elsewhere" / "b.trace"))
    shutil.rmtree(a)
    again = trace("a.trace", encoder(), tokens())
    assert command_line("diff", again, moved).status == 0
