"""Whether the parts of a run directory tell of one and the same run.

Of a training that ``run.json`` calls finished every table has exactly what it says. Of one that was
going on when the run was broken off, tables may have more: they are written before ``run.json``.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any

from compare.records.tables import Key
from compare.spec.experiment import Experiment
from experiments.errors import InputError

Tables = dict[str, list[Any]]

SERIES: dict[str, tuple[str, ...]] = {
    "history": ("backend", "phase", "split", "metric"),
    "parity": ("dtype", "site"),
    "drift": ("run",),
    "timing": (),
    "gradients": ("backend", "parameter"),
}
"""Table → which columns, with label and seed, make a series: the rest of a row goes on by steps."""


def check_consistent(path: Path, record: Any, tables: Tables) -> None:
    """Compare ``run.json`` of a run directory with its tables, and these with each other.

    Args:
        path: The folder.
        record: Its ``RunRecord``.
        tables: Table → its rows.

    Raises:
        InputError: Which file contradicts what, and what was expected of it.
    """
    trainings = {(t.label, t.seed): t for t in record.trainings}
    if len(trainings) < len(record.trainings):
        twice = next(key for key, n in Counter(map(_key, record.trainings)).items() if n > 1)
        raise InputError(f"{path / 'run.json'} is damaged: it has {_name(twice)} twice.")
    for training in record.trainings:
        if any(not 0 <= kinks.step <= training.steps for kinks in training.kinks):
            raise InputError(
                f"{path / 'run.json'} is damaged: {_name(_key(training))} has kinks at steps that "
                "it did not make."
            )
    _check_counts(path / "parity.csv", trainings, tables["parity"])
    if not isinstance(record.experiment, Experiment):
        return
    planned = set(map(_planned, record.experiment.trainings))
    if unknown := next((key for key in trainings if key not in planned), None):
        raise InputError(
            f"{path / 'run.json'} is damaged: its experiment has no {_name(unknown)}, but it has a "
            "record of that training."
        )
    if record.status == "complete":
        unfinished = planned - {key for key, t in trainings.items() if t.finished}
        if unfinished:
            raise InputError(
                f"{path / 'run.json'} is damaged: it calls the run complete, but has no finished "
                f"{_name(min(unfinished))}."
            )
    for name, columns in SERIES.items():
        _check_order(path / f"{name}.csv", name, tables[name], columns)
        known = trainings if record.status == "complete" else planned
        stranger = next((r for r in tables[name] if (r.label, r.seed) not in known), None)
        if stranger is not None:
            raise InputError(
                f"{path / f'{name}.csv'} is damaged: it has rows of "
                f"{_name((stranger.label, stranger.seed))}, of which run.json knows nothing."
            )
    _check_history(path / "history.csv", trainings, tables["history"])


def _check_counts(file: Path, trainings: dict[Key, Any], rows: list[Any]) -> None:
    found = Counter((row.label, row.seed) for row in rows)
    for key, training in trainings.items():
        count = training.parity_rows
        if found[key] < count or (training.finished and found[key] > count):
            raise InputError(
                f"{file} is damaged: it has {found[key]:,} rows of {_name(key)}, but run.json "
                f"says {count:,}."
            )


def _check_order(file: Path, name: str, rows: list[Any], columns: tuple[str, ...]) -> None:
    """Steps go up in each series: no row is there twice, and none comes too late."""
    series = attrgetter("label", "seed", *columns)
    last: dict[Any, int] = {}
    for number, row in enumerate(rows, 1):
        key = series(row)
        before = last.get(key, -1)
        if row.step <= before:
            what = ", ".join(str(part) for part in key[2:])
            raise InputError(
                f"{file} is damaged: row {number} ({what or name} of {_name(key[:2])}) is of step "
                f"{row.step}, expected one after {before}."
                if row.step >= 0
                else f"{file} is damaged: row {number} is of step {row.step}, expected 0 or more."
            )
        last[key] = row.step


def _check_history(file: Path, trainings: dict[Key, Any], rows: list[Any]) -> None:
    """Both backends have a loss of every step, and the same evaluations."""
    steps: Counter[Any] = Counter()
    evaluations: dict[Key, dict[str, list[Any]]] = {}
    for row in rows:
        key = (row.label, row.seed)
        if row.phase == "step" and row.metric == "loss":
            steps[key, row.backend] += 1
        elif row.phase == "evaluation":
            sides = evaluations.setdefault(key, {"numpy": [], "torch": []})
            sides.setdefault(row.backend, []).append((row.step, row.split, row.metric))
    for key, training in trainings.items():
        for backend in ("numpy", "torch"):
            count = steps[key, backend]
            if count < training.steps or (training.finished and count > training.steps):
                raise InputError(
                    f"{file} is damaged: it has the losses of {count:,} steps of {backend}, "
                    f"{_name(key)}, but run.json says {training.steps:,}."
                )
        sides = evaluations.get(key, {})
        if training.finished and sides and sides["numpy"] != sides["torch"]:
            raise InputError(
                f"{file} is damaged: the two backends of {_name(key)} have other evaluations."
            )


def _key(training: Any) -> Key:
    return training.label, training.seed


def _planned(training: Any) -> Key:
    configuration, seed = training
    return configuration.label, seed


def _name(key: Key) -> str:
    return f"{key[0]}, seed {key[1]}"
