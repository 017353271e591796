"""Progress: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
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
    bars = _Bars(_progress(console), experiment)
    try:
        yield bars
    finally:
        bars.stop()


class _Narrower(Progress):
    """Bars that leave room for the ^C of a terminal, which would else begin a new line."""

    def __init__(self, *columns: ProgressColumn, console: Console, **settings: Any) -> None:
        self._terminal = console
        super().__init__(*columns, console=console, **settings)

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), self._terminal.width - 2)


def _progress(console: Console) -> Progress:
    return _Narrower(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        refresh_per_second=8,
        expand=True,
    )


# A bar that is told more often than it can be seen costs time that a step does not have.
LEAST_BETWEEN_UPDATES_S = 0.05


class _Bars:
    """One bar a side and training; all are there from the first training on."""

    def __init__(self, progress: Progress, experiment: Experiment) -> None:
        self._progress = progress
        several = len(experiment.training.seeds) > 1
        self._tasks: dict[tuple[str, str, int], TaskID] = {
            (backend, label, seed): progress.add_task(
                f"{name:7s} {label}" + (f" seed {seed}" if several else ""),
                total=None,
                start=False,
                figures="",
            )
            for seed in experiment.training.seeds
            for label in experiment.optimizers
            for backend, name in NAMES.items()
        }
        self._current = ("", 0)
        self._shown = dict.fromkeys(NAMES, 0.0)
        self._figures = dict.fromkeys(NAMES, "")

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        self._current = (optimizer, seed)
        trainings = [training for _, *training in self._tasks]
        for (_, *training), task in self._tasks.items():
            if tuple(training) == self._current:
                self._progress.start_task(task)
            # Steps are known only now, and are the same for all.
            self._progress.update(task, total=steps)
        if not self._progress.live.is_started:
            # What comes before the first training was made by an earlier run.
            for task in list(self._tasks.values())[: trainings.index([optimizer, seed])]:
                self._progress.update(task, visible=False)
            self._progress.start()  # not earlier: bad input leaves no bars

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        self._figures[backend] = f"loss {loss:.3f} acc {accuracy:.3f}"
        now = time.monotonic()
        if now - self._shown[backend] < LEAST_BETWEEN_UPDATES_S:
            return
        self._shown[backend] = now
        self._update(backend, completed=step)

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        pass

    def end(self, training: TrainingRecord) -> None:
        for backend in NAMES:
            self._update(backend, completed=training.steps, total=training.steps)

    def _update(self, backend: str, completed: int, total: int | None = None) -> None:
        task = self._tasks[(backend, *self._current)]
        figures = self._figures[backend]
        self._progress.update(task, completed=completed, total=total, figures=figures)


class _Lines:
    """A line for each evaluation of an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._training = ""

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        self._training = f"{optimizer}, seed {seed}"
        self._print(f"{steps} steps on each side")

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        pass

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        if split == "test":
            self._print(
                f"epoch {epoch:3d}  {NAMES[backend]:7s}  "
                f"test loss {loss:.4f}  test accuracy {accuracy:.4f}"
            )

    def end(self, training: TrainingRecord) -> None:
        self._print(f"done in {training.wall_s:.1f} s")

    def _print(self, what: str) -> None:
        self._console.print(f"{self._training}: {what}", soft_wrap=True, markup=False)
