"""The optimizers of an experiment's file.

The settings are those of the class of that name in ``torch.optim``, with its defaults; only the
learning rate must be given.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from compare.spec.settings import Finite, FractionPair, NotNegative, NumberPair, Positive, Settings


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
