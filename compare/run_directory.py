"""Writing a run directory while the run goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from compare.atomic import remove_leftovers, write_atomically
from compare.records import ARRAYS, RunRecord, read_arrays, read_run_record
from compare.tables import TABLES, read_table, table_text
from experiments.errors import InputError


class RunDirectory:
    """The files of one run. Every write replaces a whole file, so a killed run leaves no part.

    Nothing is made or changed before the first :meth:`write`.

    Args:
        path: The folder. It may be absent or empty.
        resume: Take up a run that ``path`` holds already.

    Attributes:
        found: The record of the run that is taken up, else None.

    Raises:
        InputError: ``path`` is a file, cannot be written to, holds something else, or holds a
            run and ``resume`` is False.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        self.rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        self.arrays: dict[str, dict[str, np.ndarray]] = {name: {} for name in ARRAYS}
        self.found: RunRecord | None = None
        self._changed = set(TABLES)
        self._made = resume
        if resume:
            self.found = read_run_record(path)
            self._read_back()
            remove_leftovers(path)
        else:
            self._must_be_free()
        existing = next((p for p in (path, *path.absolute().parents) if p.exists()), path)
        if not os.access(existing, os.W_OK):
            raise InputError(f"--out {path} is not writable.")

    def _must_be_free(self) -> None:
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise InputError(
                f"--out {self.path} is a file or lies below one: expected a folder that is new "
                "or empty."
            ) from None
        except OSError as error:
            raise InputError(f"--out {self.path} could not be read: {error.strerror}.") from None
        if "run.json" in entries:
            raise InputError(
                f"--out {self.path} holds another run: name a new folder, or add --resume to go "
                "on with that run."
            )
        if entries:
            raise InputError(
                f"--out {self.path} is not empty: expected a folder that is new or empty."
            )

    def _make(self) -> None:
        self._must_be_free()  # still, also after the data was read
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--out {self.path} could not be made into a folder: {error.strerror}."
            ) from None
        self._made = True

    def _read_back(self) -> None:
        """Keep what belongs to trainings that were finished; the rest is made again."""
        assert self.found is not None
        trainings = [t for t in self.found.trainings if t.finished]
        finished = {(t.optimizer, t.seed) for t in trainings}
        for name in TABLES:
            rows = read_table(self.path / f"{name}.csv", name)
            if name == "parity":
                self.rows[name] = rows[: sum(t.parity_rows for t in trainings)]
            else:
                self.rows[name] = [r for r in rows if (r.optimizer, r.seed) in finished]
        for name in ARRAYS:
            file = self.path / f"{name}.safetensors"
            if file.exists():
                self.arrays[name].update(read_arrays(file))

    def add(self, table: str, *rows: Any) -> None:
        """Keep rows for the next :meth:`write`."""
        self.rows[table].extend(rows)
        self._changed.add(table)

    def keep(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep predictions or pictures for the next :meth:`write`."""
        self.arrays[name].update(arrays)
        self._changed.add(name)

    def write(self, record: RunRecord) -> None:
        """Bring everything that changed to the disk, and last of all ``run.json``."""
        if not self._made:
            self._make()
        for name in sorted(self._changed):
            if name in TABLES:
                write_atomically(self.path / f"{name}.csv", table_text(name, self.rows[name]))
            else:
                write_arrays(self.path / f"{name}.safetensors", self.arrays[name])
        self._changed.clear()
        text = record.model_dump_json(indent=2, by_alias=True)
        write_atomically(self.path / "run.json", text + "\n")

    def write_weights(self, backend: str, optimizer: str, seed: int, state: dict) -> None:
        """Write a side's final parameters and buffers."""
        folder = self.path / "weights"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} could not be made: {error.strerror}.") from None
        write_arrays(folder / f"{backend}-{optimizer}-seed{seed}.safetensors", state)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as one safetensors file, in one indivisible step."""
    from safetensors.numpy import save

    write_atomically(path, save({k: np.asarray(v, order="C") for k, v in arrays.items()}))
