"""The settings of the demonstrations: ``optimizer_paths`` and ``activation_histograms``.

They train no network. An experiment file with the key ``kind`` describes one of them.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from compare.spec.optimizers import OptimizerSettings
from compare.spec.settings import FinitePair, Positive, PositivePair, Settings
from experiments.errors import InputError

Activation = Literal["Sigmoid", "Tanh", "ReLU"]
Spread = Positive | Literal["xavier", "he"]


class ActivationHistograms(Settings):
    """Normal inputs pass through equal layers without bias, for each activation and each spread.

    Attributes:
        kind: Says that the file describes this demonstration.
        title: The report's.
        summary: One line for the list.
        task: What is to be shown.
        rows: Rows of the input, drawn from the standard normal distribution.
        units: Features of the input, and units of every layer.
        layers: How many layers.
        activations: What follows every layer's product.
        spreads: Standard deviations of the normal weights: numbers, ``xavier`` for √(1/n) and
            ``he`` for √(2/n), n being ``units``.
        dtype: The precision of both backends.
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
        # Two spreads that records write alike would be one.
        written = {spread_label(v) if isinstance(v, float) else v for v in value}
        if len(written) < len(value):
            raise ValueError(f"activations, spreads and seeds should differ, but are {value}")
        return value

    def std(self, spread: float | str) -> float:
        """The standard deviation that one of ``spreads`` means."""
        if isinstance(spread, str):
            return math.sqrt({"xavier": 1.0, "he": 2.0}[spread] / self.units)
        return spread


def spread_label(spread: float | str) -> str:
    """A spread as records write it: ``1``, ``0.01``, ``xavier`` or ``he``."""
    return spread if isinstance(spread, str) else f"{spread:g}"


def network_label(activation: str, spread: float | str) -> str:
    """The label of a network: ``Tanh, std 0.01`` or ``ReLU, He``."""
    written = spread_label(spread)
    return f"{activation}, {written.capitalize() if written.isalpha() else f'std {written}'}"


class OptimizerPaths(Settings):
    """Every optimizer starts at one point of f(x, y) = x²/p + y²/q and makes some steps.

    Attributes:
        kind: Says that the file describes this demonstration.
        title: The report's.
        summary: One line for the list.
        task: What is to be shown.
        divisors: p and q. Divisors and not factors: 20 is exact in every precision, 0.05 in none.
        start: The first point (x, y).
        steps: How many steps each optimizer makes.
        dtype: The precision of both backends.
        optimizers: Label → algorithm and settings, as in every experiment.
    """

    kind: Literal["optimizer_paths"]
    title: str
    summary: str
    task: str
    divisors: PositivePair = (20.0, 1.0)
    start: FinitePair = (-7.0, 2.0)
    steps: Annotated[int, Field(gt=0, le=10_000)] = 30
    dtype: Literal["float32", "float64"] = "float32"
    optimizers: Annotated[dict[str, OptimizerSettings], Field(min_length=1)]

    @field_validator("optimizers", mode="before")
    @classmethod
    def _label_names_the_algorithm(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            label: {"algorithm": label, **settings} if isinstance(settings, dict) else settings
            for label, settings in value.items()
        }

    @model_validator(mode="after")
    def _downhill(self) -> OptimizerPaths:
        for label, optimizer in self.optimizers.items():
            if getattr(optimizer, "maximize", False):
                raise ValueError(
                    f"optimizers.{label}: maximize should be false, but is true: the bowl has no "
                    "highest point"
                )
            if optimizer.algorithm == "NAdam" and self.dtype == "float64":
                raise ValueError(
                    f"optimizers.{label}: NAdam in float64 cannot be certified, since PyTorch "
                    'rounds its mu_product to float32: use dtype = "float32"'
                )
        return self


Demo = OptimizerPaths | ActivationHistograms

DEMOS: dict[str, type[Demo]] = {
    "optimizer_paths": OptimizerPaths,
    "activation_histograms": ActivationHistograms,
}


def demo_type(tree: dict[str, Any], source: str) -> type[Demo] | None:
    """The demonstration that a file describes; None for an experiment that trains a network.

    Args:
        tree: The file's content.
        source: What to call it in an error.

    Raises:
        InputError: There is no demonstration of its ``kind``.
    """
    if "kind" not in tree:
        return None
    kind = tree["kind"]
    if not isinstance(kind, str) or kind not in DEMOS:
        raise InputError(
            f"{source}: kind should be one of {', '.join(DEMOS)}, but is {kind!r}. (An experiment "
            "that trains a network has no key 'kind'.)"
        )
    return DEMOS[kind]
