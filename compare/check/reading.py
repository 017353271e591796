"""What a loaded homework is to compute, and in which form it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy_nn
from compare.check.architecture import (
    RecordedArchitecture,
    first_difference,
    load_architecture,
)
from compare.check.contract import (
    Assignment,
    Contract,
    read_contract,
)
from compare.check.declared_loss import with_reduction, with_weight_decay
from compare.check.golden import Golden
from compare.check.inference import Inference, infer
from compare.check.isolation import STANDARD
from compare.check.own_names import READERS
from compare.check.presets import Preset
from compare.check.reference_process import Answers, Question, own_answers
from compare.check.sandbox import (
    MEMORY_MB,
    TIMEOUT_S,
    HomeworkHandle,
)
from compare.check.step_evaluation import StepAsGradients, without_steps
from compare.check.step_reading import StepReading, read_steps, without_open_step
from compare.check.torch_loss import is_torch_loss, load_torch_loss
from compare.mistakes.case import Case
from experiments.errors import InputError


@dataclass(frozen=True)
class Options:
    """How a homework is to be checked.

    Attributes:
        architecture: A name or ``FILE.py:FUNCTION``, instead of the homework's own.
        loss: A key of ``LOSS_CLASSES``, or ``FILE.py:FUNCTION`` of PyTorch's tensors, instead of
            the homework's own.
        targets: A key of ``TARGETS``, for such a function.
        seed: What the questions are drawn from; None for the same ones each time.
        answers: Whom PyTorch's answers are asked of; None for PyTorch in this process.
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
        isolation: A key of :data:`compare.check.isolation.LEVELS`.
        allow_import: Modules that it may import though they could write its answers.
        others: Other homeworks and files of the person who checks, which it does not see.
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
    isolation: str = STANDARD
    allow_import: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()
    seed: int | None = None
    answers: Answers | None = None


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

        def steps_of(case: Case) -> Case:
            return _ask(options, _question(assignment, options, case=case))[0]

        given = None if options.golden is not None else steps_of
        steps = read_steps(homework, name, contract, assignment, function_cases, given)
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
            module_leaves(assignment),
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
    one_sample = contract.batches.one_sample
    return Assignment(build.__name__, build, loss, optimizer, settings, own, one_sample)


def chosen_optimizer(
    contract: Contract, name: str | None, settings: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """The class of the optimizer and its settings: those of the options before the homework's.

    Where the options name the homework's own optimizer without settings, the homework's count.

    Args:
        contract: What the homework declares.
        name: The optimizer of the options, or None.
        settings: Its keyword arguments.
    """
    own, given = optimizer_class(contract.optimizer), optimizer_class(name)
    if given is None or (given == own and not settings):
        return own, dict(contract.settings)
    return given, dict(settings)


def optimizer_class(name: str | None) -> str | None:
    """The class of an optimizer whose name may be written in other cases: ``adam``."""
    classes = {known.lower(): known for known in numpy_nn.optim.__all__}
    return None if name is None else classes.get(name.lower(), name)


def _own_architecture(homework: HomeworkHandle, name: str) -> RecordedArchitecture:
    result = homework.request("architecture", description="architecture(nn)")
    if result.problem:
        raise InputError(result.problem)
    return RecordedArchitecture(result.details.get("tree"), f"architecture(nn) of {name}")


def _from_golden(
    homework: HomeworkHandle, name: str, contract: Contract, options: Options
) -> Assignment:
    """The assignment of the golden file, which nothing else may contradict."""
    assert options.golden is not None
    golden = options.golden.assignment
    for name_of, declared in (
        ("CHANNELS_LAST", contract.batches.channels_last),
        ("ONE_SAMPLE", contract.batches.one_sample),
    ):
        if declared:
            raise InputError(
                f"The golden file has batches of several rows, channels first, but {name} "
                f"declares {name_of}: check it without --golden."
            )
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


def find_cases(assignment: Assignment, contract: Contract, options: Options) -> list[Case]:
    """The cases to evaluate, from the golden file or from PyTorch, which runs each once."""
    layers = contract.has("network")
    functions = contract.has_functions or layers  # layers are run as a whole network, too
    if options.golden is not None:
        cases = [c for c in options.golden.cases if (layers if c.given else functions)]
        steps = contract.has("step") or "step" in options.required
        return cases if steps else [without_steps(case) for case in cases]
    question = _question(assignment, options, functions=functions, layers=layers)
    return _ask(options, question)


def _ask(options: Options, question: Question) -> list[Case]:
    return (options.answers or own_answers).ask(question)


def _question(assignment: Assignment, options: Options, **more: Any) -> Question:
    """What PyTorch is asked, under the limits of the homework."""
    return Question(
        assignment,
        seed=options.seed,
        timeout_s=options.timeout_s,
        memory_mb=options.memory_mb,
        **more,
    )


def module_leaves(assignment: Assignment) -> list[tuple[str, str]]:
    """Name and class of every module that contains no others."""
    build = assignment.build
    return build.leaves() if isinstance(build, RecordedArchitecture) else []
