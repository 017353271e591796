"""How a homework is to be checked, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.check.evidence import Assignment, Result
from compare.check.sandbox import MEMORY_MB, TIMEOUT_S

if TYPE_CHECKING:
    from compare.check.golden import Golden


@dataclass(frozen=True)
class Options:
    """How a homework is to be checked.

    Attributes:
        architecture: A name or FILE.py:FUNCTION, before what the homework says.
        loss: Before what the homework says.
        optimizer: The optimizer of ``update``.
        settings: Its keyword arguments.
        golden: Questions and answers from a file, in PyTorch's place.
        mapping: A file that gives the homework the names of the contract.
        required: Functions that have to be there.
        timeout_s: How long the homework may take altogether.
        memory_mb: How much memory it may have.
    """

    architecture: str | None = None
    loss: str | None = None
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    golden: Golden | None = None
    mapping: Path | None = None
    required: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S
    memory_mb: int = MEMORY_MB


@dataclass(frozen=True)
class Outcome:
    """What came of checking one homework.

    Attributes:
        name: The homework's file name.
        result: The verdict and all that belongs to it.
        assignment: What it was to compute; None if it did not come so far.
        asked: The quantities that it was asked for, answered or not.
        printed: What it printed last.
        printed_characters: How much it printed.
    """

    name: str
    result: Result
    assignment: Assignment | None = None
    asked: tuple[str, ...] = ()
    printed: str = ""
    printed_characters: int = 0

    @property
    def status(self) -> int:
        """0 agrees, 1 differs, 2 could not be checked."""
        if self.result.error is not None or not self.result.checks:
            return 2
        return 0 if self.result.passed else 1
