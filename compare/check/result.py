"""The result of checking a homework, in sentences, as a table and as JSON.

A quantity is named by a key: ``logits``, ``loss``, ``gradient/0.weight``, ``update/0.weight`` or,
for a homework of layer classes, ``activation/1`` and ``buffer/1.running_mean``. Arrays are float64
in the reference's layout: the homework's conventions (transposed weights, batches in columns,
one-hot labels, own names) have been undone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from compare.backends.protocol import Arrays
from compare.check.contract import Assignment
from compare.check.isolation import Isolation
from compare.languages import translated
from compare.mistakes.case import Diagnosis

# The version of the JSON, which docs/checking.md describes.
SCHEMA = 1

UNFINISHED_SEARCH = (
    "The network is large: the search for the mistake's name was ended before all had been tried."
)

# The invariant that clears the gradients where forward values and gradients both differ.
OWN_DERIVATIVE = (
    "The gradients are the derivative of this homework's own loss: what is wrong is wrong in both."
)

QUANTITIES = {
    "activation": "output of layer",
    "buffer": "running statistic",
    "logits": "logits",
    "loss": "loss",
    "gradient": "gradient of",
    "update": "update of",
    "step": "training steps of",
}

# How the questions of a grading are asked again.
ASK_AGAIN = "The questions were drawn with the seed {seed}: --seed {seed} asks them again."

# What forward may return, in words.
FORWARD = {
    "logits": "logits",
    "probabilities": "probabilities",
    "log_probabilities": "logarithms of the probabilities",
}


@dataclass
class Observed:
    """What a homework computed for one case.

    Attributes:
        values: Quantity → value, in the order of evaluation.
        problem: Why there are no more values, in one sentence, or None.
        notes: Sentences about the homework's behaviour, such as an argument changed in place.
        single: Whether the homework rounds what it is given to float32.
    """

    values: Arrays = field(default_factory=dict)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    single: bool = False


def add_notes(notes: list[str], sentences: Iterable[str]) -> None:
    """Append the sentences that are not among the notes yet."""
    for sentence in sentences:
        if sentence not in notes:
            notes.append(sentence)


@dataclass(frozen=True)
class Check:
    """One quantity compared over all cases.

    Attributes:
        quantity: The first part of its key, such as ``gradient``.
        name: The second part, such as ``0.weight``; for ``logits`` and ``loss`` the same word.
        passed: Whether the error is within the tolerance in every case.
        relative_error: The largest error relative to the size of the quantity, in the case that
            is furthest beyond its tolerance.
        tolerance: The error allowed in that case.
        worst: The index of the element with this error.
        found_there: The homework's value at it.
        expected_there: PyTorch's value at it.
        diagnosis: The named mistake, if one is found.
        ratio: By which factor every element differs, in words, if it is the same in all.
        own: The place in the homework's code that gave it, in its own words, if that is known.
        shown_first_in: The key of the check in which this mistake shows first.
        accepted: Whether the instructor allows this mistake as a convention.
    """

    quantity: str
    name: str
    passed: bool
    relative_error: float
    tolerance: float
    worst: tuple[int, ...] = ()
    found_there: float = float("nan")
    expected_there: float = float("nan")
    diagnosis: Diagnosis | None = None
    ratio: str = ""
    own: str = ""
    shown_first_in: str | None = None
    accepted: bool = False

    @property
    def key(self) -> str:
        """The key of the quantity: ``loss``, ``gradient/0.weight``."""
        return self.quantity if self.name == self.quantity else f"{self.quantity}/{self.name}"

    @property
    def in_network(self) -> bool:
        """Whether it is of a whole network of layer classes."""
        return self.name == "network" or self.name.startswith("network/")

    @property
    def in_order(self) -> bool:
        """Whether it agrees with PyTorch or differs by an accepted convention."""
        return self.passed or self.accepted


@dataclass(frozen=True)
class Result:
    """The comparisons of one homework and what was seen beside them.

    Attributes:
        checks: In the order of execution: forwards, loss, gradients from the last layer to the
            first, updates.
        invariants: Violated invariants, in sentences that need no reference.
        notes: Other sentences for the reader.
        error: Why the homework could not be checked, or None.
    """

    checks: tuple[Check, ...] = ()
    invariants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it could be checked and every check passed or is accepted."""
        return self.error is None and bool(self.checks) and all(c.in_order for c in self.checks)

    @property
    def first_divergence(self) -> Check | None:
        """The first check that failed and is not accepted."""
        return next((check for check in self.checks if not check.in_order), None)

    @property
    def own_derivative(self) -> bool:
        """Whether forward values differ and the gradients are the derivative of the own loss."""
        return OWN_DERIVATIVE in self.invariants

    @property
    def accepted(self) -> tuple[str, ...]:
        """The codes of the accepted conventions by which it differs."""
        found = (check.diagnosis for check in self.checks if check.accepted)
        return tuple(dict.fromkeys(diagnosis.code for diagnosis in found if diagnosis))

    def accepting(self, codes: Collection[str]) -> Result:
        """The result with the checks accepted whose mistake has one of these codes."""
        checks = (
            replace(check, accepted=check.diagnosis is not None and check.diagnosis.code in codes)
            for check in self.checks
        )
        return replace(self, checks=tuple(checks))


@dataclass(frozen=True)
class Outcome:
    """The result of one homework with its name, its assignment and its output.

    Attributes:
        name: The homework's file name.
        result: The comparisons.
        assignment: What it was to compute; None if that could not be found out.
        required: The keys of the quantities that it should have given.
        printed: The end of what it printed.
        printed_characters: The number of characters that it printed.
        isolation: What separated its process from the machine; None if it had no process.
        seed: What its questions were drawn from; None where they are always the same.
    """

    name: str
    result: Result
    assignment: Assignment | None = None
    required: tuple[str, ...] = ()
    printed: str = ""
    printed_characters: int = 0
    isolation: Isolation | None = None
    seed: int | None = None

    @property
    def status(self) -> int:
        """The exit status: 0 agrees, 1 differs, 2 could not be checked."""
        if self.result.error is not None or not self.result.checks:
            return 2
        return 0 if self.result.passed else 1


# What is said of a check whose mistake has no name.
NO_NAME = "none of the known mistakes gives exactly these values"


def check_title(check: Check) -> str:
    """The quantity in words: ``gradient of 4.weight``."""
    words = FORWARD.get(check.quantity) or QUANTITIES[check.quantity]
    if check.name == check.quantity:
        return words
    if check.quantity in FORWARD:
        return f"{words} in {check.name} mode"
    if check.quantity == "activation" and check.name.endswith(".kept"):
        return f"share of values kept by layer {check.name.removesuffix('.kept')}"
    if check.quantity == "activation" and check.name.endswith(".evaluation"):
        return f"output of layer {check.name.removesuffix('.evaluation')} in evaluation mode"
    if check.name == "network":
        return f"{words} of the whole network"
    if check.name.startswith("network/"):
        return f"{words} {check.name.removeprefix('network/')} in the whole network"
    if check.quantity == "gradient" and check.name == "logits":
        return "gradient of the logits"
    if check.quantity == "gradient" and check.name.endswith(".input"):
        return f"gradient of the input of layer {check.name.removesuffix('.input')}"
    return f"{words} {check.name}"


def verdict_line(outcome: Outcome) -> str:
    """One line: agrees, differs, or could not be checked."""
    result = outcome.result
    in_order = sum(check.in_order for check in result.checks)
    accepted = sum(check.accepted for check in result.checks)
    total = len(result.checks)
    if result.error is not None:
        return f"{outcome.name} could not be checked: {result.error}"
    if result.passed and not accepted:
        return f"{outcome.name} agrees with PyTorch in all {_count(total, 'check')}."
    if result.passed:
        return (
            f"{outcome.name} agrees with PyTorch in {total - accepted} of "
            f"{_count(total, 'check')}, the rest is accepted ({', '.join(result.accepted)})."
        )
    first = result.first_divergence
    assert first is not None
    more = f"; {accepted} accepted ({', '.join(result.accepted)})" if accepted else ""
    return (
        f"{outcome.name} differs from PyTorch in {total - in_order} of {_count(total, 'check')}, "
        f"first in the {check_title(first)}{more}."
    )


def verdict_word(check: Check) -> str:
    """``agrees``, ``accepted`` or ``differs``."""
    if check.passed:
        return "agrees"
    return "accepted" if check.accepted else "differs"


def where(check: Check) -> str:
    """The place of the worst element: ``element [3, 17]``."""
    return f"element [{', '.join(map(str, check.worst))}]" if check.worst else "its value"


def distance(check: Check) -> str:
    """The error, the error allowed, and the smallest tolerance that would pass."""
    if not math.isfinite(check.relative_error) and math.isfinite(check.found_there):
        return "relative error: infinite, as only zeros are summed there; no tolerance would pass"
    if not math.isfinite(check.relative_error):
        return f"relative error: not finite; allowed {check.tolerance:.1e}; no tolerance would pass"
    return (
        f"relative error {check.relative_error:.2e}; allowed {check.tolerance:.1e}; the smallest "
        f"tolerance that would pass is {check.relative_error:.2e}"
    )


def exact_number(value: float) -> str:
    """A number with all digits that distinguish it from its neighbours."""
    return repr(float(value))


def mistake_sentences(outcome: Outcome) -> list[str]:
    """A sentence for each named mistake, and one if the first divergence has no name."""
    first = outcome.result.first_divergence
    found: dict[tuple[str, str, str], list[str]] = {}
    for check in outcome.result.checks:
        if check.diagnosis is not None:
            word = "Accepted" if check.accepted else "Mistake"
            key = (word, check.diagnosis.code, check.diagnosis.explanation)
            found.setdefault(key, []).append(check_title(check))
    lines = [
        f"{word}: {code}. {_sentence(explanation)} (Seen in the {_listed(titles)}.)"
        for (word, code, explanation), titles in found.items()
    ]
    if first is not None and first.diagnosis is None:
        unnamed = f"the {check_title(first)}" if lines else "these values"
        tried = " that were tried" if UNFINISHED_SEARCH in outcome.result.notes else ""
        lines.insert(0, f"Mistake: none of the known mistakes{tried} gives exactly {unnamed}.")
    return [*_ratio_sentences(outcome.result), *lines]


def _ratio_sentences(result: Result) -> list[str]:
    """By which factor the first divergence, or every gradient, differs, if it is a factor."""
    first = result.first_divergence
    if first is None or not first.ratio:
        return []
    failed = [check for check in result.checks if not check.in_order]
    gradients = [check for check in result.checks if check.quantity == "gradient"]
    if len(gradients) > 1 and failed == gradients and len({c.ratio for c in gradients}) == 1:
        return [f"Every gradient is exactly {first.ratio}."]
    return [f"Every element of it is exactly {first.ratio}."]


def divergence_sentence(check: Check) -> str:
    """Where a check is worst, what was expected there and found, and by which factor if by one."""
    ratio = f" Every element of it is exactly {check.ratio}." if check.ratio else ""
    return (
        f"{check_title(check).capitalize()}, at {where(check)}: expected "
        f"{exact_number(check.expected_there)}, found {exact_number(check.found_there)}; "
        f"{distance(check)}.{ratio}"
    )


def as_text(outcome: Outcome) -> str:
    """Everything but the table, as plain text."""
    result, first = outcome.result, outcome.result.first_divergence
    lines = [verdict_line(outcome), *result.invariants]
    if first is not None:
        lines += [
            "",
            f"First divergence: the {check_title(first)}, worst at {where(first)}",
            f"  expected  {exact_number(first.expected_there)}",
            f"  found     {exact_number(first.found_there)}",
            f"  {distance(first)}",
            *([f"  In your code: {first.own}."] if first.own else []),
        ]
    lines += mistake_sentences(outcome)
    lines += [f"Note: {note}" for note in result.notes if note != result.error]
    return "\n".join(lines)


def table_as_text(outcome: Outcome) -> str:
    """The checks as plain text, one per line."""
    rows = [
        (check_title(check), verdict_word(check).replace("differs", "DIFFERS"),
         f"{check.relative_error:.1e}", f"{check.tolerance:.1e}")
        for check in outcome.result.checks
    ]  # fmt: skip
    width = max((len(row[0]) for row in rows), default=0)
    return "\n".join(f"{row[0]:{width}}  {row[1]:8}  {row[2]:>8}  {row[3]:>8}" for row in rows)


def _sentence(text: str) -> str:
    if len(text.split(maxsplit=1)[0]) > 1:  # "ε stands inside the root" keeps its ε
        text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _listed(names: list[str]) -> str:
    names = [translated(name, "check") for name in names]
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def as_json(result: Result, seed: int | None = None, isolation: Isolation | None = None) -> str:
    """The text of the file that ``--json`` writes.

    Args:
        result: The result.
        seed: What the questions were drawn from; None where they are always the same.
        isolation: What separated the homework's process from the machine; None without a process.
    """
    first = result.first_divergence
    tree: dict[str, Any] = {
        "schema": SCHEMA,
        "passed": result.passed,
        "checks": [_check_as_json(check) for check in result.checks],
        "first_divergence": first and {"quantity": first.quantity, "name": first.name},
        "error": result.error,
        "seed": seed,
    }
    if isolation is not None:
        tree["isolation"] = {"level": isolation.level, "tool": isolation.tool or None}
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check_as_json(check: Check) -> dict[str, Any]:
    diagnosis = check.diagnosis
    return {
        "quantity": check.quantity,
        "name": check.name,
        "passed": check.passed,
        "relative_error": _finite(check.relative_error),
        "tolerance": _finite(check.tolerance),
        "accepted": check.accepted,
        "diagnosis": diagnosis and {"code": diagnosis.code, "explanation": diagnosis.explanation},
    }


def _finite(value: float) -> float:
    """JSON has no infinity; the largest number stands for it."""
    return value if math.isfinite(value) else sys.float_info.max
