"""Checking one homework from its file to the result."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.check.contract import Contract, own_arrays, read_contract
from compare.check.evidence import Answer, Assignment, Case, Result
from compare.check.interview import SIGNATURES, Interview
from compare.check.judge import judge
from compare.check.layered import LayerInterview
from compare.check.recorded import Recorded, record
from compare.check.sandbox import MEMORY_MB, TIMEOUT_S, Asked, GoneError, Sandbox
from experiments.errors import InputError

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


def check_homework(file: Path, options: Options = Options()) -> Outcome:
    """Check a file in a process of its own."""
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
    assignment = _assignment(homework, name, contract, options)
    cases = _cases(assignment, contract, options)
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
    interview = Interview(homework, contract, own, trainable)
    answers: list[Answer] = []
    asked: list[Case] = []
    if any(contract.has(f) for f in SIGNATURES):
        answers = interview.answers(for_functions)
        asked = for_functions[: len(answers)]
    if contract.has("network") and not any(
        a.problem and "time limit" in a.problem for a in answers
    ):
        leaves = _leaves(assignment)
        layers = LayerInterview(homework, contract, own, trainable, leaves)
        more = layers.answers(for_layers)
        answers, asked = answers + more, asked + for_layers[: len(more)]
    asked, notes = _mode_of_forward(asked, answers)
    result = judge(asked, answers, assignment)
    notes += _remarks(contract, options, assignment)
    return Outcome(
        name,
        replace(
            result,
            notes=(*result.notes, *notes),
            error=result.error or _shortcoming(name, contract, options, result, interview.faults),
        ),
        assignment,
        _asked_for(contract, asked or cases),
    )


def _assignment(homework: Asked, name: str, contract: Contract, options: Options) -> Assignment:
    if options.golden is not None:
        return _from_golden(name, contract, options)
    loss = options.loss or contract.loss or "cross_entropy"
    said = options.architecture or contract.architecture
    if options.architecture is None and contract.has("architecture"):
        reply = homework.ask("architecture", said="architecture(nn)")
        if reply.problem:
            raise InputError(reply.problem)
        build = Recorded(reply.details["tree"], f"architecture(nn) of {name}")
    elif said is None:
        raise InputError(
            f'{name} does not say which network it is: write ARCHITECTURE = "softmax_mlp" into it '
            "(nncompare list names the others), or def architecture(nn): return nn.Sequential(…), "
            "or pass --architecture."
        )
    else:
        build = recorded_architecture(said)
    optimizer = options.optimizer if contract.has("update") else None
    return Assignment(build.__name__, build, loss, optimizer, options.settings)


def recorded_architecture(name: str) -> Recorded:
    """An architecture of the package, or of FILE.py:FUNCTION, written down.

    Raises:
        InputError: There is none, or it cannot be written down.
    """
    from compare.blueprint import find_architecture

    function = find_architecture(name)
    try:
        return Recorded(record(function), name)
    except Exception as error:
        raise InputError(f"The architecture {name} could not be read: {error}.") from None


def _from_golden(name: str, contract: Contract, options: Options) -> Assignment:
    assert options.golden is not None
    golden = options.golden.assignment
    for what, said, held in (
        ("the architecture", options.architecture or contract.architecture, golden.architecture),
        ("the loss", options.loss or contract.loss, golden.loss),
        ("the optimizer", options.optimizer, golden.optimizer),
    ):
        if said is not None and said != held:
            raise InputError(
                f"The golden file has {what} {held}, but {name} is to be checked with {said}."
            )
    if options.settings and options.settings != golden.settings:
        raise InputError(
            f"The golden file was made with the settings {golden.settings} of the optimizer, but "
            f"--set says {options.settings}."
        )
    return golden


_made: dict[str, list[Case]] = {}
_making = threading.Lock()


def _cases(assignment: Assignment, contract: Contract, options: Options) -> list[Case]:
    """The questions; the same assignment is put to PyTorch once."""
    functions = any(contract.has(f) for f in SIGNATURES)
    layers = contract.has("network")
    if options.golden is not None:
        return [c for c in options.golden.cases if (layers if c.given else functions)]
    try:
        from compare.check.cases import Wanted, make_cases
    except ModuleNotFoundError as error:
        raise InputError(
            f"PyTorch is not installed ({error}): check with --golden FILE, made by nncompare "
            "golden where it is."
        ) from None
    tree = assignment.build.tree if isinstance(assignment.build, Recorded) else None
    key = json.dumps([tree, assignment.loss, assignment.optimizer, assignment.settings,
                      functions, layers], default=str)  # fmt: skip
    with _making:
        if key not in _made:
            _made[key] = make_cases(assignment, Wanted(functions, layers))
        return _made[key]


def _mode_of_forward(
    cases: Sequence[Case], answers: Sequence[Answer]
) -> tuple[list[Case], list[str]]:
    """Take ``forward`` for evaluation mode where it answers so: both are right."""
    asked = [
        (case, answer)
        for case, answer in zip(cases, answers, strict=True)
        if case.evaluation is not None and "logits" in answer.values
    ]
    if not asked or not all(_nearer_to_evaluation(c, a) for c, a in asked):
        return list(cases), []
    found = []
    for case, answer in zip(cases, answers, strict=True):
        if case.evaluation is None or "logits" not in answer.values:
            found.append(case)
            continue
        name = "logits/evaluation"
        answer.values = {
            (name if key == "logits" else key): value for key, value in answer.values.items()
        }
        size = np.full(case.evaluation.shape, np.abs(case.evaluation).max())
        put = {name: case.evaluation}
        rounded = {name: case.evaluation.astype(np.float32)}
        found.append(
            replace(
                case,
                expected={**put, **{k: v for k, v in case.expected.items() if k != "logits"}},
                sizes={**case.sizes, name: size},
                expected32={**case.expected32, **rounded},
            )
        )
    return found, [
        "forward uses the running statistics, so its logits are compared in evaluation mode; loss "
        "and gradients belong to training mode."
    ]


def _nearer_to_evaluation(case: Case, answer: Answer) -> bool:
    assert case.evaluation is not None
    found = answer.values["logits"]
    with np.errstate(all="ignore"):
        return bool(
            np.abs(found - case.evaluation).max() < np.abs(found - case.expected["logits"]).max()
        )


def _remarks(contract: Contract, options: Options, assignment: Assignment) -> list[str]:
    found = []
    optimizer = options.golden.assignment.optimizer if options.golden else options.optimizer
    if contract.has("update") and optimizer is None:
        found.append("update was not checked: name its optimizer with --optimizer.")
    if any(kind.startswith("Dropout") for _, kind in _leaves(assignment)):
        found.append("Dropout is left out of the comparison: its masks are random.")
    return found


def _leaves(assignment: Assignment) -> list[tuple[str, str]]:
    return assignment.build.leaves() if isinstance(assignment.build, Recorded) else []


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


def _asked_for(contract: Contract, cases: Sequence[Case]) -> tuple[str, ...]:
    """The quantities that the homework's functions should give."""
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
            if case.given or givers[quantity.partition("/")[0]]:
                found[quantity] = None
    return tuple(found)


def _is_there(file: Path, what: str) -> None:
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(f"{file}: the {what} {kind}; expected a Python file.")
