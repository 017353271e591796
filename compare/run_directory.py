"""Writing a run directory while the run goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from compare.atomic import write_atomically
from compare.records import TABLES, RunRecord, read_arrays, read_run_record, read_table, table_text
from experiments.errors import InputError


class RunDirectory:
    """The files of one run. Every write replaces a whole file, so a killed run leaves no part.

    Args:
        path: The folder. It may be absent or empty.
        resume: Take up a run that ``path`` holds already.

    Raises:
        InputError: ``path`` is a file, cannot be written to, holds something else, or holds a
            run and ``resume`` is False.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        self.rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        self.predictions: dict[str, np.ndarray] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self._changed = set(TABLES)
        self.found: RunRecord | None = None
        if path.exists() and not path.is_dir():
            raise InputError(f"--out {path} is a file: expected a folder that is new or empty.")
        if resume:
            self.found = read_run_record(path)
            self._read_back()
        elif path.exists() and _entries(path):
            if (path / "run.json").exists():
                raise InputError(
                    f"--out {path} holds another run: name a new folder, or add --resume to go on "
                    "with that run."
                )
            raise InputError(f"--out {path} is not empty: expected a folder that is new or empty.")
        try:
            (path / "weights").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--out {path} could not be made into a folder: {error.strerror}."
            ) from None
        if not os.access(path, os.W_OK):
            raise InputError(f"--out {path} is not writable.")

    def _read_back(self) -> None:
        """Keep what belongs to trainings that were finished; the rest is made again."""
        assert self.found is not None
        trainings = [t for t in self.found.trainings if t.finished]
        finished = {(t.optimizer, t.seed) for t in trainings}
        for name in TABLES:
            file = self.path / f"{name}.csv"
            rows = read_table(file, name) if file.exists() else []
            if name == "parity":
                self.rows[name] = rows[: sum(t.parity_rows for t in trainings)]
            else:
                self.rows[name] = [r for r in rows if (r.optimizer, r.seed) in finished]
        for name in ("predictions", "pictures"):
            file = self.path / f"{name}.safetensors"
            if file.exists():
                getattr(self, name).update(read_arrays(file))

    def add(self, table: str, *rows: Any) -> None:
        """Keep rows for the next :meth:`write`."""
        self.rows[table].extend(rows)
        self._changed.add(table)

    def write(self, record: RunRecord) -> None:
        """Bring every changed table and ``run.json`` to the disk."""
        for name in sorted(self._changed):
            write_atomically(self.path / f"{name}.csv", table_text(name, self.rows[name]))
        self._changed.clear()
        text = record.model_dump_json(indent=2, by_alias=True)
        write_atomically(self.path / "run.json", text + "\n")

    def write_weights(self, backend: str, optimizer: str, seed: int, state: dict) -> None:
        """Write a side's final parameters and buffers."""
        file = self.path / "weights" / f"{backend}-{optimizer}-seed{seed}.safetensors"
        write_arrays(file, state)

    def write_pictures_and_predictions(self) -> None:
        """Write what the report shows of the data and of the answers."""
        write_arrays(self.path / "predictions.safetensors", self.predictions)
        write_arrays(self.path / "pictures.safetensors", self.pictures)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as one safetensors file, in one indivisible step."""
    from safetensors.numpy import save

    write_atomically(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def _entries(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except OSError as error:
        raise InputError(f"--out {path} could not be read: {error.strerror}.") from None
