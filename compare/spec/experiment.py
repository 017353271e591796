"""An experiment: the settings that its TOML file may have, and the configurations they make.

Nothing here knows NumPy or PyTorch layers: both backends are built from these settings elsewhere.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator

from compare.spec.optimizers import OptimizerSettings, ScheduleSettings
from compare.spec.report import (
    Claim,
    EquivalenceSettings,
    FigureSettings,
    ReportedValue,
    ReportSettings,
    Selection,
)
from compare.spec.settings import Fraction, Positive, Settings
from compare.spec.vary import AxisSettings, Changes, changed, check_label, combinations, setting
from experiments.initialisation import Scheme

OPTIMIZER = "optimizer"
"""The name of the first axis: which of the optimizers."""

REPORT_TABLES = ("vary", "figures", "claims", "reported")
"""The tables that belong to the experiment as a whole: a single configuration has none of them."""

MOST_CONFIGURATIONS, MOST_TRAININGS = 10_000, 100_000

VARIED_TABLES = ("data", "model", "training", "optimizers", "parity")
"""The tables that a case of ``vary`` may change."""


class DataSettings(Settings):
    """Which data, and which rows of it.

    Attributes:
        name: A data set of ``nncompare list``, or an ``.npz`` file beside the experiment's.
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


class ModelSettings(Settings):
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


class TrainingSettings(Settings):
    """How long, in which portions, and from which seeds.

    Attributes:
        epochs: Passes over the training set.
        steps: Stop after so many updates, within an epoch if need be.
        batch_size: Rows in a batch; the last batch of an epoch holds what is left.
        loss: A loss class of both namespaces. ``CrossEntropyLoss`` and ``NLLLoss`` take one
            output a class, ``BCELoss`` and ``BCEWithLogitsLoss`` one output for two classes, the
            others one output whose nearest integer is the class.
        dtype: The precision of both backends.
        seeds: Each seed is a training of its own.
        evaluate_every: Evaluate all splits after every so many epochs, and after the last.
        evaluate_rows: Evaluate the first so many rows of each split. If absent, all of them, but
            of a training set beyond 10,000 rows the first 10,000 before the end of the training.
        decay_biases: Whether weight decay acts on vectors too (biases, γ and β of BatchNorm), or
            on weights of two and more dimensions alone.
        gradient_norms: Whether the length of every parameter's gradient is recorded, at each
            step.
        schedule: How the learning rate changes along the training; constant if absent. A table
            with the ``name`` of a class of both ``lr_scheduler`` modules, its settings, and
            ``every = "epoch"`` or ``"step"``, after which the schedule goes on.
    """

    epochs: Annotated[int, Field(gt=0)]
    steps: Annotated[int, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)]
    loss: Literal[
        "CrossEntropyLoss",
        "NLLLoss",
        "BCELoss",
        "BCEWithLogitsLoss",
        "MSELoss",
        "L1Loss",
        "SmoothL1Loss",
        "HuberLoss",
    ] = "CrossEntropyLoss"
    dtype: Literal["float32", "float64"] = "float32"
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = Field(
        default_factory=lambda: [0]
    )
    evaluate_every: Annotated[int, Field(gt=0)] = 1
    evaluate_rows: Annotated[int, Field(gt=0)] | None = None
    decay_biases: bool = True
    gradient_norms: bool = False
    schedule: ScheduleSettings | None = None

    @field_validator("schedule", mode="before")
    @classmethod
    def _no_metric_is_followed(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") == "ReduceLROnPlateau":
            raise ValueError(
                "training.schedule: ReduceLROnPlateau follows a metric of the run, which rounding "
                "makes another one for each backend, so that both would be trained at different "
                "rates: use another schedule"
            )
        return value

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"training.seeds should hold each seed once, but is {value}")
        return value


class ParitySettings(Settings):
    """Which steps are certified, and how many PyTorch replicas show the usual drift.

    Attributes:
        certify: ``all`` steps, so many, or ``auto`` for as many as take a fifth of the time, at
            most 30. By default what ``first_steps`` and ``every`` say if there is one of them,
            else ``auto``.
        first_steps: Every one of the first so many steps is certified; 20 if ``every`` is given
            alone.
        every: After those, each step whose number is a multiple of this; if ``first_steps`` is
            given alone about ten more, spread over the training.
        replicas: Extra PyTorch trainings that differ from the main one in rounding alone; by
            default two, or one where two would follow fewer than ten steps.
        replica_steps: How many steps the replicas and their reference run; by default as many as
            take a twentieth of the time, at most 100.
    """

    certify: str | int | None = None
    first_steps: Annotated[int, Field(ge=1)] | None = None
    every: Annotated[int, Field(ge=1)] | None = None
    replicas: Annotated[int, Field(ge=0, le=8)] | None = None
    replica_steps: Annotated[int, Field(ge=0)] | None = None

    @field_validator("certify")
    @classmethod
    def _certify_is_a_rule_or_a_number(cls, value: str | int | None) -> str | int | None:
        known = value > 0 if isinstance(value, int) else value in (None, "all", "auto")
        if not known:
            raise ValueError(
                "parity.certify should be 'all', 'auto' or a number of steps of at least 1, but is "
                f"{value!r}"
            )
        return value

    @property
    def chosen(self) -> Literal["all", "number", "file", "auto"]:
        """Which of the rules decides."""
        if isinstance(self.certify, int):
            return "number"
        if self.certify is None:
            return "file" if self.first_steps or self.every else "auto"
        return "all" if self.certify == "all" else "auto"


class Configuration(NamedTuple):
    """One combination of an experiment's cases; each seed makes a training of it.

    Attributes:
        label: The optimizer's label and the cases', in the order of the axes.
        variant: Axis → case, the optimizer first.
        experiment: The experiment with this combination's settings: it varies nothing.
    """

    label: str
    variant: dict[str, str]
    experiment: Experiment

    @property
    def optimizer(self) -> str:
        """The label of its optimizer."""
        return self.variant[OPTIMIZER]


class Experiment(Settings):
    """One experiment: networks trained on both backends, for every combination of what is varied.

    Attributes:
        title: The title of the report.
        summary: What it shows, in one line.
        task: What is to be done, for the report.
        minutes: How long it takes on two cores, roughly, for the list.
        data: Which data.
        model: Which network.
        training: How long, and from which seeds.
        optimizers: Label → optimizer; the first axis.
        vary: Axis → its cases: further things that are varied.
        figures: Figures of its own.
        claims: Sentences that the report decides.
        reported: Published figures.
        parity: Which steps are certified.
        equivalence: When both backends count as equally good.
        report: Whose the report is.
        small: The settings that ``--sample`` changes beside the data.
    """

    title: str
    summary: str
    task: str
    minutes: Positive | None = None
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
    optimizers: Annotated[dict[str, OptimizerSettings], Field(min_length=1)]
    vary: dict[str, AxisSettings] = Field(default_factory=dict)
    figures: list[FigureSettings] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)
    reported: list[ReportedValue] = Field(default_factory=list)
    parity: ParitySettings = ParitySettings()
    equivalence: EquivalenceSettings = EquivalenceSettings()
    report: ReportSettings = ReportSettings()
    small: Changes = Field(default_factory=dict)

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
            check_label("optimizers: the label", label)
        return value

    @field_validator("vary")
    @classmethod
    def _axes_have_names_of_their_own(
        cls, value: dict[str, AxisSettings]
    ) -> dict[str, AxisSettings]:
        for name in value:
            check_label("vary: the axis", name)
            if name == OPTIMIZER:
                raise ValueError(
                    f"vary: the axis {OPTIMIZER!r} is made of the optimizers: choose another name"
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
    def _every_combination_is_an_experiment(self) -> Experiment:
        found = math.prod(axis.count() for axis in self.vary.values()) * len(self.optimizers)
        if found > MOST_CONFIGURATIONS or found * len(self.training.seeds) > MOST_TRAININGS:
            raise ValueError(
                f"vary: {found:,} combinations from {len(self.training.seeds):,} seeds are too "
                f"many: expected at most {MOST_CONFIGURATIONS:,} combinations and "
                f"{MOST_TRAININGS:,} trainings"
            )
        labels = [configuration.label for configuration in self.configurations]
        twice = next((label for label, times in Counter(labels).items() if times > 1), None)
        if twice is not None:
            raise ValueError(f"vary: two trainings have the label {twice!r}: name the cases apart")
        return self

    @model_validator(mode="after")
    def _the_small_one_is_an_experiment(self) -> Experiment:
        _check_tables("small", self.small)
        if self.small:
            self._changed("small", self.small)
        return self

    @model_validator(mode="after")
    def _reported_figures_belong_to_a_training(self) -> Experiment:
        labels = [configuration.label for configuration in self.configurations]
        for figure in self.reported:
            if figure.label not in labels:
                raise ValueError(
                    f"reported: {figure.quantity} {figure.value} is for the optimizer "
                    f"{figure.label!r}, but the {'trainings' if self.vary else 'optimizers'} "
                    f"are {_listed(labels)} (reported = [] leaves all such figures out)"
                )
        return self

    @model_validator(mode="after")
    def _axes_exist(self) -> Experiment:
        axes = [OPTIMIZER, *self.vary]
        for figure in self.figures:
            for axis in figure.axes():
                if axis not in axes:
                    raise ValueError(
                        f"figures: the axis {axis!r} of {figure.kind!r} is not one of "
                        f"{', '.join(axes)}"
                    )
            if figure.kind == "gradient norms" and not self.training.gradient_norms:
                raise ValueError("figures: 'gradient norms' needs training.gradient_norms = true")
        for claim in self.claims:
            for selection in (claim.of, claim.than or {}):
                if not self.select(selection):
                    raise ValueError(
                        f"claims: {claim.says!r} selects {selection}, which is none of the "
                        f"trainings (axes: {', '.join(axes)}; claims = [] leaves all claims out)"
                    )
        return self

    @cached_property
    def configurations(self) -> list[Configuration]:
        """Every combination of the optimizers and the cases, in order."""
        if not self.vary:
            return [
                Configuration(label, {OPTIMIZER: label}, self._of_one(label))
                for label in self.optimizers
            ]
        found = []
        for optimizer in self.optimizers:
            for variant, changes in combinations(self.vary):
                label = " ".join([optimizer, *variant.values()])
                _check_changes(label, changes, self.optimizers)
                one = self._changed(f"vary: {label!r}", changes)._of_one(optimizer)
                found.append(Configuration(label, {OPTIMIZER: optimizer, **variant}, one))
        return found

    @property
    def trainings(self) -> list[tuple[Configuration, int]]:
        """Every configuration from every seed, in the order of the records: seed by seed."""
        return [
            (configuration, seed)
            for seed in self.training.seeds
            for configuration in self.configurations
        ]

    def _changed(self, what: str, changes: Changes) -> Experiment:
        """A single configuration: some settings changed, no report tables."""
        tree = self.model_dump(mode="json", exclude={*REPORT_TABLES, "small"})
        try:
            return Experiment.model_validate(changed(tree, changes))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"])
            raise ValueError(
                f"{what}: {key}: {problem['msg']}, but is {problem['input']!r}"
            ) from None

    def for_sample(self) -> Experiment:
        """The experiment as ``--sample`` runs it."""
        if not self.small:
            return self
        tree = self.model_dump(mode="json", exclude={"small"})
        return Experiment.model_validate(changed(tree, self.small))

    def model_copy(self, **settings: Any) -> Experiment:
        """A copy, whose configurations are its own."""
        copied = super().model_copy(**settings)
        copied.__dict__.pop("configurations", None)
        return copied

    def select(self, selection: Selection) -> list[Configuration]:
        """The configurations that a selection means."""
        found = self.configurations
        for key, choice in selection.items():
            if key == OPTIMIZER or key in self.vary:
                cases = [choice] if isinstance(choice, str) else choice
                found = [
                    configuration for configuration in found if configuration.variant[key] in cases
                ]
            elif isinstance(choice, list) and len(choice) == 2:
                low, high = choice
                found = [
                    configuration
                    for configuration in found
                    if _within(configuration.experiment, key, low, high)
                ]
            else:
                return []
        return found

    def _of_one(self, label: str) -> Experiment:
        """The same with one of the optimizers alone."""
        return self.model_copy(update={"optimizers": {label: self.optimizers[label]}})


def _check_tables(what: str, changes: Changes) -> None:
    for table, settings in changes.items():
        if table not in VARIED_TABLES or not isinstance(settings, dict):
            raise ValueError(
                f"{what} changes {table!r}: expected settings of {', '.join(VARIED_TABLES)}"
            )


def _check_changes(label: str, changes: Changes, optimizers: dict[str, Any]) -> None:
    _check_tables(f"vary: {label!r}", changes)
    if set(changes.get("data", {})) - {"layout"}:
        raise ValueError(
            f"vary: {label!r} changes {', '.join(changes['data'])} of the data: all trainings have "
            "the same rows, and only data.layout may vary"
        )
    if "evaluate_rows" in changes.get("training", {}):
        raise ValueError(f"vary: {label!r} changes training.evaluate_rows, the same for all")
    if "seeds" in changes.get("training", {}):
        raise ValueError(f"vary: {label!r} changes training.seeds, which are the same for all")
    for optimizer in changes.get("optimizers", {}):
        if optimizer not in optimizers:
            raise ValueError(
                f"vary: {label!r} changes the optimizer {optimizer!r}, but the optimizers are "
                f"{', '.join(optimizers)}"
            )


def _within(experiment: Experiment, key: str, low: Any, high: Any) -> bool:
    value = setting(experiment.model_dump(mode="json"), key)
    return isinstance(value, int | float) and low <= value <= high


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")


def _plain(value: Any) -> bool:
    """Whether JSON gives this value back as it was."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return isinstance(value, str | bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    )
