"""The learning-rate schedules of an experiment's file.

The settings are those of the class of that name in ``torch.optim.lr_scheduler``, with its defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compare.spec.settings import Fraction, NotNegative, Positive, Settings

Times = Literal["epoch", "step"]
"""When a schedule goes on: after every epoch, or after every step."""

Count = Annotated[int, Field(gt=0)]
Factor = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class StepLRSettings(Settings):
    """The learning rate times ``gamma`` every ``step_size`` epochs or steps."""

    name: Literal["StepLR"]
    every: Times = "epoch"
    step_size: Count
    gamma: Positive = 0.1


class MultiStepLRSettings(Settings):
    """The learning rate times ``gamma`` at every milestone."""

    name: Literal["MultiStepLR"]
    every: Times = "epoch"
    milestones: Annotated[list[Count], Field(min_length=1)]
    gamma: Positive = 0.1


class ExponentialLRSettings(Settings):
    """The learning rate times ``gamma`` every epoch or step."""

    name: Literal["ExponentialLR"]
    every: Times = "epoch"
    gamma: Positive


class CosineAnnealingLRSettings(Settings):
    """The learning rate along half a cosine wave, to ``eta_min`` after ``T_max``."""

    name: Literal["CosineAnnealingLR"]
    every: Times = "epoch"
    T_max: Count
    eta_min: NotNegative = 0.0


class LinearLRSettings(Settings):
    """The learning rate along a line between two factors, over ``total_iters``."""

    name: Literal["LinearLR"]
    every: Times = "epoch"
    start_factor: Annotated[Factor, Field(gt=0)] = 1 / 3
    end_factor: Factor = 1.0
    total_iters: Count = 5


class OneCycleLRSettings(Settings):
    """The learning rate up to ``max_lr`` and down again, the momentum the other way.

    The cycle has ``total_steps``; by default it lasts as long as the training.
    """

    name: Literal["OneCycleLR"]
    every: Times = "step"
    max_lr: Positive
    total_steps: Count | None = None
    pct_start: Factor = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True
    base_momentum: Fraction = 0.85
    max_momentum: Fraction = 0.95
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    three_phase: bool = False


ScheduleSettings = Annotated[
    StepLRSettings
    | MultiStepLRSettings
    | ExponentialLRSettings
    | CosineAnnealingLRSettings
    | LinearLRSettings
    | OneCycleLRSettings,
    Field(discriminator="name"),
]
