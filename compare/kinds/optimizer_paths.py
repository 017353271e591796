"""The form of ``optimizer_paths``: optimizers that walk down a bowl of two variables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from compare.experiment import Optimizer
from compare.form import FinitePair, Form, PositivePair


class OptimizerPaths(Form):
    """Every optimizer starts at one point of f(x, y) = x²/p + y²/q and makes some steps.

    Attributes:
        kind: Says that the file follows this form.
        title: The report's.
        summary: One line for the list.
        task: What is to be shown.
        divisors: p and q. Divisors and not factors: 20 is exact in every precision, 0.05 in none.
        start: The first point (x, y).
        steps: How many steps each optimizer makes.
        dtype: What both sides compute in.
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
    optimizers: Annotated[dict[str, Optimizer], Field(min_length=1)]

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
