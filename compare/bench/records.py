"""The content of ``bench.json``: all that a report of the measurement needs.

Times are in seconds, memory in bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compare.records.run import Environment
from experiments.errors import InputError

SCHEMA = 2
# The largest relative difference of losses, and of gradients (norm over norm), of equal work.
LOSS_BOUND, GRADIENT_BOUND = 1e-3, 2e-2
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


class RatioRecord(Record):
    """A ratio and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class Agreement(Record):
    """How far a contender's results are from NumPy's, before it is timed.

    ``loss_error`` is the largest relative difference of the first losses, where there are any;
    ``gradient_error`` the norm of the difference over the norm, all gradients together.
    """

    loss_error: float | None
    gradient_error: float
    agrees: bool
    loss_bound: float = LOSS_BOUND
    gradient_bound: float = GRADIENT_BOUND


class ContenderRecord(Record):
    """One contender in one case.

    Attributes:
        name: Its name for ``--contender``; ``title`` is its name in tables.
        version: Of the package that does the work.
        status: Whether it was measured, or why not; ``reason`` says it in words.
        dtype: The precision that it computes in.
        agreement: Its results against NumPy's; None for what has no results.
        steps: Timed steps of a block.
        step: The whole step; ``phases`` has its parts where they can be told apart.
        blocks_s: Median of each block, in the order of the rounds.
        over_numpy: Its time over NumPy's: above 1 where NumPy is faster.
        memory_bytes: Peak memory, above what its process held with the library loaded.
    """

    name: str
    title: str
    version: str | None
    status: Literal["measured", "not installed", "not run", "differs"] = "not run"
    reason: str = ""
    dtype: str = ""
    agreement: Agreement | None = None
    steps: int = 0
    step: Times | None = None
    phases: dict[str, Times] = Field(default_factory=dict)
    blocks_s: list[float] = Field(default_factory=list)
    over_numpy: RatioRecord | None = None
    memory_bytes: int | None = None


class CaseRecord(Record):
    """One case: its settings (architecture, batch size and so on), and its contenders."""

    title: str
    kind: Literal["step", "convolution"]
    settings: dict[str, Any]
    best_eager: str | None  # the name of PyTorch's fastest eager setting
    contenders: list[ContenderRecord]

    def measured(self, name: str | None) -> ContenderRecord | None:
        """A contender that was measured, by its name."""
        found = (c for c in self.contenders if c.name == name and c.status == "measured")
        return next(found, None)


class HarnessRecord(Record):
    """What the harness costs: a lock-step training over the two plain ones.

    Attributes:
        experiment: Its name; ``label`` is the training's.
        threads: Of each library: as many as a run gives the network.
        steps: Updates of each training, ``certified_steps`` of them certified.
        lockstep_s: Seconds of each epoch in lock step, certificates and replicas included.
        plain_s: Backend → seconds of each epoch of its plain training.
        over_plain: Sum over sum, with a bootstrap interval over epochs.
    """

    experiment: str
    label: str
    threads: int
    steps: int
    certified_steps: int
    lockstep_s: list[float]
    plain_s: dict[str, list[float]]
    over_plain: RatioRecord


class Protocol(Record):
    """How it is measured.

    Attributes:
        threads: Of each library.
        repeats: Rounds; in each every contender makes one block of steps, in a drawn order.
        seconds: What the timed steps of one contender take together, about.
        pause_s: Before each block, so that idle thread pools fall asleep.
        variables: Environment variables that change how threads wait.
        load: Programs that wanted a core in the minute before, where the system says it.
    """

    threads: int = 1
    repeats: int = 15
    seconds: float = 1.5
    pause_s: float = 0.0
    variables: dict[str, str] = Field(default_factory=dict)
    load: float | None = None

    @property
    def busy(self) -> bool:
        """Whether other programs were at work when the measurement began."""
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
    cases: list[CaseRecord]
    harness: list[HarnessRecord]

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
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    version = tree.get("schema") if isinstance(tree, dict) else None
    if version != SCHEMA:
        newer = isinstance(version, int) and version > SCHEMA
        way_out = "use a newer nncompare" if newer else "measure again with nncompare bench"
        raise InputError(f"{path} has schema {version!r}, expected {SCHEMA}: {way_out}.")
    try:
        return BenchRecord.model_validate(tree)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path} is damaged: {key}: {problem['msg']}.") from None
