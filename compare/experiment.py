"""The form of an experiment: what a TOML file may say, and what it then means.

Nothing here knows NumPy or PyTorch layers; the two sides are built from this form elsewhere.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from compare.form import Finite, Form, Fraction, FractionPair, NotNegative, Positive
from compare.optimizer_forms import Others
from experiments.initialisation import Scheme


class Data(Form):
    """Which data, and which rows of it.

    Attributes:
        name: A data set of ``nncompare list``.
        sample: The small data set that ``--sample`` uses instead.
        limit: Use only the first so many rows of the training set.
        validation: The share of those rows, taken from their end, that is held out.
        layout: ``flat`` gives the network (N, features), ``image`` gives (N, channels, H, W).
    """

    name: str
    sample: str | None = None
    limit: Annotated[int, Field(gt=0)] | None = None
    validation: Fraction = 0.0
    layout: Literal["flat", "image"] = "flat"


class Model(Form):
    """The network: a function of a namespace, its arguments, and how its weights start.

    Attributes:
        architecture: A function of ``experiments.architectures``, or ``FILE.py:FUNCTION``.
        arguments: Keyword arguments of that function.
        initialisation: A scheme of ``experiments.initialisation``.
        std: Standard deviation of the weights, for ``initialisation = "normal"``.
    """

    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    initialisation: Scheme = "kaiming_uniform"
    std: Positive = 0.01

    @field_validator("arguments")
    @classmethod
    def _arguments_are_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        """What JSON cannot hold would not come back from run.json as it was."""
        for key, argument in value.items():
            if not _plain(argument):
                raise ValueError(
                    f"model.arguments.{key} should be made of finite numbers, strings, booleans, "
                    f"lists and tables, but is {argument!r}"
                )
        return value


class Training(Form):
    """How long, in which portions, and from which seeds.

    Attributes:
        epochs: Passes over the training set.
        batch_size: Rows in a batch; the last batch of an epoch holds what is left.
        loss: A loss class of both namespaces.
        dtype: What both sides compute in.
        seeds: Each seed is a training of its own.
    """

    epochs: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=0)]
    loss: Literal["CrossEntropyLoss"] = "CrossEntropyLoss"
    dtype: Literal["float32", "float64"] = "float32"
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = Field(
        default_factory=lambda: [0]
    )

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"training.seeds should hold each seed once, but is {value}")
        return value


class SGD(Form):
    """Stochastic gradient descent; the settings of ``torch.optim.SGD``."""

    algorithm: Literal["SGD"]
    lr: Positive
    momentum: NotNegative = 0.0
    dampening: Finite = 0.0
    weight_decay: NotNegative = 0.0
    nesterov: bool = False
    maximize: bool = False


class Adam(Form):
    """Adam; the settings of ``torch.optim.Adam``."""

    algorithm: Literal["Adam"]
    lr: Positive
    betas: FractionPair = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    amsgrad: bool = False
    maximize: bool = False


Optimizer = Annotated[SGD | Adam | Others, Field(discriminator="algorithm")]


class Reported(Form):
    """A published figure that the report sets beside ours.

    Attributes:
        quantity: ``train loss`` is the mean over an epoch's batches, in training mode; the
            others are evaluations at the end of an epoch.
        optimizer: The label of the training it belongs to.
        by: Who reported it: a framework or an author.
        value: The figure.
        epoch: After which epoch; the last one if absent.
        note: Words that belong to the figure, such as "up to".
    """

    quantity: Literal[
        "train loss",
        "train accuracy",
        "validation loss",
        "validation accuracy",
        "test loss",
        "test accuracy",
    ]
    optimizer: str
    by: str
    value: Finite
    epoch: Annotated[int, Field(gt=0)] | None = None
    note: str = ""


class Parity(Form):
    """Which steps are certified, and how many PyTorch replicas show the usual drift.

    Attributes:
        first_steps: Every one of the first so many steps is certified.
        every: After those, each step whose number is a multiple of this; by default about
            forty more, spread over the training.
        replicas: Extra PyTorch trainings that differ from the main one in rounding alone.
        replica_steps: How many steps the replicas and their reference run.
    """

    first_steps: Annotated[int, Field(ge=1)] = 20
    every: Annotated[int, Field(ge=1)] | None = None
    replicas: Annotated[int, Field(ge=0, le=8)] = 3
    replica_steps: Annotated[int, Field(ge=0)] = 300


class Experiment(Form):
    """One experiment: a network trained from each seed with each optimizer, on both sides."""

    title: str
    summary: str
    task: str
    data: Data
    model: Model
    training: Training
    optimizers: Annotated[dict[str, Optimizer], Field(min_length=1)]
    reported: list[Reported] = Field(default_factory=list)
    parity: Parity = Parity()

    @field_validator("optimizers", mode="before")
    @classmethod
    def _label_names_the_algorithm(cls, value: Any) -> Any:
        """``[optimizers.Adam]`` needs no ``algorithm``; any other label must give one."""
        if not isinstance(value, dict):
            return value
        return {
            label: {"algorithm": label, **settings} if isinstance(settings, dict) else settings
            for label, settings in value.items()
        }

    @field_validator("optimizers")
    @classmethod
    def _labels_can_name_files(cls, value: dict[str, Any]) -> dict[str, Any]:
        for label in value:
            if not re.fullmatch(r"\w([\w .+-]*[\w+])?", label, re.ASCII):
                raise ValueError(
                    f"optimizers: the label {label!r} should be made of letters, digits, spaces "
                    "and . _ + - alone: the files of its weights are named after it"
                )
        return value

    @model_validator(mode="after")
    def _referee_has_the_state(self) -> Experiment:
        """PyTorch keeps one number of NAdam in float32, and in float64 only after loading."""
        for label, optimizer in self.optimizers.items():
            if optimizer.algorithm == "NAdam" and self.training.dtype == "float64":
                raise ValueError(
                    f"optimizers.{label}: a training with NAdam in float64 cannot be certified, "
                    'since PyTorch rounds its mu_product to float32: use dtype = "float32"'
                )
        return self

    @model_validator(mode="after")
    def _reported_figures_belong_to_a_training(self) -> Experiment:
        for figure in self.reported:
            if figure.optimizer not in self.optimizers:
                raise ValueError(
                    f"reported: {figure.quantity} {figure.value} is for the optimizer "
                    f"{figure.optimizer!r}, but the optimizers are {', '.join(self.optimizers)} "
                    "(reported = [] leaves all such figures out)"
                )
        return self


def _plain(value: Any) -> bool:
    """Whether JSON gives this value back as it was."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return isinstance(value, str | bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    )
