"""A result in sentences, for a terminal, an AssertionError, a grade book and a report."""

from __future__ import annotations

from math import isfinite

from compare.check.evidence import Check
from compare.check.outcome import Outcome

QUANTITIES = {
    "activation": "output of layer",
    "buffer": "running statistic",
    "logits": "logits",
    "loss": "loss",
    "gradient": "gradient of",
    "update": "update of",
}


def title(check: Check) -> str:
    """``gradient of 4.weight``."""
    words = QUANTITIES[check.quantity]
    if check.name == check.quantity:
        return words
    if check.quantity == "logits":
        return f"{words} in {check.name} mode"
    if check.quantity == "activation" and check.name.endswith(".kept"):
        return f"share of values kept by layer {check.name.removesuffix('.kept')}"
    if check.quantity == "activation" and check.name.endswith(".evaluation"):
        return f"output of layer {check.name.removesuffix('.evaluation')} in evaluation mode"
    if check.quantity == "gradient" and check.name == "logits":
        return "gradient of the logits"
    if check.quantity == "gradient" and check.name.endswith(".input"):
        return f"gradient of the input of layer {check.name.removesuffix('.input')}"
    return f"{words} {check.name}"


def verdict(outcome: Outcome) -> str:
    """One line: agrees, differs, or could not be checked."""
    result = outcome.result
    passed = sum(check.passed for check in result.checks)
    total = len(result.checks)
    if result.error is not None:
        return f"{outcome.name} could not be checked: {result.error}"
    if result.passed:
        return f"{outcome.name} agrees with PyTorch in all {_count(total, 'check')}."
    first = result.first_divergence
    assert first is not None
    return (
        f"{outcome.name} differs from PyTorch in {total - passed} of {_count(total, 'check')}, "
        f"first in the {title(first)}."
    )


def where(check: Check) -> str:
    """``element [3, 17]``."""
    return f"element [{', '.join(map(str, check.worst))}]" if check.worst else "its value"


def divergence(check: Check) -> list[str]:
    """The first divergence in sentences, expected and found beside each other."""
    lines = [
        f"First divergence: the {title(check)}, worst at {where(check)}",
        f"  expected  {number(check.expected_there)}",
        f"  found     {number(check.found_there)}",
        f"  {distance(check)}",
    ]
    return lines


def distance(check: Check) -> str:
    """How far it is, how far allowed, and what would pass."""
    if not isfinite(check.relative_error) and isfinite(check.found_there):
        return "relative error: infinite, as only zeros are summed there; no tolerance would pass"
    if not isfinite(check.relative_error):
        return f"relative error: not finite; allowed {check.tolerance:.1e}; no tolerance would pass"
    return (
        f"relative error {check.relative_error:.2e}; allowed {check.tolerance:.1e}; the smallest "
        f"tolerance that would pass is {check.relative_error:.2e}"
    )


def named(outcome: Outcome) -> list[str]:
    """The named mistakes, the first divergence's first; or that none is known."""
    first = outcome.result.first_divergence
    if first is None:
        return []
    found: dict[tuple[str, str], list[str]] = {}
    for check in outcome.result.checks:
        if check.diagnosis is not None:
            key = (check.diagnosis.code, check.diagnosis.explanation)
            found.setdefault(key, []).append(title(check))
    lines = [
        f"Mistake: {code}. {_sentence(explanation)} (Seen in the {_listed(seen)}.)"
        for (code, explanation), seen in found.items()
    ]
    if first.diagnosis is None:
        lines.insert(0, "Mistake: none of the known mistakes gives exactly these values.")
    return lines


def number(value: float) -> str:
    """With all the digits that tell it from its neighbours."""
    return repr(float(value))


def explanation(outcome: Outcome) -> str:
    """Everything but the table, as plain text."""
    result = outcome.result
    lines = [verdict(outcome), *result.invariants]
    if result.first_divergence is not None:
        lines += ["", *divergence(result.first_divergence), *named(outcome)]
    lines += [f"Note: {note}" for note in result.notes if note != result.error]
    return "\n".join(lines)


def table(outcome: Outcome) -> str:
    """The checks, a line each, as plain text."""
    rows = [
        (title(check), "agrees" if check.passed else "DIFFERS",
         f"{check.relative_error:.1e}", f"{check.tolerance:.1e}")
        for check in outcome.result.checks
    ]  # fmt: skip
    width = max((len(row[0]) for row in rows), default=0)
    return "\n".join(f"{row[0]:{width}}  {row[1]:7}  {row[2]:>8}  {row[3]:>8}" for row in rows)


def _sentence(text: str) -> str:
    if len(text.split(maxsplit=1)[0]) > 1:  # "ε stands inside the root" keeps its ε
        text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
