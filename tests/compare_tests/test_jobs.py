"""Jobs: what another process checks and reads before it trains, and what is left of one."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.backends.environment import shared_threads
from compare.backends.torch_backend import TorchBackend
from compare.records.run import FailureRecord
from compare.training import jobs
from compare.training.data import Rows, Splits, load_splits
from compare.training.jobs import (
    TrainingResult,
    data_source,
    perform_remotely,
    run_serially,
    training_jobs,
)
from experiments.datasets.download import VARIABLE


def first_job(form, folder, source):
    return training_jobs(form, folder=folder, data=source, threads=1, max_steps=None)[0]


@pytest.fixture
def make(tiny):
    """A job of the tiny experiment, with changes of its parts."""

    def made(form=None, digests=None, **changes):
        form = form or tiny("epochs=1", "parity.replicas=0")
        record = load_splits(form.data, sample=False, data_dir=None)[1]
        source = data_source(form.data, False, None, digests or record.digests)
        return first_job(form, Path(), source)._replace(**changes)

    return made


def error_of(remote) -> str:
    assert isinstance(remote.result, FailureRecord), remote
    return remote.result.error


def test_a_training_in_this_process(make):
    remote = perform_remotely(make())
    assert isinstance(remote.result, TrainingResult)
    assert remote.result.record.finished
    assert [(e.backend, e.epoch, e.split) for e in remote.evaluations] == [
        ("numpy", 1, "test"), ("torch", 1, "test"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["numpy", "torch", "nncompare"])
def test_other_versions(make, name):
    job = make()
    message = error_of(perform_remotely(job._replace(code={**job.code, name: "0.1"})))
    assert message == (
        f"{name} is {job.code[name]} where the training was to be made, and 0.1 in the run."
    )
    assert job.code["numpy"] == np.__version__
    assert job.code["torch"] == torch.__version__


def test_other_kernels(make):
    """What is made with them is as right, but not the same to the last bit."""
    remote = perform_remotely(make(blas="some-blas 1.0, Other kernels"))
    assert isinstance(remote.result, TrainingResult)
    (message,) = remote.warnings
    assert message.text.startswith("a training was made with ")
    assert "where the run has some-blas 1.0, Other kernels: in its last bits" in message.text
    assert perform_remotely(make()).warnings == []


def test_other_data(make):
    message = error_of(perform_remotely(make(digests={"train-images-idx3-ubyte": "0" * 32})))
    assert message == "The data 'mnist-sample' is other data here than in the run."


def test_no_data(tiny, make, tmp_path):
    form = tiny("data={name='mnist'}", "parity.replicas=0")
    source = data_source(form.data, False, tmp_path / "away", {})
    assert "away does not exist" in error_of(perform_remotely(make(data=source)))


def test_the_data_is_read_once(make, monkeypatch):
    read = []
    original = jobs.load_splits
    monkeypatch.setattr(jobs, "load_splits", lambda *a, **k: read.append(a) or original(*a, **k))
    jobs._read_once.cache_clear()
    for _ in range(2):
        assert isinstance(perform_remotely(make()).result, TrainingResult)
    assert len(read) == 1


def test_paths_are_those_of_the_run(tiny, monkeypatch, tmp_path):
    """Another process may stand in another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "data")
    source = data_source(tiny().data, False, Path("here"), {})
    assert (source.data_dir, source.variable) == (tmp_path / "here", str(tmp_path / "data"))
    monkeypatch.delenv(VARIABLE)
    assert data_source(tiny().data, False, None, {})[2:4] == (None, None)
    assert first_job(tiny(), Path("there"), source).folder == tmp_path / "there"


def test_a_variable_of_its_own_comes_first(make, monkeypatch):
    source = make().data._replace(variable="/elsewhere")
    for own, found in ((None, "/elsewhere"), ("/own", "/own")):
        monkeypatch.setenv(VARIABLE, own or "")
        if own is None:
            monkeypatch.delenv(VARIABLE)
        perform_remotely(make(data=source))
        assert jobs.os.environ[VARIABLE] == found


def test_a_cancelled_job_ends(make):
    with pytest.raises(jobs.Cancelled):
        perform_remotely(make(), lambda: True)


@pytest.mark.parametrize(
    ("cores", "variable", "processes", "threads"),
    [(8, "", 1, 8), (8, "", 4, 2), (8, "", 16, 1), (8, "3", 1, 3), (8, "3", 2, 3), (8, "3", 4, 2)],
)
def test_threads_divide_the_cores(monkeypatch, cores, variable, processes, threads):
    import numpy_nn

    monkeypatch.setattr("compare.backends.environment.usable_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    dense = numpy_nn.Sequential(numpy_nn.Linear(2, 2))
    image = numpy_nn.Sequential(numpy_nn.Conv2d(1, 1, 1))
    assert shared_threads([dense, image], processes) == threads
    if not variable:
        assert shared_threads([dense], processes) == 1


def test_two_threads_of_one_process(make):
    """As in a Dask worker of several threads: generators are the process's, not the thread's."""

    def history(remote) -> str:
        return remote.result.log.text("history")

    job = make()
    alone = history(perform_remotely(job))
    with ThreadPoolExecutor(3) as pool:
        together = [pool.submit(perform_remotely, job) for _ in range(3)]
        assert [history(future.result()) == alone for future in together] == [True] * 3


@pytest.mark.parametrize("large", [True, False])
def test_a_large_network_is_cleared_away(tiny, monkeypatch, large):
    """Modules with dropout refer to themselves, and the collector may not come by for long."""
    monkeypatch.setattr(jobs, "LARGE", 1000 if large else 10**9)
    form = tiny(
        'model={architecture="pass_fail_mlp",arguments={sizes=[784,8,8,10],dropout=0.5}}',
        "optimizers={SGD={lr=0.1}}", "training.seeds=[0, 1]", "training.epochs=1", "reported=[]",
    )  # fmt: skip
    random = np.random.default_rng(0)
    rows = Rows(random.random((20, 784), np.float32), random.integers(0, 10, 20))
    source = data_source(form.data, False, None, {})
    every = training_jobs(form, folder=Path(), data=source, threads=1, max_steps=1)
    gc.collect()
    gc.disable()
    try:
        before = torch_backends()
        results = run_serially(every, Silent(), Splits(rows, None, None))
        assert sum(result.record.finished for result in results) == 2
        assert (torch_backends() > before) is not large
    finally:
        gc.enable()


def torch_backends() -> int:
    return sum(type(found) is TorchBackend for found in gc.get_objects())


class Silent:
    def __getattr__(self, name):
        return lambda *arguments: None


def test_a_job_says_how_much_of_it_is_made(make, tmp_path):
    shares = np.memmap(tmp_path / "made", np.float64, "w+", shape=2)
    perform_remotely(make(), meter=(tmp_path / "made", 1))
    assert shares.tolist() == [0.0, 1.0]
