"""Checkpoints inside a training: written so that a reader sees a whole one or none.

What goes in is a tree of dictionaries and lists with arrays, numbers, words and None at its ends. A
file has the arrays and, as one more array of bytes, the tree as JSON, in the safetensors format:
nothing that is read can be anything but numbers and text. The name of a file has its step and the
SHA-256 of its content, so a file that is damaged shows it, and the last whole one is taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.backends.protocol import Arrays
from compare.records.atomic import PART

KEPT = 2
"""How many checkpoints of a training are kept."""
SHARE = 0.02
"""The most of a training's time that goes into checkpoints."""
LEAST_S = 30.0
"""Checkpoints are not nearer than this, unless the user says so."""
FIRST_BYTES_A_SECOND = 100e6
"""How fast the first is believed to be written; the others follow what was measured."""
BYTES_A_PARAMETER = 24
"""Of both backends: a value and two averages, as Adam keeps them."""

TREE = "tree"
_ARRAY = "@array"
"""No name of a parameter or a module is like it."""
_NAME = re.compile(r"step(\d+)-([0-9a-f]{64})\.safetensors")
_CODES = {
    "bool": "BOOL", "uint8": "U8", "int32": "I32", "uint32": "U32", "int64": "I64",
    "uint64": "U64", "float32": "F32", "float64": "F64",
}  # fmt: skip


class CheckpointPlan(NamedTuple):
    """Where the checkpoints of a training go, and how often one is written.

    Attributes:
        folder: The training's own, an absolute path. It is made with the first checkpoint.
        every_s: Seconds from the end of one to the next; None for as many as keep them below
            :data:`SHARE` of the time.
    """

    folder: Path
    every_s: float | None = None


class Checkpoints:
    """The checkpoints of one training.

    Args:
        plan: Where, and how often.
        identity: Of what decides every bit of the training; those of another are not read.
    """

    def __init__(self, plan: CheckpointPlan, identity: str) -> None:
        self._folder, self._every = plan
        self._identity = identity
        self._cost_s = 0.0
        self._last = self._begun = time.monotonic()
        self._failed = False

    def begin(self, parameters: int) -> None:
        """The training of so many values begins; what the first checkpoint costs is guessed."""
        self._cost_s = parameters * BYTES_A_PARAMETER / FIRST_BYTES_A_SECOND
        self._last = time.monotonic()

    @property
    def interval_s(self) -> float:
        """Seconds from the end of the last checkpoint to the next."""
        if self._every is not None:
            return self._every
        return max(LEAST_S, self._cost_s * (1 - SHARE) / SHARE)

    def due(self) -> bool:
        """Whether it is time for the next; what is gathered from now on counts as its cost."""
        self._begun = time.monotonic()
        return not self._failed and self._begun - self._last >= self.interval_s

    def write(self, step: int, tree: dict[str, Any]) -> None:
        """Write a checkpoint, and remove those before the last :data:`KEPT`.

        Where that fails (a full disk), the training goes on without; there is one warning.
        """
        try:
            self._folder.parent.mkdir(exist_ok=True)
            self._folder.mkdir(exist_ok=True)
            _write(self._folder, step, {"identity": self._identity, "content": tree})
            for _, old in _found(self._folder)[KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self._failed = True
            warnings.warn(
                f"no more checkpoints are written, since {self._folder} could not be written to: "
                f"{error.strerror or error}",
                stacklevel=2,
            )
        self._last = time.monotonic()
        self._cost_s = self._last - self._begun

    def read(self) -> Iterator[dict[str, Any]]:
        """The trees of the checkpoints that can be used, the last one first."""
        for _, file in _found(self._folder):
            try:
                tree = _read(file)
            except OSError:
                continue
            except ValueError as error:
                warnings.warn(f"the checkpoint {file} is not used: {error}", stacklevel=2)
                continue
            if tree["identity"] == self._identity:
                yield tree["content"]


def identity_of(**parts: Any) -> str:
    """A digest of what decides the bits of a training."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _found(folder: Path) -> list[tuple[int, Path]]:
    """Step and file of each checkpoint, the last one first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return sorted(((int(m[1]), folder / m[0]) for m in matches), reverse=True)


def _write(folder: Path, step: int, tree: dict[str, Any]) -> None:
    """Write in one indivisible step; array by array, without a copy of the whole."""
    arrays: Arrays = {}
    text = json.dumps(_without_arrays(tree, arrays))
    arrays[TREE] = np.frombuffer(text.encode(), np.uint8)
    handle, temporary = tempfile.mkstemp(PART, ".checkpoint.", folder)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            header = _header(arrays)
            digest.update(header)
            file.write(header)
            for array in arrays.values():
                content = np.asarray(array, order="C").reshape(-1).view(np.uint8).data
                digest.update(content)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / f"step{step:09d}-{digest.hexdigest()}.safetensors")
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _header(arrays: Arrays) -> bytes:
    """How a safetensors file begins: the length of the header, and where each array is."""
    entries, end = {}, 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _read(file: Path) -> Any:
    """The tree of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    match = _NAME.fullmatch(file.name)
    if match is None or digest != match[2]:
        raise ValueError("its content has not the digest that its name says")
    try:
        arrays = load_file(file)
        tree = _with_arrays(json.loads(arrays.pop(TREE).tobytes()), arrays)
        if not isinstance(tree["identity"], str) or not isinstance(tree["content"], dict):
            raise TypeError("it has another form")
    except (SafetensorError, LookupError, TypeError, RecursionError, ValueError) as error:
        raise ValueError(f"it is no checkpoint ({type(error).__name__})") from None
    return tree


def _without_arrays(tree: Any, arrays: Arrays) -> Any:
    """A tree with the places of its arrays, which go to ``arrays``."""
    if isinstance(tree, dict):
        return {key: _without_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_arrays(value, arrays) for value in tree]
    if isinstance(tree, np.ndarray):
        name = f"{_ARRAY} {len(arrays)}"
        arrays[name] = tree
        return {_ARRAY: name}
    return tree.item() if isinstance(tree, np.generic) else tree


def _with_arrays(tree: Any, arrays: Arrays) -> Any:
    """A tree of :func:`_without_arrays` with its arrays in their places."""
    if isinstance(tree, dict):
        if tree.keys() == {_ARRAY}:
            return np.array(arrays[tree[_ARRAY]])  # that of the file cannot be written to
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays) for value in tree]
    return tree
