"""Between the reference's layout of arrays and a homework's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

# A bias (n,) as a column or as a row, said as NumPy says it.
COLUMN, ROW = "[:, None]", "[None, :]"


class MisfitError(Exception):
    """What a homework returned has not the form that the contract says: one sentence."""


@dataclass(frozen=True)
class Own:
    """One of the homework's own arrays.

    Attributes:
        name: The homework's name for it.
        key: The reference's.
        form: ``""``, ``.T``, ``[:, None]`` or ``[None, :]``.
    """

    name: str
    key: str
    form: str = ""

    @classmethod
    def parse(cls, name: str, text: str) -> Own:
        """From an entry of PARAMETERS, such as ``0.weight.T``."""
        match = re.fullmatch(r"(.*?)(\.T|\[\s*(?::\s*,\s*None|None\s*,\s*:)\s*\])?", text.strip())
        assert match is not None
        form = match[2] or ""
        if form.startswith("["):
            form = COLUMN if form.replace(" ", "").startswith("[:") else ROW
        return cls(name, match[1], form)

    def given(self, array: np.ndarray) -> np.ndarray:
        """A copy as the homework wants it."""
        match self.form:
            case ".T":
                array = array.T
            case "[:, None]":
                array = array[:, None]
            case "[None, :]":
                array = array[None, :]
        return np.array(array, order="C")

    def taken(self, array: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
        """What the homework returned for it, in the reference's layout.

        Args:
            array: The homework's.
            shape: The reference's.
            what: Where it was found, for the sentence.

        Raises:
            MisfitError: It has another shape.
        """
        array = np.asarray(array, np.float64)
        flat = array.ndim < 2 or (array.ndim == 2 and 1 in array.shape)
        if len(shape) == 1 and array.size == shape[0] and flat:
            return array.reshape(shape)
        own = shape[::-1] if self.form == ".T" else shape
        if len(shape) == 0 and array.size == 1:
            return array.reshape(())
        if array.shape != own:
            turned = "; it is transposed" if array.shape == own[::-1] and len(own) == 2 else ""
            raise MisfitError(f"{what} has the shape {array.shape}, but expected {own}{turned}.")
        return np.array(array.T if self.form == ".T" else array, order="C")


@dataclass(frozen=True)
class Batches:
    """How a homework wants its batches.

    Attributes:
        axis: Which axis the batch is: 0 or 1.
        one_hot: Whether class labels arrive as one-hot rows (columns when the axis is 1).
    """

    axis: int = 0
    one_hot: bool = False

    def given(self, rows: np.ndarray) -> np.ndarray:
        """A copy of a batch as the homework wants it; labels (N,) have one axis anyway."""
        return np.array(np.moveaxis(rows, 0, self.axis) if rows.ndim > 1 else rows, order="C")

    def given_labels(self, targets: np.ndarray, classes: int) -> np.ndarray:
        """The same for labels."""
        if self.one_hot and targets.dtype.kind in "iu":
            return self.given(np.eye(classes)[targets])
        return self.given(targets)

    def taken(self, array: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
        """What the homework returned for a batch, in the reference's layout.

        Raises:
            MisfitError: It has another shape.
        """
        array = np.asarray(array, np.float64)
        own = (
            tuple(np.moveaxis(np.empty(shape, bool), 0, self.axis).shape)
            if len(shape) > 1
            else shape
        )
        if array.shape == own:
            return np.array(
                np.moveaxis(array, self.axis, 0) if array.ndim > 1 else array, order="C"
            )
        if shape[1:] == (1,) and array.shape == shape[:1]:
            return array.reshape(shape)  # one output a row, without its axis
        words = "(classes, N)" if self.axis else "(N, classes)"
        turned = ""
        if len(own) == 2 and array.shape == own[::-1]:
            turned = (
                "; it is transposed"
                if self.axis
                else "; if your batch is the columns, write BATCH_AXIS = 1"
            )
        of = f", {words}" if len(own) == 2 and "logits" in what else ""
        raise MisfitError(f"{what} has the shape {array.shape}, but expected {own}{of}{turned}.")
