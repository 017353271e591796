"""The tables of a run: their rows, how they are written and read, and a training's log of them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

import numpy as np

from compare.records.lines import Lines, Spool
from experiments.errors import InputError
from experiments.files import check_size, opened, printable, strange


class HistoryRow(NamedTuple):
    """One loss or accuracy.

    A row of phase ``step`` is a batch of the training set in training mode, taken before its
    update; ``step`` counts the updates made before it. A row of phase ``evaluation`` is a whole
    split in evaluation mode, after ``step`` updates. Epoch 0 is before training.
    """

    backend: str
    label: str
    seed: int
    epoch: int
    step: int
    phase: Literal["step", "evaluation"]
    split: str
    metric: str
    value: float


class ParityRow(NamedTuple):
    """One comparison. ``site`` begins with ``initial/``, ``whole/`` or names a stage.

    ``numpy_error`` and ``torch_error`` are distances from the float64
    referee in units of what was summed to make the value; in float64 PyTorch is itself the
    referee, and its error is 0.
    """

    label: str
    seed: int
    step: int
    dtype: str
    site: str
    numpy_error: float
    torch_error: float
    tolerance: float
    passed: bool


APART = "numpy from torch"
"""The ``run`` of a row of drift.csv that says how far NumPy's weights are from PyTorch's."""


class DriftRow(NamedTuple):
    """Relative distance ‖θ − θ₆₄‖ / ‖θ₆₄‖ of a run's weights from PyTorch's float64 run."""

    label: str
    seed: int
    step: int
    run: str
    distance: float


class TimingRow(NamedTuple):
    """Seconds that each backend took for one training step, measured in turn."""

    label: str
    seed: int
    step: int
    numpy_s: float
    torch_s: float


class GradientRow(NamedTuple):
    """The length ‖g‖ of one parameter's gradient at one step, before the update."""

    backend: str
    label: str
    seed: int
    step: int
    parameter: str
    norm: float


class PathRow(NamedTuple):
    """Where an optimizer stands on f(x, y) after so many steps, and the value there."""

    backend: str
    label: str
    seed: int
    step: int
    x: float
    y: float
    value: float


class LayerRow(NamedTuple):
    """The activations of one layer, over all rows and units.

    ``outer`` is the share in the outer tenth of the activation's range, 5% at either end (of 0 to
    1 for the sigmoid, of −1 to 1 for tanh), and for ReLU the share that is 0. ``middle`` is the
    share in the middle fifth of the range; 0 for ReLU, whose range has no middle.
    """

    backend: str
    label: str
    seed: int
    layer: int
    mean: float
    std: float
    outer: float
    middle: float


class HistogramRow(NamedTuple):
    """How many activations of a layer lie from ``low`` to ``high``, which is excluded.

    The last bin of a layer includes it.
    """

    backend: str
    label: str
    seed: int
    layer: int
    low: float
    high: float
    values: int


TABLES: dict[str, type] = {
    "history": HistoryRow,
    "parity": ParityRow,
    "drift": DriftRow,
    "timing": TimingRow,
    "gradients": GradientRow,
    "paths": PathRow,
    "layers": LayerRow,
    "histogram": HistogramRow,
}


def table_text(name: str, rows: Sequence[Any]) -> str:
    """The CSV text of a table; floats are written so that they read back to the same bits."""
    return text_of(TABLES[name], rows)


def text_of(row_type: type, rows: Sequence[Any]) -> str:
    """The CSV text of a table of such rows."""
    return _fields(row_type) + rows_text(rows)


def header(name: str) -> str:
    """The first line of a table."""
    return _fields(TABLES[name])


def _fields(row_type: type) -> str:
    return ",".join(row_type._fields) + "\n"  # type: ignore[attr-defined]


def rows_text(rows: Sequence[Any]) -> str:
    """The lines of some rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_text(value) for value in row] for row in rows)
    return out.getvalue()


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def read_table(path: Path, name: str) -> list[Any]:
    """Read a table that :func:`table_text` wrote; a file that is not one is an InputError."""
    return read_rows(path, TABLES[name])


def read_rows(path: Path, row_type: type) -> list[Any]:
    """Read a table that :func:`text_of` wrote; a file of other rows is an InputError."""
    return list(_rows_of(path, row_type))


def iterate_table(path: Path, name: str) -> Iterator[Any]:
    """The rows of a table one after another, read as they are asked for.

    Raises:
        InputError: As :func:`read_table` does, once the row is reached that is none.
    """
    return _rows_of(path, TABLES[name])


def _rows_of(path: Path, row_type: type) -> Iterator[Any]:
    kinds = get_type_hints(row_type).items()
    converters = [_converter(name, kind) for name, kind in kinds]
    count = 0
    try:
        with opened(path) as file:
            check_size(path, os.fstat(file.fileno()).st_size)
            reader = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))
            header = next(reader, [])
            if header != list(row_type._fields):  # type: ignore[attr-defined]
                raise InputError(
                    f"{path}: expected the columns {','.join(row_type._fields)}, "  # type: ignore[attr-defined]
                    f"found {printable(','.join(header))[:200] or 'an empty file'}."
                )
            for row in reader:
                if len(row) != len(converters):
                    raise ValueError(f"expected {len(converters)} values, found {len(row)}")
                made = row_type(*(f(v) for f, v in zip(converters, row, strict=True)))
                count += 1
                yield made
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                raise ValueError("it is cut off")
    except FileNotFoundError:
        raise InputError(f"{path} is missing from the run directory.") from None
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is damaged: row {count + 1:,}: {printable(str(error))[:200]}."
        ) from None


WORDS = {"backend": ("numpy", "torch"), "dtype": ("float32", "float64")}
"""Column → the words that it may have."""
FINITE = ("numpy_s", "torch_s", "low", "high", "tolerance")
NOT_NEGATIVE = ("numpy_s", "torch_s", "distance", "norm", "numpy_error", "torch_error", "tolerance")
LONGEST = 1000


def _converter(name: str, kind: Any) -> Callable[[str], Any]:
    """From the text of a value to the value; a ValueError says what was expected."""
    if kind is bool:
        return _of_words(name, {"true": True, "false": False})
    if words := get_args(kind) or WORDS.get(name):
        return _of_words(name, dict(zip(words, words, strict=True)))
    if kind is int:
        most = 2**32 if name == "seed" else 2**53
        return lambda text: _whole(name, text, most)
    if kind is float:
        return _number(name, finite=name in FINITE, least=0.0 if name in NOT_NEGATIVE else None)
    return _text_of(name)


def _of_words(name: str, words: dict[str, Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        if text not in words:
            raise ValueError(f"{name}: expected {' or '.join(words)}, found {text[:40]!r}")
        return words[text]

    return convert


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < most):
        raise ValueError(
            f"{name}: expected a whole number from 0, below {most:,}, found {text[:40]!r}"
        )
    return int(text)


def _number(name: str, *, finite: bool, least: float | None) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{name}: expected a number, found {text[:40]!r}") from None
        if finite and not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, found {text[:40]!r}")
        if least is not None and value < least:
            raise ValueError(f"{name}: expected a number from {least:g}, found {text[:40]!r}")
        return value

    return convert


def _text_of(name: str) -> Callable[[str], str]:
    known: set[str] = set()

    def convert(text: str) -> str:
        if text not in known:
            if strange(text) is not None or len(text) > LONGEST:
                raise ValueError(
                    f"{name}: expected a text of at most {LONGEST:,} characters that are seen, "
                    f"found {text[:40]!r}"
                )
            known.add(text)
        return text

    return convert


Key = tuple[str, int]
"""The label of a training and its seed."""


MOST_ROWS = 5000
"""So many rows of a table are kept as rows where a training keeps only some."""


class TrainingLog:
    """Rows of every table, predicted classes and final weights of one training.

    Args:
        label: The training's label.
        seed: Its seed.
        most_rows: So many rows of a table are kept as rows, which take far more memory than their
            lines; None for all.

    Attributes:
        rows: Table → rows, in the order in which they were found, until :meth:`drop_rows`; the
            last ones where not all are kept.
        predictions: Backend → predicted classes of the test rows.
        confidences: Backend → its confidence in each of these classes, where outputs give one.
        weights: Backend → final ``state_dict``.
    """

    def __init__(self, label: str, seed: int, most_rows: int | None = None) -> None:
        self.key: Key = (label, seed)
        self.rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        self.predictions: dict[str, np.ndarray] = {}
        self.confidences: dict[str, np.ndarray] = {}
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self._most_rows = most_rows
        self._lines = {name: Lines() for name in TABLES}
        self._written = dict.fromkeys(TABLES, 0)

    def add(self, table: str, *rows: Any) -> None:
        """Keep rows of a table."""
        kept = self.rows[table]
        kept.extend(rows)
        if self._most_rows is not None and len(kept) > self._most_rows:
            self._drop(table)

    def keep_lines_in(self, spool: Spool) -> None:
        """Keep lines there, and no longer in memory."""
        for lines in self._lines.values():
            lines.keep_in(spool)

    def pieces(self, table: str) -> Iterator[bytes]:
        """The lines of a table in UTF-8, piece by piece."""
        self._format(table)
        return self._lines[table].pieces()

    def text(self, table: str) -> str:
        """The lines of a table; lines that were formatted before are kept."""
        self._format(table)
        return str(self._lines[table])

    def _format(self, table: str) -> None:
        rows, written = self.rows[table], self._written[table]
        if len(rows) > written:
            self._lines[table].add(rows_text(rows[written:]))
            self._written[table] = len(rows)

    def _drop(self, table: str) -> None:
        self._format(table)
        self.rows[table].clear()
        self._written[table] = 0

    def drop_rows(self) -> None:
        """Keep the lines of the rows so far and not the rows, which take far more memory."""
        for name in TABLES:
            self._drop(name)
            self._lines[name].spill()

    def texts(self) -> dict[str, str]:
        """Table → its lines so far, without those that have none."""
        found = {name: self.text(name) for name in TABLES}
        return {name: text for name, text in found.items() if text}

    def restore(self, texts: dict[str, str]) -> None:
        """Begin from the lines of :meth:`texts`; what was kept before is forgotten."""
        for name, rows in self.rows.items():
            rows.clear()
            self._written[name] = 0
            self._lines[name] = Lines(texts.get(name, ""))

    def __getstate__(self) -> dict[str, Any]:
        """Lines travel between processes, rows do not."""
        self.drop_rows()
        return {**self.__dict__, "_lines": {name: str(one) for name, one in self._lines.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lines = {name: Lines(text) for name, text in state["_lines"].items()}
