"""The commonest truth about wrong code: every element is the same number of times the right one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from compare.check.result import Observed
from compare.mistakes.case import Case
from compare.mistakes.probabilities import FORMS
from compare.parity.tolerances import HOMEWORK, NOISE_SHARE, SAME_FACTOR, float32_bound


class Ratio(NamedTuple):
    """By which factor all elements of a quantity differ from the right ones, in every case.

    Attributes:
        factor: What it is in the first case.
        formula: What it is in every case, such as ``N`` or ``2/N``; empty if nothing is known that
            gives it.
        rows: The rows of the batch in the first case.
    """

    factor: float
    formula: str
    rows: int

    def in_words(self) -> str:
        """``5 times the right one; 5 is N, the rows of the batch``."""
        number = f"{self.factor:.10g}"
        if abs(self.factor + 1) < HOMEWORK:
            return "the right one with the opposite sign"
        if not self.formula or self.formula == number:
            return f"{number} times the right one"
        meaning = {"N": ", the rows of the batch", "1/N": ", for N rows"}.get(self.formula, "")
        if "N" in self.formula and not meaning:
            meaning = f", for N = {self.rows} rows"
        if "C" in self.formula:
            meaning += " and C outputs"
        return f"{number} times the right one; {number} is {self.formula}{meaning}"


def constant_ratio(
    quantity: str, cases: Sequence[Case], observed: Sequence[Observed], single: bool = False
) -> Ratio | None:
    """The factor between what was found and what is right, if it is one in every case.

    A case whose right values are all rounding noise says nothing.

    Args:
        quantity: Its key.
        cases: The cases.
        observed: The homework's values, one for each case.
        single: Whether the quantity is computed in float32.
    """
    factors: list[tuple[Case, float]] = []
    for case, one in zip(cases, observed, strict=False):
        found, right = one.values.get(quantity), case.expected.get(quantity)
        if found is None or right is None or found.shape != right.shape:
            continue
        size = np.broadcast_to(case.sizes[quantity], right.shape)
        if not np.isfinite(found).all():
            return None
        if not (np.abs(right) > NOISE_SHARE * size).any():
            continue
        factor = float(np.sum(found * right) / np.sum(right * right))
        allowed = float32_bound(0.0) if single else HOMEWORK
        if np.any(np.abs(found - factor * right) > allowed * size * max(1.0, abs(factor))):
            return None
        factors.append((case, factor))
    if not factors or any(abs(factor) < HOMEWORK for _, factor in factors):
        return None
    if all(abs(factor - 1) < HOMEWORK for _, factor in factors):
        return None
    first, factor = factors[0]
    rows = len(first.inputs)
    formulas = [dict(_formulas(case)) for case, _ in factors]
    for formula in formulas[0]:
        if all(
            abs(values[formula] - f) <= SAME_FACTOR * abs(f)
            for values, (_, f) in zip(formulas, factors, strict=True)
        ):
            return Ratio(factor, formula, rows)
    same = all(abs(f - factor) <= SAME_FACTOR * abs(factor) for _, f in factors)
    return Ratio(factor, "", rows) if same else None


def _formulas(case: Case) -> Iterator[tuple[str, float]]:
    """Factors that people write too often, too seldom or in the wrong place."""
    n = len(case.inputs)
    keys = (f"{form}{mode}" for form in FORMS for mode in ("", "/evaluation"))
    outputs = (case.expected.get(key) for key in keys)
    logits = next((values for values in outputs if values is not None), None)
    c = int(np.prod(logits.shape[1:])) if logits is not None else None
    for number in ("2", "0.5", "-1", "-2", "-0.5", "4", "0.25"):
        yield number, float(number)
    yield from (("N", n), ("1/N", 1 / n), ("-N", -n), ("-1/N", -1 / n))
    yield from (("N/2", n / 2), ("2/N", 2 / n), ("4/N", 4 / n), ("1/(2N)", 1 / (2 * n)))
    yield from (("N²", n**2), ("1/N²", 1 / n**2))
    if c is not None and c > 1:
        yield from (("C", c), ("1/C", 1 / c), ("N·C", n * c), ("1/(N·C)", 1 / (n * c)))
        yield from (("C/2", c / 2), ("2/C", 2 / c), ("N·C/2", n * c / 2), ("2/(N·C)", 2 / (n * c)))
        yield from (("-C", -c), ("-1/C", -1 / c), ("N/C", n / c), ("C/N", c / n))
