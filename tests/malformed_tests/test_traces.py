"""Traces, mappings and weights that are not as they should be, given to ``diff``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from malformed_tests.malformed import QUICK, THOROUGH, refused_or_done, spoiled, spoiled_bytes
from safetensors.torch import save_file
from torch import nn

import nncompare


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> Path:
    """A trace ``a``, a copy ``b`` that is spoiled, and a mapping between them."""
    folder: Path = tmp_path_factory.mktemp("traces")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with nncompare.record(folder / "a", model):
        model(torch.ones(2, 3)).sum().backward()
    shutil.copytree(folder / "a", folder / "b")
    save_file(model.state_dict(), folder / "a.safetensors")
    return folder


def diffed(traces: Path, *arguments: object) -> None:
    refused_or_done(
        ["diff", *arguments],
        ["index.json", ".safetensors", "map.json", "modules", "--map", "trace"],
        [traces / "a"],
        statuses=(0, 1, 2),
    )


def check_index(traces: Path, content: bytes) -> None:
    (traces / "b" / "index.json").write_bytes(content)
    diffed(traces, traces / "a", traces / "b")


def index_of(traces: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((traces / "a" / "index.json").read_text())
    return tree


def indices(traces: Path) -> st.SearchStrategy[bytes]:
    tree = index_of(traces)
    as_bytes = spoiled(tree).map(lambda changed: json.dumps(changed).encode())
    return st.one_of(as_bytes, as_bytes, spoiled_bytes(json.dumps(tree).encode()))


@given(data=st.data())
@QUICK
def test_indices(traces, data):
    check_index(traces, data.draw(indices(traces)))


@pytest.mark.slow
@given(data=st.data())
@THOROUGH
def test_many_indices(traces, data):
    check_index(traces, data.draw(indices(traces)))


MAPPING = {
    "format": "nncompare map",
    "version": 1,
    "modules": {"0": "0", "1": "1", "2": "2"},
    "parameters": {"0.weight": {"name": "0.weight", "transposed": False}, "0.bias": "0.bias"},
}
mappings = st.one_of(
    spoiled(MAPPING).map(lambda changed: json.dumps(changed).encode()),
    spoiled_bytes(json.dumps(MAPPING).encode()),
)


def check_mapping(traces: Path, content: bytes) -> None:
    (traces / "map.json").write_bytes(content)
    diffed(traces, traces / "a", traces / "a", "--map", traces / "map.json")


@given(content=mappings)
@QUICK
def test_mappings(traces, content):
    check_mapping(traces, content)


@pytest.mark.slow
@given(content=mappings)
@THOROUGH
def test_many_mappings(traces, content):
    check_mapping(traces, content)


def check_weights(traces: Path, content: bytes) -> None:
    (traces / "b.safetensors").write_bytes(content)
    diffed(traces, traces / "a.safetensors", traces / "b.safetensors")


@given(data=st.data())
@QUICK
def test_weights(traces, data):
    check_weights(traces, data.draw(spoiled_bytes((traces / "a.safetensors").read_bytes())))


@pytest.mark.slow
@given(data=st.data())
@THOROUGH
def test_many_weights(traces, data):
    check_weights(traces, data.draw(spoiled_bytes((traces / "a.safetensors").read_bytes())))


def test_what_json_allows(traces):
    for depth in (100, 990, 200_000):
        deep = b'{"format": "nncompare trace", "x": ' + b"[" * depth + b"]" * depth + b"}"
        check_index(traces, deep)
        check_mapping(traces, deep.replace(b"trace", b"map"))
    for text in (b"", b"null", b"[]", b"9" * 5000, b"\xff", b'{"format": "\\ud800"}'):
        check_index(traces, text)
        check_mapping(traces, text)


def test_pipes_in_the_place_of_files(traces, tmp_path):
    folder = Path(shutil.copytree(traces / "a", tmp_path / "c"))
    os.mkfifo(folder / "more.safetensors")
    diffed(traces, traces / "a", folder)
    os.mkfifo(tmp_path / "d.safetensors")
    diffed(traces, traces / "a", tmp_path / "d.safetensors")
    os.mkfifo(tmp_path / "map.json")
    diffed(traces, traces / "a", traces / "a", "--map", tmp_path / "map.json")
