"""How far right runs drift apart by rounding alone.

Two trainings that are both right part ways: rounding differs, Adam turns noise into steps, an
activation changes its sign. The distance proves nothing about either; it is drawn beside that of
PyTorch runs which are the same training by construction.
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
    """

    def __init__(
        self, model_spec: ModelSpec, count: int, steps: int, dtype: str, seed: int
    ) -> None:
        self.steps = steps if count else 0
        self._seed = seed
        self._reference: Backend | None = None
        self._replicas: list[TorchBackend] = []
        if self.steps:
            self._reference = TorchBackend(model_spec, "float64")
            self._replicas = [TorchBackend(model_spec, dtype) for _ in range(count)]
        self._random = [np.random.default_rng([seed, number]) for number in range(count)]
        self._rows: Any = None

    def start(self, state: State, rows: Any) -> None:
        """Begin from the state of the main run, on its rows."""
        self._rows = rows
        for side in (self._reference, *self._replicas):
            if side is not None:
                side.load(state)

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
            numpy: NumPy's side after the last of them.
            torch: PyTorch's.
        """
        if self._reference is None:
            return []
        wanted = [
            (indices, mask)
            for (step, indices), mask in zip(steps, masks, strict=True)
            if step < self.steps
        ]
        for indices, mask in wanted:
            self._reference.give_masks(mask)
            self._reference.train_step(self._reference.batch(self._rows, indices))
        for number, side in enumerate(self._replicas):
            for indices, mask in wanted:
                places = np.arange(len(indices))
                places = places[::-1] if number == 0 else self._random[number].permutation(places)
                side.give_masks({name: values[places] for name, values in mask.items()})
                side.train_step(side.batch(self._rows, indices[places]))
        last = steps[-1][0]
        if not self.measured(last):
            return []
        exact = self._reference.weights()
        names = ["rows reversed", *(f"rows shuffled {n}" for n in range(1, len(self._replicas)))]
        runs = {"numpy": numpy, "torch": torch, **dict(zip(names, self._replicas, strict=True))}
        size = np.linalg.norm(exact)
        return [
            DriftRow(
                label, self._seed, last + 1, name, float(np.linalg.norm(s.weights() - exact) / size)
            )
            for name, s in runs.items()
        ]
