"""Golden files: cases with PyTorch's values, for machines without PyTorch.

The file is a NumPy archive of plain arrays, not compressed; its entry ``golden`` is JSON with the
schema version, the network and a SHA-256 of everything else. Reading one executes nothing: the
network is a tree of layer names (:mod:`compare.check.allowed_layers`), and every name, type and
shape is checked (:mod:`compare.check.golden_parts`), before room is made for an array.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture
from compare.check.contract import Assignment
from compare.check.golden_parts import DamagedError, read_assignment, read_cases
from compare.mistakes.case import Case
from compare.records.atomic import write_atomically
from experiments.errors import InputError

SCHEMA = 2
PARTS = ("expected", "sizes", "expected32", "given")
# The entry with the JSON, and its longest.
HEADER, LONGEST_HEADER = "golden", 2**20
# The most entries, and the largest file.
MOST_ENTRIES, LARGEST_BYTES = 20_000, 2**31
# How NumPy writes the start of an array, and the types that are written here.
_ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00(?s:..)"
    rb"\{'descr': '(<f8|<f4|<i8|\|b1|\|u1)', 'fortran_order': False, "
    rb"'shape': \(((?:[0-9]{1,10}, ?)*(?:[0-9]{1,10})?)\), \} *\n"
)


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
                "layers": bool(case.given),
                "evaluation": case.evaluation is not None,
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
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, golden_bytes(header, arrays))


def golden_bytes(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The bytes of a golden file, with the digest of a header and arrays."""
    written = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps({**header, "digest": digest(header, written)})
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        **written,
        **{HEADER: np.frombuffer(text.encode(), np.uint8)},
    )
    return buffer.getvalue()


def digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """The SHA-256 of a header and of all arrays in their order, with their names and types."""
    found = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name, array in arrays.items():
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def read_golden(path: Path) -> Golden:
    """Read a golden file, and check all that is in it.

    Raises:
        InputError: It is missing, damaged, altered, or of another version.
    """
    try:
        arrays = _arrays(path)
        header = _header(arrays.pop(HEADER, None))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such golden file.") from None
    except Exception as error:  # whatever the bytes are: the person gets one sentence
        words = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(error))
        problem = words[:200].rstrip(".") or type(error).__name__
        raise InputError(f"{path} is no golden file, or it is damaged: {problem}.") from None
    if header.get("schema") != SCHEMA:
        found = header.get("schema")
        shown = found if isinstance(found, int) and abs(found) < 10**6 else "unknown"
        raise InputError(
            f"{path} is a golden file of schema {shown}, but this program reads schema {SCHEMA}: "
            "make it again with nncompare golden."
        )
    expected = header.pop("digest", None)
    try:
        if expected != digest(header, arrays):
            raise DamagedError("its contents are not those that were written")
        assignment = read_assignment(header)
        cases = read_cases(header, assignment, arrays)
    except (DamagedError, InputError) as error:
        problem = str(error).rstrip(".")
        raise InputError(
            f"{path} is a golden file that was altered or damaged: {problem}; make it again with "
            "nncompare golden."
        ) from None
    return Golden(assignment, cases)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive, in the order of the file; they take no more room than it.

    Raises:
        Exception: It is none, or none of the kind that is written here.
    """
    with (
        open(path, "rb", opener=_open_at_once) as opened,
        zipfile.ZipFile(opened) as archive,
    ):
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise DamagedError(f"it has {len(entries):,} entries, more than {MOST_ENTRIES:,}")
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if len(set(names)) < len(names):
            raise DamagedError("two of its entries have the same name")
        room = os.fstat(opened.fileno()).st_size
        found = {}
        for name, entry in zip(names, entries, strict=True):
            room -= entry.file_size
            if entry.compress_type != zipfile.ZIP_STORED or room < 0:
                raise DamagedError("its entries are larger than the file, or compressed")
            found[name] = _array(name, archive.read(entry))
        return found


def _open_at_once(name: str, flags: int) -> int:
    """Open a file that is one: a pipe or a device could keep the reader waiting for ever."""
    opened = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    state = os.fstat(opened)
    if not stat.S_ISREG(state.st_mode) or state.st_size > LARGEST_BYTES:
        os.close(opened)
        raise DamagedError("expected a file of at most 2 GB")
    return opened


def _array(name: str, data: bytes) -> np.ndarray:
    """An array as NumPy writes it, from bytes that are all of it."""
    start = _ARRAY.match(data)
    shown = name if name.isprintable() and len(name) < 100 else "an entry"
    if start is None:
        raise DamagedError(f"{shown} is no array of numbers as it is written here")
    shape = tuple(int(part) for part in start[2].replace(b" ", b"").split(b",") if part)
    dtype = np.dtype(start[1].decode())
    if math.prod(shape) * dtype.itemsize != len(data) - start.end() or len(shape) > 16:
        raise DamagedError(f"{shown} has another shape than its numbers")
    if dtype.kind == "b" and not set(data[start.end() :]) <= {0, 1}:
        raise DamagedError(f"{shown} has values that are neither true nor false")
    return np.frombuffer(data, dtype, offset=start.end()).reshape(shape).copy()


def _header(array: np.ndarray | None) -> dict[str, Any]:
    """The JSON of the file."""
    if array is None or array.dtype != np.uint8 or array.ndim != 1 or array.size > LONGEST_HEADER:
        raise DamagedError("it has no description of its contents")
    try:
        found = json.loads(array.tobytes())
    except RecursionError:
        raise DamagedError("its description is nested too deep") from None
    if not isinstance(found, dict):
        raise DamagedError("its description is no table of names and values")
    return found
