"""Checking one homework, from its file to the outcome."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.check.architecture import (
    RecordedArchitecture,
)
from compare.check.contract import (
    CHECKABLE,
    SIGNATURES,
    ArrayLayout,
    Assignment,
    Contract,
    ReturnValueError,
    array_layouts,
)
from compare.check.dropout_layers import expect_dropout
from compare.check.early_start import taken_sandbox
from compare.check.forward_forms import expect_form, find_form, name_form
from compare.check.function_evaluation import (
    FunctionEvaluation,
    NoResultError,
    leave_out_own_statistics,
    one_row,
    select_forward_mode,
)
from compare.check.inference import other_reading
from compare.check.invariants import self_inconsistencies
from compare.check.judge import judge
from compare.check.layer_evaluation import LayerEvaluation
from compare.check.reading import HomeworkRead, Options, module_leaves, read_homework
from compare.check.reference_process import shared_answers
from compare.check.result import ASK_AGAIN, Observed, Outcome, Result
from compare.check.sandbox import (
    HomeworkHandle,
    ProcessEndedError,
    Sandbox,
)
from compare.check.step_evaluation import StepAsGradients
from compare.mistakes.case import Case
from compare.mistakes.probabilities import FORMS, LOGITS
from compare.parity.tolerances import STEP_CANCELLATION
from experiments.errors import InputError


def check_homework(file: Path, options: Options | None = None) -> Outcome:
    """Check a file in a process of its own, against PyTorch in another one."""
    options = options or Options()
    file = Path(file)
    try:
        require_file(file, "homework")
        if options.mapping is not None:
            require_file(options.mapping, "mapping file")
    except InputError as error:
        return Outcome(file.name, Result(error=str(error)))
    if options.golden is None and options.answers is None:
        options = replace(options, answers=shared_answers())
    with taken_sandbox(sandbox_of(file, options)) as sandbox:
        outcome = check_file(sandbox, file.name, options)
    seed = options.seed if options.golden is None else None
    if seed is not None and outcome.result.checks:
        notes = (*outcome.result.notes, ASK_AGAIN.format(seed=seed))
        outcome = replace(outcome, result=replace(outcome.result, notes=notes))
    return replace(
        outcome,
        printed=sandbox.printed,
        printed_characters=sandbox.printed_characters,
        isolation=sandbox.isolation,
        seed=seed,
    )


def sandbox_of(file: Path, options: Options) -> Sandbox:
    """The process that a file is to be checked in.

    Raises:
        InputError: The isolation that is asked for cannot be had here.
    """
    return Sandbox(
        file,
        options.timeout_s,
        options.memory_mb,
        options.isolation,
        allow_import=options.allow_import,
        readable=() if options.mapping is None else (options.mapping,),
        others=options.others,
    )


def check_file(homework: HomeworkHandle, name: str, options: Options) -> Outcome:
    """Load a homework that has a file, and check it.

    Args:
        homework: The homework, in this process or its own.
        name: Its file name, for messages.
        options: How to check it.
    """
    notes: tuple[str, ...] = ()
    try:
        notes = load_homework(homework, name, options)
        outcome = check_loaded(homework, name, options)
    except (InputError, ProcessEndedError) as error:
        return Outcome(name, Result(error=str(error), notes=notes))
    result = replace(outcome.result, notes=(*notes, *outcome.result.notes))
    return replace(outcome, result=result)


def load_homework(homework: HomeworkHandle, name: str, options: Options) -> tuple[str, ...]:
    """Load a homework, or its definitions alone if the whole file cannot be imported.

    Returns:
        A note if only its definitions were executed.

    Raises:
        InputError: It cannot be loaded.
        ProcessEndedError: Its process has ended.
    """
    subject = f"{name}, on being imported,"
    file = options.mapping or (options.preset and options.preset.file)
    files: dict[str, Any] = {
        "mapping": file and str(file.resolve()),
        "own_contract": options.preset is None,
    }
    first = None
    if not options.definitions_only:
        try:
            result = homework.request("load", description=subject, **files)
            first = result.problem
            if first is None:
                return ()
            if not result.details.get("readable"):
                raise InputError(first)
        except ProcessEndedError as error:
            first = str(error)
        homework.restart()
    try:
        result = homework.request("load", description=subject, **files, definitions_only=True)
        if result.problem:
            unfit = result.details.get("loaded")  # what failed is the mapping file or the preset
            raise InputError(result.problem if unfit else first or result.problem)
        functions = homework.request("declaration", description="the declaration").details
        if first and not any(name in CHECKABLE for name in functions["functions"]):
            raise InputError(first)
    except ProcessEndedError as error:
        raise InputError(first or str(error)) from None
    why = f" because the whole file cannot be imported: {first}" if first else "."
    return (f"Only definitions (imports, functions, classes, constants) were executed{why}",)


def check_loaded(homework: HomeworkHandle, name: str, options: Options) -> Outcome:
    """Check a homework that is loaded.

    Raises:
        InputError: It cannot be checked.
        ProcessEndedError: Its process ended before the first case.
    """
    read = read_homework(homework, name, options)
    assignment, options, contract = read.assignment, read.options, read.inference.contract
    found = _evaluate(read, name)
    cases, notes = select_forward_mode(found.cases, found.observed)
    cases, form_notes = name_form(cases, found.observed, found.form, assignment.loss)
    if isinstance(assignment.build, RecordedArchitecture):
        probabilities = assignment.build.dropout_probabilities()
        cases = expect_dropout(cases, found.observed, probabilities)
    result, failures = _judge(cases, found.observed, assignment)
    checks = tuple(replace(check, own=found.places.get(check.key, "")) for check in result.checks)
    result = replace(result, checks=checks).accepting(options.accept)
    first = found.observed[0]
    if contract.has_functions and not result.passed and first.problem is None:
        mean = assignment.torch_loss is None
        more = self_inconsistencies(
            found.functions, read.function_cases[0], first, result, mean=mean
        )
        result = replace(result, invariants=(*result.invariants, *more))
    notes += form_notes + failures + read.notes + found.notes
    if not found.out_of_time and _may_be_read_otherwise(result, read.function_cases[0]):
        loss = assignment.torch_loss or assignment.loss
        leaves = module_leaves(assignment)
        reading = other_reading(read.homework, name, contract, read.function_cases, leaves, loss)
        notes += [reading] if reading else []
    if result.error and not found.out_of_time and _runs_for_one_row(read, found.functions):
        notes.append(
            "It runs for a single row: if your code takes one sample at a time, write "
            "ONE_SAMPLE = True."
        )
    notes += _coverage_notes(contract, options, assignment, found.observed)
    faults = found.functions.faults
    required = _required_quantities(contract, options, cases or read.cases, found.quantities)
    return Outcome(
        name,
        replace(
            result,
            notes=(*filter(None, [read.inference.note]), *result.notes, *notes),
            error=result.error or _incomplete(name, contract, options, result, faults),
        ),
        assignment,
        _counted(required, found.observed, result),
    )


class Evaluation(NamedTuple):
    """What a homework computed.

    Attributes:
        cases: The cases that were evaluated, first of functions, then of layers.
        observed: Its values, one for each.
        functions: What evaluates its functions again.
        form: What its ``forward`` returns.
        quantities: The quantities that its layers should give.
        places: Quantity → where in the homework it comes from.
        notes: What was seen on the way.
    """

    cases: list[Case]
    observed: list[Observed]
    functions: FunctionEvaluation
    form: str
    quantities: dict[str, None]
    places: dict[str, str]
    notes: list[str]

    @property
    def out_of_time(self) -> bool:
        """Whether the homework's time was over."""
        return any(one.problem and "time limit" in one.problem for one in self.observed)


def _evaluate(read: HomeworkRead, name: str) -> Evaluation:
    """Evaluate a homework's functions, then its layers, alone and as a network."""
    contract, ended = read.inference.contract, read.inference.ended
    parameters = read.cases[0].parameters
    trainable = frozenset(
        key
        for case in read.cases
        for quantity in case.expected
        if (key := quantity.removeprefix("gradient/")) in parameters
    )
    layouts = array_layouts(
        name, contract.parameters, parameters, sorted(trainable, key=list(parameters).index)
    )
    shapes = {key: array.shape for key, array in parameters.items()}
    if isinstance(read.homework, StepAsGradients):
        read.homework.names = tuple(one.name for one in layouts if one.key in trainable)
    functions = FunctionEvaluation(read.homework, contract, layouts, trainable, shapes)
    places = function_places(contract, read.places, layouts)
    found = Evaluation([], [], functions, LOGITS, {}, places, [])
    if ended is not None:
        found = found._replace(cases=[ended.case], observed=[ended.observed])
    elif contract.has_functions:
        observed = functions.evaluate(read.function_cases)
        form = find_form(read.function_cases, observed, read.assignment.loss)
        cases = expect_form(read.function_cases[: len(observed)], form)
        own_statistics = leave_out_own_statistics(functions, cases, observed)
        found = found._replace(cases=cases, observed=observed, form=form, notes=own_statistics)
    layered = contract.has("network") and not (contract.filled and contract.has_functions)
    if not layered or found.out_of_time:
        return found
    leaves = module_leaves(read.assignment)
    layers = LayerEvaluation(read.homework, contract, layouts, trainable, leaves)
    layer_cases = [_updated_in_place(case, layers) for case in read.cases if case.given]
    of_layers = layers.evaluate(layer_cases)
    cases = found.cases + layer_cases[: len(of_layers)]
    observed = found.observed + of_layers
    if not any(one.problem for one in of_layers):
        loss = read.assignment.torch_loss or read.assignment.loss
        network_cases = [_updated_in_place(c, layers) for c in read.cases if not c.given]
        network_cases, of_network = layers.evaluate_network(network_cases, loss)
        cases, observed = cases + network_cases, observed + of_network
    return found._replace(
        cases=cases,
        observed=observed,
        quantities=layers.quantities,
        places=places | layers.places,
        notes=layers.faults + layers.left_out + found.notes,
    )


def _updated_in_place(case: Case, layers: LayerEvaluation) -> Case:
    """The case with sizes for gradients that are read off what layers subtract."""
    declared = {
        layout.key
        for layout in layers.layouts
        if layers.contract.attributes.get(layout.name, "").startswith("-")
        or layers.contract.attributes.get(layout.key.rpartition(".")[2], "").startswith("-")
    }
    sizes = {
        quantity: size + STEP_CANCELLATION * np.abs(case.parameters[key])
        for quantity, size in case.sizes.items()
        if (key := quantity.removeprefix("gradient/")) in declared
    }
    return replace(case, sizes={**case.sizes, **sizes}) if sizes else case


def _runs_for_one_row(read: HomeworkRead, functions: FunctionEvaluation) -> bool:
    """Whether code that failed for a batch runs for the first row of it."""
    case, contract = read.function_cases[0], functions.contract
    if len(case.inputs) == 1 or case.evaluation is not None:
        return False
    alone = replace(contract, batches=replace(contract.batches, one_sample=True))
    one = one_row(case, 0)
    try:
        if contract.has_functions:
            functions = replace(functions, contract=alone)
            for name in ("forward", "loss", "gradients", "loss_and_gradients"):
                if contract.has(name):
                    functions.value(name, one)
            return True
        layers = LayerEvaluation(
            read.homework,
            alone,
            functions.layouts,
            functions.trainable,
            module_leaves(read.assignment),
        )
        return bool(layers.step(one, read.assignment.torch_loss or read.assignment.loss)[0])
    except (InputError, ProcessEndedError, NoResultError, ReturnValueError):
        return False


def _may_be_read_otherwise(result: Result, case: Case) -> bool:
    """Whether what failed could come from a layout that is declared wrongly."""
    shapes = [array.shape for array in case.parameters.values() if array.ndim == 2]
    square = any(rows == columns for rows, columns in shapes)
    return bool(result.error) or (square and not result.passed)


def function_places(
    contract: Contract, places: Mapping[str, str], layouts: Sequence[ArrayLayout]
) -> dict[str, str]:
    """Quantity → function and line of the homework that give it, and its name of the array."""
    both = "loss_and_gradients"
    functions = {
        **dict.fromkeys(FORMS, "forward"),
        "loss": "loss" if contract.has("loss") else both,
        "gradient": "gradients" if contract.has("gradients") else both,
        "update": "update",
        "step": "step",
    }
    if contract.has("gradients") and "step" in places and "gradients" not in places:
        functions["gradient"] = "step"  # they are read off it
    found: dict[str, str] = {}
    for kind, function in functions.items():
        if not contract.has(function):
            continue
        line = places.get(function, "")
        place = f"{function}{', ' if line else ''}{line}"
        if kind in (*FORMS, "loss"):
            found |= dict.fromkeys((kind, f"{kind}/evaluation"), place)
            continue
        for layout in layouts:
            name = "" if layout.name == layout.key else f", for {layout.name!r}"
            found[f"{kind}/{layout.key}"] = f"{place}{name}"
    return found


def _judge(
    cases: Sequence[Case], observed: Sequence[Observed], assignment: Assignment
) -> tuple[Result, list[str]]:
    """The verdict, which an error in the search for mistakes does not change.

    Such an error is a fault of this program. It costs the names of mistakes alone, and is a
    warning, which this program's own tests turn into an error.
    """
    try:
        return judge(cases, observed, assignment), []
    except Exception as error:
        failure = f"nncompare failed to look for the mistake: {type(error).__name__}: {error}"
        warnings.warn(failure, RuntimeWarning, stacklevel=1)
        return judge(cases, observed), [f"{failure}. The verdict does not depend on it."]


def _coverage_notes(
    contract: Contract, options: Options, assignment: Assignment, observed: Sequence[Observed]
) -> list[str]:
    """What was left out of the comparison."""
    notes = []
    if contract.has("update") and assignment.optimizer is None:
        notes.append("update was not checked: name its optimizer with --optimizer.")
    dropouts = [name for name, kind in module_leaves(assignment) if kind.startswith("Dropout")]
    if dropouts and contract.has_functions:
        notes.append("Dropout is left out of the comparison of functions: its masks are random.")
    elif missing := [
        n for n in dropouts if not any(f"activation/{n}" in one.values for one in observed)
    ]:
        notes.append(f"Dropout ({', '.join(missing)}) is left out of the comparison.")
    return notes


def _incomplete(
    name: str, contract: Contract, options: Options, result: Result, faults: list[str]
) -> str | None:
    """Why the homework does not count as checked although nothing it computed is wrong."""
    required = options.required + (("update",) if _asks_for_update(contract, options) else ())
    for function in required:
        both = function in ("loss", "gradients") and contract.has("loss_and_gradients")
        if not contract.has(function) and not both:
            signature = SIGNATURES.get(function, f"{function}(params)")
            return f"{name} defines no {signature}, which is asked for."
    if not result.checks:
        return "Nothing could be compared."
    return faults[0] if faults and all(check.in_order for check in result.checks) else None


def _asks_for_update(contract: Contract, options: Options) -> bool:
    """Whether an optimizer is named, and not for a step."""
    step = contract.has("step") or "step" in options.required
    return options.optimizer is not None and not step


def _required_quantities(
    contract: Contract,
    options: Options,
    cases: Sequence[Case],
    layer_quantities: Collection[str],
) -> tuple[str, ...]:
    """The quantities that the homework should give.

    They are those of its functions, of the functions that are asked for, and of its layers.
    """

    def wanted(function: str) -> bool:
        return contract.has(function) or function in options.required

    both = wanted("loss_and_gradients")
    given = {
        **dict.fromkeys(FORMS, wanted("forward")),
        "loss": wanted("loss") or both,
        "gradient": wanted("gradients") or both,
        "update": wanted("update") or _asks_for_update(contract, options),
        "step": wanted("step"),
        "buffer": False,
    }
    found: dict[str, None] = {}
    for case in cases:
        for quantity in case.expected:
            if "/network" in quantity:  # it follows from the others
                continue
            by_layers = quantity in layer_quantities or not layer_quantities
            if by_layers if case.given else given[quantity.partition("/")[0]]:
                found[quantity] = None
    return tuple(found)


def _counted(
    required: Sequence[str], observed: Sequence[Observed], result: Result
) -> tuple[str, ...]:
    """The required quantities without those that came and do not count, as others decide."""
    came = {quantity for one in observed for quantity in one.values}
    left_out = came.difference(check.key for check in result.checks)
    return tuple(quantity for quantity in required if quantity not in left_out)


def require_file(file: Path, noun: str) -> None:
    """Complain of a homework or a mapping file that does not exist or is of another kind."""
    notebook = noun == "homework"
    expected = "a Python file or a notebook" if notebook else "a Python file"
    if not file.is_file():
        problem = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(f"{file}: the {noun} {problem}; expected {expected}.")
    if file.suffix != ".py" and not (notebook and file.suffix == ".ipynb"):
        names = "NAME.py or NAME.ipynb" if notebook else "NAME.py"
        raise InputError(f"{file}: the {noun} should be {expected}, {names}.")
