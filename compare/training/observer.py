"""Who watches a run."""

from __future__ import annotations

from typing import Protocol

from compare.records.run import FailureRecord, TrainingRecord


class Observer(Protocol):
    """Somebody who watches.

    Of a training that is made in another process he hears when it is finished: that it begins,
    its last evaluations, and that it ends.
    """

    def expect(self, made: int, trainings: int) -> None:
        """The run has so many trainings, of which so many were made before."""

    def begin(self, optimizer: str, seed: int, steps: int) -> None:
        """A training of so many steps begins."""

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        """A side has made a step; loss and accuracy are those of the batch."""

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        """A side has been evaluated."""

    def end(self, training: TrainingRecord) -> None:
        """The training has ended."""

    def failed(self, failure: FailureRecord) -> None:
        """A training has ended in an error."""
