"""The optimizers of an experiment's file, and the schedules of their learning rates.

The settings are those of the class of that name in ``torch.optim`` or
``torch.optim.lr_scheduler``, with its defaults; of an optimizer the learning rate must be given.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from compare.spec.settings import (
    Finite,
    Fraction,
    FractionPair,
    NotNegative,
    NumberPair,
    Positive,
    Settings,
)


class SGDSettings(Settings):
    """Stochastic gradient descent."""

    algorithm: Literal["SGD"]
    lr: Positive
    momentum: NotNegative = 0.0
    dampening: Finite = 0.0
    weight_decay: NotNegative = 0.0
    nesterov: bool = False
    maximize: bool = False


class AdamSettings(Settings):
    """Adam."""

    algorithm: Literal["Adam"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    amsgrad: bool = False
    maximize: bool = False


class AdamWSettings(Settings):
    """Adam with decoupled weight decay."""

    algorithm: Literal["AdamW"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 1e-2
    amsgrad: bool = False
    maximize: bool = False


class AdagradSettings(Settings):
    """Steps divided by the root of the sum of the squared gradients."""

    algorithm: Literal["Adagrad"]
    lr: Positive
    lr_decay: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    initial_accumulator_value: NotNegative = 0.0
    eps: NotNegative = 1e-10
    maximize: bool = False


class RMSpropSettings(Settings):
    """Steps divided by the root of the average of the squared gradients."""

    algorithm: Literal["RMSprop"]
    lr: Positive
    alpha: NotNegative = 0.99
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    momentum: NotNegative = 0.0
    centered: bool = False
    maximize: bool = False


class AdadeltaSettings(Settings):
    """Steps in proportion to the root of the average of the squared steps."""

    algorithm: Literal["Adadelta"]
    lr: Positive
    rho: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.9
    eps: NotNegative = 1e-6
    weight_decay: NotNegative = 0.0
    maximize: bool = False


class AdamaxSettings(Settings):
    """Adam with the largest gradient of late."""

    algorithm: Literal["Adamax"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    maximize: bool = False


class NAdamSettings(Settings):
    """Adam with Nesterov's momentum."""

    algorithm: Literal["NAdam"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    momentum_decay: NotNegative = 4e-3
    decoupled_weight_decay: bool = False
    maximize: bool = False


class RAdamSettings(Settings):
    """Adam with a rectified variance."""

    algorithm: Literal["RAdam"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    decoupled_weight_decay: bool = False
    maximize: bool = False


class RpropSettings(Settings):
    """Steps whose length follows from the signs of the gradients."""

    algorithm: Literal["Rprop"]
    lr: Positive
    etas: NumberPair = (0.5, 1.2)
    step_sizes: NumberPair = (1e-6, 50.0)
    maximize: bool = False

    @field_validator("etas")
    @classmethod
    def _shorter_and_longer(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < 1 < value[1]:
            raise ValueError(f"etas should be one number below 1 and one above, but is {value}")
        return value


OptimizerSettings = Annotated[
    SGDSettings
    | AdamSettings
    | AdamWSettings
    | AdagradSettings
    | RMSpropSettings
    | AdadeltaSettings
    | AdamaxSettings
    | NAdamSettings
    | RAdamSettings
    | RpropSettings,
    Field(discriminator="algorithm"),
]

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
