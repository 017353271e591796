"""What an experiment varies: axes, their cases, and the trainings that they make together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import product
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from compare.spec.settings import Finite, Positive, Settings

Changes = dict[str, Any]
"""A part of an experiment's tree: the settings that a case changes."""


class LogSteps(Settings):
    """Values in equal steps of their logarithm, both ends included.

    Attributes:
        first: The first value.
        last: The last one; it may be smaller.
        count: How many there are.
    """

    first: Positive
    last: Positive
    count: Annotated[int, Field(ge=2, le=1000)]

    def values(self) -> list[float]:
        """The values, rounded to six digits so that they read well and mean what they say."""
        first, last = math.log10(self.first), math.log10(self.last)
        step = (last - first) / (self.count - 1)
        exponents = [*(first + place * step for place in range(self.count - 1)), last]
        return [float(f"{10**exponent:.6g}") for exponent in exponents]


class ExponentRange(Settings):
    """10^U(low, high): each magnitude between two exponents is as likely as any other."""

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _low_is_lower(self) -> ExponentRange:
        if not self.low < self.high:
            raise ValueError(f"low should be below high, but they are {self.low} and {self.high}")
        return self


class AxisSettings(Settings):
    """One thing that is varied, in one of four ways.

    Attributes:
        cases: Label → the settings that it changes, as they would stand in the file.
        key: The setting that ``values`` or ``log_steps`` go to, a dotted path.
        values: Its values.
        log_steps: Its values, in equal steps of their logarithm.
        trials: So many random draws of what ``powers_of_ten`` names.
        powers_of_ten: Setting → the range of the exponent that a trial draws it from.
        seed: Where the draws of the trials start.
    """

    cases: Annotated[dict[str, Changes], Field(min_length=1)] | None = None
    key: str | None = None
    values: Annotated[list[Any], Field(min_length=1)] | None = None
    log_steps: LogSteps | None = None
    trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    powers_of_ten: Annotated[dict[str, ExponentRange], Field(min_length=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("cases")
    @classmethod
    def _labels_can_name_files(cls, value: dict[str, Changes] | None) -> Any:
        for label in value or {}:
            check_label("vary: the case", label)
        return value

    @model_validator(mode="after")
    def _one_way(self) -> AxisSettings:
        ways = [
            way
            for way in ("cases", "values", "log_steps", "trials")
            if getattr(self, way) is not None
        ]
        if len(ways) != 1:
            raise ValueError(
                "an axis of vary should have one of cases, values, log_steps and trials, but has "
                f"{' and '.join(ways) or 'none of them'}"
            )
        if (self.key is None) == (ways[0] in ("values", "log_steps")):
            raise ValueError(
                f"an axis of vary with {ways[0]} "
                + ("needs a key" if self.key is None else "takes no key")
            )
        if (self.powers_of_ten is None) == (ways[0] == "trials"):
            raise ValueError(
                "an axis of vary has powers_of_ten where it has trials, and nowhere else"
            )
        return self

    def count(self) -> int:
        """How many cases it has."""
        if self.log_steps is not None:
            return self.log_steps.count
        return self.trials or len(self.cases or self.values or ())

    def changes(self, name: str) -> dict[str, Changes]:
        """Label → what it changes, in order.

        Args:
            name: The axis's own name, which the labels of values and trials begin with.
        """
        if self.cases is not None:
            return dict(self.cases)
        if self.trials is not None:
            assert self.powers_of_ten is not None
            return {
                f"{name} {number + 1}": _merged([_nested(k, v) for k, v in drawn.items()])
                for number, drawn in enumerate(self._draws())
            }
        assert self.key is not None
        if self.log_steps is not None:
            labelled = [(f"{value:.3g}", value) for value in self.log_steps.values()]
        else:
            labelled = [(_text(value), value) for value in self.values or []]
        found = {f"{name} {label}": _nested(self.key, value) for label, value in labelled}
        if len(found) < len(labelled):
            raise ValueError(f"vary: two values of {name!r} have the same label")
        return found

    def _draws(self) -> Iterator[dict[str, float]]:
        import numpy as np

        random = np.random.default_rng(self.seed)
        ranges = self.powers_of_ten or {}
        for _ in range(self.trials or 0):
            yield {
                key: float(f"{10 ** random.uniform(ends.low, ends.high):.4g}")
                for key, ends in ranges.items()
            }


def combinations(axes: dict[str, AxisSettings]) -> list[tuple[dict[str, str], Changes]]:
    """Every choice of a case on every axis: (axis → case, what they change together)."""
    cases = [[(name, *case) for case in axis.changes(name).items()] for name, axis in axes.items()]
    return [
        (
            {name: label for name, label, _ in chosen},
            _merged([changes for _, _, changes in chosen]),
        )
        for chosen in product(*cases)
    ]


def changed(tree: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy of a tree with some of its settings changed; tables are merged, lists replaced."""
    return _merged([tree, changes])


def setting(tree: dict[str, Any], key: str) -> Any:
    """What stands at a dotted path, or None."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def check_label(what: str, label: str) -> None:
    """A label becomes a part of file names; one that cannot is a ValueError."""
    if not re.fullmatch(r"\w([\w .+-]*[\w+])?", label, re.ASCII):
        raise ValueError(
            f"{what} {label!r} should be made of letters, digits, spaces and . _ + - alone: the "
            "files of its weights are named after it"
        )


def _nested(key: str, value: Any) -> Changes:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merged(trees: Sequence[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = _merged([whole[key], value]) if both else deepcopy(value)
    return whole


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    words = re.sub(r"[^\w.+-]+", " ", str(value), flags=re.ASCII).strip(" .-")
    return words or "empty"
