"""Checking one homework from its file to the result."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from compare.check.assignment import find_assignment, find_cases, leaves_of
from compare.check.contract import Contract, own_arrays, read_contract
from compare.check.dropped import with_masks
from compare.check.evaluation_mode import mode_of_forward
from compare.check.evidence import Answer, Assignment, Result
from compare.check.interview import Interview
from compare.check.judge import judge
from compare.check.layered import LayerInterview
from compare.check.outcome import Options, Outcome
from compare.check.recorded import Recorded
from compare.check.returned import SIGNATURES
from compare.check.sandbox import Asked, GoneError, Sandbox
from compare.check.unreferenced import seen_without_reference
from compare.mistakes.case import Case
from experiments.errors import InputError

__all__ = ["Options", "Outcome", "check_homework", "check_with"]


def check_homework(file: Path, options: Options | None = None) -> Outcome:
    """Check a file in a process of its own."""
    options = options or Options()
    file = Path(file)
    try:
        _is_there(file, "homework")
        if options.mapping is not None:
            _is_there(options.mapping, "mapping file")
    except InputError as error:
        return Outcome(file.name, Result(error=str(error)))
    with Sandbox(file, options.timeout_s, options.memory_mb) as sandbox:
        mapping = options.mapping and str(options.mapping.resolve())
        try:
            reply = sandbox.ask("load", said=f"{file.name}, on being imported,", mapping=mapping)
            if reply.problem:
                raise InputError(reply.problem)
            outcome = check_with(sandbox, file.name, options)
        except (InputError, GoneError) as error:
            outcome = Outcome(file.name, Result(error=str(error)))
    return replace(outcome, printed=sandbox.printed, printed_characters=sandbox.printed_characters)


def check_with(homework: Asked, name: str, options: Options) -> Outcome:
    """Check whatever answers as a homework does.

    Raises:
        InputError: It cannot be checked; the sentence says why.
        GoneError: Its process ended before the first question.
    """
    declared = homework.ask("declaration", said="the declaration").details
    for function in declared["not_callable"]:
        raise InputError(f"{name}: {function} should be a function.")
    contract = read_contract(name, declared["constants"], declared["functions"])
    assignment = find_assignment(homework, name, contract, options)
    cases = find_cases(assignment, contract, options)
    trainable = frozenset(
        quantity.removeprefix("gradient/")
        for case in cases
        for quantity in case.expected
        if quantity.removeprefix("gradient/") in case.parameters
    )
    own = own_arrays(
        name,
        contract.parameters,
        cases[0].parameters,
        sorted(trainable, key=list(cases[0].parameters).index),
    )
    for_functions = [case for case in cases if not case.given]
    for_layers = [case for case in cases if case.given]
    shapes = {key: array.shape for key, array in cases[0].parameters.items()}
    interview = Interview(homework, contract, own, trainable, shapes)
    answers: list[Answer] = []
    asked: list[Case] = []
    by_functions = any(contract.has(f) for f in SIGNATURES)
    if by_functions:
        answers = interview.answers(for_functions)
        asked = for_functions[: len(answers)]
    by_layers: dict[str, None] = {}
    if contract.has("network") and not any(
        a.problem and "time limit" in a.problem for a in answers
    ):
        leaves = leaves_of(assignment)
        layers = LayerInterview(homework, contract, own, trainable, leaves)
        more = layers.answers(for_layers)
        answers, asked = answers + more, asked + for_layers[: len(more)]
        by_layers = layers.asked
    asked, notes = mode_of_forward(asked, answers)
    if isinstance(assignment.build, Recorded):
        asked = with_masks(asked, answers, assignment.build.probabilities())
    result, unnamed = _judged(asked, answers, assignment)
    notes += unnamed
    if by_functions and not result.passed and answers[0].problem is None:
        seen = seen_without_reference(interview, for_functions[0], answers[0], result)
        result = replace(result, invariants=(*result.invariants, *seen))
    notes += _remarks(contract, options, assignment, answers)
    return Outcome(
        name,
        replace(
            result,
            notes=(*result.notes, *notes),
            error=result.error or _shortcoming(name, contract, options, result, interview.faults),
        ),
        assignment,
        _asked_for(contract, asked or cases, by_layers),
    )


def _judged(
    asked: Sequence[Case], answers: Sequence[Answer], assignment: Assignment
) -> tuple[Result, list[str]]:
    """The verdict, which does not depend on whether its reason can be looked for.

    An error in looking for it is nobody's fault but this program's. It costs the names alone, and
    is not silent: it is a warning, and so an error in this program's own tests.
    """
    try:
        return judge(asked, answers, assignment), []
    except Exception as error:
        said = f"nncompare failed to look for the mistake: {type(error).__name__}: {error}"
        warnings.warn(said, RuntimeWarning, stacklevel=1)
        return judge(asked, answers), [f"{said}. The verdict does not depend on it."]


def _remarks(
    contract: Contract, options: Options, assignment: Assignment, answers: Sequence[Answer]
) -> list[str]:
    found = []
    optimizer = options.golden.assignment.optimizer if options.golden else options.optimizer
    if contract.has("update") and optimizer is None:
        found.append("update was not checked: name its optimizer with --optimizer.")
    dropouts = [name for name, kind in leaves_of(assignment) if kind.startswith("Dropout")]
    if dropouts and any(contract.has(f) for f in SIGNATURES):
        found.append("Dropout is left out of the comparison of functions: its masks are random.")
    elif missing := [
        n for n in dropouts if not any(f"activation/{n}" in a.values for a in answers)
    ]:
        found.append(f"Dropout ({', '.join(missing)}) is left out of the comparison.")
    return found


def _shortcoming(
    name: str, contract: Contract, options: Options, result: Result, faults: list[str]
) -> str | None:
    """What makes the homework incomplete although all that it answered may be right."""
    required = options.required + (("update",) if options.optimizer else ())
    for function in required:
        both = function in ("loss", "gradients") and contract.has("loss_and_gradients")
        if not contract.has(function) and not both:
            said = SIGNATURES.get(function, f"{function}(params)")
            return f"{name} defines no {said}, which is asked for."
    if not result.checks:
        return "Nothing could be compared."
    return faults[0] if faults and all(check.passed for check in result.checks) else None


def _asked_for(
    contract: Contract, cases: Sequence[Case], by_layers: Collection[str]
) -> tuple[str, ...]:
    """The quantities that the homework's functions and those layers that it has should give."""
    both = contract.has("loss_and_gradients")
    givers = {
        "logits": contract.has("forward"),
        "loss": contract.has("loss") or both,
        "gradient": contract.has("gradients") or both,
        "update": contract.has("update"),
        "buffer": False,
    }
    found: dict[str, None] = {}
    for case in cases:
        for quantity in case.expected:
            wanted = quantity in by_layers or not by_layers
            if wanted if case.given else givers[quantity.partition("/")[0]]:
                found[quantity] = None
    return tuple(found)


def _is_there(file: Path, what: str) -> None:
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(f"{file}: the {what} {kind}; expected a Python file.")
    if file.suffix != ".py":
        raise InputError(
            f"{file}: the {what} should be a Python file, NAME.py; a notebook becomes one with "
            "jupyter nbconvert --to script."
        )
