"""What an export of a run leaves in its folder ``export``: a record beside each ONNX file.

The record says of which weights the file was made. Weights that have changed since make it stale:
a report then says so, and shows none of its numbers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from compare.records.run import Record, Run
from experiments.errors import InputError

FOLDER = "export"
SCHEMA = 1


class Answers(Record):
    """What somebody with the exported weights answered on the test rows.

    Attributes:
        error: The largest error of an output: how far it is from the float64 referee, in units of
            what the last module summed to make it.
        difference: The largest distance of an output from that of the backend that trained.
        different_predictions: Rows of another predicted class than that backend's.
    """

    error: float
    difference: float
    different_predictions: int


class ExportRecord(Record):
    """One network as ONNX, and its answers.

    Attributes:
        backend: Whose trained weights it has: ``numpy`` or ``torch``.
        label, seed: The training's.
        step: How many updates they have seen.
        dtype: What it computes in.
        weights: The file of the weights, relative to the run, and its SHA-256.
        onnx: The name of the ONNX file, and its SHA-256.
        opset: Of ONNX.
        runtime: The version of ONNX Runtime that was asked; None where none was.
        rows: So many test rows.
        largest: The largest output of the referee, in absolute value.
        bound: How large ONNX Runtime's error may be.
        answers: ``numpy``, ``torch`` and ``onnxruntime`` → what they gave, all with these weights.
    """

    schema_version: int = SCHEMA
    backend: str
    label: str
    seed: int
    step: int
    dtype: str
    weights: tuple[str, str]
    onnx: tuple[str, str]
    opset: int
    runtime: str | None = None
    rows: int = 0
    largest: float = 0.0
    bound: float = 0.0
    answers: dict[str, Answers] = Field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether ONNX Runtime is as near to the referee as allowed."""
        return self.answers["onnxruntime"].error <= self.bound


def digest(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None


def weights_file(backend: str, label: str, seed: int) -> str:
    """Where a run has the final weights of a training, relative to its folder."""
    return f"weights/{backend}-{label}-seed{seed}.safetensors"


def read_exports(run: Run) -> tuple[list[ExportRecord], list[ExportRecord]]:
    """The exports of a run that are asked answers for, in the order of its trainings.

    Returns:
        Those of the weights that the run has, and those of weights that it had.

    Raises:
        InputError: A record is damaged, or of another version.
    """
    found = [_read(path) for path in sorted((run.path / FOLDER).glob("*.json"))]
    order = {(t.label, t.seed): place for place, t in enumerate(run.record.trainings)}
    found.sort(key=lambda e: (order.get((e.label, e.seed), len(order)), e.backend))
    fresh = [export for export in found if _is_fresh(run, export)]
    stale = [export for export in found if export not in fresh]
    return [export for export in fresh if export.answers], stale


def _is_fresh(run: Run, export: ExportRecord) -> bool:
    name, expected = export.weights
    path = run.path / name
    return path.is_file() and digest(path) == expected


def _read(path: Path) -> ExportRecord:
    try:
        found = ExportRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path} is damaged: {key}: {problem['msg']}.") from None
    if found.schema_version != SCHEMA:
        raise InputError(
            f"{path} has schema_version {found.schema_version}, expected {SCHEMA}: export again."
        )
    return found
