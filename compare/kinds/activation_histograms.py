"""The form of ``activation_histograms``: inputs on their way through layers of random weights."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from compare.form import Form, Positive

Activation = Literal["Sigmoid", "Tanh", "ReLU"]
Spread = Positive | Literal["xavier", "he"]


class ActivationHistograms(Form):
    """Normal inputs pass through equal layers without bias, for each activation and each spread.

    Attributes:
        kind: Says that the file follows this form.
        title: The report's.
        summary: One line for the list.
        task: What is to be shown.
        rows: Rows of the input, drawn from the standard normal distribution.
        units: Features of the input, and units of every layer.
        layers: How many layers.
        activations: What follows every layer's product.
        spreads: Standard deviations of the normal weights: numbers, ``xavier`` for √(1/n) and
            ``he`` for √(2/n), n being ``units``.
        dtype: What both sides compute in.
        seeds: Each seed draws inputs and weights anew; the same ones for every activation, and
            for every spread the same up to the factor.
    """

    kind: Literal["activation_histograms"]
    title: str
    summary: str
    task: str
    rows: Annotated[int, Field(ge=2, le=100_000)] = 1000
    units: Annotated[int, Field(ge=2, le=2_000)] = 100
    layers: Annotated[int, Field(ge=1, le=20)] = 5
    activations: Annotated[list[Activation], Field(min_length=1)]
    spreads: Annotated[list[Spread], Field(min_length=1)]
    dtype: Literal["float32", "float64"] = "float32"
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)]

    @field_validator("activations", "spreads", "seeds")
    @classmethod
    def _each_once(cls, value: list) -> list:
        if len(set(value)) < len(value):
            raise ValueError(f"activations, spreads and seeds should differ, but are {value}")
        return value

    def std(self, spread: float | str) -> float:
        """The standard deviation that one of ``spreads`` means."""
        if isinstance(spread, str):
            return math.sqrt({"xavier": 1.0, "he": 2.0}[spread] / self.units)
        return spread


def spread_label(spread: float | str) -> str:
    """How a spread is called in records: ``1``, ``0.01``, ``xavier`` or ``he``."""
    return spread if isinstance(spread, str) else f"{spread:g}"


def network_label(activation: str, spread: str) -> str:
    """How a network is called from its two labels: ``Tanh, std 0.01`` or ``ReLU, He``."""
    return f"{activation}, {spread.capitalize() if spread.isalpha() else f'std {spread}'}"
