"""Trainings on a Dask cluster of two workers on this machine, some of which kill themselves."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from compare.records.run import read_run_record
from compare.training import cluster as clusters
from experiments.errors import InputError

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

PLANTED = Path(__file__).parent.parent / "planted"
SETTINGS = {"folder": PLANTED, "threads": 1}


@pytest.fixture(scope="module")
def cluster():
    """A scheduler that gives a task up when the second worker has died of it."""
    import dask

    with (
        warnings.catch_warnings(),
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
    ):
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as started:  # fmt: skip
            yield started


class Ending:
    """An observer that does something when the first training has ended."""

    def __init__(self, act) -> None:
        self._act = act

    def __getattr__(self, name):
        return lambda *_: None

    def end(self, training):
        self._act()


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing(cluster, moody, train, at_home, timeless, tmp_path):
    moods = ["dies once", "well", "warns"]
    form = moody(moods, tmp_path, "seeds=[0,1]")
    with pytest.warns(UserWarning, match="mind the step"):
        out = train(form, tmp_path / "r", dask=cluster.scheduler_address, **SETTINGS)
    assert len(list(tmp_path.glob("dies once *"))) >= 1
    assert timeless(out) == timeless(train(form, tmp_path / "alone", **SETTINGS))
    assert read_run_record(out).status == "complete"


@pytest.mark.slow
def test_what_goes_wrong_costs_itself_alone(cluster, moody, train, at_home, timeless, tmp_path):
    form = moody(["dies", "raises", "well"], tmp_path)
    out = train(form, tmp_path / "r", dask=cluster.scheduler_address, **SETTINGS)
    record = read_run_record(out)
    assert record.status == "incomplete"
    assert [t.label for t in record.trainings] == ["SGD mood well"]
    dies, raises = record.failures
    assert (dies.label, dies.error) == (
        "SGD mood dies", "each of the 2 workers that made it died",
    )  # fmt: skip
    assert raises.error.startswith("ValueError: no, thanks (moods.py, line ")
    train(form, out, resume=True, **SETTINGS)
    assert timeless(out) == timeless(train(form, tmp_path / "alone", **SETTINGS))


@pytest.mark.slow
def test_an_interrupted_run_frees_the_workers(cluster, moody, train, tmp_path):
    """Dask cannot end what a thread does; a training ends itself when nobody waits for it."""

    def interrupt():
        raise KeyboardInterrupt

    form = moody(["well"], tmp_path, 'vary.length={key="training.epochs",values=[1,100000]}')
    with pytest.raises(KeyboardInterrupt):
        train(
            form, tmp_path / "r", dask=cluster.scheduler_address, observer=Ending(interrupt),
            **SETTINGS,
        )  # fmt: skip
    record = read_run_record(tmp_path / "r")
    assert [t.label for t in record.trainings] == ["SGD mood well length 1"]
    assert record.failures == []
    with distributed.Client(cluster, set_as_default=False) as client:
        last = time.monotonic() + 30
        while any(client.run(lambda dask_worker: dask_worker.state.executing_count).values()):
            assert time.monotonic() < last
            time.sleep(0.1)


def refusal(address: str) -> str:
    with pytest.raises(InputError) as caught, clusters.connected(address):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "", "http://localhost:8786"])
def test_nobody_there(address, monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    message = refusal(address)
    assert message.startswith(f"--dask {address}: no Dask scheduler answers there within ")
    assert "expected an address such as tcp://127.0.0.1:8786" in message


@pytest.mark.slow
def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_S", 2.0)
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as empty:
        address = empty.scheduler_address
        assert refusal(address) == (
            f"--dask {address}: the cluster has no workers; start some with "
            f"dask worker {address} --nthreads 1."
        )


def test_without_distributed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert refusal("tcp://127.0.0.1:8786") == (
        "--dask needs the package distributed, which is not installed: "
        'pip install "nncompare[dask]".'
    )


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["worker", "scheduler"])
def test_a_cluster_that_goes_away(moody, train, tmp_path, monkeypatch, gone):
    """What was made is kept, what was not has failed, and the run comes to an end."""
    # A scheduler that closes sends its workers away first.
    monkeypatch.setattr(clusters, "WITHOUT_WORKERS_S", 1.0 if gone == "worker" else 60.0)
    form = moody(["well", "sleeps"], tmp_path)
    scheduler = distributed.LocalCluster(
        n_workers=0, dashboard_address=":0", silence_logs=logging.CRITICAL
    )
    address = scheduler.scheduler_address
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny",
         "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        # The worker at once, the scheduler while the second training goes on.
        closing = threading.Timer(1.0, scheduler.close)
        act = worker.kill if gone == "worker" else closing.start
        out = train(form, tmp_path / "r", dask=address, observer=Ending(act), **SETTINGS)
    finally:
        worker.kill()
        worker.wait()
        scheduler.close()
    record = read_run_record(out)
    assert record.status == "incomplete"
    assert [t.label for t in record.trainings] == ["SGD mood well"]
    assert [f.error for f in record.failures] == [
        "the cluster had no workers for 1 s"
        if gone == "worker"
        else "the connection to the scheduler was lost"
    ]
