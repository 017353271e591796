"""Runs whose records, tables and arrays are not as they should be, given to ``report``."""

from __future__ import annotations

import json
import os
import shutil
import struct
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_tests.malformed import (
    NUMBERS,
    QUICK,
    THOROUGH,
    called,
    refused_or_done,
    spoiled,
    spoiled_bytes,
)
from reports_tests.synthetic_run import build_run
from safetensors.numpy import load_file, save

from compare.records.run import read_run
from experiments.errors import InputError

TABLES = ["history", "parity", "drift", "timing", "gradients"]
ARRAYS = ["predictions", "pictures"]


@pytest.fixture(scope="module")
def right(tmp_path_factory) -> Path:
    """A run with every table."""
    return build_run(
        tmp_path_factory.mktemp("runs") / "right",
        gradients=True,
        seeds=(0, 1),
        experiment={"training": {
            "epochs": 2, "batch_size": 10, "seeds": [0, 1], "gradient_norms": True,
        }},
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(right) -> Path:
    """A copy of it, of which a file at a time is spoiled."""
    return Path(shutil.copytree(right, right.parent / "copy"))


@pytest.fixture(scope="module", autouse=True)
def quickly_reported(only_markdown):
    with only_markdown():
        yield


class Spoiling:
    """Writes a spoiled file into the copy and asks for its report."""

    def __init__(self, right: Path, copy: Path) -> None:
        self.right, self.copy = right, copy
        self.record: dict[str, Any] = json.loads((right / "run.json").read_text())

    def file(self, name: str, content: bytes, *, drawn: bool = True) -> None:
        (self.copy / name).write_bytes(content)
        try:
            if not drawn:
                read_or_refused(self.copy, name)
                return
            refused_or_done(
                ["report", self.copy, "--format", "md"],
                [name, "run.json", "parity.csv", "predictions", "pictures"],
                [self.copy / "report"],
            )
        finally:
            shutil.copy(self.right / name, self.copy / name)


def read_or_refused(folder: Path, name: str) -> None:
    """What ``report`` does before anything is drawn, which is what takes its time."""
    try:
        read_run(folder)
    except InputError as error:
        sentence = str(error)
        assert "\n" not in sentence.strip()
        assert sentence.endswith(".")
        assert any(file in sentence for file in (name, "run.json", ".csv", ".safetensors"))


@pytest.fixture(scope="module")
def spoiling(right, copy) -> Spoiling:
    return Spoiling(right, copy)


def test_the_unspoiled_one_is_reported(copy):
    assert called(["report", copy, "--format", "md"]).status == 0


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def spoiled_records(record: dict[str, Any]) -> st.SearchStrategy[bytes]:
    parts = st.sampled_from(
        [key for key, value in record.items() if isinstance(value, dict | list) and value]
    )

    def one(part: str) -> st.SearchStrategy[dict[str, Any]]:
        if isinstance(record[part], list):
            return spoiled({part: record[part]}).map(lambda changed: {**record, **changed})
        return spoiled(record[part]).map(lambda changed: {**record, part: changed})

    return st.one_of(spoiled(record).map(as_json), parts.flatmap(one).map(as_json))


@given(data=st.data())
@QUICK
def test_records(spoiling, data):
    spoiling.file("run.json", data.draw(spoiled_records(spoiling.record)), drawn=False)


@pytest.mark.slow
@given(data=st.data())
@THOROUGH
def test_many_records(spoiling, data):
    spoiling.file("run.json", data.draw(spoiled_records(spoiling.record)))


@st.composite
def spoiled_table(draw: st.DrawFn, text: str) -> bytes:
    """A table with cells changed, lines lost or doubled, or bytes spoiled."""
    if draw(st.integers(0, 3)) == 0:
        return draw(spoiled_bytes(text.encode()))
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        match draw(st.sampled_from(["cell", "cell", "cell", "column", "lose", "double"])):
            case "cell" if rows[row]:
                rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(cells)
            case "column":
                cell, place = draw(cells), draw(st.integers(0, len(rows[0]) - 1))
                for line in rows[1:]:
                    line[min(place, len(line) - 1)] = cell
            case "lose" if len(rows) > 1:
                del rows[row]
            case _:
                rows.insert(row, list(rows[row]))
    return ("\n".join(map(",".join, rows)) + "\n").encode("utf-8", "surrogatepass")


cells = st.one_of(
    st.sampled_from([str(number) for number in NUMBERS]),
    st.sampled_from(["", "inf", "-inf", "nan", "1e999", "0x10", "1_000", " 1", "True", "9" * 5000]),
    st.sampled_from(["=1+1", "\t=1", "<script>", "numpy", "torch", "SGD", "loss", "\x1b[31m", '"']),
    st.text(max_size=8),
)


def a_table(data: st.DataObject, spoiling: Spoiling) -> tuple[str, bytes]:
    name = f"{data.draw(st.sampled_from(TABLES))}.csv"
    return name, data.draw(spoiled_table((spoiling.right / name).read_text()))


@given(data=st.data())
@QUICK
def test_tables(spoiling, data):
    spoiling.file(*a_table(data, spoiling), drawn=False)


@pytest.mark.slow
@given(data=st.data())
@THOROUGH
def test_many_tables(spoiling, data):
    spoiling.file(*a_table(data, spoiling))


@st.composite
def spoiled_arrays(draw: st.DrawFn, file: Path) -> bytes:
    """Arrays of other types, shapes and values, without keys or with more; or spoiled bytes."""
    if draw(st.booleans()):
        return draw(spoiled_bytes(file.read_bytes()))
    arrays = load_file(file)
    key = draw(st.sampled_from([*arrays, "numpy/SGD/9", "confidence/numpy/SGD/0", "train/images"]))
    match draw(st.sampled_from(["lose", "type", "shape", "values", "new"])):
        case "lose":
            arrays.pop(key, None)
        case "type" if key in arrays:
            kind = draw(st.sampled_from(["i1", "u8", "f2", "f8", "?", "i8"]))
            arrays[key] = arrays[key].astype(kind)
        case "shape" if key in arrays:
            arrays[key] = draw(
                st.sampled_from([arrays[key][:1], arrays[key][None], arrays[key].ravel()[:0]])
            )
        case "values" if key in arrays:
            arrays[key] = np.full_like(arrays[key], draw(st.integers(-100, 100)) % 128)
        case _:
            shape = draw(st.lists(st.integers(0, 3), max_size=4))
            arrays[key] = np.zeros(shape, draw(st.sampled_from(["f4", "i4", "u1"])))
    return save(arrays)


def some_arrays(data: st.DataObject, spoiling: Spoiling) -> tuple[str, bytes]:
    name = f"{data.draw(st.sampled_from(ARRAYS))}.safetensors"
    return name, data.draw(spoiled_arrays(spoiling.right / name))


@given(data=st.data())
@QUICK
def test_arrays(spoiling, data):
    spoiling.file(*some_arrays(data, spoiling), drawn=False)


@pytest.mark.slow
@given(data=st.data())
@THOROUGH
def test_many_arrays(spoiling, data):
    spoiling.file(*some_arrays(data, spoiling))


def with_nested(record: dict[str, Any], depth: int) -> bytes:
    text = json.dumps({**deepcopy(record), "sources": 0})
    return text.replace('"sources": 0', f'"sources": {"[" * depth}{"]" * depth}').encode()


@pytest.mark.slow
@given(data=st.data())
@settings(QUICK, max_examples=60)
def test_some_are_drawn(spoiling, data):
    spoiling.file("run.json", data.draw(spoiled_records(spoiling.record)))
    spoiling.file(*a_table(data, spoiling))
    spoiling.file(*some_arrays(data, spoiling))


def test_records_that_json_allows(spoiling):
    for depth in (100, 990, 5000, 200_000):
        spoiling.file("run.json", with_nested(spoiling.record, depth))
    for text in (b"[]", b"null", b"0", b'"x"', b"{}", b'{"schema": 2}', b"", b"9" * 5000, b"\xff"):
        spoiling.file("run.json", text)
    # Half a surrogate pair, a NUL and a terminal's sequences are shown as their codes.
    title = json.dumps({**spoiling.record, "command": "a\ud800b\x00c\x1b[31m"}).encode()
    spoiling.file("run.json", title)


def test_headers_of_arrays_that_promise_more(spoiling):
    for shape in ([2**40], [2**62, 2**62], [-1], "x", [[1]]):
        entry = {"targets": {"dtype": "I32", "shape": shape, "data_offsets": [0, 4]}}
        header = json.dumps(entry).encode()
        content = struct.pack("<Q", len(header)) + header + bytes(4)
        spoiling.file("predictions.safetensors", content)
    spoiling.file("predictions.safetensors", struct.pack("<Q", 2**63) + b"{}")
    bfloat = b'{"targets":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    spoiling.file("predictions.safetensors", struct.pack("<Q", len(bfloat)) + bfloat + bytes(4))


@pytest.mark.parametrize("name", ["run.json", "history.csv", "predictions.safetensors"])
def test_pipes_and_devices_in_the_place_of_records(right, tmp_path, name):
    copy = Path(shutil.copytree(right, tmp_path / "copy"))
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert "found a pipe" in refused_or_done(["report", copy], [name]).err
    (copy / name).unlink()
    (copy / name).symlink_to("/dev/zero")
    assert "found a device" in refused_or_done(["report", copy], [name]).err


@pytest.mark.parametrize("folder", ["~nobody/x", "a\udc80", "a\x1bb", "b" * 300, "/dev/null", "/"])
def test_folders_that_are_no_runs(folder):
    names = ["run directory", "could not be read"]
    assert refused_or_done(["report", folder], names).status == 2
    assert refused_or_done(["report", folder, folder], names).status == 2
