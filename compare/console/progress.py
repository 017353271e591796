"""Progress: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from compare.console.bars import NAMES, RunBars, TrainingBars
from compare.records.run import FailureRecord, TrainingRecord
from compare.spec.experiment import Experiment
from compare.training.observer import Observer

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
        elsewhere: The trainings are made by other processes, several at once.
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


class _Lines:
    """A line for each evaluation of an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._training = ""

    def expect(self, made: int, trainings: int) -> None:
        pass

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

    def failed(self, failure: FailureRecord) -> None:
        self._training = f"{failure.label}, seed {failure.seed}"
        self._print(f"failed: {failure.error}")

    def _print(self, what: str) -> None:
        self._console.print(f"{self._training}: {what}", soft_wrap=True, markup=False)


class _Endings:
    """A line for each training that has ended, with its number and its last losses."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended, self._all = 0, 0
        self._losses: dict[str, str] = {}

    def expect(self, made: int, trainings: int) -> None:
        self._ended, self._all = made, trainings

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        self._losses = {}

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        pass

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        self._losses[backend] = f"{NAMES[backend]} {split} loss {loss:.4f}"

    def end(self, training: TrainingRecord) -> None:
        told = ", ".join(["", *self._losses.values()])
        self._print(training, f"done in {training.wall_s:.1f} s{told}")

    def failed(self, failure: FailureRecord) -> None:
        self._print(failure, f"failed: {failure.error}")

    def _print(self, training: TrainingRecord | FailureRecord, what: str) -> None:
        self._ended += 1
        self._console.print(
            f"{self._ended}/{self._all} {training.label}, seed {training.seed}: {what}",
            soft_wrap=True,
            markup=False,
        )
