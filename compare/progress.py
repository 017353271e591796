"""Progress: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from compare.experiment import Experiment
from compare.lockstep import Observer
from compare.records import TrainingRecord

NAMES = {"numpy": "NumPy", "torch": "PyTorch"}


@contextmanager
def observer(experiment: Experiment, console: Console | None = None) -> Iterator[Observer]:
    """An observer that fits the console: bars on a terminal, a line an epoch elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        yield _Lines(console)
        return
    with _bars(console) as progress:
        yield _Bars(progress, experiment)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f} acc {task.fields[accuracy]:.3f}"),
        TimeRemainingColumn(compact=True),
        console=console,
        refresh_per_second=8,
        expand=True,
    )


class _Bars:
    """One bar a side and training; all are there from the start."""

    def __init__(self, progress: Progress, experiment: Experiment) -> None:
        self._progress = progress
        several = len(experiment.training.seeds) > 1
        self._tasks: dict[tuple[str, str, int], TaskID] = {
            (backend, label, seed): progress.add_task(
                f"{name} {label}" + (f" seed {seed}" if several else ""),
                total=None,
                start=False,
                loss=float("nan"),
                accuracy=float("nan"),
            )
            for seed in experiment.training.seeds
            for label in experiment.optimizers
            for backend, name in NAMES.items()
        }
        self._current = ("", 0)
        self._shown = 0.0

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        self._current = (optimizer, seed)
        for backend in NAMES:
            task = self._tasks[(backend, optimizer, seed)]
            self._progress.update(task, total=steps)
            self._progress.start_task(task)

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        now = time.monotonic()
        if now - self._shown < 0.05 and backend == "numpy":
            return
        self._shown = now
        task = self._tasks[(backend, *self._current)]
        self._progress.update(task, completed=step, loss=loss, accuracy=accuracy)

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        pass

    def end(self, training: TrainingRecord) -> None:
        for backend in NAMES:
            task = self._tasks[(backend, training.optimizer, training.seed)]
            self._progress.update(task, completed=training.steps, total=training.steps)


class _Lines:
    """A line for each evaluation of an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._training = ""
        self._seen: dict[str, str] = {}

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        self._training = f"{optimizer}, seed {seed}"
        self._console.print(f"{self._training}: {steps} steps on each side")

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        pass

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        if split == "test":
            self._console.print(
                f"{self._training}: epoch {epoch:3d}  {NAMES[backend]:7s}  "
                f"test loss {loss:.4f}  test accuracy {accuracy:.4f}"
            )

    def end(self, training: TrainingRecord) -> None:
        self._console.print(f"{self._training}: done in {training.wall_s:.1f} s")
