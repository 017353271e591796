"""Progress of a run: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from compare.analysis.quantities import BACKENDS
from compare.languages import translated
from compare.records.run import FailureRecord, TrainingRecord
from compare.spec.experiment import Experiment

if TYPE_CHECKING:
    from compare.training.lockstep import Observer

MOST_TRAININGS_WITH_BARS = 6
"""Two bars for each of so many fit on a small terminal."""


@contextmanager
def observer(
    experiment: Experiment, console: Console | None = None, *, elsewhere: bool = False
) -> Iterator[Observer]:
    """An observer that fits the console: bars on a terminal, lines where there is none.

    Args:
        experiment: What is to be run.
        console: Where to show it; by default standard output.
        elsewhere: The trainings are performed by other processes, several at once.
    """
    console = console or Console()
    if not console.is_terminal:
        yield _Endings(console) if elsewhere else _Lines(console)
        return
    trainings = len(experiment.training.seeds) * len(experiment.configurations)
    bars: TrainingBars | RunBars
    if elsewhere or trainings > MOST_TRAININGS_WITH_BARS:
        bars = RunBars(console, elsewhere=elsewhere)
    else:
        bars = TrainingBars(console, experiment)
    try:
        yield bars
    finally:
        bars.stop()


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")


def _seed(seed: int) -> str:
    """Beside a training's name, where there are several."""
    return " " + _said(f"seed {seed}")


@contextmanager
def waiting(what: str, console: Console | None = None) -> Iterator[None]:
    """Say what takes some seconds, with a sign of life and the time that it has taken."""
    console = console or Console()
    if not console.is_terminal:
        console.print(f"{what}.", markup=False)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def show_paths(paths: Sequence[Path], console: Console | None = None) -> None:
    """The documents of a report, a line each; its figures are beside them."""
    console = console or Console()
    if not paths:
        return
    documents = [path for path in paths if path.parent == paths[0].parent]
    console.print(_said("Report:"))
    for path in documents:
        console.print(f"  {path}", soft_wrap=True, markup=False, highlight=False)


class _Lines:
    """A line for each evaluation of an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._training = ""

    def expect(self, finished: int, trainings: int) -> None:
        pass

    def begin(self, label: str, seed: int, steps: int) -> None:
        self._training = f"{label}, seed {seed}"
        self._print(f"{steps} steps on each backend")

    def going_on(self, trainings: float) -> None:
        pass

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        pass

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        if split == "test":
            self._print(
                f"epoch {epoch:3d}  {BACKENDS[backend]:7s}  "
                f"test loss {loss:.4f}  test accuracy {accuracy:.4f}"
            )

    def end(self, training: TrainingRecord) -> None:
        self._print(f"done in {training.wall_s:.1f} s")

    def failed(self, failure: FailureRecord) -> None:
        self._training = f"{failure.label}, seed {failure.seed}"
        self._print(f"failed: {failure.error}")

    def _print(self, what: str) -> None:
        self._console.print(
            f"{translated(self._training)}: {_said(what)}", soft_wrap=True, markup=False
        )


class _Endings:
    """A line for each training that has ended, with its number and its last losses."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended, self._all = 0, 0
        self._losses: dict[str, str] = {}

    def expect(self, finished: int, trainings: int) -> None:
        self._ended, self._all = finished, trainings

    def begin(self, label: str, seed: int, steps: int) -> None:
        self._losses = {}

    def going_on(self, trainings: float) -> None:
        pass

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        pass

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        self._losses[backend] = f"{BACKENDS[backend]} {split} loss {loss:.4f}"

    def end(self, training: TrainingRecord) -> None:
        losses = ", ".join(["", *self._losses.values()])
        self._print(training, f"done in {training.wall_s:.1f} s{losses}")

    def failed(self, failure: FailureRecord) -> None:
        self._print(failure, f"failed: {failure.error}")

    def _print(self, training: TrainingRecord | FailureRecord, what: str) -> None:
        self._ended += 1
        self._console.print(
            f"{self._ended}/{self._all} "
            f"{translated(f'{training.label}, seed {training.seed}')}: {_said(what)}",
            soft_wrap=True,
            markup=False,
        )


LONGEST_NAME = 20
"""Of a training beside a bar of many; in 80 columns the bar would else have no room."""


class _Narrower(Progress):
    """Bars that leave room for the ^C of a terminal, which would else begin a new line."""

    def __init__(self, *columns: ProgressColumn, console: Console, **settings: Any) -> None:
        self._terminal = console
        super().__init__(*columns, console=console, **settings)

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), self._terminal.width - 2)


def _progress(console: Console, **settings: Any) -> Progress:
    return _Narrower(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        refresh_per_second=8,
        expand=True,
        **settings,
    )


# A bar that is updated more often than it can be seen costs time that a step does not have.
LEAST_BETWEEN_UPDATES_S = 0.05


class _Display:
    """What both kinds of bars share: the losses of the backends, shown now and then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = dict.fromkeys(BACKENDS, 0.0)
        self._figures = dict.fromkeys(BACKENDS, "")

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def expect(self, finished: int, trainings: int) -> None:
        pass

    def going_on(self, trainings: float) -> None:
        pass

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        self._figures[backend] = _said(f"loss {loss:.3f} acc {accuracy:.3f}")
        now = time.monotonic()
        if now - self._shown[backend] < LEAST_BETWEEN_UPDATES_S:
            return
        self._shown[backend] = now
        self._update(backend, completed=step)

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        pass

    def end(self, training: TrainingRecord) -> None:
        for backend in BACKENDS:
            self._update(backend, completed=training.steps, total=training.steps)

    def failed(self, failure: FailureRecord) -> None:
        self._progress.console.print(
            f"{translated(f'{failure.label}, seed {failure.seed}')}: "
            f"{_said(f'failed: {failure.error}')}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    def _update(self, backend: str, completed: int, total: int | None = None) -> None:
        raise NotImplementedError


class TrainingBars(_Display):
    """One bar for each backend and training; all are there from the first training on."""

    def __init__(self, console: Console, experiment: Experiment) -> None:
        super().__init__(_progress(console))
        several = len(experiment.training.seeds) > 1
        self._tasks: dict[tuple[str, str, int], TaskID] = {
            (backend, configuration.label, seed): self._progress.add_task(
                f"{name:7s} {configuration.label}" + (_seed(seed) if several else ""),
                total=None,
                start=False,
                figures="",
            )
            for seed in experiment.training.seeds
            for configuration in experiment.configurations
            for backend, name in BACKENDS.items()
        }
        self._current = ("", 0)

    def begin(self, label: str, seed: int, steps: int) -> None:
        self._current = (label, seed)
        trainings = [training for _, *training in self._tasks]
        for (_, *training), task in self._tasks.items():
            if tuple(training) == self._current:
                self._progress.start_task(task)
            # Steps are known only now, and mostly the same for all.
            self._progress.update(task, total=steps)
        if not self._progress.live.is_started:
            # What comes before the first training was finished by an earlier run.
            for task in list(self._tasks.values())[: trainings.index([label, seed])]:
                self._progress.update(task, visible=False)
            self._progress.start()  # not earlier: bad input leaves no bars

    def _update(self, backend: str, completed: int, total: int | None = None) -> None:
        task = self._tasks[(backend, *self._current)]
        figures = self._figures[backend]
        self._progress.update(task, completed=completed, total=total, figures=figures)


class RunBars(_Display):
    """One bar of all trainings, with the losses of the last one and how many have failed.

    Args:
        console: The terminal.
        elsewhere: The trainings are performed by other processes; else two bars show one.
    """

    def __init__(self, console: Console, *, elsewhere: bool) -> None:
        # Trainings end seldom: their speed is that of the whole run.
        super().__init__(_progress(console, speed_estimate_period=float("inf")))
        self._elsewhere = elsewhere
        self._all = self._progress.add_task(_said("trainings"), total=None, figures="")
        self._tasks: dict[str, TaskID] = {}
        self._losses: dict[str, float] = {}
        self._failures = self._ended = 0

    def expect(self, finished: int, trainings: int) -> None:
        self._ended = finished
        self._progress.update(self._all, completed=finished, total=trainings)
        self._progress.start()

    def going_on(self, trainings: float) -> None:
        self._progress.update(self._all, completed=self._ended + trainings)

    def begin(self, label: str, seed: int, steps: int) -> None:
        if self._elsewhere:
            return
        room = LONGEST_NAME - len(_seed(seed))
        shown = label if len(label) <= room else label[: room - 1] + "…"
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks = {
            backend: self._progress.add_task(
                f"{name:7s} {shown}{_seed(seed)}", total=steps, figures=""
            )
            for backend, name in BACKENDS.items()
        }

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        self._losses[backend] = loss

    def end(self, training: TrainingRecord) -> None:
        super().end(training)
        self._one_more()

    def failed(self, failure: FailureRecord) -> None:
        super().failed(failure)
        self._failures += 1
        self._one_more()

    def _one_more(self) -> None:
        figures = _said(f"loss {' '.join(f'{loss:.3f}' for loss in self._losses.values())}")
        if self._failures:
            figures += " " + _said(f"{self._failures} failed")
        self._ended += 1
        shown = figures if self._losses else ""
        self._progress.update(self._all, completed=self._ended, figures=shown)

    def _update(self, backend: str, completed: int, total: int | None = None) -> None:
        if backend in self._tasks:
            task, figures = self._tasks[backend], self._figures[backend]
            self._progress.update(task, completed=completed, total=total, figures=figures)
