"""How a homework with a ``step`` is read: what is expected of it, and how its layout is found."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NamedTuple

from compare.check.contract import CHECKABLE, Assignment, Contract
from compare.check.sandbox import HomeworkHandle
from compare.check.step_evaluation import (
    STEPS,
    StepAsGradients,
    plain_rate,
    require_optimizer,
    with_first_step,
    with_read_off,
)
from compare.mistakes.case import Case
from experiments.errors import InputError


class StepReading(NamedTuple):
    """How a homework with a ``step`` is read.

    Attributes:
        contract: Its contract, with ``gradients`` if these are read off its steps.
        cases: The cases of its functions.
        homework: The homework.
        first: Cases that show in which layout it has its arrays.
        read_off: Whether gradients are read off its steps, to be compared.
        notes: What is left out.
    """

    contract: Contract
    cases: list[Case]
    homework: HomeworkHandle
    first: list[Case]
    read_off: bool = False
    notes: tuple[str, ...] = ()


def read_steps(
    homework: HomeworkHandle,
    name: str,
    contract: Contract,
    assignment: Assignment,
    cases: list[Case],
    steps_of: Callable[[Case], Case] | None,
) -> StepReading:
    """Get ready for a ``step``: what PyTorch's steps give, and what can be read off them.

    Args:
        homework: The homework, which is loaded.
        name: Its file name, for messages.
        contract: What it declares.
        assignment: What it is to compute.
        cases: The cases of its functions, with the loss that it declares.
        steps_of: Gives a case PyTorch's parameters after training steps; None where the cases are
            those of a golden file, which has them.

    Raises:
        InputError: Nobody says which optimizer it is, or a golden file lacks its values.
    """
    if contract.has("step"):
        require_optimizer(name, assignment)
    if assignment.optimizer is not None:
        cases = _with_expected_steps(name, cases, steps_of)
    notes: tuple[str, ...] = ()
    if contract.has("step") and cases[0].steps < STEPS:
        steps = "1 step was" if cases[0].steps == 1 else f"{cases[0].steps} steps in a row were"
        notes = (
            f"Of step {steps} compared instead of {STEPS}: with this learning rate the outputs of "
            "the network then more than double.",
        )
    given = any(contract.has(function) for function in ("gradients", "loss_and_gradients"))
    if given or not contract.has("step"):
        return StepReading(contract, cases, homework, cases, notes=notes)
    both = replace(contract, functions=(*contract.functions, "gradients"))
    rate = plain_rate(assignment)
    if rate is not None:
        cases = [with_read_off(case, rate) for case in cases]
        return StepReading(both, cases, StepAsGradients(homework, rate), cases, True, notes)
    if contract.has("forward") or contract.has("loss"):
        return StepReading(contract, cases, homework, cases, notes=notes)
    first = [with_first_step(case, assignment) for case in cases]
    return StepReading(both, cases, StepAsGradients(homework), first, notes=notes)


def without_open_step(
    contract: Contract, assignment: Assignment, required: Collection[str]
) -> tuple[Contract, list[str]]:
    """The contract without a ``step`` of which nobody says which optimizer it is, and a note.

    It may be meant otherwise. Where there is nothing else to check, it stays, to be asked about.
    """
    others = tuple(name for name in contract.functions if name != "step")
    alone = not any(name in CHECKABLE for name in others)
    known = assignment.optimizer is not None
    if not contract.has("step") or known or alone or "step" in required:
        return contract, []
    note = "step was not checked: name its optimizer with OPTIMIZER and SETTINGS or --optimizer."
    return replace(contract, functions=others), [note]


def _with_expected_steps(
    name: str, cases: list[Case], steps_of: Callable[[Case], Case] | None
) -> list[Case]:
    """The cases, the first of them with PyTorch's parameters after a few training steps."""
    case, *rest = cases
    if steps_of is not None:
        return [steps_of(case), *rest]
    if not case.steps:
        raise InputError(
            "The golden file has no training steps, which step needs: make it again with "
            "nncompare golden, with --optimizer and --set."
        )
    if case.loss_factor != 1 or case.weight_decay:
        raise InputError(
            f"The golden file has training steps with PyTorch's own loss alone, but {name} "
            "declares REDUCTION or WEIGHT_DECAY: check its step without --golden."
        )
    return cases
