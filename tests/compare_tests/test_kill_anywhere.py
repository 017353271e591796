"""A run may be killed between any two of its calls that change a file.

The folder is copied before and after each such call: these are the states that kill -9 can leave.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from compare.records import atomic
from compare.records import directory as run_directory
from compare.records.directory import RunDirectory
from compare.records.run import read_run
from compare.training import checkpoints


def content(run: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(run)): f.read_bytes()
        for f in run.rglob("*")
        if f.is_file() and f.name not in ("timing.csv", "run.json")
    }


@pytest.fixture
def states(tiny, train, tmp_path, monkeypatch):
    """Every state of a run's folder, the first ones first, and the folder at the end."""
    out, kept = tmp_path / "r", tmp_path / "kept"
    kept.mkdir()

    def keep():
        if out.exists():
            shutil.copytree(out, kept / f"{len(os.listdir(kept)):04d}")

    def around(module, name):
        real = getattr(module, name)

        def call(*arguments, **settings):
            keep()
            result = real(*arguments, **settings)
            keep()
            return result

        monkeypatch.setattr(module, name, call)

    monkeypatch.setattr(run_directory, "BETWEEN_CHECKPOINTS_S", 0.0)
    monkeypatch.setattr(run_directory, "LEAST_WRITES_BETWEEN", 0.0)
    for module, names in ((os, ("fsync", "replace", "unlink", "open")), (Path, ("mkdir",))):
        for name in names:
            around(module, name)
    train(tiny(), out, checkpoint_every=0.0)
    monkeypatch.undo()
    assert atomic.os is checkpoints.os is os
    found = sorted(kept.iterdir())
    # Two neighbours are often the same: one of them will do.
    distinct, before = [], None
    for state in found:
        now = {str(f.relative_to(state)): f.read_bytes() for f in state.rglob("*") if f.is_file()}
        if now != before:
            distinct.append(state)
        before = now
    return distinct, out


def survives(state: Path, whole: Path, tiny, train) -> None:
    if (state / "run.json").exists():
        read_run(state)  # nothing contradicts anything
        train(tiny(), state, resume=True)
    elif os.listdir(state):
        RunDirectory(state)  # as a new run
        train(tiny(), state, resume=True)
    else:
        train(tiny(), state)
    assert content(state) == content(whole)


@pytest.mark.slow
def test_killed_in_the_first_write(states, tiny, train):
    """Both --resume and a new run take the folder."""
    every, whole = states
    first = [state for state in every if not (state / "run.json").exists()]
    assert len(first) >= 8
    for state in first:
        RunDirectory(state).close()
    for state in first[-1:]:
        survives(state, whole, tiny, train)


@pytest.mark.slow
def test_killed_anywhere_nothing_contradicts(states):
    every, _ = states
    later = [state for state in every if (state / "run.json").exists()]
    assert len(later) >= 50
    for state in later:
        read_run(state)


@pytest.mark.slow
def test_killed_anywhere(states, tiny, train):
    every, whole = states
    for state in every[:: max(1, len(every) // 60)]:
        survives(state, whole, tiny, train)


def test_killed_while_what_was_unfinished_is_withdrawn(tiny, train, tmp_path, monkeypatch):
    """Going on makes tables shorter than the old run.json says: that is changed first."""
    out = tmp_path / "r"

    class Break:
        def __getattr__(self, name):
            return lambda *arguments: None

        def step(self, backend, step, loss, accuracy):
            if step == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), out, observer=Break())
    assert read_run(out).record.trainings[0].parity_rows
    states, real = [], os.replace

    def replace(*arguments):
        real(*arguments)
        states.append(shutil.copytree(out, tmp_path / f"s{len(states)}"))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), out, resume=True, observer=Break())
    monkeypatch.undo()
    assert len(states) >= 6
    for state in states:
        read_run(state)


def test_a_disk_that_is_full_in_the_first_write(tiny, train, tmp_path, monkeypatch):
    """The run ends by itself then, and takes its lock away."""
    import errno

    from experiments.errors import InputError

    out, real, writes = tmp_path / "r", os.fsync, []

    def fsync(handle):
        writes.append(handle)
        if len(writes) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match="No space left"):
        train(tiny(), out)
    monkeypatch.undo()
    assert sorted(os.listdir(out)) == ["history.csv", "parity.csv"]
    train(tiny("epochs=1"), out, resume=True)
    assert read_run(out).record.status == "complete"


def test_a_folder_with_something_of_the_users_is_not_taken(tmp_path):
    from experiments.errors import InputError

    (tmp_path / "run.lock").write_text("1\n")
    RunDirectory(tmp_path).close()
    (tmp_path / "parity.csv").write_text("my own\n")
    with pytest.raises(InputError, match="is not empty"):
        RunDirectory(tmp_path)
    with pytest.raises(InputError, match=r"it has no run.json"):
        RunDirectory(tmp_path, resume=True)
    assert (tmp_path / "parity.csv").read_text() == "my own\n"
