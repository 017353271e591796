"""What the options of ``nncompare check`` may say, and what a course's file says in their place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from compare.check.contract import LOSS_CLASSES, SIGNATURES
from compare.check.torch_loss import TARGETS, is_torch_loss
from compare.mistakes.codes import CODES
from experiments.errors import InputError

# What --require and the key ``require`` may name.
REQUIRABLE = (*SIGNATURES, "network")


@dataclass(frozen=True)
class Course:
    """The keys of the file, which are named like the options of ``nncompare check``.

    Attributes:
        architecture: A name or ``FILE.py:FUNCTION``.
        loss: A key of ``LOSS_CLASSES``, or ``FILE.py:FUNCTION``, beside the course's file.
        targets: A key of ``TARGETS``, for such a function.
        preset: The name of a preset.
        optimizer: The class of the optimizer that ``update`` implements.
        settings: Its keyword arguments.
        require: Functions that a homework has to define.
        timeout: The seconds that a homework may take altogether.
        accept: Codes of mistakes that are allowed as conventions.
        weights: What kinds of quantities, or single ones, weigh.
        isolation: A key of ``LEVELS``.
        allow_import: Modules that a homework may import though they could write its answers.
        points: What a homework without a mistake gets.
    """

    architecture: str | None = None
    loss: str | None = None
    targets: str | None = None
    preset: str | None = None
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    require: list[str] = field(default_factory=list)
    timeout: float | None = None
    accept: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    isolation: str | None = None
    allow_import: list[str] = field(default_factory=list)
    points: float | None = None


def checked_loss(loss: str | None, source: str) -> str | None:
    """The loss, which has to be a key of ``LOSS_CLASSES`` or ``FILE.py:FUNCTION``.

    Args:
        loss: Its name, or None if none is given.
        source: Where it stands, for messages: ``--loss``, or a file and its key.

    Raises:
        InputError: There is no such loss.
    """
    if loss is not None and loss not in LOSS_CLASSES and not is_torch_loss(loss):
        raise InputError(
            f"{source} expects one of {', '.join(LOSS_CLASSES)}, or FILE.py:FUNCTION, but got "
            f"{loss!r}."
        )
    return loss


def checked_targets(targets: str | None, source: str) -> str | None:
    """What the targets of a loss of ``FILE.py:FUNCTION`` are, a key of ``TARGETS``.

    Args:
        targets: The key, or None if none is given.
        source: As for :func:`checked_loss`.

    Raises:
        InputError: There is no such key.
    """
    if targets is not None and targets not in TARGETS:
        raise InputError(f"{source} expects one of {', '.join(TARGETS)}, but got {targets!r}.")
    return targets


def checked_functions(names: Iterable[str], source: str) -> tuple[str, ...]:
    """The names of functions, which have to be some of the contract.

    Args:
        names: The names.
        source: As for :func:`checked_loss`.

    Raises:
        InputError: A name is none of the contract.
    """
    found = tuple(names)
    for name in found:
        if name not in REQUIRABLE:
            expected = ", ".join(REQUIRABLE)
            raise InputError(f"{source} expects some of {expected}, but got {name!r}.")
    return found


def checked_codes(codes: Iterable[str], source: str) -> tuple[str, ...]:
    """The codes of mistakes, each once.

    Args:
        codes: The codes.
        source: As for :func:`checked_loss`.

    Raises:
        InputError: There is no such code.
    """
    found = tuple(dict.fromkeys(codes))
    for code in found:
        if code not in CODES:
            near = difflib.get_close_matches(code, CODES, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{source} expects codes of docs/mistakes.md, but got {code!r}.{hint}")
    return found
