"""What a measurement leaves behind: the content of ``bench.json``.

Times are in seconds, memory in bytes. Nothing but pydantic and plain numbers: a report needs only
this.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compare.analysis.timings import Ratio, Spread
from compare.records.run import Environment
from experiments.errors import InputError

SCHEMA = 1
# One of several threads that has to wait for its core holds up all.
BUSY_LOAD = 0.5


class Record(BaseModel):
    """A part of bench.json. An infinity, which JSON does not have, is written as a string."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Times(Record):
    """The 5th, 25th, 50th, 75th and 95th percentiles of the time of a single step."""

    low_s: float
    quartile_s: float
    median_s: float
    upper_quartile_s: float
    high_s: float

    @classmethod
    def of(cls, spread: Spread) -> Times:
        """The record of a spread."""
        return cls(**spread._asdict())

    @property
    def spread(self) -> Spread:
        """The spread that was recorded."""
        return Spread(**self.model_dump())


class RatioRecord(Record):
    """A ratio of medians and its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def ratio(self) -> Ratio:
        """The ratio that was recorded."""
        return Ratio(self.value, self.low, self.high)


class AgreementRecord(Record):
    """How far a contender's results are from NumPy's, before it is timed.

    Attributes:
        kind: What was compared beside the losses: ``gradients`` or ``weights`` (their change by
            the first step).
        loss_error: Largest relative difference of the first losses; None where there are none.
        vector_error: Norm of the difference over the norm, all arrays together.
        loss_bound: What the one may be at most.
        vector_bound: What the other may be at most.
        agrees: Whether they are.
    """

    kind: str
    loss_error: float | None
    vector_error: float
    loss_bound: float
    vector_bound: float
    agrees: bool


class MemoryRecord(Record):
    """Peak memory of a process that does this work alone.

    Attributes:
        used_bytes: Above what it held with its library loaded and a step on two rows made.
        process_bytes: All that it held at its peak.
        method: How the peak was read.
    """

    used_bytes: int
    process_bytes: int
    method: str


Status = Literal["measured", "not installed", "not run", "differs"]
Group = Literal["numpy", "torch", "floor", "peer"]


class Measured(Record):
    """One contender in one case.

    Attributes:
        name: Its name in the catalogue.
        title: Its name in tables.
        group: Ours, PyTorch in one of its settings, the floor, or other people's code.
        version: Of the package that does the work.
        status: Whether it was measured, or why not.
        reason: Why not, in words.
        dtype: The precision that it computes in.
        agreement: Its results against NumPy's; None for what has no results.
        rounds: Blocks that were timed.
        steps: Timed steps of a block.
        untimed: Steps before them.
        step: The whole step.
        phases: Forward, backward and update, where they can be told apart.
        blocks_s: Median of each block, in the order of the rounds.
        over_numpy: Its time over NumPy's: above 1 where NumPy is faster.
        memory: Peak memory, where it was measured.
    """

    name: str
    title: str
    group: Group
    version: str | None
    status: Status
    reason: str = ""
    dtype: str = ""
    agreement: AgreementRecord | None = None
    rounds: int = 0
    steps: int = 0
    untimed: int = 0
    step: Times | None = None
    phases: dict[str, Times] = Field(default_factory=dict)
    blocks_s: list[float] = Field(default_factory=list)
    over_numpy: RatioRecord | None = None
    memory: MemoryRecord | None = None


class Case(Record):
    """One workload and everybody who was asked to do it.

    Attributes:
        title: In words.
        kind: ``step`` of a training, or a ``convolution`` alone.
        workload: The fields of the workload, with its seed.
        best_eager: PyTorch's fastest eager setting, by name.
        contenders: In the order of the catalogue.
    """

    title: str
    kind: Literal["step", "convolution"]
    workload: dict[str, Any]
    best_eager: str | None = None
    contenders: list[Measured]

    def of(self, name: str | None) -> Measured | None:
        """A contender that was measured, by its name."""
        found = (m for m in self.contenders if m.name == name and m.status == "measured")
        return next(found, None)


class LayerRecord(Record):
    """One layer alone, on the inputs that it gets in the network: seconds, medians by side."""

    name: str
    kind: str
    forward_s: dict[str, float]
    backward_s: dict[str, float]


class Profile(Record):
    """The layers of one network, each alone."""

    title: str
    workload: dict[str, Any]
    layers: list[LayerRecord]


class GrowthFit(Record):
    """t = c · nᵇ, fitted by least squares to the logarithms.

    Attributes:
        name: The contender.
        title: Its name in tables.
        median_s: Of each size.
        exponent: b.
        low: Lower end of its 95% interval (Student's t).
        high: Upper end.
        last: The exponent between the two largest sizes alone.
    """

    name: str
    title: str
    median_s: list[float]
    exponent: float
    low: float
    high: float
    last: float


class Growth(Record):
    """How the time of a step grows with one size of the network or the batch."""

    what: str
    title: str
    sizes: list[int]
    fits: list[GrowthFit]


class HarnessRecord(Record):
    """What the harness costs: a lock-step training over the two plain ones.

    Attributes:
        experiment: Its name.
        optimizer: Its label.
        threads: Of each library: as many as a run gives the network.
        steps: Updates of each.
        certified_steps: How many of them were certified.
        lockstep_s: Seconds of each epoch in lock step, certificates and replicas included.
        plain_s: Backend → seconds of each epoch of the plain training of that side.
        over_plain: Sum over sum, with a bootstrap interval over epochs.
    """

    experiment: str
    optimizer: str
    threads: int
    steps: int
    certified_steps: int
    lockstep_s: list[float]
    plain_s: dict[str, list[float]]
    over_plain: RatioRecord


class StartRecord(Record):
    """How long a command takes from nothing to its end."""

    command: str
    seconds: list[float]
    median_s: float


class Protocol(Record):
    """How it was measured.

    Attributes:
        name: ``processes``: each library in a process of its own; or ``one-process``.
        threads: Of each library.
        repeats: Rounds; in each every contender makes one block of steps, in a drawn order.
        seconds: What the timed steps of one contender take together, about.
        pause_s: Between blocks, for idle thread pools to fall asleep.
        compiler: Whether there was a C++ compiler for ``torch.compile``.
        environment: Variables that change how threads wait.
        load: Programs that wanted a core in the minute before, on average; None where the
            system does not say.
    """

    name: Literal["processes", "one-process"]
    threads: int
    repeats: int
    seconds: float
    pause_s: float
    compiler: bool
    environment: dict[str, str]
    load: float | None = None

    @property
    def busy(self) -> bool:
        """Whether others were at work on the machine when the measurement began."""
        return self.load is not None and self.load > BUSY_LOAD


class BenchRecord(Record):
    """The content of bench.json."""

    schema_version: int = Field(alias="schema")
    created: str
    command: str
    commit: str | None
    wall_s: float
    environment: Environment
    protocol: Protocol
    cases: list[Case]
    profiles: list[Profile]
    growth: list[Growth]
    harness: list[HarnessRecord]
    start: list[StartRecord]

    def text(self) -> str:
        """The record as JSON."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def read_bench(path: Path) -> BenchRecord:
    """Read a ``bench.json``.

    Raises:
        InputError: There is no such file, or it is damaged or of another schema version.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    version = tree.get("schema") if isinstance(tree, dict) else None
    if type(version) is not int or version != SCHEMA:
        newer = isinstance(version, int) and version > SCHEMA
        way_out = "use a newer nncompare" if newer else "measure again"
        raise InputError(f"{path} has schema {version!r}, expected {SCHEMA}: {way_out}.")
    try:
        return BenchRecord.model_validate(tree)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path} is damaged: {key}: {problem['msg']}.") from None
