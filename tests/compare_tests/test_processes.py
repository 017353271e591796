"""Trainings side by side in processes: the same bytes, and what one costs that goes wrong.

The processes are real ones, and those that die kill themselves.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compare.records.run import read_run, read_run_record

PLANTED = Path(__file__).parent.parent / "planted"
SETTINGS = {"folder": PLANTED, "threads": 1}


class Listening:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []
        self.going: list[float] = []

    def going_on(self, trainings):
        self.going.append(trainings)

    def expect(self, finished, trainings):
        self.heard.append(("expect", finished, trainings))

    def begin(self, optimizer, seed, steps):
        self.heard.append(("begin", optimizer, seed, steps))

    def step(self, backend, step, loss, accuracy):
        raise AssertionError("a step of another process")

    def epoch(self, backend, epoch, split, loss, accuracy):
        self.heard.append(("epoch", backend, epoch, split))

    def end(self, training):
        assert training.finished
        self.heard.append(("end", training.label, training.seed))

    def failed(self, failure):
        self.heard.append(("failed", failure.label, failure.seed))


@pytest.fixture
def went_wrong(moody, train, at_home, tmp_path):
    """Of six trainings three come to an end; one of those has its process killed first."""
    form = moody(["warns", "dies once", "raises", "exits", "dies", "well"], tmp_path)
    watching = Listening()
    with pytest.warns(UserWarning, match="mind the step") as caught:
        out = train(form, tmp_path / "r", jobs=2, observer=watching, **SETTINGS)
    assert {Path(w.filename).name for w in caught} == {"moods.py"}  # not lost on the way
    return form, out, watching


@pytest.mark.slow
def test_what_goes_wrong_costs_itself_alone(went_wrong, train, timeless, tmp_path):
    form, out, watching = went_wrong
    run = read_run(out)
    assert run.record.status == "incomplete"
    assert [t.label for t in run.record.trainings] == [
        "SGD mood warns", "SGD mood dies once", "SGD mood well",
    ]  # fmt: skip
    assert all(t.finished for t in run.record.trainings)
    assert [f.label for f in run.record.failures] == [
        "SGD mood raises", "SGD mood exits", "SGD mood dies",
    ]  # fmt: skip
    raises, exits, dies = run.record.failures
    assert raises.error.startswith("ValueError: no, thanks (moods.py, line ")
    assert raises.traceback.endswith("ValueError: no, thanks\nnot today\n")
    assert exits.error.startswith("SystemExit: 3 (moods.py, line ")
    assert dies.error.startswith("its process died twice")
    if os.name != "nt":
        assert "SIGKILL" in dies.error
    assert dies.traceback == ""
    # Once more each, and no more.
    assert len(list(tmp_path.glob("dies once *"))) == 1
    assert len(list(tmp_path.glob("dies [0-9]*"))) == 2
    assert watching.heard[0] == ("expect", 0, 6)
    assert {h[1] for h in watching.heard if h[0] == "failed"} == {
        f.label for f in run.record.failures
    }
    at = watching.heard.index(("begin", "SGD mood well", 0, 6))
    assert watching.heard[at + 1 : at + 4] == [
        ("epoch", "numpy", 2, "test"), ("epoch", "torch", 2, "test"), ("end", "SGD mood well", 0),
    ]  # fmt: skip

    # Only what is missing is made again; then the run is that of one process, byte for byte.
    again = Listening()
    again.step = lambda *_: None
    train(form, out, resume=True, observer=again, **SETTINGS)
    assert again.heard[0] == ("expect", 3, 6)
    assert [h[1] for h in again.heard if h[0] == "begin"] == [f.label for f in run.record.failures]
    alone = train(form, tmp_path / "alone", **SETTINGS)
    assert timeless(out) == timeless(alone)
    assert read_run_record(out).status == "complete"
    assert read_run_record(out).failures == []


@pytest.mark.slow
def test_trainings_that_go_on_are_heard_of(tiny, train, at_home, tmp_path):
    watching = Listening()
    form = tiny("epochs=40", "parity.replicas=0", "training.seeds=[0,1,2]")
    train(form, tmp_path / "r", jobs=2, observer=watching, **SETTINGS)
    assert all(0 <= trainings <= 2 for trainings in watching.going)
    assert any(trainings > 0 for trainings in watching.going)
    assert watching.going[-1] == 0


@pytest.mark.slow
def test_seeds_and_optimizers_in_any_order(tiny, train, timeless, tmp_path):
    """As they are finished they come, and as the experiment has them they are recorded."""
    form = tiny("seeds=[3,1]", "training.gradient_norms=true", "data.validation=0.2")
    out = train(form, tmp_path / "r", jobs=2, threads=1)
    record = read_run_record(out)
    assert [(t.label, t.seed) for t in record.trainings] == [
        (c.label, seed) for c, seed in form.trainings
    ]
    assert timeless(out) == timeless(train(form, tmp_path / "alone", threads=1))


@pytest.mark.slow
def test_code_that_changes_while_the_run_goes_on(moody, train, at_home, tmp_path, monkeypatch):
    """A process reads the file of an architecture when it needs it."""
    import compare.training.run

    home = tmp_path / "home"
    home.mkdir()
    (home / "moods.py").write_text((PLANTED / "moods.py").read_text())

    def changed(*arguments, **settings):
        jobs = original(*arguments, **settings)
        (home / "moods.py").write_text((PLANTED / "moods.py").read_text() + "# another\n")
        return jobs

    original = compare.training.run.training_jobs
    monkeypatch.setattr(compare.training.run, "training_jobs", changed)
    form = moody(["well"], tmp_path)
    out = train(form, tmp_path / "r", jobs=2, threads=1, folder=home)
    (failure,) = read_run_record(out).failures
    assert failure.error.startswith("the code of moods.py is ")
    assert "where the training was to be made, and " in failure.error


def wait_for(condition, seconds: float = 120.0) -> None:
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last
        time.sleep(0.05)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ending_the_run_ends_its_processes(tmp_path, number):
    """Ctrl-C on a terminal reaches every process; a killed run leaves none behind either."""
    changes = [
        'model.architecture="moods.py:net"', f"model.arguments={{folder={str(tmp_path)!r}}}",
        "optimizers={SGD={lr=0.1}}", "reported=[]", "data.limit=50", "training.epochs=2",
        "training.batch_size=20", "parity.replicas=0",
        'vary={mood={key="model.arguments.mood",values=["well","sleeps"]}}',
    ]  # fmt: skip
    words = [word for change in changes for word in ("--set", change)]
    (tmp_path / "moods.py").write_text((PLANTED / "moods.py").read_text())
    out = tmp_path / "my runs" / "r"
    run = subprocess.Popen(
        [sys.executable, "-m", "compare", "run", "mnist_bn_mlp", "--sample", "--jobs", "2", *words,
         "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "Loading PyTorch.\n"
        assert run.stdout.readline().startswith("1/2 SGD mood well, seed 0: done in ")
        wait_for(lambda: list(tmp_path.glob("sleeps *")))
        pids = [int(note.name.split()[1]) for note in tmp_path.glob("sleeps *")]
        (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
        _, message = run.communicate(timeout=60)
        wait_for(lambda: all(map(ended, pids)), 30)
    finally:
        run.kill()
    if number == signal.SIGKILL:
        return
    assert run.returncode == 130
    assert message.splitlines() == [
        f"nncompare: what was recorded is kept in {out} and marked incomplete; the same command "
        f"with --out {shlex.quote(str(out))} --resume goes on with it",
        "nncompare: interrupted",
    ]
    record = read_run_record(out)
    assert (record.status, [t.label for t in record.trainings]) == (
        "incomplete", ["SGD mood well"],
    )  # fmt: skip
    assert record.failures == []
