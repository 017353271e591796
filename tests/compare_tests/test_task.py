"""What another process checks before it makes a training, and what it reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.backends.environment import shared_threads
from compare.training import task as tasks
from compare.training.data import load_splits
from compare.training.serial import Failed, Made, all_wanted
from compare.training.task import perform, source_of, task_of
from experiments.datasets.location import VARIABLE


@pytest.fixture
def make(tiny):
    """A task of the tiny experiment, with changes of its parts."""

    def made(form=None, digests=None, **changes):
        form = form or tiny("epochs=1", "parity.replicas=0")
        record = load_splits(form.data, sample=False, data_dir=None)[1]
        source = source_of(form.data, False, None, digests or record.digests)
        return task_of(all_wanted(form)[0], Path(), source, 1, None)._replace(**changes)

    return made


def refused(reply) -> str:
    assert isinstance(reply.outcome, Failed), reply
    return reply.outcome.record.error


def test_a_training_in_this_process(make):
    reply = perform(make())
    assert isinstance(reply.outcome, Made)
    assert reply.outcome.record.finished
    assert [(e.backend, e.epoch, e.split) for e in reply.evaluated] == [
        ("numpy", 1, "test"), ("torch", 1, "test"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["numpy", "torch", "nncompare"])
def test_other_versions(make, name):
    task = make()
    said = refused(perform(task._replace(code={**task.code, name: "0.1"})))
    assert said == (
        f"{name} is {task.code[name]} where the training was to be made, and 0.1 in the run."
    )
    assert task.code["numpy"] == np.__version__
    assert task.code["torch"] == torch.__version__


def test_other_kernels(make):
    """What is made with them is as right, but not the same to the last bit."""
    reply = perform(make(blas="some-blas 1.0, Other kernels"))
    assert isinstance(reply.outcome, Made)
    (said,) = reply.warned
    assert said.text.startswith("a training was made with ")
    assert "where the run has some-blas 1.0, Other kernels: in its last bits" in said.text
    assert perform(make()).warned == []


def test_other_data(make):
    said = refused(perform(make(digests={"train-images-idx3-ubyte": "0" * 32})))
    assert said == "The data 'mnist-sample' is other data here than in the run."


def test_no_data(tiny, make, tmp_path):
    form = tiny("data={name='mnist'}", "parity.replicas=0")
    source = source_of(form.data, False, tmp_path / "away", {})
    assert "away does not exist" in refused(perform(make(source=source)))


def test_the_data_is_read_once(make, monkeypatch):
    read = []
    original = tasks.load_splits
    monkeypatch.setattr(tasks, "load_splits", lambda *a, **k: read.append(a) or original(*a, **k))
    tasks._loaded.cache_clear()
    for _ in range(2):
        assert isinstance(perform(make()).outcome, Made)
    assert len(read) == 1


def test_paths_are_those_of_the_run(tiny, monkeypatch, tmp_path):
    """Another process may stand in another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "data")
    source = source_of(tiny().data, False, Path("here"), {})
    assert (source.data_dir, source.variable) == (tmp_path / "here", str(tmp_path / "data"))
    monkeypatch.delenv(VARIABLE)
    assert source_of(tiny().data, False, None, {})[2:4] == (None, None)
    assert task_of(all_wanted(tiny())[0], Path("there"), source, 1, None).folder == (
        tmp_path / "there"
    )


def test_a_variable_of_its_own_comes_first(make, monkeypatch):
    source = make().source._replace(variable="/elsewhere")
    for own, found in ((None, "/elsewhere"), ("/own", "/own")):
        monkeypatch.setenv(VARIABLE, own or "")
        if own is None:
            monkeypatch.delenv(VARIABLE)
        perform(make(source=source))
        assert tasks.os.environ[VARIABLE] == found


def test_nobody_waits_any_more(make):
    with pytest.raises(tasks.GivenUp):
        perform(make(), lambda: True)


@pytest.mark.parametrize(
    ("cores", "said", "jobs", "threads"),
    [(8, "", 1, 8), (8, "", 4, 2), (8, "", 16, 1), (8, "3", 1, 3), (8, "3", 2, 3), (8, "3", 4, 2)],
)
def test_threads_divide_the_cores(monkeypatch, cores, said, jobs, threads):
    import numpy_nn

    monkeypatch.setattr("compare.backends.environment.usable_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    dense = numpy_nn.Sequential(numpy_nn.Linear(2, 2))
    image = numpy_nn.Sequential(numpy_nn.Conv2d(1, 1, 1))
    assert shared_threads([dense, image], jobs) == threads
    if not said:
        assert shared_threads([dense], jobs) == 1


def test_two_threads_of_one_process(make):
    """As in a Dask worker of several threads: generators are the process's, not the thread's."""

    def history(reply) -> str:
        return reply.outcome.findings.text("history")

    task = make()
    alone = history(perform(task))
    with ThreadPoolExecutor(3) as pool:
        together = [pool.submit(perform, task) for _ in range(3)]
        assert [history(future.result()) == alone for future in together] == [True] * 3
