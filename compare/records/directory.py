"""Writing a run directory while the run goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np

from compare.records.atomic import PART, remove_leftovers, write_atomically
from compare.records.lines import Spool
from compare.records.lock import LOCK, FolderLock
from compare.records.run import (
    RunRecord,
    TrainingRecord,
    confidence_key,
    predicted_key,
    read_arrays,
    read_run_record,
    tables_of,
)
from compare.records.tables import MOST_ROWS, TABLES, Key, TrainingLog, header, iterate_table
from experiments.errors import InputError

BETWEEN_CHECKPOINTS_S = 5.0
"""What a killed process may lose of the tables, while they are small."""
LEAST_WRITES_BETWEEN = 20.0
"""How many times as long as a checkpoint of everything took is waited for the next at least: so
that the writing takes a twentieth of a run, however large its records grow."""
CHECKPOINTS = "checkpoints"
"""The folder of the checkpoints inside trainings; there is none when the run is complete."""


class RunDirectory:
    """The files of one run. Every write replaces a whole file, so a killed run leaves no part.

    Nothing is made or changed before the first :meth:`write`. From then on, or from the beginning
    where a run is taken up, the folder is locked until :meth:`close`.

    Killed between two files, a run leaves tables that are newer than ``run.json``, never older:
    they have every row of a training that it calls finished, and at least the rows that it counts
    of one that was going on.

    Args:
        path: The folder. It may be absent or empty.
        resume: Take up a run that ``path`` holds already.

    Attributes:
        logs: What each training left, by its label and seed.
        pictures: What the report shows of the test rows.
        targets: The classes of the test rows, where there are any.
        found: The record of the run that is taken up, else None.

    Raises:
        InputError: ``path`` is a file, cannot be written to, holds something else, holds a run
            and ``resume`` is False, or another process is writing a run there.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        self.logs: dict[Key, TrainingLog] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.targets: np.ndarray | None = None
        self.found: RunRecord | None = None
        self._made = False
        self._written_at, self._writing_s = -BETWEEN_CHECKPOINTS_S, 0.0
        self._recorded: set[Key] = set()
        self._lock = FolderLock(path)
        self._spool = Spool(path)
        if resume and not self._is_only_begun():
            read_run_record(path)
            self._must_be_writable()
            self._take_lock()
            try:
                self.found = read_run_record(path)  # again: now nobody else changes it
                self._recorded = {(t.label, t.seed) for t in self.found.trainings}
                self._read_back()
                remove_leftovers(path)
                self._remove_checkpoints(self.found)
            except BaseException:
                self.close()
                raise
            self._made = True
        else:
            self._must_be_free()
            self._must_be_writable()

    def close(self) -> None:
        """Unlock the folder. The records stay as they are."""
        self._lock.release()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def _must_be_writable(self) -> None:
        above = (self.path, *self.path.absolute().parents)
        if not os.access(next((p for p in above if p.exists()), self.path), os.W_OK):
            raise InputError(f"--out {self.path} is not writable.")

    def _take_lock(self) -> None:
        try:
            taken = self._lock.take()
        except OSError as error:
            raise InputError(
                f"{self._lock.path} could not be written: {error.strerror or error}."
            ) from None
        if not taken:
            raise self._in_use()

    def _in_use(self) -> InputError:
        return InputError(
            f"--out {self.path}: another run ({self._lock.holder()}) is being made there: wait for "
            "its end, or name a new folder."
        )

    def _is_only_begun(self) -> bool:
        """Whether a run was killed here before it had recorded anything.

        There are then its lock, tables without a row and parts of files, and nothing else.
        """
        try:
            entries = set(os.listdir(self.path)) - {LOCK}
        except OSError:
            return False
        begun = {f"{name}.csv": header(name).encode() for name in TABLES}
        # The lock is gone where the run ended by itself, because the disk was full.
        return (self._lock.path.is_file() or not entries.isdisjoint(begun)) and all(
            (name.startswith(".") and name.endswith(PART))
            or (name in begun and _holds(self.path / name, begun[name]))
            for name in entries
        )

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
        if self._lock.is_taken():
            raise self._in_use()
        if "run.json" in entries:
            raise InputError(
                f"--out {self.path} holds another run: name a new folder, or add --resume to go "
                "on with that run."
            )
        if entries and not self._is_only_begun():
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
        self._take_lock()
        self._must_be_free()  # nor has another run begun before the lock was this one's
        remove_leftovers(self.path)
        self._made = True

    def _read_back(self) -> None:
        """Keep what belongs to trainings that were finished; the rest is made again."""
        assert self.found is not None
        for training in self.found.trainings:
            if training.finished:
                self.begin(training.label, training.seed)
        for name in tables_of(self.found.experiment):
            for row in iterate_table(self.path / f"{name}.csv", name):
                if (row.label, row.seed) in self.logs:
                    self.logs[row.label, row.seed].add(name, row)
        for log in self.logs.values():
            log.drop_rows()
        file = self.path / "predictions.safetensors"
        predictions = read_arrays(file) if file.exists() else {}
        for training in self.found.trainings:
            for backend in ("numpy", "torch"):
                key = predicted_key(backend, training)
                if training.finished and key in predictions:
                    log = self.logs[training.label, training.seed]
                    log.predictions[backend] = predictions[key]
                    key = confidence_key(backend, training)
                    if key in predictions:
                        log.confidences[backend] = predictions[key]

    def begin(self, label: str, seed: int) -> TrainingLog:
        """A new log for a training."""
        return self.take(TrainingLog(label, seed, MOST_ROWS))

    def take(self, log: TrainingLog) -> TrainingLog:
        """Keep the log of a training, to be written."""
        self.logs[log.key] = log
        log.keep_lines_in(self._spool)
        return log

    def checkpoint(self, record: RunRecord) -> None:
        """Write, unless that was done a moment ago or took long."""
        between_s = max(BETWEEN_CHECKPOINTS_S, LEAST_WRITES_BETWEEN * self._writing_s)
        if time.monotonic() - self._written_at >= between_s:
            self.write(record)

    def write(self, record: RunRecord) -> None:
        """Bring everything to the disk, and last of all ``run.json``.

        The tables follow the order of the record's trainings.
        """
        if not self._made:
            self._make()
        began = time.monotonic()
        self._withdraw(record)
        found = [self.logs[t.label, t.seed] for t in record.trainings]
        for name in tables_of(record.experiment):
            lines = chain.from_iterable(log.pieces(name) for log in found)
            first: list[bytes | str] = [header(name)]
            write_atomically(self.path / f"{name}.csv", chain(first, lines))
        self._write_predictions(record)
        if record.has_arrays or self.pictures:
            write_arrays(self.path / "pictures.safetensors", self.pictures)
        for log in found:
            self._write_weights(log)
        self._write_record(record)
        self._remove_checkpoints(record)
        self._written_at = time.monotonic()
        self._writing_s = self._written_at - began

    def _write_record(self, record: RunRecord) -> None:
        text = record.model_dump_json(indent=2, by_alias=True)
        write_atomically(self.path / "run.json", text + "\n")
        self._recorded = {(t.label, t.seed) for t in record.trainings}

    def _withdraw(self, record: RunRecord) -> None:
        """Take trainings out of ``run.json`` whose rows are about to leave the tables."""
        if self._recorded - {(t.label, t.seed) for t in record.trainings}:
            kept = [
                t for t in record.trainings if t.finished and (t.label, t.seed) in self._recorded
            ]
            update = {"trainings": kept, "status": "incomplete"}
            self._write_record(record.model_copy(update=update))

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints inside trainings, which each have a folder there."""
        return self.path / CHECKPOINTS

    def _remove_checkpoints(self, record: RunRecord) -> None:
        """Remove those of trainings that are recorded as finished."""
        if not self.checkpoints.is_dir():
            return
        for training in record.trainings:
            if training.finished:
                folder = self.checkpoints / checkpoint_folder((training.label, training.seed))
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it is not empty
            self.checkpoints.rmdir()

    def _write_predictions(self, record: RunRecord) -> None:
        predictions = {
            predicted_key(backend, training): predicted
            for training in record.trainings
            for backend, predicted in self._of(training).predictions.items()
        }
        predictions |= {
            confidence_key(backend, training): confidences
            for training in record.trainings
            for backend, confidences in self._of(training).confidences.items()
        }
        if predictions and self.targets is not None:
            predictions["targets"] = self.targets
        if predictions or record.has_arrays:
            write_arrays(self.path / "predictions.safetensors", predictions)

    def _of(self, training: TrainingRecord) -> TrainingLog:
        return self.logs[training.label, training.seed]

    def _write_weights(self, log: TrainingLog) -> None:
        """Write final parameters and buffers, and then forget them."""
        folder = self.path / "weights"
        for backend, state in log.weights.items():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise InputError(f"{folder} could not be made: {error.strerror}.") from None
            label, seed = log.key
            write_arrays(folder / f"{backend}-{label}-seed{seed}.safetensors", state)
        log.weights.clear()


def checkpoint_folder(key: Key) -> str:
    """The name of the folder of one training's checkpoints."""
    label, seed = key
    return f"{label}-seed{seed}"


def _holds(file: Path, content: bytes) -> bool:
    try:
        return file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as one safetensors file, in one indivisible step."""
    from safetensors.numpy import save

    write_atomically(path, save({k: np.asarray(v, order="C") for k, v in arrays.items()}))


def new_folder(name: str) -> Path:
    """A folder under ``runs/`` that does not exist yet."""
    first = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 1000)))
    return next(path for path in candidates if not path.exists())
