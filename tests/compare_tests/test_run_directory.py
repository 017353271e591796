"""The folder of a run: what it may be, and that nothing is touched before there is a run."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil

import numpy as np
import pytest

from compare.records.directory import (
    BETWEEN_CHECKPOINTS_S,
    LEAST_WRITES_BETWEEN,
    RunDirectory,
    write_arrays,
)
from compare.records.run import RunRecord, read_run, read_run_record
from compare.records.tables import (
    TABLES,
    DriftRow,
    GradientRow,
    HistoryRow,
    ParityRow,
    TrainingLog,
    rows_text,
    table_text,
)
from experiments.errors import InputError


def refusal(path, **settings) -> str:
    with pytest.raises(InputError) as caught:
        RunDirectory(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def untrained(finished) -> RunRecord:
    """The record of a run that has made no training yet."""
    record = read_run_record(finished)
    return record.model_copy(update={"status": "incomplete", "trainings": []})


def log(directory: RunDirectory, record: RunRecord) -> TrainingLog:
    """A place for what a training finds that the record does not mention yet."""
    assert not record.trainings
    return directory.begin("SGD", 0)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def test_nothing_is_made_before_the_first_write(tmp_path, finished):
    directory = RunDirectory(tmp_path / "a" / "b")
    record = untrained(finished)
    log(directory, record).add("drift", DriftRow("SGD", 0, 1, "numpy", 0.5))
    assert os.listdir(tmp_path) == []
    directory.write(record)
    assert (tmp_path / "a" / "b" / "run.lock").read_text() == f"{os.getpid()}\n"
    directory.close()
    assert sorted(os.listdir(tmp_path / "a" / "b")) == [
        "drift.csv", "gradients.csv", "history.csv", "parity.csv", "run.json", "timing.csv",
    ]  # fmt: skip


def test_an_empty_folder_will_do(tmp_path, finished):
    RunDirectory(tmp_path).write(untrained(finished))
    assert (tmp_path / "run.json").exists()


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    message = refusal(tmp_path)
    assert message == f"--out {tmp_path} is not empty: expected a folder that is new or empty."


def test_a_folder_that_holds_another_run(copy):
    message = refusal(copy)
    assert message == (
        f"--out {copy} holds another run: name a new folder, or add --resume to go on with that "
        "run."
    )


def test_a_file(tmp_path):
    (tmp_path / "f").write_text("x")
    assert "is a file or lies below one" in refusal(tmp_path / "f")
    assert "is a file or lies below one" in refusal(tmp_path / "f" / "below")


def test_a_name_that_is_too_long(tmp_path):
    assert "could not be read: File name too long" in refusal(tmp_path / ("x" * 300))


def test_a_folder_that_is_not_writable(tmp_path, monkeypatch):
    """The superuser may write everywhere, so the answer of the system is played."""
    asked = []

    def access(path, mode):
        asked.append((os.fspath(path), mode))
        return False

    monkeypatch.setattr(os, "access", access)
    assert refusal(tmp_path / "a" / "b") == f"--out {tmp_path / 'a' / 'b'} is not writable."
    assert asked == [(str(tmp_path), os.W_OK)]  # the nearest folder that there is


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_folder_that_is_really_not_writable(tmp_path):
    tmp_path.chmod(0o555)
    try:
        assert "is not writable" in refusal(tmp_path)
        assert "is not writable" in refusal(tmp_path / "new")
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_cannot_be_made(tmp_path, finished, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    directory = RunDirectory(tmp_path / "new")
    monkeypatch.setattr("pathlib.Path.mkdir", fail)
    with pytest.raises(InputError, match="could not be made into a folder: Read-only file system"):
        directory.write(untrained(finished))


def test_a_folder_of_weights_that_cannot_be_made(tmp_path, finished, monkeypatch):
    directory, record = RunDirectory(tmp_path / "new"), read_run_record(finished)
    directory.write(untrained(finished))
    for training in record.trainings:
        found = directory.begin(training.label, training.seed)
        found.weights["numpy"] = {}

    def fail(*_args, **_kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("pathlib.Path.mkdir", fail)
    with pytest.raises(InputError, match="weights could not be made: Read-only file system"):
        directory.write(record)


def test_two_runs_that_choose_the_same_folder(tmp_path, finished):
    """The second one to write finds out, and harms nothing."""
    one, two = RunDirectory(tmp_path / "r"), RunDirectory(tmp_path / "r")
    one.write(untrained(finished))
    before = (tmp_path / "r" / "run.json").stat().st_mtime_ns
    being_made = f"another run (process {os.getpid()}) is being made there: wait for its end"
    with pytest.raises(InputError, match=re.escape(being_made)):
        two.write(untrained(finished))
    assert being_made in refusal(tmp_path / "r")
    assert being_made in refusal(tmp_path / "r", resume=True)
    one.close()
    with pytest.raises(InputError, match="holds another run"):
        two.write(untrained(finished))
    assert (tmp_path / "r" / "run.json").stat().st_mtime_ns == before


def test_run_json_is_written_last(tmp_path, finished, monkeypatch):
    """What run.json says is there when it says so."""
    written = []
    monkeypatch.setattr(
        "compare.records.directory.write_atomically",
        lambda path, content: written.append(path.name),
    )
    directory, record = RunDirectory(tmp_path), read_run_record(finished)
    for training in record.trainings:
        found = directory.begin(training.label, training.seed)
        found.weights["torch"] = {"a": np.zeros(2)}
        found.add("gradients", GradientRow("numpy", *found.key, 0, "0.weight", 0.5))
    directory.write(record)
    assert written[-1] == "run.json"
    assert sorted(written[:-1]) == [
        "drift.csv", "gradients.csv", "history.csv", "parity.csv", "pictures.safetensors",
        "predictions.safetensors", "timing.csv", "torch-Adam-seed0.safetensors",
        "torch-SGD-seed0.safetensors",
    ]  # fmt: skip
    written.clear()
    directory.write(record)
    assert not any("seed" in name for name in written)  # weights are written once


def test_a_checkpoint_waits(tmp_path, finished, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("compare.records.directory.time.monotonic", lambda: now[0])
    directory, record = RunDirectory(tmp_path), untrained(finished)
    directory.checkpoint(record)
    assert (tmp_path / "run.json").exists()  # the first one does not
    (tmp_path / "run.json").unlink()
    now[0] += BETWEEN_CHECKPOINTS_S / 2
    directory.checkpoint(record)
    assert not (tmp_path / "run.json").exists()
    now[0] += BETWEEN_CHECKPOINTS_S / 2
    directory.checkpoint(record)
    assert (tmp_path / "run.json").exists()


def test_a_checkpoint_waits_for_longer_after_a_slow_one(tmp_path, finished, monkeypatch):
    """So that writing takes a twentieth of the time, however much there is to write."""
    now = [100.0]
    monkeypatch.setattr("compare.records.directory.time.monotonic", lambda: now[0])
    directory, record = RunDirectory(tmp_path), untrained(finished)
    original = directory._write_record

    def slowly(record):
        now[0] += 3.0
        original(record)

    monkeypatch.setattr(directory, "_write_record", slowly)
    directory.checkpoint(record)
    (tmp_path / "run.json").unlink()
    now[0] += 3.0 * LEAST_WRITES_BETWEEN - 0.5
    directory.checkpoint(record)
    assert not (tmp_path / "run.json").exists()
    now[0] += 0.5
    directory.checkpoint(record)
    assert (tmp_path / "run.json").exists()


def test_tables_follow_the_order_of_the_record(tmp_path, finished):
    """Whatever order the trainings came in."""
    record = read_run_record(finished)
    texts = []
    for order in (record.trainings, record.trainings[::-1]):
        directory = RunDirectory(tmp_path / str(len(texts)))
        for training in order:
            found = directory.begin(training.label, training.seed)
            found.add("drift", DriftRow(*found.key, 1, "numpy", 0.5))
            found.predictions["numpy"] = np.arange(3)
        directory.write(record)
        files = ("drift.csv", "predictions.safetensors")
        texts.append([(directory.path / name).read_bytes() for name in files])
    assert texts[0] == texts[1]
    lines = texts[0][0].decode().splitlines()[1:]
    assert [line.partition(",")[0] for line in lines] == ["SGD", "Adam"]


def test_text_that_was_told_is_not_told_again():
    found = TrainingLog("SGD", 0)
    found.add("drift", DriftRow("SGD", 0, 1, "numpy", 0.5))
    first = found.text("drift")
    found.add("drift", DriftRow("SGD", 0, 2, "numpy", 0.5))
    assert found.text("drift") == first + "SGD,0,2,numpy,0.5\n"
    assert found.text("drift") == table_text("drift", found.rows["drift"]).partition("\n")[2]


def test_resume_reads_back_what_is_finished(copy):
    before = read_run(copy)
    directory = RunDirectory(copy, resume=True)
    assert directory.found == before.record
    trainings = before.record.trainings
    for name in ("history", "parity", "drift", "timing"):
        found = "".join(directory.logs[t.label, t.seed].text(name) for t in trainings)
        assert found == rows_text(getattr(before, name))
    for training in trainings:
        found = directory.logs[training.label, training.seed]
        for backend, predicted in found.predictions.items():
            expected = before.predictions[f"{backend}/{training.label}/0"]
            np.testing.assert_array_equal(predicted, expected)
        assert sorted(found.predictions) == ["numpy", "torch"]


def test_resume_leaves_out_what_is_not_finished(copy):
    tree = json.loads((copy / "run.json").read_text())
    tree["trainings"][1]["finished"] = False
    tree["trainings"][1]["parity_rows"] = 1  # run.json is older than the tables
    tree["status"] = "incomplete"
    (copy / "run.json").write_text(json.dumps(tree))
    directory = RunDirectory(copy, resume=True)
    assert list(directory.logs) == [("SGD", 0)]
    found = directory.logs["SGD", 0]
    for name in ("history", "parity", "drift", "timing"):
        column = TABLES[name]._fields.index("label")
        lines = found.text(name).splitlines()
        assert {line.split(",")[column] for line in lines} == {"SGD"}
    assert found.text("parity").count("\n") == tree["trainings"][0]["parity_rows"]


def test_resume_removes_the_leftovers_of_a_killed_process(copy):
    for leftover in (copy / ".history.csv.abc.part", copy / "weights" / ".x.abc.part"):
        leftover.write_text("half")
    RunDirectory(copy, resume=True)
    assert not list(copy.rglob("*.part"))


def test_resume_of_nothing(tmp_path):
    assert "is not a folder" in refusal(tmp_path / "no", resume=True)
    assert "it has no run.json" in refusal(tmp_path, resume=True)
    (tmp_path / "f").write_text("x")
    assert "is not a folder" in refusal(tmp_path / "f", resume=True)


def test_resume_of_a_damaged_run(copy):
    (copy / "history.csv").write_text("nonsense")
    assert "expected the columns" in refusal(copy, resume=True)
    (copy / "history.csv").unlink()
    assert "is missing" in refusal(copy, resume=True)


def test_a_full_disk_leaves_the_earlier_files(copy, monkeypatch):
    before = {f: f.read_bytes() for f in copy.rglob("*") if f.is_file()}
    directory = RunDirectory(copy, resume=True)
    found = directory.logs["SGD", 0]
    found.add("history", HistoryRow("numpy", "SGD", 0, 9, 9, "evaluation", "test", "loss", 0.5))
    found.add("parity", ParityRow("SGD", 0, 9, "float32", "x", 0.0, 0.0, 0.0, True))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="could not be written: No space left on device"):
        directory.write(read_run_record(copy))
    directory.close()
    assert {f: f.read_bytes() for f in copy.rglob("*") if f.is_file()} == before


def test_weights(tmp_path, finished):
    directory, record = RunDirectory(tmp_path / "r"), read_run_record(finished)
    training = record.trainings[0].model_copy(update={"label": "SGD 0.9", "seed": 3})
    found = directory.begin("SGD 0.9", 3)
    found.weights["numpy"] = {"a": np.arange(6.0).reshape(2, 3).T}
    directory.write(record.model_copy(update={"trainings": [training]}))
    assert os.listdir(tmp_path / "r" / "weights") == ["numpy-SGD 0.9-seed3.safetensors"]
    from safetensors.numpy import load_file

    back = load_file(tmp_path / "r" / "weights" / "numpy-SGD 0.9-seed3.safetensors")
    np.testing.assert_array_equal(back["a"], np.arange(6.0).reshape(2, 3).T)


def test_arrays_keep_shape_and_type(tmp_path):
    arrays = {
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "count": np.array(3, np.int64),
        "none": np.zeros((0, 3), np.uint8),
    }
    write_arrays(tmp_path / "x", arrays)
    from safetensors.numpy import load_file

    back = load_file(tmp_path / "x")
    for key, value in arrays.items():
        assert back[key].dtype == value.dtype
        assert back[key].shape == value.shape, key
        np.testing.assert_array_equal(back[key], value)
