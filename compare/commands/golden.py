"""``nncompare golden``."""

from __future__ import annotations

from pathlib import Path

from compare.check.architecture import load_architecture
from compare.check.cases import make_cases
from compare.check.contract import LOSS_CLASSES, Assignment
from compare.check.golden import Golden, write_golden
from compare.check.reference import Reference
from compare.check.step_reference import with_steps
from compare.check.torch_loss import is_torch_loss
from compare.commands.check import optimizer_settings
from compare.languages import translated
from experiments.errors import InputError


def golden_command(
    architecture: str,
    out: Path,
    *,
    loss: str,
    optimizer: str | None,
    settings: list[str],
) -> int:
    """Write cases with PyTorch's values into a golden file.

    Returns:
        0.
    """
    if is_torch_loss(loss):
        raise InputError(f"--loss {loss}: a golden file holds PyTorch's own losses alone.")
    if loss not in LOSS_CLASSES:
        raise InputError(f"--loss expects one of {', '.join(LOSS_CLASSES)}, but got {loss!r}.")
    build = load_architecture(architecture)
    assignment = Assignment(
        architecture, build, loss, optimizer, optimizer_settings(optimizer, settings)
    )
    cases = make_cases(assignment, layers=True)
    if optimizer is not None:
        cases[0] = with_steps(Reference(assignment), cases[0])
    write_golden(out, Golden(assignment, cases))
    size = out.stat().st_size / 1e6
    print(translated(f"{out} is written ({size:.1f} MB).", "terminal"))
    return 0
