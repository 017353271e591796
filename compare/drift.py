"""How far right runs drift apart by rounding alone.

Two trainings that are both right part ways: rounding differs, Adam turns noise into steps, an
activation changes its sign. The distance proves nothing about either; it is drawn beside that of
PyTorch runs which are the same training by construction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.blueprint import Blueprint
from compare.sides import Side, State
from compare.sides.torch_side import TorchSide
from compare.tables import DriftRow


class Replicas:
    """PyTorch runs of the same training: a float64 reference, and some with rows in other order.

    The rows of each batch are the same; their order inside the batch, which only changes the
    order of summation, is reversed in the first replica and random in the others.

    Args:
        blueprint: What to build.
        count: How many replicas; the reference comes on top.
        steps: How many steps they follow; 0 for no replicas at all.
        dtype: The precision of the replicas.
        seed: For the random orders.
    """

    def __init__(self, blueprint: Blueprint, count: int, steps: int, dtype: str, seed: int) -> None:
        self.steps = steps if count else 0
        self._seed = seed
        self._reference: Side | None = None
        self._replicas: list[TorchSide] = []
        if self.steps:
            self._reference = TorchSide(blueprint, "float64")
            self._replicas = [TorchSide(blueprint, dtype) for _ in range(count)]
        self._random = [np.random.default_rng([seed, number]) for number in range(count)]
        self._rows: Any = None

    def start(self, state: State, rows: Any) -> None:
        """Begin from the state of the main run, on its rows."""
        self._rows = rows
        for side in (self._reference, *self._replicas):
            if side is not None:
                side.load(state)

    def follow(
        self, label: str, step: int, indices: np.ndarray, numpy: Side, torch: Side
    ) -> list[DriftRow]:
        """Make the step on all replicas and measure all runs, at steps 1 to 10 and each tenth."""
        if self._reference is None or step >= self.steps:
            return []
        masks = numpy.masks()
        self._reference.give_masks(masks)
        self._reference.train_step(self._reference.batch(self._rows, indices))
        for number, side in enumerate(self._replicas):
            places = np.arange(len(indices))
            places = places[::-1] if number == 0 else self._random[number].permutation(places)
            side.give_masks({name: mask[places] for name, mask in masks.items()})
            side.train_step(side.batch(self._rows, indices[places]))
        done = step + 1
        if done > 10 and done % 10:
            return []
        exact = self._reference.weights()
        names = ["rows reversed", *(f"rows shuffled {n}" for n in range(1, len(self._replicas)))]
        runs = {"numpy": numpy, "torch": torch, **dict(zip(names, self._replicas, strict=True))}
        size = np.linalg.norm(exact)
        return [
            DriftRow(
                label, self._seed, done, name, float(np.linalg.norm(s.weights() - exact) / size)
            )
            for name, s in runs.items()
        ]
