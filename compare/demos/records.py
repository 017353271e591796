"""What a run of a kind leaves behind, and how it is read again.

The run directory holds ``run.json``, whose ``kind`` tells it from a training's, ``parity.csv`` in
the format of every run, and the kind's own tables: ``paths.csv``, or ``layers.csv`` and
``histogram.csv``; under ``report/`` stands what is made from all of these and from nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from compare.records.atomic import write_atomically
from compare.records.run import Environment, Initial, Record
from compare.records.tables import ParityRow, read_rows, text_of
from compare.spec.demos import ActivationHistograms, OptimizerPaths
from experiments.errors import InputError

SCHEMA = 1


class PathRow(NamedTuple):
    """A point of a path: where an optimizer stands after so many steps, and the value there."""

    backend: str
    label: str
    step: int
    x: float
    y: float
    value: float


class LayerRow(NamedTuple):
    """What one layer puts out, over all rows and units.

    ``outer`` is the share in the outer tenth of the activation's range, 5% at either end (of 0 to
    1 for the sigmoid, of −1 to 1 for tanh), and for ReLU the share that is 0. ``middle`` is the
    share in the middle fifth of the range; 0 for ReLU, whose range has no middle.
    """

    backend: str
    activation: str
    spread: str
    seed: int
    layer: int
    mean: float
    std: float
    outer: float
    middle: float


class BinRow(NamedTuple):
    """How many activations of the first seed lie from ``low`` to ``high``, its upper end excluded.

    In a layer's last bin it is included.
    """

    backend: str
    activation: str
    spread: str
    layer: int
    low: float
    high: float
    values: int


TABLES: dict[str, dict[str, type]] = {
    "optimizer_paths": {"parity": ParityRow, "paths": PathRow},
    "activation_histograms": {"parity": ParityRow, "layers": LayerRow, "histogram": BinRow},
}


class PartRecord(Record):
    """One part of a run: an optimizer's path, or an activation with a spread and a seed.

    Attributes:
        label: Its label in parity.csv.
        seed: What it was drawn from; None where nothing is drawn.
        parity_rows: How many rows of parity.csv are its own; they follow each other.
        initial: The comparison of the start, before anything was computed.
    """

    label: str
    seed: int | None
    parity_rows: int
    initial: Initial


class KindRecord(Record):
    """The content of run.json. ``status`` is always complete: it is written at the end.

    ``k`` and ``floor_ulp`` are the bound of float32 comparisons (:mod:`compare.parity.tolerances`).
    """

    schema_version: int = Field(alias="schema")
    kind: str
    status: Literal["complete"]
    name: str
    created: str
    command: str
    commit: str | None
    max_steps: int | None
    experiment: Annotated[OptimizerPaths | ActivationHistograms, Field(discriminator="kind")]
    environment: Environment
    sources: dict[str, str]
    k: float
    floor_ulp: float
    parts: list[PartRecord]
    wall_s: float


class KindRun(NamedTuple):
    """A run directory, read."""

    path: Path
    record: KindRecord
    tables: dict[str, list[Any]]

    def parity_by_label(self) -> dict[str, list[ParityRow]]:
        """Label → the comparisons of all parts that have it, in their order."""
        found: dict[str, list[ParityRow]] = {part.label: [] for part in self.record.parts}
        for row in self.tables["parity"]:
            found[row.label].append(row)
        return found


def write_kind_run(folder: Path, record: KindRecord, tables: Mapping[str, Sequence[Any]]) -> None:
    """Write the tables, and last of all ``run.json``.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {folder} could not be made into a folder: {error.strerror}."
        ) from None
    for name, row_type in TABLES[record.kind].items():
        write_atomically(folder / f"{name}.csv", text_of(row_type, tables[name]))
    text = record.model_dump_json(indent=2, by_alias=True)
    write_atomically(folder / "run.json", text + "\n")


def kind_of_run(folder: Path) -> str | None:
    """The kind that ``run.json`` names; None for a training's, and for what cannot be read."""
    try:
        tree = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tree.get("kind") if isinstance(tree, dict) else None


def read_kind_run(folder: Path) -> KindRun:
    """Read everything that the report needs.

    Raises:
        InputError: A file is missing, damaged or of another version.
    """
    file = folder / "run.json"
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is damaged: {error}.") from None
    except OSError as error:
        raise InputError(f"{file} could not be read: {error.strerror}.") from None
    version = tree.get("schema") if isinstance(tree, dict) else None
    if type(version) is not int or version != SCHEMA:
        newer = isinstance(version, int) and version > SCHEMA
        way_out = "use a newer nncompare" if newer else "make the run again"
        raise InputError(f"{file} has schema {version!r}, expected {SCHEMA}: {way_out}.")
    if tree.get("kind") not in TABLES:
        raise InputError(
            f"{file} has kind {tree.get('kind')!r}, expected one of {', '.join(TABLES)}: use a "
            "newer nncompare."
        )
    try:
        record = KindRecord.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{file} is damaged: {key}: {problem['msg']}.") from None
    if record.kind != record.experiment.kind:
        raise InputError(
            f"{file} is damaged: its kind is {record.kind!r}, its experiment's "
            f"{record.experiment.kind!r}."
        )
    tables = {
        name: read_rows(folder / f"{name}.csv", row_type)
        for name, row_type in TABLES[record.kind].items()
    }
    _check_parity(folder, record, tables["parity"])
    return KindRun(folder, record, tables)


def _check_parity(folder: Path, record: KindRecord, rows: Sequence[ParityRow]) -> None:
    promised = [part.label for part in record.parts for _ in range(part.parity_rows)]
    if [row.label for row in rows] != promised:
        raise InputError(
            f"{folder / 'parity.csv'} is damaged: it has {len(rows):,} rows, but run.json says "
            f"{len(promised):,}, or they stand in another order."
        )
