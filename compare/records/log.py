"""What one training leaves behind, in memory, until it is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.records.tables import TABLES, rows_text

Key = tuple[str, int]
"""The label of a training and its seed."""


class Findings:
    """Rows of every table, predicted classes and final weights of one training.

    Args:
        label: The training's label.
        seed: Its seed.

    Attributes:
        rows: Table → rows, in the order in which they were found, until :meth:`settle`.
        predictions: Backend → predicted classes of the test rows.
        weights: Backend → final ``state_dict``.
    """

    def __init__(self, label: str, seed: int) -> None:
        self.key: Key = (label, seed)
        self.rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        self.predictions: dict[str, np.ndarray] = {}
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self._texts = dict.fromkeys(TABLES, "")
        self._told = dict.fromkeys(TABLES, 0)

    def add(self, table: str, *rows: Any) -> None:
        """Keep rows of a table."""
        self.rows[table].extend(rows)

    def text(self, table: str) -> str:
        """The lines of a table; what was asked for before is not made again."""
        rows, told = self.rows[table], self._told[table]
        if len(rows) > told:
            self._texts[table] += rows_text(rows[told:])
            self._told[table] = len(rows)
        return self._texts[table]

    def settle(self) -> None:
        """Keep the lines of the rows so far and not the rows, which take far more memory."""
        for name, rows in self.rows.items():
            self.text(name)
            rows.clear()
            self._told[name] = 0

    def __getstate__(self) -> dict[str, Any]:
        """Lines travel between processes, rows do not."""
        self.settle()
        return self.__dict__
