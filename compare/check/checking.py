"""Checking one homework, from its file to the outcome."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from compare.check.architecture import (
    RecordedArchitecture,
    first_difference,
    load_architecture,
)
from compare.check.contract import (
    CHECKABLE,
    SIGNATURES,
    ArrayLayout,
    Assignment,
    Contract,
    array_layouts,
    read_contract,
)
from compare.check.declared_loss import with_reduction, with_weight_decay
from compare.check.declared_optimizer import chosen_optimizer
from compare.check.forward_forms import expect_form, find_form, name_form
from compare.check.function_evaluation import (
    FunctionEvaluation,
    leave_out_own_statistics,
    select_forward_mode,
)
from compare.check.golden import Golden
from compare.check.inference import Inference, infer, other_reading
from compare.check.invariants import self_inconsistencies
from compare.check.judge import judge
from compare.check.layer_evaluation import LayerEvaluation, expect_dropout
from compare.check.own_names import READERS
from compare.check.presets import Preset
from compare.check.result import Observed, Outcome, Result
from compare.check.sandbox import (
    MEMORY_MB,
    TIMEOUT_S,
    HomeworkHandle,
    ProcessEndedError,
    Sandbox,
)
from compare.check.step_evaluation import StepAsGradients, without_steps
from compare.check.step_reading import StepReading, read_steps, without_open_step
from compare.check.torch_loss import is_torch_loss, load_torch_loss
from compare.mistakes.case import Case
from compare.mistakes.probabilities import FORMS, LOGITS
from experiments.errors import InputError


@dataclass(frozen=True)
class Options:
    """How a homework is to be checked.

    Attributes:
        architecture: A name or ``FILE.py:FUNCTION``, instead of the homework's own.
        loss: A key of ``LOSS_CLASSES``, or ``FILE.py:FUNCTION`` of PyTorch's tensors, instead of
            the homework's own.
        targets: A key of ``TARGETS``, for such a function.
        optimizer: The class of the optimizer that ``update`` or ``step`` implements, instead of the
            homework's own.
        settings: Its keyword arguments.
        golden: A golden file, which takes PyTorch's place.
        mapping: A mapping file, which gives the homework the names of the contract.
        required: Functions that the homework has to define.
        timeout_s: The time that it may take altogether.
        memory_mb: The memory that it may take.
        definitions_only: Execute only its definitions, as it is done by itself where the file
            cannot be imported (see :mod:`compare.check.definitions`).
        accept: Codes of mistakes that are allowed as conventions.
        preset: A course's assignment, whose mapping file and defaults are in the package.
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
    definitions_only: bool = False
    accept: tuple[str, ...] = ()
    preset: Preset | None = None
    targets: str | None = None


def check_homework(file: Path, options: Options | None = None) -> Outcome:
    """Check a file in a process of its own."""
    options = options or Options()
    file = Path(file)
    try:
        require_file(file, "homework")
        if options.mapping is not None:
            require_file(options.mapping, "mapping file")
    except InputError as error:
        return Outcome(file.name, Result(error=str(error)))
    with Sandbox(file, options.timeout_s, options.memory_mb) as sandbox:
        outcome = check_file(sandbox, file.name, options)
    return replace(outcome, printed=sandbox.printed, printed_characters=sandbox.printed_characters)


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
    assignment, cases, function_cases, inference = read[:4]
    contract, options, homework = inference.contract, read.options, read.homework
    network_cases = [case for case in cases if not case.given]
    layer_cases = [case for case in cases if case.given]
    parameters = cases[0].parameters
    trainable = frozenset(
        key
        for case in cases
        for quantity in case.expected
        if (key := quantity.removeprefix("gradient/")) in case.parameters
    )
    layouts = array_layouts(
        name, contract.parameters, parameters, sorted(trainable, key=list(parameters).index)
    )
    shapes = {key: array.shape for key, array in parameters.items()}
    if isinstance(homework, StepAsGradients):
        homework.names = tuple(layout.name for layout in layouts if layout.key in trainable)
    functions = FunctionEvaluation(homework, contract, layouts, trainable, shapes)
    observed: list[Observed] = []
    evaluated: list[Case] = []
    own_statistics: list[str] = []
    form = LOGITS
    if inference.ended is not None:
        observed, evaluated = [inference.ended.observed], [inference.ended.case]
    elif contract.has_functions:
        observed = functions.evaluate(function_cases)
        form = find_form(function_cases, observed, assignment.loss)
        evaluated = expect_form(function_cases[: len(observed)], form)
        own_statistics = leave_out_own_statistics(functions, evaluated, observed)
    layer_quantities: dict[str, None] = {}
    layer_faults: list[str] = []
    layer_places: dict[str, str] = {}
    out_of_time = any(one.problem and "time limit" in one.problem for one in observed)
    layered = contract.has("network") and not (contract.filled and contract.has_functions)
    if layered and not out_of_time:
        leaves = _leaves(assignment)
        layers = LayerEvaluation(homework, contract, layouts, trainable, leaves)
        of_layers = layers.evaluate(layer_cases)
        observed, evaluated = observed + of_layers, evaluated + layer_cases[: len(of_layers)]
        if not any(one.problem for one in of_layers):
            loss = assignment.torch_loss or assignment.loss
            network_cases, of_network = layers.evaluate_network(network_cases, loss)
            observed, evaluated = observed + of_network, evaluated + network_cases
        layer_quantities = layers.quantities
        layer_faults, layer_places = layers.faults + layers.left_out, layers.places
    evaluated, notes = select_forward_mode(evaluated, observed)
    evaluated, form_notes = name_form(evaluated, observed, form, assignment.loss)
    if isinstance(assignment.build, RecordedArchitecture):
        probabilities = assignment.build.dropout_probabilities()
        evaluated = expect_dropout(evaluated, observed, probabilities)
    places = function_places(contract, read.places, layouts) | layer_places
    result, failures = _judge(evaluated, observed, assignment)
    checks = tuple(replace(check, own=places.get(check.key, "")) for check in result.checks)
    result = replace(result, checks=checks)
    result = result.accepting(options.accept)
    notes += form_notes + failures + read.notes
    if contract.has_functions and not result.passed and observed[0].problem is None:
        mean = assignment.torch_loss is None
        more = self_inconsistencies(functions, function_cases[0], observed[0], result, mean=mean)
        result = replace(result, invariants=(*result.invariants, *more))
    notes += layer_faults + own_statistics
    if not out_of_time and _may_be_read_otherwise(result, function_cases[0]):
        reading = other_reading(
            homework,
            name,
            contract,
            function_cases,
            _leaves(assignment),
            assignment.torch_loss or assignment.loss,
        )
        notes += [reading] if reading else []
    notes += _coverage_notes(contract, options, assignment, observed)
    return Outcome(
        name,
        replace(
            result,
            notes=(*filter(None, [inference.note]), *result.notes, *notes),
            error=result.error or _incomplete(name, contract, options, result, functions.faults),
        ),
        assignment,
        _counted(
            _required_quantities(contract, options, evaluated or cases, layer_quantities),
            observed,
            result,
        ),
    )


def _may_be_read_otherwise(result: Result, case: Case) -> bool:
    """Whether what failed could come from a layout that is declared wrongly."""
    shapes = [array.shape for array in case.parameters.values() if array.ndim == 2]
    square = any(rows == columns for rows, columns in shapes)
    return bool(result.error) or (square and not result.passed)


class HomeworkRead(NamedTuple):
    """What a loaded homework is to compute, and in which form it is written.

    Attributes:
        assignment: The network and the loss.
        cases: The cases to evaluate.
        function_cases: Those of functions, with the penalty that their loss has.
        inference: Its contract, with what was found out.
        places: Function → where the homework defines it.
        notes: What its mapping file has to say.
        options: The options, with the defaults of their preset.
        homework: The homework, in which a ``step`` may take the place of ``gradients``.
    """

    assignment: Assignment
    cases: list[Case]
    function_cases: list[Case]
    inference: Inference
    places: dict[str, str]
    notes: list[str]
    options: Options
    homework: HomeworkHandle


def read_homework(homework: HomeworkHandle, name: str, options: Options) -> HomeworkRead:
    """Read what a loaded homework declares, and find out what it does not.

    Raises:
        InputError: It is not said, or cannot be found out.
        ProcessEndedError: Its process has ended.
    """
    declaration = homework.request("declaration", description="the declaration").details
    for function in declaration["not_callable"]:
        raise InputError(f"{name}: {function} should be a function.")
    contract = read_contract(
        name, declaration["constants"], declaration["functions"], declaration["filled"]
    )
    options = with_preset(options, contract)
    assignment = find_assignment(homework, name, contract, options)
    cases = find_cases(assignment, contract, options)
    if contract.reduction != "mean":
        if assignment.torch_loss is not None:
            raise InputError(
                f"{name} declares REDUCTION, which is of PyTorch's losses: how {assignment.loss} "
                "is reduced, the function says itself."
            )
        cases = [with_reduction(case, assignment.loss, contract.reduction) for case in cases]
    function_cases = [case for case in cases if not case.given]
    if contract.weight_decay:  # a penalty is no layer's affair
        function_cases = [with_weight_decay(case, contract.weight_decay) for case in function_cases]
    contract, notes = without_open_step(contract, assignment, options.required)
    notes += declaration["notes"]
    steps = StepReading(contract, function_cases, homework, function_cases)
    if contract.has("step") or "step" in options.required:
        steps = read_steps(homework, name, contract, assignment, function_cases, options.golden)
        notes += steps.notes
    inference = Inference(contract)
    if any(contract.has(function) for function in READERS):
        declared = declaration["constants"]
        inference = infer(
            steps.homework,
            name,
            steps.contract,
            declared,
            steps.first,
            _leaves(assignment),
            assignment.torch_loss or assignment.loss,
        )
        if isinstance(steps.homework, StepAsGradients) and not steps.read_off:
            found = replace(inference.contract, functions=contract.functions)
            inference = inference._replace(contract=found)
            steps = steps._replace(homework=homework)
    places = declaration["places"]
    return HomeworkRead(
        assignment, cases, steps.cases, inference, places, notes, options, steps.homework
    )


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


def with_preset(options: Options, contract: Contract) -> Options:
    """The options with the defaults of their preset, if they have one.

    Its optimizer is that of ``update``, where the homework has come so far.

    Raises:
        InputError: The options name an optimizer, and so does the preset.
    """
    preset = options.preset
    if preset is None:
        return options
    options = replace(options, accept=(*options.accept, *preset.accept))
    if preset.optimizer is None:
        return options
    if options.optimizer is not None:
        settings = ", ".join(f"{name}={value:g}" for name, value in preset.settings.items())
        raise InputError(
            f"--optimizer {options.optimizer}: the preset {preset.name} has an optimizer of its "
            f"own, {preset.optimizer} with {settings}; leave the option out."
        )
    if options.golden is not None or not contract.has("update"):
        return options
    return replace(options, optimizer=preset.optimizer, settings=dict(preset.settings))


def find_assignment(
    homework: HomeworkHandle, name: str, contract: Contract, options: Options
) -> Assignment:
    """What a homework is to compute: from a golden file, the options, or the homework itself.

    Raises:
        InputError: It is said nowhere, or the golden file is for another network.
    """
    if options.golden is not None:
        return _from_golden(homework, name, contract, options)
    loss = options.loss or contract.loss or "cross_entropy"
    architecture = options.architecture or contract.architecture
    if options.architecture is None and contract.has("architecture"):
        build = _own_architecture(homework, name)
    elif architecture is None:
        raise InputError(
            f'{name} does not say which network it is: write ARCHITECTURE = "softmax_mlp" into it '
            "(nncompare list names the others), or def architecture(nn): return nn.Sequential(…), "
            "or pass --architecture."
        )
    else:
        build = load_architecture(architecture)
    if contract.batches.channels_last:
        build = build.with_channels_last()
    own = load_torch_loss(loss, options.targets, build) if is_torch_loss(loss) else None
    optimizer, settings = chosen_optimizer(contract, options.optimizer, options.settings)
    return Assignment(build.__name__, build, loss, optimizer, settings, own)


def _own_architecture(homework: HomeworkHandle, name: str) -> RecordedArchitecture:
    result = homework.request("architecture", description="architecture(nn)")
    if result.problem:
        raise InputError(result.problem)
    return RecordedArchitecture(result.details["tree"], f"architecture(nn) of {name}")


def _from_golden(
    homework: HomeworkHandle, name: str, contract: Contract, options: Options
) -> Assignment:
    """The assignment of the golden file, which nothing else may contradict."""
    assert options.golden is not None
    golden = options.golden.assignment
    architecture = options.architecture or contract.architecture
    if options.architecture is None and contract.has("architecture"):
        _require_same_network(golden, _own_architecture(homework, name))
    elif architecture is not None and architecture != golden.architecture:
        _require_same_network(golden, load_architecture(architecture))
    optimizer, settings = chosen_optimizer(contract, options.optimizer, options.settings)
    if golden.optimizer is None and options.optimizer is None:
        optimizer, settings = None, {}  # what the homework says of an update is not asked
    for what, found, expected in (
        ("the loss", options.loss or contract.loss, golden.loss),
        ("the optimizer", optimizer, golden.optimizer),
    ):
        if found is not None and found != expected:
            raise InputError(
                f"The golden file has {what} {expected}, but {name} is to be checked with {found}."
            )
    if settings and settings != golden.settings:
        says = "--set" if settings == options.settings else name
        raise InputError(
            f"The golden file was made with the settings {golden.settings} of the optimizer, but "
            f"{says} says {settings}."
        )
    return golden


def _require_same_network(golden: Assignment, architecture: RecordedArchitecture) -> None:
    assert isinstance(golden.build, RecordedArchitecture)
    difference = first_difference(golden.build, architecture)
    if difference is not None:
        raise InputError(
            f"The golden file was made for {golden.architecture}, but {architecture.__name__} is "
            f"another network: it has {difference[1]} where the file has {difference[0]}."
        )


_cases_by_assignment: dict[str, list[Case]] = {}
_cases_lock = threading.Lock()


def find_cases(assignment: Assignment, contract: Contract, options: Options) -> list[Case]:
    """The cases to evaluate, from the golden file or from PyTorch, which runs each once."""
    layers = contract.has("network")
    functions = contract.has_functions or layers  # layers are run as a whole network, too
    if options.golden is not None:
        cases = [c for c in options.golden.cases if (layers if c.given else functions)]
        steps = contract.has("step") or "step" in options.required
        return cases if steps else [without_steps(case) for case in cases]
    try:
        from compare.check.cases import make_cases
    except ModuleNotFoundError as error:
        raise InputError(
            f"PyTorch is not installed ({error}): check with --golden FILE, made by nncompare "
            "golden where it is."
        ) from None
    build = assignment.build
    tree = build.tree if isinstance(build, RecordedArchitecture) else None
    own = assignment.torch_loss
    loss = assignment.loss if own is None else [own.name, own.like, own.version]
    parts = [tree, loss, assignment.optimizer, assignment.settings, functions, layers]
    key = json.dumps(parts, default=str)
    with _cases_lock:
        if key not in _cases_by_assignment:
            cases = make_cases(assignment, functions=functions, layers=layers)
            _cases_by_assignment[key] = cases
        return _cases_by_assignment[key]


def _leaves(assignment: Assignment) -> list[tuple[str, str]]:
    """Name and class of every module that contains no others."""
    build = assignment.build
    return build.leaves() if isinstance(build, RecordedArchitecture) else []


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
    dropouts = [name for name, kind in _leaves(assignment) if kind.startswith("Dropout")]
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
