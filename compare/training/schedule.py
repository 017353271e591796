"""The learning-rate schedule of a training: one scheduler a backend, stepped at the same times.

NumPy's optimizer is scheduled by ``numpy_nn.optim.lr_scheduler`` and PyTorch's by
``torch.optim.lr_scheduler``. What both have set is compared whenever they have set it, so that the
schedule is certified by itself. The references of the certificate have no schedule: they are given
the hyperparameters that NumPy's scheduler has set for the certified step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import numpy_nn
import torch_nn
from compare.backends import Backend
from compare.backends.protocol import (
    SCHEDULED,
    Hyperparameters,
    scheduled_hyperparameters,
    set_scheduled_hyperparameters,
)
from compare.parity.tolerances import componentwise_error, float64_bound
from compare.records.tables import ParityRow
from compare.spec.experiment import TrainingSettings
from compare.spec.model import ModelSpec
from experiments.errors import InputError


def hyperparameters(backend: Backend) -> Hyperparameters:
    """The values of :data:`SCHEDULED` in a backend's optimizer."""
    return scheduled_hyperparameters(backend.optimizer)


def set_hyperparameters(backends: Iterable[Backend], values: Hyperparameters) -> None:
    """Put hyperparameters in force that were read from another backend."""
    for backend in backends:
        set_scheduled_hyperparameters(backend.optimizer, values)


def scheduler_position(scheduler: Any) -> dict[str, Any]:
    """What a scheduler of either framework counts; all else follows from its settings."""
    return {name: getattr(scheduler, name) for name in COUNTED}


def set_scheduler_position(scheduler: Any, position: dict[str, Any]) -> None:
    """Put a scheduler where another one of the same settings stood."""
    scheduler.load_state_dict({name: position[name] for name in COUNTED})


COUNTED = ("last_epoch", "_step_count", "_last_lr")


class Schedule:
    """When the learning rate of a training changes, and how, for any of its backends.

    Args:
        model_spec: The training's network and optimizer.
        training: Its settings.
        rows: How many rows it is trained on.
    """

    def __init__(self, model_spec: ModelSpec, training: TrainingSettings, rows: int) -> None:
        self._spec = model_spec
        self._settings = training.schedule
        self._epoch = -(-rows // training.batch_size)
        steps = training.epochs * self._epoch
        self._steps = steps if training.steps is None else min(steps, training.steps)

    def due(self, step: int) -> bool:
        """Whether the learning rate is set anew after a step, which counts from 0."""
        if self._settings is None or step + 1 >= self._steps:
            return False
        return self._settings.every == "step" or (step + 1) % self._epoch == 0

    def scheduler(self, backend: Backend) -> Any:
        """A scheduler of a backend's optimizer, which begins now; None where there is no schedule.

        Raises:
            InputError: The schedule does not fit the optimizer, or is shorter than the training.
        """
        if self._settings is None:
            return None
        name = self._settings.name
        settings = self._settings.model_dump(exclude={"name", "every"})
        if name == "OneCycleLR":
            needed = (
                self._steps if self._settings.every == "step" else -(-self._steps // self._epoch)
            )
            total = settings["total_steps"] = settings["total_steps"] or needed
            if total < needed:
                raise InputError(
                    f"training.schedule.total_steps = {total}, but the training has {needed} "
                    f"{self._settings.every}s: leave it out, or give at least as many."
                )
        namespace = numpy_nn if backend.name == "numpy" else torch_nn
        try:
            return getattr(namespace.optim.lr_scheduler, name)(backend.optimizer, **settings)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"training.schedule: {name} does not fit the optimizer {self._spec.algorithm}: "
                f"{str(error).rstrip('.')}."
            ) from error


class ScheduleComparison:
    """Compares what both schedulers have set.

    An error is relative to the largest value that was in force so far: a cosine wave is a
    difference of such values.

    Args:
        label: The training's label.
        seed: Its seed.
    """

    def __init__(self, label: str, seed: int) -> None:
        self._key = (label, seed)
        self._largest: dict[str, np.ndarray] = {}

    def snapshot(self) -> dict[str, Any]:
        """What :meth:`restore` needs: the largest values so far."""
        return dict(self._largest)

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._largest = dict(snapshot)

    def rows(self, step: int, numpy: Hyperparameters, torch: Hyperparameters) -> list[ParityRow]:
        """The rows of parity.csv for the values that are in force from a step on."""
        found = []
        for name in SCHEDULED:
            if not any(name in group for group in (*numpy, *torch)):
                continue
            mine, theirs = (
                np.array([group.get(name, np.nan) for group in groups], np.float64)
                for groups in (numpy, torch)
            )
            size = np.maximum(np.abs(theirs), self._largest.get(name, 0.0))
            self._largest[name] = size
            error, bound = componentwise_error(mine, theirs, size), float64_bound(1)
            found.append(
                ParityRow(
                    *self._key, step, "float64", f"schedule/{name}", error, 0.0, bound,
                    error <= bound,
                )
            )  # fmt: skip
        return found
