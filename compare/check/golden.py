"""Golden files: cases with PyTorch's values, for machines without PyTorch.

The file is a NumPy archive of plain arrays; its entry ``golden`` is JSON with the schema version
and the network.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture
from compare.check.contract import Assignment
from compare.mistakes.case import Case
from compare.records.atomic import write_atomically
from experiments.errors import InputError

SCHEMA = 1
PARTS = ("expected", "sizes", "expected32", "given")


@dataclass(frozen=True)
class Golden:
    """The contents of a golden file."""

    assignment: Assignment
    cases: list[Case]


def write_golden(path: Path, golden: Golden) -> None:
    """Write a golden file, whole or not at all.

    Parameters that several cases share are written once. Sizes, which need not be exact, and the
    values of float32 are written in float32.
    """
    assignment = golden.assignment
    assert isinstance(assignment.build, RecordedArchitecture)
    arrays: dict[str, np.ndarray] = {}
    sets: list[Arrays] = []
    descriptions: list[dict[str, Any]] = []
    for number, case in enumerate(golden.cases):
        known = next((i for i, s in enumerate(sets) if s is case.parameters), len(sets))
        if known == len(sets):
            sets.append(case.parameters)
            arrays |= {f"parameters{known}/{key}": a for key, a in case.parameters.items()}
        start = f"case{number}"
        arrays[f"{start}/inputs"], arrays[f"{start}/targets"] = case.inputs, case.targets
        if case.evaluation is not None:
            arrays[f"{start}/evaluation"] = case.evaluation
        for part in PARTS:
            for key, array in getattr(case, part).items():
                short = part in ("sizes", "expected32")
                arrays[f"{start}/{part}/{key}"] = array.astype(np.float32) if short else array
        for step, gradients in enumerate(case.update_gradients):
            arrays |= {f"{start}/step{step}/{key}": a for key, a in gradients.items()}
        descriptions.append(
            {
                "parameters": known,
                "steps": len(case.update_gradients),
                "training_steps": case.steps,
                "large_logits": case.large_logits,
                "other_size": case.other_size,
            }
        )
    header = {
        "schema": SCHEMA,
        "architecture": assignment.architecture,
        "network": assignment.build.tree,
        "loss": assignment.loss,
        "optimizer": assignment.optimizer,
        "settings": assignment.settings,
        "cases": descriptions,
    }
    arrays["golden"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def read_golden(path: Path) -> Golden:
    """Read a golden file.

    Raises:
        InputError: It is missing, damaged, or of another version.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(file["golden"].tobytes())
            if header["schema"] != SCHEMA:
                raise InputError(
                    f"{path} is a golden file of schema {header['schema']}, but this program reads "
                    f"schema {SCHEMA}: make it again with nncompare golden."
                )
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such golden file.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no golden file, or it is damaged: {error}.") from None
    build = RecordedArchitecture(header["network"], header["architecture"])
    assignment = Assignment(
        header["architecture"], build, header["loss"], header["optimizer"], header["settings"]
    )
    sets = {
        number: _with_prefix(f"parameters{number}/", arrays)
        for number in {description["parameters"] for description in header["cases"]}
    }
    cases = [_case(i, d, arrays, sets) for i, d in enumerate(header["cases"])]
    return Golden(assignment, cases)


def _with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def _case(
    number: int, description: dict[str, Any], arrays: Arrays, sets: dict[int, Arrays]
) -> Case:
    """A case; those with the same parameters share them, as where they were drawn."""
    start = f"case{number}"
    parts = {part: _with_prefix(f"{start}/{part}/", arrays) for part in PARTS}
    return Case(
        sets[description["parameters"]],
        arrays[f"{start}/inputs"],
        arrays[f"{start}/targets"],
        parts["expected"],
        parts["sizes"],
        tuple(_with_prefix(f"{start}/step{step}/", arrays) for step in range(description["steps"])),
        parts["expected32"],
        parts["given"],
        arrays.get(f"{start}/evaluation"),
        large_logits=description.get("large_logits", False),
        other_size=description.get("other_size", False),
        steps=description.get("training_steps", 0),
    )
