"""The score of a homework: what each check weighs, and what follows from an earlier mistake.

docs/checking.md has the rule and its reasons under "What a mistake costs".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from compare.check.architecture import RecordedArchitecture
from compare.check.contract import Assignment
from compare.check.result import FORWARD, QUANTITIES, Check, Outcome, check_title
from experiments.errors import InputError

# What a check costs that may follow from an earlier one, as nothing shows whether it does.
HALF = 0.5
# What a homework without a mistake gets.
POINTS = 100.0


class Scoring(NamedTuple):
    """How checks become points.

    Attributes:
        weights: What kinds of quantities, or single ones, weigh; see :func:`shares`.
        points: What a homework without a mistake gets.
    """

    weights: Mapping[str, float] = MappingProxyType({})
    points: float = POINTS


# Every check weighs the same.
EQUAL = Scoring()


class Consequence(NamedTuple):
    """A failed check follows from another one: surely, or so it may be."""

    root: str
    sure: bool


class Mark(NamedTuple):
    """What one check weighs, and how much of that is lost.

    Attributes:
        key: The key of the quantity.
        check: The comparison; None if the homework gave no answer.
        weight: What it weighs beside the others.
        lost: The part of its weight that is lost, from 0 to 1.
        follows: The earlier check that it follows from, or None.
    """

    key: str
    check: Check | None
    weight: float
    lost: float
    follows: Consequence | None

    @property
    def title(self) -> str:
        """The quantity in words."""
        return key_title(self.key)


def marks(outcome: Outcome, weights: Mapping[str, float] = MappingProxyType({})) -> list[Mark]:
    """A mark for each quantity that the homework gave or should have given.

    Args:
        outcome: The outcome.
        weights: As for :func:`shares`.
    """
    result = outcome.result
    checks = {check.key: check for check in result.checks}
    keys = list(dict.fromkeys((*checks, *outcome.required)))
    follows = consequences(
        result.checks,
        own_derivative=result.own_derivative,
        always_zero=biases_before_normalisation(outcome.assignment),
    )
    found = []
    for key, weight in shares(keys, weights).items():
        check, consequence = checks.get(key), follows.get(key)
        if check is not None and check.in_order:
            lost = 0.0
        elif consequence is None:
            lost = 1.0
        else:
            lost = 0.0 if consequence.sure else HALF
        found.append(Mark(key, check, weight, lost, consequence))
    return found


def score(found: Sequence[Mark]) -> float:
    """The part of the weight that is not lost, from 0 to 1; 0 where nothing weighs anything."""
    whole = math.fsum(mark.weight for mark in found)
    kept = math.fsum(mark.weight * (1 - mark.lost) for mark in found)
    return kept / whole if whole else 0.0


def shares(keys: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Key → weight. Each weighs 1, unless there is a weight for it or for its kind.

    Args:
        keys: The keys of all quantities of a homework.
        weights: Key, such as ``gradient/0.weight`` → its weight; kind, such as ``gradient`` → a
            weight that is shared equally among the quantities of this kind without one of their
            own.
    """
    kinds = [_kind(key) for key in keys if not _has_own(key, weights)]
    return {
        key: weights[key]
        if _has_own(key, weights)
        else weights[_kind(key)] / kinds.count(_kind(key))
        if _kind(key) in weights
        else 1.0
        for key in keys
    }


def consequences(
    checks: Sequence[Check],
    *,
    own_derivative: bool = False,
    always_zero: Collection[str] = (),
) -> dict[str, Consequence]:
    """Which failed checks follow from which others.

    Surely follows what the named mistake of an earlier check accounts for; every gradient, if the
    forward values differ and the gradients are the derivative of the homework's own loss; and a
    gradient without a name that is the same factor away as that of a later layer which it may
    follow from. What else has no name may follow from what has none: the loss and the running
    statistics from the logits; the logits from the output of a layer; gradients from that of a
    later layer if no gradient from there down to the first layer agrees; updates from each other if
    none agrees, and so may training steps, which may also follow from a gradient. Layers that are
    run alone do not follow from each other; the gradients of the
    network that they make follow as those of functions do.

    Args:
        checks: All checks, in the order of execution.
        own_derivative: Whether the gradients are the derivative of the homework's own loss.
        always_zero: Parameters whose gradient is 0 whatever comes from the layers after them, so
            that it shows nothing.

    Returns:
        Key of a failed check → what it follows from. No root follows from anything itself.
    """
    failed = [check for check in checks if not check.passed]
    found = {
        check.key: Consequence(check.shown_first_in, True)
        for check in failed
        if check.shown_first_in not in (None, check.key)
    }
    unnamed = [check.key for check in failed if check.diagnosis is None]
    layers_alone = any(check.quantity == "activation" for check in checks)

    def may_follow(keys: Iterable[str], root: str) -> None:
        found.update({key: Consequence(root, False) for key in keys if key != root})

    def unnamed_of(kind: str) -> list[str]:
        return [key for key in unnamed if _kind(key) == kind]

    if layers_alone:
        for root in unnamed_of("activation")[:1]:
            may_follow(unnamed_of("logits"), root)
    else:
        for root in unnamed_of("logits")[:1]:
            may_follow([*unnamed_of("loss"), *unnamed_of("buffer")], root)
    whole = [check for check in checks if check.in_network] if layers_alone else checks
    signal = _wrong_signal(whole, set(unnamed), always_zero)
    may_follow(signal, signal[0] if signal else "")
    factors = {check.key: check.ratio for check in failed}
    for key in signal[1:]:  # the derivative passes a factor on
        if factors[key] and factors[key] == factors[signal[0]]:
            found[key] = Consequence(signal[0], True)
    for kind in ("update", "step"):
        unnamed_here = unnamed_of(kind)
        if unnamed_here and len(unnamed_here) == sum(check.quantity == kind for check in checks):
            may_follow(unnamed_here, unnamed_here[0])
    for root in unnamed_of("gradient")[:1]:  # a step goes along the gradient
        may_follow(unnamed_of("step"), root)
    if own_derivative and not layers_alone:
        forward = [check.key for check in failed if check.quantity in (*FORWARD, "loss")]
        for first in forward[:1]:
            root = found[first].root if first in found else first
            gradients = [check.key for check in failed if check.quantity == "gradient"]
            found.update({key: Consequence(root, True) for key in gradients})
    return {
        key: Consequence(found[root].root, sure and found[root].sure)
        if root in found
        else Consequence(root, sure)
        for key, (root, sure) in found.items()
    }


def _wrong_signal(
    checks: Sequence[Check], unnamed: Collection[str], always_zero: Collection[str]
) -> list[str]:
    """The gradients to which a wrong signal from the layers after them may have come.

    They are those without a name from some layer down to the first, none of which agrees.
    """
    by_layer: dict[str, list[Check]] = {}
    for check in checks:
        if check.quantity == "gradient":
            by_layer.setdefault(check.name.rpartition(".")[0], []).append(check)
    found: list[str] = []
    for layer in reversed(by_layer.values()):
        if any(c.key not in unnamed and _parameter(c) not in always_zero for c in layer):
            break
        found = [*(c.key for c in layer if c.key in unnamed), *found]
    return found


def _parameter(check: Check) -> str:
    """The parameter whose gradient is compared."""
    return check.name.removeprefix("network/")


def biases_before_normalisation(assignment: Assignment | None) -> tuple[str, ...]:
    """The biases that a batch normalisation takes away again, so that their gradient is 0."""
    if assignment is None or not isinstance(assignment.build, RecordedArchitecture):
        return ()
    return tuple(
        f"{name}.bias"
        for (name, kind), (_, following) in pairwise(assignment.build.leaves())
        if kind.startswith(("Linear", "Conv")) and following.startswith("BatchNorm")
    )


def checked_weights(weights: Mapping[str, float], source: str) -> dict[str, float]:
    """The weights, whose keys are kinds of quantities or keys of quantities.

    Args:
        weights: As for :func:`shares`.
        source: Where they stand, for messages: ``--weight``, or a file and its key.

    Raises:
        InputError: There is no such kind, or a weight is negative or no number.
    """
    for key, weight in weights.items():
        kind = key.partition("/")[0]
        if kind not in QUANTITIES:
            near = difflib.get_close_matches(kind, QUANTITIES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{source}: expected one of {', '.join(QUANTITIES)}, or one such as "
                f"gradient/0.weight, but got {key!r}.{hint}"
            )
        if not 0 <= weight < math.inf:
            raise InputError(f"{source}: {key} should weigh 0 or more, but got {weight:g}.")
    if weights and not any(weights.values()) and set(QUANTITIES) <= set(weights):
        raise InputError(f"{source}: expected something that weighs more than 0.")
    return dict(weights)


def unused_weights(outcomes: Iterable[Outcome], weights: Mapping[str, float]) -> list[str]:
    """The single quantities that have a weight and that no homework gave or should have given.

    A homework that could not be loaded says nothing of its quantities.
    """
    known = {mark.key for outcome in outcomes for mark in marks(outcome)}
    return [key for key in weights if "/" in key and key not in known] if known else []


def key_title(key: str) -> str:
    """The quantity in words: ``gradient of 4.weight``."""
    kind, _, name = key.partition("/")
    return check_title(Check(kind, name or kind, False, math.inf, 0.0))


def consequence_sentence(consequence: Consequence) -> str:
    """``Follows from the gradient of 4.weight: no further points lost.``"""
    root = key_title(consequence.root)
    if consequence.sure:
        return f"Follows from the {root}: no further points lost."
    return f"May follow from the {root}: only half of the points lost."


def _kind(key: str) -> str:
    """The first part of a key; whatever forward returns weighs what logits do."""
    kind = key.partition("/")[0]
    return "logits" if kind in FORWARD else kind


def _has_own(key: str, weights: Mapping[str, float]) -> bool:
    """Whether there is a weight for this very quantity; that for ``loss`` is also its kind's."""
    return key in weights and "/" in key
