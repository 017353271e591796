"""What a run leaves behind, and how it is read again.

A run directory holds

- ``run.json``: the whole experiment, data, environment, and a summary of each training;
- ``history.csv``: losses and accuracies of both backends;
- ``parity.csv``: every comparison that was made, with its error, its bound and its verdict;
- ``drift.csv``: distances between right runs that differ in rounding alone;
- ``timing.csv``: seconds of each training step, side by side;
- ``gradients.csv``: lengths of the gradients, where the experiment has them recorded;
- of a demonstration, beside ``parity.csv``, only ``paths.csv``, or ``layers.csv`` and
  ``histogram.csv``;
- ``weights/*.safetensors``: the final weights of both backends;
- ``predictions.safetensors`` and ``pictures.safetensors``: predicted classes with the
  probabilities that they were given, and the inputs that the report shows;
- ``export/``: of networks that were exported, the files and other programs' answers;
- ``report/``: the report, made from all of the above and from nothing else.

Neither NumPy layers nor PyTorch are imported here: a report needs only this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compare.records.tables import (
    APART,
    TABLES,
    DriftRow,
    GradientRow,
    HistogramRow,
    HistoryRow,
    LayerRow,
    ParityRow,
    PathRow,
    TimingRow,
    read_table,
)
from compare.records.validation import (
    LARGEST,
    MOST_BYTES,
    Commit,
    Count,
    Finite,
    Repository,
    Seconds,
    Seed,
    Time,
    check_pictures,
    check_predictions,
    check_trainings,
    readable_tree,
)
from compare.spec.demos import Demo
from compare.spec.experiment import Configuration, Experiment
from compare.spec.settings import Positive
from experiments.errors import InputError
from experiments.files import printable, read_bytes, read_text, reason

SCHEMA = 2
ARRAYS = ("predictions", "pictures")


class Record(BaseModel):
    """A part of run.json. An infinity, which JSON does not have, is written as a string."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class DataRecord(Record):
    """What the data was: not where the machine kept it, but what it is.

    Attributes:
        class_counts: Split → how many rows of each class; empty in older records.
        input_range: The least and the largest training input; None in older records.
    """

    name: str
    title: str
    source: str
    licence: str
    digests: dict[str, str]
    class_names: list[str]
    input_shape: list[Count]
    train_rows: Count
    validation_rows: Count
    test_rows: Count
    class_counts: dict[str, list[Count]] = Field(default_factory=dict)
    input_range: tuple[Finite, Finite] | None = None


class Environment(Record):
    """Where the run took place.

    Attributes:
        load: How many processes wanted to compute as the run began, on average over the minute
            before; None where it is not known.
    """

    processor: str
    cores: Count
    memory_bytes: Count
    system: str
    python: str
    numpy: str
    numpy_blas: str
    numpy_threads: int
    torch: str
    torch_blas: str
    torch_threads: int
    nncompare: str
    load: Seconds | None = None


class Initial(Record):
    """The comparison at step 0, before anything was trained.

    Attributes:
        values: How many parameter values were compared.
        differing_bits: How many of their bits differed.
        copied: Whether PyTorch was then given NumPy's values.
    """

    values: Count
    differing_bits: Count
    copied: bool


class CertifiedPlan(Record):
    """Which steps of a training are certified, decided before its first.

    Attributes:
        rule: Why so many: ``all`` and ``number`` as was asked for, ``file`` as the experiment's
            ``first_steps`` and ``every`` say, ``auto`` so that they take a fifth of the time.
        planned: How many.
        plain_steps: What one is estimated to cost, in steps of one backend.
        few_rows: How many rows of a batch the checks in float64 take; None for all of them.
        steps: Which, from 0; empty where all are.
    """

    rule: Literal["all", "number", "file", "auto"]
    planned: Count
    plain_steps: Positive
    few_rows: Count | None = None
    steps: list[Count] = Field(default_factory=list)


class ReplicaPlan(Record):
    """How many replicas follow a training, and for how many steps, decided before its first.

    Attributes:
        rule: Why so many: ``file`` as the experiment says, ``auto`` so that they take a twentieth
            of the time.
        count: How many; the float64 run comes on top. 0 for none at all.
        steps: How many steps they follow.
        plain_steps: What a step of all of them is estimated to cost, in steps of one backend.
    """

    rule: Literal["file", "auto"]
    count: Count
    steps: Count
    plain_steps: Annotated[float, Field(ge=0)]


class KinkCount(Record):
    """Places where NumPy's float32 and the float64 referee lie on different sides of a kink."""

    step: Annotated[int, Field(ge=-1, lt=LARGEST)]
    places: Count
    flips: Count
    largest: float


class NamedMistake(Record):
    """What accounts for the first divergence: a code of docs/mistakes.md, and a sentence."""

    site: str
    code: str
    explanation: str


class Tolerances(Record):
    """The bounds that the run was judged by; their reasons are in ``compare.parity.tolerances``.

    Attributes:
        k: A float32 value of NumPy's may be so many times as far from the float64 referee as
            PyTorch's is.
        largest_measured: The largest such factor that was measured on right runs when ``k`` was
            chosen; None in older records.
        floor_ulp: Where PyTorch's is nearer than this, in units of roundoff, this counts instead.
        float64: The bound of float64 values, where no sum has more terms than that allows.
        unit_roundoff: Precision → its unit of roundoff.
    """

    k: Positive
    largest_measured: Positive | None = None
    floor_ulp: Positive
    float64: Positive
    unit_roundoff: dict[str, Positive]


class FollowedValue(Record):
    """One number with all that its verdict rests on, so that a reader can check it by hand.

    Attributes:
        step: The step.
        site: Where in the step.
        dtype: The precision that it was computed in.
        index: Its place in the array.
        numpy: NumPy's value.
        torch: PyTorch's in the same precision.
        referee: PyTorch's in float64.
        size: What was summed to make it, in absolute values.
        numpy_error: NumPy's error in units of the size: the largest of the array, which is here.
        torch_error: PyTorch's largest error in the array, perhaps at another place.
        tolerance: The bound.
    """

    step: Annotated[int, Field(ge=-1, lt=LARGEST)]
    site: str
    dtype: str
    index: list[Count]
    numpy: float
    torch: float
    referee: float
    size: float
    numpy_error: float
    torch_error: float
    tolerance: float


class Growth(Record):
    """Where the distance between the weights of the two backends grew most.

    Attributes:
        first, last: The steps after which it was measured, one after the other.
        before, after: The distance there, relative to the size of PyTorch's weights.
        replayed: How many steps between were made once more; 0 where they could not be.
        too_dear: Whether they were not because that would have cost too much of the run's time.
        step: The one at which it grew most; None where none was made once more.
        step_before, step_after: The distance before and after that step.
        sides, inputs: How many inputs of activations with a kink at 0 lay on different sides in
            that step, and of how many.
        elsewhere: How many did in the other steps together.
        module: The activation of the first of them.
        numpy, torch: The input itself, on both backends.
        same_side: The distance after that step where PyTorch takes NumPy's value for these inputs;
            None where that was not tried.
    """

    first: Count
    last: Count
    before: float
    after: float
    replayed: Count = 0
    too_dear: bool = False
    step: Count | None = None
    step_before: float = 0.0
    step_after: float = 0.0
    sides: Count = 0
    inputs: Count = 0
    elsewhere: Count = 0
    module: str = ""
    numpy: float = 0.0
    torch: float = 0.0
    same_side: float | None = None

    @property
    def factor(self) -> float:
        """How many times as large the distance became."""
        return self.after / self.before if self.before > 0 else math.inf

    @property
    def is_sudden(self) -> bool:
        """Whether half of the growth, or more, is that of one step."""
        if self.step is None or self.step_before <= 0:
            return False
        return self.step_after / self.step_before >= self.factor**0.5

    @property
    def from_sides(self) -> float | None:
        """The share of the distance after the step that the sides account for."""
        if self.step is None or self.same_side is None or self.step_after <= 0:
            return None
        return 1 - self.same_side / self.step_after


class Opening(Record):
    """The first steps of a training, made once more to see when activations lie on two sides.

    Attributes:
        steps: How many were made.
        step: The first in which an input of an activation with a kink at 0 lay on one side in
            NumPy and on the other in PyTorch; None where none did in any of them.
        last, inputs: In how many inputs the two differed so in the last of them, and of how many.
        after: How far apart the two were after the last.
        same_side: How far where PyTorch took NumPy's value for every such input in these steps;
            None where that was not tried.
        effective, effective_same_side: The same without the biases before a batch normalisation,
            which it cancels; None where there are none.
    """

    steps: Count
    step: Count | None = None
    last: Count = 0
    inputs: Count = 0
    after: float = 0.0
    same_side: float | None = None
    effective: float | None = None
    effective_same_side: float | None = None

    @property
    def cancels(self) -> bool:
        """Whether a normalisation cancels biases, and what it leaves was measured both times."""
        return self.effective is not None and self.effective_same_side is not None

    @property
    def from_sides(self) -> float | None:
        """The share of the distance, or of what is not cancelled, that the sides account for."""
        whole, left = self.after, self.same_side
        if self.cancels:
            whole, left = self.effective or 0.0, self.effective_same_side
        return None if left is None or whole <= 0 else 1 - left / whole


class Handover(Record):
    """Some of the last steps of a training, made once more by PyTorch from NumPy's state.

    Attributes:
        first, last: After which step they began, and after which they end.
        before, after: How far the two backends are apart there, relative to the weights of PyTorch.
        handed: How far NumPy is, at the end, from PyTorch as it went on from NumPy's state.
        fewest, most, inputs: In how few and how many inputs of activations with a kink at 0 the
            two backends lay on different sides in one of these steps, and of how many.
    """

    first: Count
    last: Count
    before: float
    after: float
    handed: float
    fewest: Count = 0
    most: Count = 0
    inputs: Count = 0


class Control(Record):
    """Known mistakes that were put into a network of the run on purpose, before it began.

    Attributes:
        part: The class of the layer, loss or optimizer.
        rows: How many rows they were tried on.
        tried: How many mistakes, one at a time.
        noticed: With how many of them a comparison failed.
        missed: The codes of the others.
        least: The code of the noticed one that exceeds its bound least; empty where there is none.
        explanation: That mistake in words.
        over_bound: Its error over the bound; None where the bound is 0 or there is none.
    """

    part: str
    rows: Count
    tried: Count
    noticed: Count
    missed: list[str] = Field(default_factory=list)
    least: str = ""
    explanation: str = ""
    over_bound: float | None = None


class SidesApart(Record):
    """Inputs of activations with a kink at 0, on test rows, after a training.

    Attributes:
        sides: How many lie on one side of the kink on NumPy and on the other on PyTorch.
        inputs: Of how many.
        rows: On so many test rows; 0 in older records, which do not tell.
    """

    sides: Count
    inputs: Count
    rows: Count = 0


WEIGHTS, RUNNING = "weights", "running statistics"
CANCELLED = "biases before a batch normalisation"
TOGETHER = f"{WEIGHTS} and {RUNNING}"
"""Names of parts of a network that the report tells apart."""


class DistancePart(Record):
    """A part of the network, and what it has in the distance at the end of a training.

    Attributes:
        name: Which part.
        share: Of the squared distance of all that the network holds.
        loss_difference: NumPy's loss on the test rows less that of PyTorch's network with NumPy's
            values in this part; None where there are no test rows.
    """

    name: str
    share: float
    loss_difference: float | None = None


class FirstStep(Record):
    """How far NumPy's weights are from those of PyTorch's float64 run after the first step.

    Attributes:
        distance: Relative to the size of the weights.
        part: The part of the network that holds most of it.
        share: Of the squared distance.
    """

    distance: float
    part: str
    share: float


class TrainingRecord(Record):
    """The summary of one training with both backends.

    Attributes:
        label: The optimizer's, and those of the cases that are varied beside it.
        variant: Axis → case.
        seed: Its seed.
        finished: False while it goes on, and for ever if the run was broken off.
        steps: Updates made.
        parameters: How many values are trained.
        parity_rows: How many rows of parity.csv are its own, to notice when some are missing.
        initial: The comparison at step 0.
        kinks: Where the two precisions fall on different sides of a kink, at certified steps.
        planned: Which steps were to be certified and why; None in older records.
        replicas: How many followed it, how far and why; None in older records.
        evaluated: How many rows of the training set were evaluated before the end, if not all.
        evaluation_rows: On how many rows evaluation mode was certified at the end; None where it
            was not, as in older records.
        modules: Name → the module as it prints itself, for the modules that hold no others.
        mistake: The named mistake behind the first divergence, where there is one.
        followed: The number of the first comparison that fails, or else of the passing float32
            comparison nearest to its bound; None in older records.
        growth: Where the two backends parted most quickly; None where they parted steadily.
        opening: When the sides of activations first differed; None where that was not looked for.
        handover: What PyTorch made of NumPy's state near the end; None where it was not tried.
        first_step: How far NumPy is from the float64 run after the first step; None without one.
        early_growth: Where NumPy and the float64 run parted most quickly, while they were followed.
        parts: What lies apart at the end.
        sides: Inputs of activations on different sides of the kink at the end; None where there
            were no test rows.
        wall_s: Seconds that the training took, with all comparisons.
        cpu_s: Seconds of them that its process had a processor, of all its threads; None in older
            records.
    """

    label: str
    variant: dict[str, str] = Field(default_factory=dict)
    seed: Seed
    finished: bool
    steps: Count
    parameters: Count
    parity_rows: Count
    initial: Initial
    kinks: list[KinkCount]
    planned: CertifiedPlan | None = None
    replicas: ReplicaPlan | None = None
    evaluated: Count | None = None
    evaluation_rows: Count | None = None
    modules: dict[str, str] = Field(default_factory=dict)
    mistake: NamedMistake | None = None
    followed: FollowedValue | None = None
    growth: Growth | None = None
    opening: Opening | None = None
    handover: Handover | None = None
    first_step: FirstStep | None = None
    early_growth: Growth | None = None
    parts: list[DistancePart] = Field(default_factory=list)
    sides: SidesApart | None = None
    wall_s: Seconds
    cpu_s: Seconds | None = None


class FailureRecord(Record):
    """A training that ended in an error, where others went on.

    Attributes:
        label: The training's.
        seed: Its seed.
        error: The last line of the error and its place, or how its process ended.
        traceback: The whole of the error; empty where a process died.
    """

    label: str
    seed: Seed
    error: str
    traceback: str = ""


class RunRecord(Record):
    """The content of run.json.

    ``sources`` has whole files, ``excerpts`` class → the few lines that compute it, ``called``
    file → what these call in it as far as a step of ``followed_rows`` rows and an evaluation come
    through it, ``controls`` what the comparisons say of known mistakes,
    ``repository`` the address that the code was cloned from, if it is public; older records have
    none of these.
    """

    schema_version: int = Field(alias="schema")
    status: Literal["complete", "incomplete"]
    name: str
    created: Time
    command: str
    commit: Commit | None
    repository: Repository | None = None
    sample: bool
    max_steps: Count | None
    experiment: Experiment
    data: DataRecord
    environment: Environment
    sources: dict[str, str]
    excerpts: dict[str, str] = Field(default_factory=dict)
    called: dict[str, str] = Field(default_factory=dict)
    followed_rows: Count | None = None
    controls: list[Control] = Field(default_factory=list)
    tolerances: Tolerances
    trainings: list[TrainingRecord]
    failures: list[FailureRecord] = Field(default_factory=list)

    @property
    def has_arrays(self) -> bool:
        """Whether predictions and pictures must be there: those of a finished training run."""
        return self.status == "complete" and isinstance(self.experiment, Experiment)


NO_DATA = DataRecord(
    name="none",
    title="no data set",
    source="",
    licence="",
    digests={},
    class_names=[],
    input_shape=[],
    train_rows=0,
    validation_rows=0,
    test_rows=0,
)


class DemoRecord(RunRecord):
    """The content of a demonstration's run.json.

    A training is an optimizer's path, or a network of one activation and one spread of the weights
    with one seed.
    """

    experiment: Demo = Field(discriminator="kind")  # type: ignore[assignment]
    data: DataRecord = NO_DATA


def predicted_key(backend: str, training: TrainingRecord) -> str:
    """The name of a backend's test predictions in ``predictions.safetensors``."""
    return f"{backend}/{training.label}/{training.seed}"


def confidence_key(backend: str, training: TrainingRecord) -> str:
    """The name of a backend's confidences in ``predictions.safetensors``.

    They are the probabilities that it gives to the classes it predicts, where its outputs say so.
    """
    return f"confidence/{predicted_key(backend, training)}"


@dataclass
class Run:
    """A run directory, read."""

    path: Path
    record: RunRecord
    history: list[HistoryRow]
    parity: list[ParityRow]
    drift: list[DriftRow]
    timing: list[TimingRow]
    predictions: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]
    gradients: list[GradientRow] = field(default_factory=list)
    paths: list[PathRow] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    histogram: list[HistogramRow] = field(default_factory=list)

    @cached_property
    def curves(self) -> dict[tuple[str, str, int, str, str], list[HistoryRow]]:
        """(backend, label, seed, split, metric) → the rows of history.csv, in order."""
        found: dict[tuple[str, str, int, str, str], list[HistoryRow]] = {}
        for row in self.history:
            key = (row.backend, row.label, row.seed, row.split, row.metric)
            found.setdefault(key, []).append(row)
        return found

    @cached_property
    def _rows(self) -> dict[tuple[str, str, int], list[Any]]:
        """(table, label, seed) → the rows of a table that names both, in order."""
        found: dict[tuple[str, str, int], list[Any]] = {}
        tables: dict[str, list[Any]] = {
            "parity": self.parity,
            "drift": self.drift,
            "timing": self.timing,
            "gradients": self.gradients,
        }
        for name, rows in tables.items():
            for row in rows:
                found.setdefault((name, row.label, row.seed), []).append(row)
        return found

    def drift_of(self, training: TrainingRecord) -> list[DriftRow]:
        """How far NumPy, PyTorch and the replicas are from the float64 run."""
        return [row for row in self._drift(training) if row.run != APART]

    def apart(self, training: TrainingRecord) -> list[DriftRow]:
        """How far NumPy is from PyTorch, along the whole training."""
        return [row for row in self._drift(training) if row.run == APART]

    def _drift(self, training: TrainingRecord) -> list[DriftRow]:
        return self._rows.get(("drift", training.label, training.seed), [])

    def timing_of(self, training: TrainingRecord) -> list[TimingRow]:
        """The rows of timing.csv that belong to one training."""
        return self._rows.get(("timing", training.label, training.seed), [])

    def gradients_of(self, training: TrainingRecord) -> list[GradientRow]:
        """The rows of gradients.csv that belong to one training."""
        return self._rows.get(("gradients", training.label, training.seed), [])

    @cached_property
    def configurations(self) -> dict[str, Configuration]:
        """Label of a training → the settings that it had."""
        return {
            configuration.label: configuration
            for configuration in self.record.experiment.configurations
        }

    @cached_property
    def steps_per_epoch(self) -> dict[str, int]:
        """Label of a training → updates in a whole epoch, the last short batch included."""
        rows = self.record.data.train_rows
        return {
            label: max(1, -(-rows // configuration.experiment.training.batch_size))
            for label, configuration in self.configurations.items()
        }

    def parity_of(self, training: TrainingRecord) -> list[ParityRow]:
        """The rows of parity.csv that belong to one training."""
        return self._rows.get(("parity", training.label, training.seed), [])


TRAINING_TABLES = ["history", "parity", "drift", "timing", "gradients"]
DEMO_TABLES = {
    "optimizer_paths": ["parity", "paths"],
    "activation_histograms": ["parity", "layers", "histogram"],
}


def tables_of(experiment: Experiment | Demo) -> list[str]:
    """The tables that a run of an experiment has: gradients only where it records them."""
    if not isinstance(experiment, Experiment):
        return DEMO_TABLES[experiment.kind]
    recorded = any(
        configuration.experiment.training.gradient_norms
        for configuration in experiment.configurations
    )
    return [name for name in TRAINING_TABLES if name != "gradients" or recorded]


def read_run_record(path: Path) -> RunRecord:
    """Read ``run.json`` of a run directory.

    Raises:
        InputError: Not a run directory, a damaged file, or one of another schema version.
    """
    import json

    file = path / "run.json"
    try:
        if not path.is_dir():
            raise InputError(f"{path} is not a folder: expected a run directory with a run.json.")
    except (OSError, ValueError) as error:
        raise InputError(f"{file} could not be read: {reason(error)}.") from None
    try:
        tree = readable_tree(json.loads(read_text(file, MOST_BYTES)))
    except FileNotFoundError:
        raise InputError(f"{path} is not a run directory: it has no run.json.") from None
    except RecursionError:
        raise InputError(f"{file} is damaged: its values are nested too deeply.") from None
    except ValueError as error:
        raise InputError(f"{file} is damaged: {error}.") from None
    version = tree.get("schema") if isinstance(tree, dict) else None
    if type(version) is not int or version != SCHEMA:
        newer = isinstance(version, int) and version > SCHEMA
        way_out = "use a newer nncompare" if newer else "make the run again"
        raise InputError(f"{file} has schema {version!r}, expected {SCHEMA}: {way_out}.")
    experiment = tree.get("experiment")
    demo = isinstance(experiment, dict) and "kind" in experiment
    try:
        record = (DemoRecord if demo else RunRecord).model_validate_json(json.dumps(tree))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part)[:80] for part in problem["loc"])
        raise InputError(f"{file} is damaged: {key}: {problem['msg'][:500]}.") from None
    check_trainings(record, file)
    return record


def read_run(path: Path) -> Run:
    """Read everything that the report needs from a run directory.

    An incomplete run may have no predictions and no pictures; they are then empty.

    Raises:
        InputError: Not a run directory, or a file of it is missing, damaged, or contradicts
            another.
    """
    record = read_run_record(path)
    tables: dict[str, list[Any]] = {name: [] for name in TABLES}
    for name in tables_of(record.experiment):
        tables[name] = read_table(path / f"{name}.csv", name)
    from compare.records.consistency import check_consistent

    check_consistent(path, record, tables)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for name in ARRAYS:
        file = path / f"{name}.safetensors"
        needed = record.has_arrays or file.exists()
        arrays[name] = read_arrays(file) if needed else {}
    check_predictions(record, arrays["predictions"], path / "predictions.safetensors")
    rows = len(arrays["predictions"].get("targets", ())) or None
    check_pictures(arrays["pictures"], rows, path / "pictures.safetensors")
    return Run(
        path,
        record,
        predictions=arrays["predictions"],
        pictures=arrays["pictures"],
        **tables,
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(read_bytes(path))
    except FileNotFoundError:
        raise InputError(f"{path} is missing from the run directory.") from None
    # All but the first: a type that NumPy does not have, or a shape that no memory holds.
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path} is damaged: {printable(str(error))[:200]}.") from None
