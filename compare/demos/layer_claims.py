"""The textbook's claims on activations, decided over seeds with 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from compare.analysis.intervals import Interval, mean_interval
from compare.demos.claim import Decision, Finding, above, agreed, all_of, below
from compare.demos.records import LayerRow

BOOK = "K. Saitoh, Deep Learning from Scratch, section 6.2"

Layers = Sequence[LayerRow]


class Quantity(NamedTuple):
    """A number of one network: its layers' rows → the number, and how it is written."""

    words: str
    of: Callable[[Layers], float]
    percent: bool = True

    def written(self, value: float) -> str:
        """The number as the report writes it."""
        return f"{100 * value:.1f}%" if self.percent else f"{value:.3g}"


LEAST_OUTER = Quantity(
    "smallest share of a layer in the outer tenth of the range", lambda r: min(x.outer for x in r)
)
MOST_OUTER = Quantity(
    "largest share of a layer in the outer tenth of the range", lambda r: max(x.outer for x in r)
)
LEAST_MIDDLE = Quantity(
    "smallest share of a layer in the middle fifth of the range",
    lambda r: min(x.middle for x in r),
)
LAST_OUTER = Quantity(
    "share of the last layer in the outer tenth of the range", lambda r: r[-1].outer
)
LAST_MIDDLE = Quantity(
    "share of the last layer in the middle fifth of the range", lambda r: r[-1].middle
)
MOST_MIDDLE = Quantity(
    "largest share of a layer in the middle fifth of the range", lambda r: max(x.middle for x in r)
)
FATE = Quantity(
    "standard deviation of the last layer over that of the first",
    lambda r: r[-1].std / r[0].std if r[0].std else float("nan"),
    percent=False,
)


class Part(NamedTuple):
    """One inequality of a claim."""

    quantity: Quantity
    relation: Literal["above", "below"]
    bound: float


class Claim(NamedTuple):
    """A claim about one activation with one spread: all its parts must hold."""

    text: str
    activation: str
    spread: str
    parts: tuple[Part, ...]


def _piles_up(activation: str, ends: str) -> Claim:
    text = (
        f"{activation}, std 1: the activations of every layer pile up at {ends}, where the slope "
        "is near 0 (more than half of them in the outer tenth of the range)."
    )
    return Claim(text, activation, "1", (Part(LEAST_OUTER, "above", 0.5),))


def _collapses(activation: str, middle: str) -> Claim:
    text = (
        f"{activation}, std 0.01: nearly all activations of every layer lie near {middle} (more "
        "than 95% of them in the middle fifth of the range)."
    )
    return Claim(text, activation, "0.01", (Part(LEAST_MIDDLE, "above", 0.95),))


def _spreads(activation: str) -> Claim:
    text = (
        f"{activation}, Xavier: the activations of every layer are spread, and neither pile up (at "
        "most 10% in the outer tenth of the range, as in a uniform distribution) nor collapse (at "
        "most 95% in the middle fifth)."
    )
    parts = (Part(MOST_OUTER, "below", 0.1), Part(MOST_MIDDLE, "below", 0.95))
    return Claim(text, activation, "xavier", parts)


CLAIMS = (
    _piles_up("Sigmoid", "0 and 1"),
    _collapses("Sigmoid", "0.5"),
    _spreads("Sigmoid"),
    _piles_up("Tanh", "−1 and 1"),
    _collapses("Tanh", "0"),
    Claim(
        "Tanh, Xavier: the upper layers' activations have the shape of a bell around 0 (the last "
        "layer has more of them in the middle fifth of the range, and fewer in the outer tenth, "
        "than the 20% and 10% of a uniform distribution).",
        "Tanh",
        "xavier",
        (Part(LAST_MIDDLE, "above", 0.2), Part(LAST_OUTER, "below", 0.1)),
    ),
    Claim(
        "ReLU, std 0.01: the activations vanish on their way up (the last layer's spread is below "
        "a tenth of the first one's).",
        "ReLU",
        "0.01",
        (Part(FATE, "below", 0.1),),
    ),
    Claim(
        "ReLU, Xavier: the activations shrink from layer to layer (the last layer's spread is "
        "below half of the first one's).",
        "ReLU",
        "xavier",
        (Part(FATE, "below", 0.5),),
    ),
    Claim(
        "ReLU, He: the spread stays as it is (the last layer's lies between half and twice the "
        "first one's).",
        "ReLU",
        "he",
        (Part(FATE, "above", 0.5), Part(FATE, "below", 2.0)),
    ),
)


def findings(rows: Layers) -> list[Finding]:
    """What becomes of every claim; both sides must come to the same decision."""
    return [_finding(rows, claim) for claim in CLAIMS]


def intervals(rows: Layers, backend: str, claim: Claim) -> list[Interval]:
    """The interval of every part's quantity over the seeds; none where nothing was run."""
    chosen = [
        row
        for row in rows
        if (row.backend, row.activation, row.spread) == (backend, claim.activation, claim.spread)
    ]
    seeds = dict.fromkeys(row.seed for row in chosen)
    networks = [
        sorted((row for row in chosen if row.seed == seed), key=lambda row: row.layer)
        for seed in seeds
    ]
    return [
        mean_interval([part.quantity.of(n) for n in networks]) for part in claim.parts if networks
    ]


def _finding(rows: Layers, claim: Claim) -> Finding:
    found = {backend: intervals(rows, backend, claim) for backend in ("numpy", "torch")}
    if not found["numpy"] or not found["torch"]:
        reason = f"this run has no {claim.activation} with the spread {claim.spread}."
        return Finding(claim.text, BOOK, "undecided", reason)
    decisions = [
        all_of(*(_decide(part, i) for part, i in zip(claim.parts, intervals_, strict=True)))
        for intervals_ in found.values()
    ]
    said = {
        part.quantity.words: _said(part.quantity, i)
        for part, i in zip(claim.parts, found["numpy"], strict=True)
    }
    reason = "; ".join(f"{words}: {numbers}" for words, numbers in said.items())
    ending = "." if decisions[0] == decisions[1] else "; but the two sides differ."
    return Finding(claim.text, BOOK, agreed(*decisions), reason + ending)


def _decide(part: Part, found: Interval) -> Decision:
    return (above if part.relation == "above" else below)(found, part.bound)


def _said(quantity: Quantity, found: Interval) -> str:
    mean = quantity.written(found.mean)
    if not found.known:
        return f"{mean}, of one seed, which has no interval"
    return f"{mean} ({quantity.written(found.low)} to {quantity.written(found.high)})"
