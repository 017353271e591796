"""The trainings of a run, as the report orders and names them."""

from __future__ import annotations

from compare.records import Run, TrainingRecord


def label(run: Run, training: TrainingRecord) -> str:
    """The optimizer, and the seed where there are several."""
    if several_seeds(run):
        return f"{training.optimizer}, seed {training.seed}"
    return training.optimizer


def several_seeds(run: Run) -> bool:
    """Whether the trainings of this run begin from different seeds."""
    return len({training.seed for training in run.record.trainings}) > 1


def shown(run: Run) -> list[TrainingRecord]:
    """The trainings that figures show: those of the first seed, one an optimizer."""
    trainings = run.record.trainings
    return [training for training in trainings if training.seed == trainings[0].seed]
