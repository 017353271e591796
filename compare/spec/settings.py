"""The base of all tables of an experiment's file, and the kinds of numbers in them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def _as_pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# A list of two in the file: PyTorch's arguments are tuples.
FractionPair = Annotated[tuple[Fraction, Fraction], BeforeValidator(_as_pair)]
NumberPair = Annotated[tuple[NotNegative, NotNegative], BeforeValidator(_as_pair)]
FinitePair = Annotated[tuple[Finite, Finite], BeforeValidator(_as_pair)]
PositivePair = Annotated[tuple[Positive, Positive], BeforeValidator(_as_pair)]


class Settings(BaseModel):
    """A table of the file: unknown keys are errors, values are never quietly converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
