"""The content of ``bench.json``: all that a report of the measurement needs.

Times are in seconds, memory in bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from compare.analysis.timings import BUSY_LOAD
from compare.records.run import Environment, Record
from compare.records.validation import readable_tree
from experiments.errors import InputError
from experiments.files import read_text


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


class ContenderRecord(Record):
    """One contender in one case; what was not measured is None, and ``reason`` says why.

    Its losses and gradients are compared with NumPy's before it is timed: ``loss_error`` is the
    largest relative difference of the first losses, ``gradient_error`` the norm of the difference
    of all gradients over their norm.
    """

    name: str
    reason: str = ""
    loss_error: float | None = None
    gradient_error: float | None = None
    step: Times | None = None
    phases_s: dict[str, float] = Field(default_factory=dict)  # median of each, if there are several
    over_numpy: RatioRecord | None = None  # its time over NumPy's: above 1 where NumPy is faster
    memory_bytes: int | None = None  # above what its process held with the library loaded


class CaseRecord(Record):
    """One case: its settings (architecture, batch size and so on), and its contenders."""

    title: str
    kind: Literal["step", "convolution"]
    settings: dict[str, Any]
    contenders: list[ContenderRecord]

    def timed(self, name: str) -> ContenderRecord | None:
        """A contender by its name, if it was timed."""
        found = (c for c in self.contenders if c.name == name and c.step is not None)
        return next(found, None)

    @property
    def best_eager(self) -> ContenderRecord | None:
        """PyTorch in the fastest of its eager settings."""
        medians = {
            contender.step.median_s: contender
            for contender in self.contenders
            if contender.name.startswith("torch") and contender.name != "torch-compile"
            if contender.step is not None
        }
        return medians[min(medians)] if medians else None


class HarnessRecord(Record):
    """What the harness costs: a lock-step training and the two plain ones that it replaces."""

    title: str  # experiment and label
    threads: int  # of each library: as many as a run gives the network
    steps: int
    certified_steps: int
    epochs_s: dict[str, list[float]]  # of "lockstep", and of "numpy" and "torch" alone

    @property
    def over_plain(self) -> RatioRecord:
        """Lock step over both plain trainings: of the whole, and the range of its epochs."""
        lockstep, *plain = (self.epochs_s[name] for name in ("lockstep", "numpy", "torch"))
        plain_s = [sum(seconds) for seconds in zip(*plain, strict=True)]
        ratios = [above / below for above, below in zip(lockstep, plain_s, strict=True)]
        return RatioRecord(value=sum(lockstep) / sum(plain_s), low=min(ratios), high=max(ratios))


class Protocol(Record):
    """How it is measured."""

    threads: int = 1  # of each library
    repeats: int = 15  # rounds, in each of which every contender makes one block of steps
    seconds: float = 1.5  # what the timed steps of one contender take together, about
    pause_s: float = 0.0  # before each block, so that idle thread pools fall asleep
    variables: dict[str, str] = Field(default_factory=dict)  # that change how threads wait
    load: float | None = None  # programs that wanted a core in the minute before, if known

    @property
    def busy(self) -> bool:
        """Whether other programs were at work when the measurement began."""
        return self.load is not None and self.load > BUSY_LOAD


class BenchRecord(Record):
    """The content of bench.json."""

    schema_version: Literal[2] = Field(alias="schema")
    created: str
    command: str
    commit: str | None
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
        tree = readable_tree(json.loads(read_text(path)))
        return BenchRecord.model_validate_json(json.dumps(tree))
    except RecursionError:
        raise InputError(f"{path} is damaged: its values are nested too deeply.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{path} is damaged or of another version of nncompare ({place}: {problem['msg']}): "
            "measure again with nncompare bench."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}.") from None
