"""What a homework is to compute: from what it says, what the command says, or a golden file."""

from __future__ import annotations

import json
import threading

from compare.check.contract import Contract
from compare.check.evidence import Assignment
from compare.check.outcome import Options
from compare.check.recorded import Recorded, record
from compare.check.returned import SIGNATURES
from compare.check.same_network import first_difference
from compare.check.sandbox import Asked
from compare.mistakes.case import Case
from experiments.errors import InputError


def find_assignment(homework: Asked, name: str, contract: Contract, options: Options) -> Assignment:
    """What is to be computed.

    Raises:
        InputError: Nobody says which network it is, or two say different things.
    """
    if options.golden is not None:
        return _from_golden(homework, name, contract, options)
    loss = options.loss or contract.loss or "cross_entropy"
    said = options.architecture or contract.architecture
    if options.architecture is None and contract.has("architecture"):
        build = _of_homework(homework, name)
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


def _of_homework(homework: Asked, name: str) -> Recorded:
    reply = homework.ask("architecture", said="architecture(nn)")
    if reply.problem:
        raise InputError(reply.problem)
    return Recorded(reply.details["tree"], f"architecture(nn) of {name}")


def recorded_architecture(name: str) -> Recorded:
    """An architecture of the package, or of FILE.py:FUNCTION, written down.

    Raises:
        InputError: There is none, or it cannot be written down.
    """
    from compare.spec.model import find_architecture

    function = find_architecture(name)
    try:
        return Recorded(record(function), name)
    except Exception as error:
        raise InputError(f"The architecture {name} could not be read: {error}.") from None


def _from_golden(homework: Asked, name: str, contract: Contract, options: Options) -> Assignment:
    assert options.golden is not None
    golden = options.golden.assignment
    named = options.architecture or contract.architecture
    if options.architecture is None and contract.has("architecture"):
        _same_as_golden(golden, _of_homework(homework, name))
    elif named is not None and named != golden.architecture:
        _same_as_golden(golden, recorded_architecture(named))
    for what, said, held in (
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


def _same_as_golden(golden: Assignment, said: Recorded) -> None:
    assert isinstance(golden.build, Recorded)
    different = first_difference(golden.build, said)
    if different is not None:
        raise InputError(
            f"The golden file was made for {golden.architecture}, but {said.__name__} is another "
            f"network: it has {different[1]} where the file has {different[0]}."
        )


_made: dict[str, list[Case]] = {}
_making = threading.Lock()


def find_cases(assignment: Assignment, contract: Contract, options: Options) -> list[Case]:
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


def leaves_of(assignment: Assignment) -> list[tuple[str, str]]:
    """Name and class of every module that holds no others."""
    return assignment.build.leaves() if isinstance(assignment.build, Recorded) else []
