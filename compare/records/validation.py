"""What the parts of a run may hold: a record that somebody changed is refused, not drawn.

Types are pydantic's work. Here are the values that have the right type and are impossible: a
negative count, a training that the experiment does not make, a predicted class for rows that are
not there. Whether the files of a run agree with one another is not asked here.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from experiments.errors import InputError
from experiments.files import printable

MOST_DEPTH = 64
"""Tables and lists in one another; run.json needs 10."""
MOST_BYTES = 1 << 28
"""The largest run.json: one of ten thousand trainings has some ten million bytes."""
LARGEST = 2**53
"""Whole numbers below this are exact in floating point, too."""

Count = Annotated[int, Field(ge=0, lt=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Commit = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}(-dirty)?$")]
"""The report has it in a command that a reader copies."""

REPOSITORY = r"^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9_][A-Za-z0-9_.~+-]*)+$"
Repository = Annotated[str, Field(pattern=REPOSITORY, max_length=200)]
"""So has it this one: an address without a password, whose parts are no options of a command."""


def _is_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Time = Annotated[str, AfterValidator(_is_time)]
"""A time as ``2024-02-03T04:05:06+00:00``."""


def readable_tree(tree: Any, depth: int = 0) -> Any:
    """A tree of JSON whose texts can be shown anywhere.

    Characters that act on a terminal or a page and are not seen are written as their codes.

    Raises:
        ValueError: It is nested too deeply, or has a whole number beyond 64 bits.
    """
    if depth > MOST_DEPTH:
        raise ValueError(f"expected at most {MOST_DEPTH} tables and lists in one another")
    if isinstance(tree, str):
        return printable(tree, "\n\t")
    if isinstance(tree, list):
        return [readable_tree(value, depth + 1) for value in tree]
    if isinstance(tree, dict):
        return {printable(k): readable_tree(v, depth + 1) for k, v in tree.items()}
    if isinstance(tree, int) and not -(2**63) <= tree < 2**63:
        raise ValueError("expected whole numbers that 64 bits hold, found a larger one")
    return tree


def check_trainings(record: Any, file: Path) -> None:
    """Every training should be one that the experiment makes, and there once.

    Raises:
        InputError: One is not, or the classes were counted of others than there are.
    """
    configurations = getattr(record.experiment, "configurations", None)
    known = None if configurations is None else {c.label: c.variant for c in configurations}
    met = set()
    for name, found in (("trainings", record.trainings), ("failures", record.failures)):
        for number, training in enumerate(found):
            place = f"{file} is damaged: {name}.{number}"
            if known is not None and training.label not in known:
                raise InputError(
                    f"{place}: expected the label of one of the experiment's trainings, found "
                    f"{training.label[:80]!r}."
                )
            variant = getattr(training, "variant", None)
            if known is not None and variant and variant != known[training.label]:
                raise InputError(
                    f"{place}: variant: expected that of {training.label!r}, found "
                    f"{str(variant)[:80]}."
                )
            if (name, training.label, training.seed) in met:
                raise InputError(
                    f"{place}: {training.label!r} with seed {training.seed} is there twice."
                )
            met.add((name, training.label, training.seed))
    for split, counts in record.data.class_counts.items():
        if len(counts) != len(record.data.class_names):
            raise InputError(
                f"{file} is damaged: data.class_counts.{split[:40]}: expected a number for each of "
                f"{len(record.data.class_names):,} classes, found {len(counts):,}."
            )


def check_predictions(record: Any, arrays: dict[str, np.ndarray], file: Path) -> None:
    """Predicted classes and confidences should be one for each test row.

    Raises:
        InputError: An array has another type or length, or a class that does not exist.
    """
    if not arrays:
        return
    targets = arrays.get("targets")
    rows = None if targets is None else len(targets) if targets.ndim else -1
    for name, values in arrays.items():
        sure = name.startswith("confidence/")
        kinds = "f" if sure else "iu"
        fits = values.ndim == 1 and rows in (None, len(values))
        if values.dtype.kind not in kinds or not fits:
            raise InputError(
                f"{file} is damaged: {printable(name)[:80]}: expected "
                f"{'confidences' if sure else 'classes'} of the test rows, found {values.dtype} "
                f"{values.shape}."
            )
        if not sure and len(values) and int(np.abs(values.astype(np.int64)).max()) >= LARGEST:
            raise InputError(f"{file} is damaged: {printable(name)[:80]}: a class is too large.")
    classes = len(record.data.class_names)
    if rows == 0:
        raise InputError(f"{file} is damaged: targets: expected test rows, found none.")
    # The targets of a run that was broken off are not there yet.
    if (
        targets is None
        and record.has_arrays
        and any(not name.startswith("confidence/") for name in arrays)
    ):
        raise InputError(f"{file} is damaged: it has predictions and no targets.")
    if targets is not None and len(targets) and not 0 <= targets.min() <= targets.max() < classes:
        raise InputError(
            f"{file} is damaged: targets: expected classes from 0 to {classes - 1}, found "
            f"{targets.min()} to {targets.max()}."
        )


def check_pictures(arrays: dict[str, np.ndarray], rows: int | None, file: Path) -> None:
    """Pictures should be of bytes, and each the picture of a row.

    Args:
        arrays: The pictures, and which rows they are of.
        rows: How many rows the predictions are of; None where there are no predictions.
        file: Where they were read.

    Raises:
        InputError: An array has another type or shape, or names a row that is not there.
    """
    trained = arrays.get("train/images")
    if trained is not None and (
        trained.dtype != np.uint8 or trained.ndim != 4 or (trained.size == 0 and len(trained))
    ):
        raise InputError(
            f"{file} is damaged: train/images: expected bytes (classes, pictures, height, width), "
            f"found {trained.dtype} {trained.shape}."
        )
    pictures, numbers = arrays.get("images"), arrays.get("indices")
    if pictures is None:
        return
    if pictures.dtype != np.uint8 or pictures.ndim != 3 or 0 in pictures.shape[1:]:
        raise InputError(
            f"{file} is damaged: images: expected bytes (N, height, width), found "
            f"{pictures.dtype} {pictures.shape}."
        )
    if numbers is None or numbers.dtype.kind not in "iu" or numbers.shape != (len(pictures),):
        found = "nothing" if numbers is None else f"{numbers.dtype} {numbers.shape}"
        raise InputError(
            f"{file} is damaged: indices: expected a number for each of {len(pictures):,} "
            f"pictures, found {found}."
        )
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < (rows or LARGEST):
        raise InputError(
            f"{file} is damaged: indices: expected numbers of the {rows} test rows, found "
            f"{numbers.min()} to {numbers.max()}."
        )
