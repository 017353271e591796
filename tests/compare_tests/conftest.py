"""A tiny experiment, a finished run of it, and the command line called in this process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from planted.moods import AT_HOME

from compare.spec.experiment import Experiment
from compare.spec.loading import load_experiment

# 50 rows in batches of 20: three steps an epoch, the last with 10 rows.
TINY = (
    "model.arguments.sizes=[784,8,10]",
    'data={name="mnist-sample",sample="mnist-sample",limit=50,validation=0.0}',
    "training.batch_size=20",
    "training.epochs=2",
    "parity.first_steps=2",
    "parity.every=4",
    "parity.replicas=1",
    "parity.replica_steps=3",
    "claims=[]",
)
# What the finished run changes: it has every table and every split.
AS_FINISHED = ("data.validation=0.2", "data.limit=60", "training.gradient_norms=true")


class Silent:
    """An observer that says nothing."""

    def going_on(self, trainings): ...

    def expect(self, finished, trainings): ...
    def begin(self, label, seed, steps): ...
    def step(self, backend, step, loss, accuracy): ...
    def epoch(self, backend, epoch, split, loss, accuracy): ...
    def end(self, training): ...
    def failed(self, failure): ...


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Experiment]:
    """The tiny experiment with further changes."""

    def make(*changes: str, name: str = "mnist_bn_mlp") -> Experiment:
        return load_experiment(name, [*TINY, *changes])[1]

    return make


@pytest.fixture(scope="session")
def tiny_arguments() -> list[str]:
    """The tiny experiment on the command line."""
    return ["mnist_bn_mlp", *(word for change in TINY for word in ("--set", change))]


@pytest.fixture(scope="session")
def train() -> Callable[..., Path]:
    """Run an experiment into a folder."""
    from compare.records.directory import RunDirectory
    from compare.training.run import run_experiment

    def run(experiment: Experiment, out: Path, resume: bool = False, **settings) -> Path:
        observer = settings.pop("observer", Silent())
        directory = RunDirectory(out, resume=resume)
        run_experiment("tiny", experiment, directory, observer, **settings)
        return out

    return run


@pytest.fixture(scope="session")
def finished(tiny, train, tmp_path_factory) -> Path:
    """A complete run of the tiny experiment, not to be changed."""
    return train(tiny(*AS_FINISHED), tmp_path_factory.mktemp("run") / "r")


@pytest.fixture
def nncompare(command_line, monkeypatch) -> Callable[..., Any]:
    """Call the command line here; the report is another package's affair and is not written."""
    fake = ModuleType("reports.report")
    fake.write_report = lambda path: [Path(path) / "report" / "report.md"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reports.report", fake)
    return command_line


@pytest.fixture(scope="session")
def moody(tiny) -> Callable[..., Experiment]:
    """An experiment whose trainings do in other processes what ``planted/moods.py`` says."""

    def make(moods: list[str], folder: Path, *changes: str) -> Experiment:
        return tiny(
            'model.architecture="moods.py:net"',
            f"model.arguments={{folder={str(folder)!r}}}",
            "optimizers={SGD={lr=0.1}}",
            "reported=[]",
            f'vary={{mood={{key="model.arguments.mood",values={moods!r}}}}}',
            *changes,
        )

    return make


@pytest.fixture
def at_home(monkeypatch) -> None:
    """Trainings in this process are well, whatever their mood."""
    monkeypatch.setenv(AT_HOME, str(os.getpid()))


@pytest.fixture(scope="session")
def timeless() -> Callable[[Path], dict[str, bytes]]:
    """File → content of a run, without what is another on each occasion."""

    def read(run: Path) -> dict[str, bytes]:
        found = {
            str(f.relative_to(run)): f.read_bytes()
            for f in sorted(run.rglob("*"))
            if f.is_file() and f.name != "timing.csv" and f.parent.name != "report"
        }
        text = found["run.json"].decode()
        for key in ("created", "command", "wall_s", "cpu_s", "load"):
            text = re.sub(rf'"{key}": .+', f'"{key}"', text)
        return {**found, "run.json": text.encode()}

    return read
