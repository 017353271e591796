"""What is written reads back to the same bits; what is damaged says so in one sentence."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.records.run import (
    SCHEMA,
    TRAINING_TABLES,
    KinkCount,
    read_arrays,
    read_run,
    read_run_record,
)
from compare.records.tables import (
    DriftRow,
    HistoryRow,
    ParityRow,
    TimingRow,
    read_table,
    table_text,
)
from experiments.errors import InputError


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of a finished run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_headers():
    assert table_text("history", []) == "backend,label,seed,epoch,step,phase,split,metric,value\n"
    assert table_text("parity", []) == (
        "label,seed,step,dtype,site,numpy_error,torch_error,tolerance,passed\n"
    )
    assert table_text("drift", []) == "label,seed,step,run,distance\n"
    assert table_text("timing", []) == "label,seed,step,numpy_s,torch_s\n"


def test_rows_as_text():
    row = ParityRow("SGD", 0, 3, "float32", "forward/1/output", 0.1, 1e-300, 5e-324, True)
    assert table_text("parity", [row]).splitlines()[1] == (
        "SGD,0,3,float32,forward/1/output,0.1,1e-300,5e-324,true"
    )
    row = HistoryRow("numpy", "SGD", 0, 1, 2, "evaluation", "test", "loss", np.float32(0.1))
    assert table_text("history", [row]).endswith(",loss,0.10000000149011612\n")


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


errors = st.floats(allow_nan=False).map(abs)


@given(st.lists(st.tuples(errors, errors, st.booleans())))
def test_floats_read_back_to_the_same_bits(tmp_path_factory, values):
    rows = [
        ParityRow("Adam", 0, i, "float64", "whole/loss", a, b, 0.5, passed)
        for i, (a, b, passed) in enumerate(values)
    ]
    path = tmp_path_factory.mktemp("t") / "parity.csv"
    path.write_text(table_text("parity", rows), encoding="utf-8", newline="")
    back = read_table(path, "parity")
    assert back == rows
    for mine, theirs in zip(rows, back, strict=True):
        assert bits(mine.numpy_error) == bits(theirs.numpy_error)
        assert bits(mine.torch_error) == bits(theirs.torch_error)
        assert theirs.passed is mine.passed


@given(st.floats(width=32, allow_nan=False))
def test_float32_values_read_back_to_the_same_bits(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("t") / "history.csv"
    row = HistoryRow("torch", "SGD", 0, 0, 0, "evaluation", "test", "loss", np.float32(value))
    path.write_text(table_text("history", [row]), encoding="utf-8", newline="")
    back = np.float32(read_table(path, "history")[0].value)
    assert back.tobytes() == np.float32(value).tobytes()


def test_nan_reads_back(tmp_path):
    (tmp_path / "drift.csv").write_text(table_text("drift", [DriftRow("A", 0, 1, "x", math.nan)]))
    assert math.isnan(read_table(tmp_path / "drift.csv", "drift")[0].distance)


label = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1)


@given(label, st.integers(0, 2**32 - 1))
def test_words_read_back(tmp_path_factory, text, seed):
    path = tmp_path_factory.mktemp("t") / "drift.csv"
    rows = [DriftRow(text, seed, 1, 'rows, "reversed"', 0.5)]
    path.write_text(table_text("drift", rows), encoding="utf-8", newline="")
    assert read_table(path, "drift") == rows


def damaged(tmp_path, text: str | bytes, name: str = "timing") -> str:
    path = tmp_path / f"{name}.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refusal(read_table, path, name)
    assert message.startswith(str(path))
    return message


HEADER = "label,seed,step,numpy_s,torch_s\n"
GOOD = HEADER + "SGD,0,1,0.5,0.25\n"


def test_a_good_table(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    assert read_table(tmp_path / "t.csv", "timing") == [TimingRow("SGD", 0, 1, 0.5, 0.25)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"expected the columns {HEADER.strip()}, found an empty file."),
        (HEADER.replace("seed,", ""), "found label,step,numpy_s,torch_s."),
        (HEADER.replace("seed", "seeds"), "expected the columns"),
        (GOOD + "SGD,0,2,0.5\n", "is damaged: row 2: expected 5 values, found 4."),
        (GOOD + "SGD,0,2,0.5,0.2,0.3\n", "is damaged: row 2: expected 5 values, found 6."),
        (GOOD + "SGD,0,2,0.5,\n", "is damaged: row 2: torch_s: expected a number, found ''"),
        (GOOD + "SGD,0,2.5,0.5,0.1\n", "is damaged: row 2: step: expected a whole number from 0"),
        (GOOD + "SGD,0,2,0.5,0.1", "is damaged: row 3: it is cut off."),
        (GOOD[:-3], "it is cut off."),  # 0.25 would read as 0.2
        (HEADER.strip(), "it is cut off."),
        (GOOD + "\n", "is damaged: row 2"),
        (GOOD.encode() + b"\xff\xfe,0\n", "is damaged: row 1: 'utf-8' codec"),
        (GOOD + 'SG"D\r,0\rx,2\n', "is damaged: row 2"),
    ],
)
def test_a_damaged_table(tmp_path, text, message):
    assert message in damaged(tmp_path, text)


def test_a_truth_value_that_is_none(tmp_path):
    row = ParityRow("SGD", 0, 0, "float32", "x", 0.0, 0.0, 0.0, True)
    text = table_text("parity", [row]).replace("true", "True")
    assert "row 1: passed: expected true or false, found 'True'" in damaged(
        tmp_path, text, "parity"
    )


def test_a_table_that_is_missing_or_a_folder(tmp_path):
    assert "is missing from the run directory" in refusal(read_table, tmp_path / "no", "timing")
    assert "could not be read: expected a regular file, found a folder" in refusal(
        read_table, tmp_path, "timing"
    )


def test_a_whole_run_reads_back(finished):
    run = read_run(finished)
    assert run.record.status == "complete"
    assert [t.label for t in run.record.trainings] == ["SGD", "Adam"]
    assert all(t.finished for t in run.record.trainings)
    assert sum(t.parity_rows for t in run.record.trainings) == len(run.parity)
    for name in TRAINING_TABLES:
        text = (finished / f"{name}.csv").read_text(encoding="utf-8")
        assert table_text(name, getattr(run, name)) == text
    text = (finished / "run.json").read_text(encoding="utf-8")
    assert run.record.model_dump_json(indent=2, by_alias=True) + "\n" == text


@pytest.mark.parametrize("name", [*(f"{t}.csv" for t in TRAINING_TABLES), "predictions.safetensors",
                                  "pictures.safetensors", "run.json"])  # fmt: skip
def test_every_file_is_needed(copy, name):
    (copy / name).unlink()
    message = refusal(read_run, copy)
    assert name in message
    assert "missing" in message or "is not a run directory" in message


@pytest.mark.parametrize("name", [*(f"{t}.csv" for t in TRAINING_TABLES), "predictions.safetensors",
                                  "pictures.safetensors", "run.json"])  # fmt: skip
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_every_cut_off_file_is_noticed(copy, name, share):
    data = (copy / name).read_bytes()
    cut = int(len(data) * share)
    if data[cut - 1 : cut] == b"\n":
        cut -= 1
    (copy / name).write_bytes(data[:cut])
    assert name in refusal(read_run, copy)


def test_parity_rows_that_got_lost(copy):
    path = copy / "parity.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    message = refusal(read_run, copy)
    assert "parity.csv is damaged: it has" in message
    assert "run.json says" in message


def test_an_incomplete_run_has_no_predictions_yet(copy):
    text = (copy / "run.json").read_text()
    (copy / "run.json").write_text(text.replace('"status": "complete"', '"status": "incomplete"'))
    for name in ("predictions", "pictures"):
        (copy / f"{name}.safetensors").unlink()
    run = read_run(copy)
    assert run.predictions == {}
    assert run.pictures == {}


def test_not_a_run_directory(tmp_path):
    assert "is not a folder" in refusal(read_run, tmp_path / "no")
    assert "it has no run.json" in refusal(read_run, tmp_path)
    (tmp_path / "run.json").mkdir()
    assert "could not be read: expected a regular file, found a folder" in refusal(
        read_run, tmp_path
    )
    assert refusal(read_run, tmp_path / ("x" * 300))


def test_a_folder_that_may_not_be_looked_into(tmp_path, monkeypatch):
    def forbidden(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pathlib.Path.is_dir", forbidden)
    assert "could not be read: Permission denied" in refusal(read_run, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00", '{"schema": 1'])
def test_a_run_json_that_is_no_json(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert "run.json is damaged: " in refusal(read_run_record, tmp_path)


def test_a_run_json_that_is_no_text(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xff")
    assert "run.json is not a text file" in refusal(read_run_record, tmp_path)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (SCHEMA + 1, f"has schema {SCHEMA + 1}, expected {SCHEMA}: use a newer nncompare."),
        (SCHEMA - 1, f"has schema {SCHEMA - 1}, expected {SCHEMA}: make the run again."),
        ("2", "has schema '2', expected 2: make the run again."),
        (None, "has schema None, expected 2: make the run again."),
        (True, "has schema True, expected 2: make the run again."),
        (2.0, "has schema 2.0, expected 2: make the run again."),
    ],
)
def test_another_schema_names_the_way_out(copy, schema, message):
    tree = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**tree, "schema": schema}))
    assert message in refusal(read_run, copy)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"run"', "{}"])
def test_a_run_json_of_something_else(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert "has schema None, expected 2" in refusal(read_run_record, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, "run.json is damaged: status: Input should be 'complete' or"),
        ({"more": 1}, "run.json is damaged: more: Extra inputs are not permitted."),
        ({"trainings": [{}]}, "run.json is damaged: trainings.0.label: Field required."),
        ({"experiment": {}}, "run.json is damaged: experiment.title: Field required."),
    ],
)
def test_a_run_json_with_a_wrong_value(copy, change, message):
    tree = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**tree, **change}))
    assert message in refusal(read_run_record, copy)


def test_infinities_survive_json(copy):
    """A training that runs away has infinite distances from a kink."""
    record = read_run_record(copy)
    kinks = [
        KinkCount(step=0, places=1, flips=1, largest=value) for value in (math.inf, math.nan, 0.1)
    ]
    record.trainings[0].kinks = kinks
    (copy / "run.json").write_text(record.model_dump_json(by_alias=True))
    json.loads((copy / "run.json").read_text(), parse_constant=pytest.fail)  # JSON proper
    back = [kink.largest for kink in read_run_record(copy).trainings[0].kinks]
    assert back[0] == math.inf
    assert math.isnan(back[1])
    assert back[2] == 0.1


def test_parity_of_several_trainings(finished):
    run = read_run(finished)
    first, second = run.record.trainings
    assert run.parity_of(first) + run.parity_of(second) == run.parity
    assert {row.label for row in run.parity_of(first)} == {"SGD"}
    assert {row.label for row in run.parity_of(second)} == {"Adam"}
    assert len(run.parity_of(first)) == first.parity_rows


def test_parity_of_an_unfinished_training(finished):
    """run.json is older than parity.csv when a run is killed between the two."""
    run = read_run(finished)
    first, second = run.record.trainings
    second.finished, second.parity_rows = False, 3
    assert run.parity_of(second) == run.parity[first.parity_rows :]
    assert len(run.parity_of(first)) == first.parity_rows


def test_arrays(tmp_path):
    assert "is missing from the run directory" in refusal(read_arrays, tmp_path / "no")
    assert "could not be read" in refusal(read_arrays, tmp_path)
    (tmp_path / "x").write_bytes(b"not safetensors")
    assert "x is damaged: " in refusal(read_arrays, tmp_path / "x")


def test_a_run_is_read_without_either_side(finished):
    """On a machine that has no PyTorch."""
    program = (
        "import sys, pathlib\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torch_nn', 'numpy_nn']))\n"
        "from compare.records.run import read_run\n"
        "print(len(read_run(pathlib.Path(sys.argv[1])).parity))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(finished)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(read_run(finished).parity)
