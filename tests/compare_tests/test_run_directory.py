"""The folder of a run: what it may be, and that nothing is touched before there is a run."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest

from compare.records import read_run, read_run_record
from compare.run_directory import RunDirectory, write_arrays
from compare.tables import DriftRow, HistoryRow, ParityRow
from experiments.errors import InputError


def refusal(path, **settings) -> str:
    with pytest.raises(InputError) as caught:
        RunDirectory(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def test_nothing_is_made_before_the_first_write(tmp_path, finished):
    directory = RunDirectory(tmp_path / "a" / "b")
    directory.add("drift", DriftRow("SGD", 0, 1, "numpy", 0.5))
    assert os.listdir(tmp_path) == []
    directory.write(read_run_record(finished))
    assert sorted(os.listdir(tmp_path / "a" / "b")) == [
        "drift.csv", "history.csv", "parity.csv", "run.json", "timing.csv",
    ]  # fmt: skip


def test_an_empty_folder_will_do(tmp_path, finished):
    RunDirectory(tmp_path).write(read_run_record(finished))
    assert (tmp_path / "run.json").exists()


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    said = refusal(tmp_path)
    assert said == f"--out {tmp_path} is not empty: expected a folder that is new or empty."


def test_a_folder_that_holds_another_run(copy):
    said = refusal(copy)
    assert said == (
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
        directory.write(read_run_record(finished))
    with pytest.raises(InputError, match="weights could not be made: Read-only file system"):
        directory.write_weights("numpy", "SGD", 0, {})


def test_two_runs_that_choose_the_same_folder(tmp_path, finished):
    """The second one to write finds out, and harms nothing."""
    one, two = RunDirectory(tmp_path / "r"), RunDirectory(tmp_path / "r")
    one.write(read_run_record(finished))
    before = (tmp_path / "r" / "run.json").stat().st_mtime_ns
    with pytest.raises(InputError, match="holds another run"):
        two.write(read_run_record(finished))
    assert (tmp_path / "r" / "run.json").stat().st_mtime_ns == before


def test_run_json_is_written_last(tmp_path, finished, monkeypatch):
    """What run.json says is there when it says so."""
    written = []
    monkeypatch.setattr(
        "compare.run_directory.write_atomically", lambda path, content: written.append(path.name)
    )
    directory = RunDirectory(tmp_path)
    directory.keep("predictions", {"a": np.zeros(2)})
    directory.keep("pictures", {})
    directory.write(read_run_record(finished))
    assert written[-1] == "run.json"
    assert sorted(written[:-1]) == [
        "drift.csv", "history.csv", "parity.csv", "pictures.safetensors",
        "predictions.safetensors", "timing.csv",
    ]  # fmt: skip
    written.clear()
    directory.add("drift", DriftRow("SGD", 0, 1, "numpy", 0.5))
    directory.write(read_run_record(finished))
    assert written == ["drift.csv", "run.json"]  # only what changed


def test_resume_reads_back_what_is_finished(copy):
    before = read_run(copy)
    directory = RunDirectory(copy, resume=True)
    assert directory.found == before.record
    for name in ("history", "parity", "drift", "timing"):
        assert directory.rows[name] == getattr(before, name)
    assert directory.arrays["predictions"].keys() == before.predictions.keys()


def test_resume_leaves_out_what_is_not_finished(copy):
    tree = json.loads((copy / "run.json").read_text())
    tree["trainings"][1]["finished"] = False
    tree["trainings"][1]["parity_rows"] = 1  # run.json is older than the tables
    tree["status"] = "incomplete"
    (copy / "run.json").write_text(json.dumps(tree))
    directory = RunDirectory(copy, resume=True)
    for name in ("history", "parity", "drift", "timing"):
        assert {row.optimizer for row in directory.rows[name]} <= {"SGD"}
    assert len(directory.rows["parity"]) == tree["trainings"][0]["parity_rows"]
    assert directory.rows["history"]


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
    directory.add("history", HistoryRow("numpy", "SGD", 0, 9, 9, "test", "loss", 0.5))
    directory.add("parity", ParityRow("SGD", 9, "float32", "x", 0.0, 0.0, 0.0, True))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="could not be written: No space left on device"):
        directory.write(read_run_record(copy))
    assert {f: f.read_bytes() for f in copy.rglob("*") if f.is_file()} == before


def test_weights(tmp_path, finished):
    directory = RunDirectory(tmp_path / "r")
    directory.write(read_run_record(finished))
    directory.write_weights("numpy", "SGD 0.9", 3, {"a": np.arange(6.0).reshape(2, 3).T})
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
