"""What the paths of optimizers show: how long, how often across the valley, how near its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compare.demos.claim import Decision, Finding, agreed, all_of
from compare.demos.records import PathRow

BOOK = "K. Saitoh, Deep Learning from Scratch, section 6.1"


class PathFacts(NamedTuple):
    """The numbers of one path.

    Attributes:
        points: (steps + 1, 2), x and y.
        values: (steps + 1,), f there.
        length: Σ of the lengths of all steps.
        direct: From the first point to the last in a straight line.
        crossings: How often y changes its sign: the path crosses the floor of the valley.
        across: Σ |Δy|, the way made across the valley.
    """

    points: np.ndarray
    values: np.ndarray
    length: float
    direct: float
    crossings: int
    across: float

    @property
    def detour(self) -> float:
        """The path's length over the straight line between its ends; at least 1."""
        return self.length / self.direct if self.direct else float("inf")

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.points) - 1


@np.errstate(all="ignore")  # a path that ran away is as long as its numbers say
def path_facts(rows: Sequence[PathRow], backend: str, label: str) -> PathFacts:
    """Measure the path of one side with one optimizer."""
    found = [row for row in rows if (row.backend, row.label) == (backend, label)]
    points = np.array([(row.x, row.y) for row in found])
    moves = np.diff(points, axis=0)
    side = np.sign(points[:, 1])
    side = side[np.abs(side) == 1]  # on the floor is on neither side of it, nor is NaN
    return PathFacts(
        points,
        np.array([row.value for row in found]),
        float(np.hypot(*moves.T).sum()),
        float(np.hypot(*(points[-1] - points[0]))),
        int((side[1:] != side[:-1]).sum()),
        float(np.abs(moves[:, 1]).sum()),
    )


def all_facts(rows: Sequence[PathRow]) -> dict[tuple[str, str], PathFacts]:
    """(backend, label) → the facts of that path, in the order of the rows."""
    keys = dict.fromkeys((row.backend, row.label) for row in rows)
    return {key: path_facts(rows, *key) for key in keys}


def largest_gap(facts: Mapping[tuple[str, str], PathFacts], label: str) -> float:
    """The largest distance between the two sides' points after equally many steps."""
    return float(np.max(gaps(facts, label), initial=0.0))


@np.errstate(all="ignore")
def gaps(facts: Mapping[tuple[str, str], PathFacts], label: str) -> np.ndarray:
    """The distance between the sides' points after each step, as long as both are finite."""
    numpy, torch = (facts[backend, label].points for backend in ("numpy", "torch"))
    finite = np.isfinite(numpy).all(axis=1) & np.isfinite(torch).all(axis=1)
    last = int(np.argmin(finite)) if not finite.all() else len(finite)
    return np.hypot(*(numpy[:last] - torch[:last]).T)


def findings(facts: Mapping[tuple[str, str], PathFacts]) -> list[Finding]:
    """The textbook's claims, decided from both sides' paths.

    Nothing is drawn here, so there is no interval: a claim holds or does not. It is undecided
    where an optimizer that it speaks of was not run, or the two sides contradict each other.
    """
    return [_finding(facts, claim) for claim in CLAIMS]


def _finding(facts: Mapping[tuple[str, str], PathFacts], claim: Claim) -> Finding:
    missing = [o for o in claim.optimizers if ("numpy", o) not in facts]
    if missing:
        reason = f"this run has no optimizer with the label {' and '.join(missing)}."
        return Finding(claim.text, BOOK, "undecided", reason)
    numpy, torch = (
        claim.decide({o: facts[backend, o] for o in claim.optimizers})
        for backend in ("numpy", "torch")
    )
    listed = [
        f"{WORDS[quantity]}: "
        + ", ".join(
            f"{o} {_number(getattr(facts['numpy', o], quantity))}" for o in claim.optimizers
        )
        for quantity in claim.quantities
    ]
    reason = "; ".join(listed) + ("." if numpy == torch else "; but the two sides differ.")
    return Finding(claim.text, BOOK, agreed(numpy, torch), reason)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


WORDS = {
    "crossings": "crossings of the floor",
    "length": "length of the path",
    "across": "way made across the valley",
    "detour": "length over the straight line",
}

ByLabel = Mapping[str, PathFacts]


class Claim(NamedTuple):
    """A claim about some optimizers, what decides it, and the quantities it is decided by."""

    text: str
    optimizers: tuple[str, ...]
    quantities: tuple[str, ...]
    decide: Callable[[ByLabel], Decision]


def _largest(quantity: str, of: str, facts: ByLabel) -> Decision:
    """Whether a quantity is larger for one optimizer than for each other."""
    own = getattr(facts[of], quantity)
    others = [getattr(found, quantity) for label, found in facts.items() if label != of]
    return "supported" if all(own > other for other in others) else "not supported"


CLAIMS = (
    Claim(
        "SGD zig-zags: it crosses the floor of the valley more often than the others, and its path "
        "is the longest.",
        ("SGD", "Momentum", "AdaGrad", "Adam"),
        ("crossings", "length"),
        lambda f: all_of(_largest("crossings", "SGD", f), _largest("length", "SGD", f)),
    ),
    Claim(
        "Momentum zig-zags less than SGD.",
        ("SGD", "Momentum"),
        ("crossings", "across"),
        lambda f: all_of(_largest("crossings", "SGD", f), _largest("across", "SGD", f)),
    ),
    Claim(
        "AdaGrad goes to the minimum the most directly.",
        ("SGD", "Momentum", "AdaGrad", "Adam"),
        ("detour",),
        lambda f: all_of(
            *(
                _largest("detour", other, {o: f[o] for o in ("AdaGrad", other)})
                for other in f
                if other != "AdaGrad"
            )
        ),
    ),
    Claim(
        "Adam swings like Momentum, a ball that rolls, but less.",
        ("Momentum", "Adam"),
        ("crossings", "across"),
        lambda f: all_of(
            "supported" if f["Adam"].crossings > 0 else "not supported",
            _largest("across", "Momentum", f),
        ),
    ),
)
