"""Naming a mistake: which one, put into the right network, reproduces what was found?

The right network is built in NumPy in float64. Quantities are walked in the order of execution;
at the first that differs, every mistake that its layers, loss or optimizer can have is put in,
one at a time. One is named only if it reproduces the value there in every case, and changes
nothing that agreed before. It then stays in, so that the quantities after it are judged as if it
had been mended, and the next that differs is looked at. Where nothing explains the first, the
next is looked at all the same: layers asked alone and updates do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compare.backends.protocol import Arrays
from compare.mistakes.case import Case, Diagnosis
from compare.mistakes.mistake import Mistake
from compare.mistakes.network import Network
from compare.mistakes.penalty import Penalty, penalties

# More mistakes than this in one homework are not told apart.
MOST = 5


@dataclass(frozen=True)
class Finding:
    """A named mistake, the quantity at which it shows first, and all that it accounts for."""

    quantity: str
    places: tuple[str, ...]
    diagnosis: Diagnosis
    accounts_for: frozenset[str]


# Whether an answer to a case (by its number) differs from the values given, in a quantity.
Differs = Callable[[str, int, Arrays], bool]
# A mistake with its places.
Candidate = tuple[tuple[str, ...], Mistake | Penalty]


@dataclass(frozen=True)
class Search:
    """What was asked of somebody's network, and found.

    Attributes:
        cases: What was asked.
        answers: What was found, a case each.
        differs: Whether an answer differs from given values in a quantity.
        order: The quantities in the order of execution.
    """

    cases: Sequence[Case]
    answers: Sequence[Arrays]
    differs: Differs
    order: Sequence[str]

    def failing(self, network: Network) -> list[str]:
        """The quantities in which what was found is not what a network gives."""
        made = [network.answer(case) for case in self.cases]
        return [q for q in self.order if any(self.differs(q, n, m) for n, m in enumerate(made))]

    def reproduced(self, network: Network, numbers: Sequence[int]) -> frozenset[str]:
        """The quantities that a network reproduces in these cases; none if it cannot answer."""
        found = set(self.order)
        for number in numbers:
            try:
                made = network.answer(self.cases[number])
            except ValueError:
                return frozenset()  # the mistake gives arrays that do not fit here
            found -= {quantity for quantity in found if self.differs(quantity, number, made)}
        return frozenset(found)


def explain(
    network: Network,
    cases: Sequence[Case],
    answers: Sequence[Arrays],
    differs: Differs,
    order: Sequence[str],
) -> list[Finding]:
    """Name the mistakes that account for what was found.

    Args:
        network: The right network; the mistakes that are named stay in it.
        cases: What was asked.
        answers: What was found, a case each.
        differs: Whether an answer differs from given values in a quantity.
        order: The quantities in the order of execution.

    Returns:
        The findings, first divergence first; empty where nothing is named.
    """
    search = Search(cases, answers, differs, order)
    findings: list[Finding] = []
    while len(findings) < MOST:
        failing = search.failing(network)
        finding = _next(network, search, failing) if failing else None
        if finding is None:
            break
        findings.append(finding)
    return sorted(findings, key=lambda finding: order.index(finding.quantity))


def _next(network: Network, search: Search, failing: list[str]) -> Finding | None:
    """The mistake behind the first failing quantity that has one, put into the network.

    Of those that reproduce the quantity in every case and change nothing that agrees, the one
    that accounts for most other failing quantities; of equals, the one in fewer places.
    """
    agreeing = set(search.order).difference(failing)
    tried = [
        (candidate, there)
        for candidate in _candidates(network, search)
        if agreeing <= (there := _with(network, candidate, search, [0]))
    ]
    for quantity in failing:
        best: tuple[tuple[int, int], Candidate, frozenset[str]] | None = None
        for candidate, there in tried:
            if quantity not in there:
                continue
            found = there & _with(network, candidate, search, range(1, len(search.cases)))
            accounted = found.difference(agreeing)
            if quantity not in found or not agreeing <= found:
                continue
            places, mistake = candidate
            if isinstance(mistake, Penalty) and len(accounted) < len(failing):
                continue  # a penalty is a claim about all quantities together
            rank = len(accounted), -len(places)
            if best is None or rank > best[0]:
                best = rank, candidate, accounted
        if best is not None:
            _, (places, mistake), accounted = best
            network.keep(places, mistake)
            diagnosis = Diagnosis(mistake.code, mistake.explanation)
            return Finding(quantity, places, diagnosis, accounted)
    return None


def _candidates(network: Network, search: Search) -> Iterator[Candidate]:
    yield from network.candidates()
    if network.penalty is None:
        for penalty in penalties(search.cases, search.answers):
            yield ("loss",), penalty


def _with(
    network: Network, candidate: Candidate, search: Search, numbers: Sequence[int]
) -> frozenset[str]:
    """What the network reproduces with a mistake put in."""
    with network.with_mistake(*candidate):
        return search.reproduced(network, numbers)
