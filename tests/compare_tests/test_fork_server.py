"""The process that others are forked from: what it shares, and what happens when one ends."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.records.run import FailureRecord, read_run_record
from compare.training import fork_server, jobs, processes
from compare.training.data import load_splits
from compare.training.fork_server import ForkServer, ProcessEndedError, early_start
from compare.training.jobs import TrainingResult, data_source, perform_remotely, training_jobs

FORKS = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are made on Linux")
ROOT = Path(__file__).resolve().parents[2]


def job_of(form: Any, folder: Path) -> Any:
    record = load_splits(form.data, sample=False, data_dir=None, folder=folder)[1]
    source = data_source(form.data, False, None, record.digests)
    return training_jobs(form, folder=folder, data=source, threads=1, max_steps=None)[0]


@pytest.fixture
def meter(tmp_path) -> tuple[Path, int]:
    (tmp_path / "made").write_bytes(bytes(8))
    return tmp_path / "made", 0


@FORKS
@pytest.mark.slow  # it loads PyTorch
def test_a_fork_shares_the_data_and_begins_without_threads(tiny, tmp_path, meter):
    """What the server has read is there for a fork, though the file has gone."""
    rows = np.random.default_rng(0).random((60, 784), "f4")
    targets = np.arange(60) % 10
    np.savez(tmp_path / "own.npz", x_train=rows, y_train=targets, x_test=rows, y_test=targets)
    form = tiny("epochs=1", "parity.replicas=0", 'data={name="own.npz"}')
    job = job_of(form, tmp_path)
    server = ForkServer()
    try:
        server.read(job.data, job.folder)
        process = server.fork(1)
        tasks = list(Path(f"/proc/{server._process.pid}/task").iterdir())
        assert len(tasks) == 1  # a fork with threads would wait for locks that nobody opens
        (tmp_path / "own.npz").unlink()
        found = process.submit(perform_remotely, job, meter=meter).result(60).result
        assert isinstance(found, TrainingResult), found
        other = ForkServer()
        try:
            lost = other.fork(1).submit(perform_remotely, job, meter=meter).result(60).result
        finally:
            other.close()
        assert isinstance(lost, FailureRecord)
        assert "own.npz" in lost.error
    finally:
        server.close()


@FORKS
@pytest.mark.slow  # it loads PyTorch
def test_what_is_killed(tiny, tmp_path, meter):
    job = job_of(tiny("epochs=1", "parity.replicas=0"), ROOT)
    server = ForkServer()
    idle, busy = server.fork(1), server.fork(1)
    try:
        os.kill(idle._pid, signal.SIGKILL)
        with pytest.raises(ProcessEndedError, match=r"\(exit status SIGKILL\(-9\)\)"):
            idle.submit(perform_remotely, job, meter=meter).result(60)
        future = busy.submit(perform_remotely, job._replace(max_steps=None), meter=meter)
        os.kill(busy._pid, signal.SIGSTOP)
        server._process.kill()
        server._process.wait()
        again = server.fork(1)  # by a new server
        assert isinstance(
            again.submit(perform_remotely, job, meter=meter).result(60).result, TrainingResult
        )
        os.kill(busy._pid, signal.SIGCONT)  # nobody else ends it
        with pytest.raises(ProcessEndedError, match=r"^$"):
            future.result(30)
        again.shutdown()
        with pytest.raises(ProcessEndedError):
            again.submit(perform_remotely, job, meter=meter).result(30)
    finally:
        busy.shutdown()  # also while it is stopped
        server.close()


@FORKS
@pytest.mark.slow  # it loads PyTorch
def test_a_server_that_is_killed_while_a_fork_still_holds_its_socket(monkeypatch):
    """The end of the connection is never seen then: a new server answers all the same."""
    server = ForkServer()
    first = server.fork(1)
    held = socket.socketpair()
    monkeypatch.setattr(server, "_control", Connection(held[0].detach()))
    server._process.kill()
    server._process.wait()
    try:
        assert server.exit_code(first._pid) is None
        other = server.fork(1)
        assert other._pid != first._pid
        assert server.exit_code(first._pid) is None  # which the new server cannot tell
        other.shutdown()
        assert server.exit_code(other._pid) == -signal.SIGKILL
    finally:
        server.close()
        held[1].close()


@FORKS
def test_a_server_that_nobody_takes_is_ended():
    with early_start():
        (server,) = fork_server._begun
        assert fork_server.begun_or_new() is server
        fork_server._begun.append(server)
    assert fork_server._begun == []
    assert server._process.returncode == -signal.SIGKILL


def test_one_that_has_grown_is_the_last(monkeypatch):
    """What is left after a collection counts."""
    megabytes = iter([100, 100, 100, 700, 100, 700, 700])
    monkeypatch.setattr(fork_server, "_resident_bytes", lambda: next(megabytes) * 2**20)
    monkeypatch.setattr(jobs, "perform_remotely", lambda job, meter: job)
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    sent: list[tuple[str, bool]] = []
    given = iter(["a", "b", "c", "d", "e"])
    connection: Any = SimpleNamespace(recv=lambda: (next(given), None), send=sent.append)
    fork_server._perform_all(connection)
    assert sent == [("a", False), ("b", False), ("c", False), ("d", True)]
    assert len(collected) == 2


@pytest.mark.slow  # processes that load PyTorch each
def test_where_no_fork_is_safe(tiny, train, timeless, tmp_path, monkeypatch):
    form = tiny("seeds=[3,1]", "parity.replicas=0")
    alone = timeless(train(form, tmp_path / "alone", threads=1))
    assert timeless(train(form, tmp_path / "forks", jobs=2, threads=1)) == alone
    monkeypatch.setattr(processes, "can_fork", lambda: False)
    out = train(form, tmp_path / "anew", jobs=2, threads=1)
    assert timeless(out) == alone
    assert read_run_record(out).status == "complete"
