"""PyTorch runs of the same training, which drift apart by rounding alone.

NumPy's drift is drawn beside theirs: they are the same training by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.backends import Backend, State
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.records.tables import DriftRow
from compare.spec.model import ModelSpec
from compare.training.schedule import Schedule, scheduler_position, set_scheduler_position


class Replicas:
    """PyTorch runs of the same training: a float64 reference, and some with rows in other order.

    The rows of each batch are the same; their order inside the batch, which only changes the
    order of summation, is reversed in the first replica and random in the others.

    Args:
        model_spec: What to build.
        count: How many replicas; the reference comes on top.
        steps: How many steps they follow; 0 for no replicas at all.
        dtype: The precision of the replicas.
        seed: For the random orders.
        schedule: The schedule of their learning rate.

    Attributes:
        reference: The run in float64; None where there is none.
    """

    def __init__(
        self,
        model_spec: ModelSpec,
        count: int,
        steps: int,
        dtype: str,
        seed: int,
        schedule: Schedule | None = None,
    ) -> None:
        self.steps = steps if count else 0
        self._seed = seed
        self.reference: Backend | None = None
        self._replicas: list[TorchBackend] = []
        if self.steps:
            self.reference = TorchBackend(model_spec, "float64")
            self._replicas = [TorchBackend(model_spec, dtype) for _ in range(count)]
        self._random = [np.random.default_rng([seed, number]) for number in range(count)]
        self._rows: Any = None
        self._schedule = schedule
        self._schedulers: dict[int, Any] = {}

    def start(self, state: State, rows: Any) -> None:
        """Begin from the state of the main run, on its rows."""
        self._rows = rows
        for backend in (self.reference, *self._replicas):
            if backend is not None:
                backend.load(state)
                if self._schedule is not None:
                    self._schedulers[id(backend)] = self._schedule.scheduler(backend)

    def snapshot(self, step: int) -> dict[str, Any] | None:
        """What :meth:`restore` needs after so many steps; None when the replicas' are over."""
        if step >= self.steps:
            return None
        assert self.reference is not None
        backends = (self.reference, *self._replicas)
        schedulers = [self._schedulers.get(id(backend)) for backend in backends]
        return {
            "backends": [backend.snapshot() for backend in backends],
            "schedulers": [s if s is None else scheduler_position(s) for s in schedulers],
            "random": [random.bit_generator.state for random in self._random],
        }

    def restore(self, snapshot: dict[str, Any] | None) -> None:
        """Go on from a snapshot, after :meth:`start`."""
        if snapshot is None:
            return
        assert self.reference is not None
        backends = (self.reference, *self._replicas)
        for backend, state, position in zip(
            backends, snapshot["backends"], snapshot["schedulers"], strict=True
        ):
            backend.restore(state)
            if position is not None:
                set_scheduler_position(self._schedulers[id(backend)], position)
        for random, state in zip(self._random, snapshot["random"], strict=True):
            random.bit_generator.state = state

    def _train_step(self, backend: Backend, step: int, indices: np.ndarray) -> None:
        backend.train_step(backend.batch(self._rows, indices))
        if self._schedule is not None and self._schedule.due(step):
            self._schedulers[id(backend)].step()

    def measured(self, step: int) -> bool:
        """Whether the runs are measured after a step: after 1 to 10 steps and each tenth."""
        done = step + 1
        return done <= self.steps and (done <= 10 or done % 10 == 0)

    def follow(
        self,
        label: str,
        steps: Sequence[tuple[int, np.ndarray]],
        masks: Sequence[Arrays],
        numpy: Backend,
        torch: Backend,
    ) -> list[DriftRow]:
        """Make steps on all replicas; measure all runs if they are measured after the last one.

        Args:
            label: The training's label.
            steps: The number of each step and the rows of its batch.
            masks: The masks of dropout of each step.
            numpy: The NumPy backend after the last of them.
            torch: The PyTorch backend.
        """
        if self.reference is None:
            return []
        followed = [
            (step, indices, mask)
            for (step, indices), mask in zip(steps, masks, strict=True)
            if step < self.steps
        ]
        for step, indices, mask in followed:
            self.reference.give_masks(mask)
            self._train_step(self.reference, step, indices)
        for number, replica in enumerate(self._replicas):
            for step, indices, mask in followed:
                places = np.arange(len(indices))
                places = places[::-1] if number == 0 else self._random[number].permutation(places)
                replica.give_masks({name: values[places] for name, values in mask.items()})
                self._train_step(replica, step, indices[places])
        last = steps[-1][0]
        if not self.measured(last):
            return []
        exact = self.reference.weights()
        names = ["rows reversed", *(f"rows shuffled {n}" for n in range(1, len(self._replicas)))]
        runs = {"numpy": numpy, "torch": torch, **dict(zip(names, self._replicas, strict=True))}
        size = np.linalg.norm(exact)
        return [
            DriftRow(
                label, self._seed, last + 1, name, float(np.linalg.norm(b.weights() - exact) / size)
            )
            for name, b in runs.items()
        ]
