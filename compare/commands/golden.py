"""``nncompare golden``."""

from __future__ import annotations

from pathlib import Path

from compare.check.assignment import recorded_architecture
from compare.check.cases import Wanted, make_cases
from compare.check.contract import LOSSES
from compare.check.evidence import Assignment
from compare.check.golden import Golden, write_golden
from compare.commands.check import optimizer_settings
from experiments.errors import InputError


def golden_command(
    architecture: str,
    out: Path,
    *,
    loss: str,
    optimizer: str | None,
    settings: list[str],
) -> int:
    """Write questions and PyTorch's answers into a file.

    Returns:
        0.
    """
    if loss not in LOSSES:
        raise InputError(f"--loss expects one of {', '.join(LOSSES)}, but got {loss!r}.")
    build = recorded_architecture(architecture)
    assignment = Assignment(
        architecture, build, loss, optimizer, optimizer_settings(optimizer, settings)
    )
    write_golden(out, Golden(assignment, make_cases(assignment, Wanted(layers=True))))
    print(f"{out} is written ({out.stat().st_size / 1e6:.1f} MB).")
    return 0
