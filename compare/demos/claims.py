"""What the demonstrations show: the measures of paths, and the textbook's claims decided by them.

Both backends decide a claim, and must agree; the decisions and the rule for intervals are those of
every experiment's claims (:mod:`compare.analysis.claims`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compare.analysis.claims import Decision, combine, decide
from compare.analysis.intervals import Interval
from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from compare.records.tables import LayerRow, PathRow
from compare.spec.demos import OptimizerPaths, network_label

BOOK = "K. Saitoh, Deep Learning from Scratch, section "


class DemoClaimResult(NamedTuple):
    """What becomes of one claim of a demonstration.

    Attributes:
        says: What is claimed, a sentence.
        by: Who claims it.
        decision: The decision of both backends.
        reason: NumPy's numbers, a sentence.
    """

    says: str
    by: str
    decision: Decision
    reason: str


def demo_claim_results(run: Run) -> list[DemoClaimResult]:
    """What becomes of every claim of a demonstration."""
    if isinstance(run.record.experiment, OptimizerPaths):
        return path_claim_results(measure_paths(run.paths))
    return layer_claim_results(run.layers)


def _result(
    says: str, section: str, decisions: Mapping[str, Decision], numbers: Sequence[str]
) -> DemoClaimResult:
    """What the backends' decisions come to; where they differ, rounding decides, and no claim."""
    together = combine(list(decisions.values()), every=False)
    differ = len(set(decisions.values())) > 1
    reason = "; ".join(numbers) + ("; but the two backends differ." if differ else ".")
    return DemoClaimResult(says, BOOK + section, together, reason)


class PathMeasures(NamedTuple):
    """The measures of one path.

    Attributes:
        points: (steps + 1, 2), x and y.
        values: (steps + 1,), f there.
        length: Σ of the lengths of all steps.
        direct: From the first point to the last in a straight line.
        crossings: How often y changes its sign: the path crosses the floor of the valley.
        across: Σ |Δy|, the distance covered across the valley.
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
        """How many steps the path has."""
        return len(self.points) - 1


PathsByBackend = Mapping[tuple[str, str], PathMeasures]
"""(backend, label) → the measures of that path."""


@np.errstate(all="ignore")  # a path that diverged is as long as its numbers say
def measure_path(rows: Sequence[PathRow]) -> PathMeasures:
    """Measure one path from its rows."""
    points = np.array([(row.x, row.y) for row in rows])
    moves = np.diff(points, axis=0)
    sign = np.sign(points[:, 1])
    sign = sign[np.abs(sign) == 1]  # a point on the floor has no sign, nor has NaN
    return PathMeasures(
        points,
        np.array([row.value for row in rows]),
        float(np.hypot(*moves.T).sum()),
        float(np.hypot(*(points[-1] - points[0]))),
        int((sign[1:] != sign[:-1]).sum()),
        float(np.abs(moves[:, 1]).sum()),
    )


def measure_paths(rows: Sequence[PathRow]) -> dict[tuple[str, str], PathMeasures]:
    """(backend, label) → the measures of that path, in the order of the rows."""
    paths: dict[tuple[str, str], list[PathRow]] = {}
    for row in rows:
        paths.setdefault((row.backend, row.label), []).append(row)
    return {key: measure_path(path) for key, path in paths.items()}


@np.errstate(all="ignore")
def distances(paths: PathsByBackend, label: str) -> np.ndarray:
    """The distance between the backends' points after each step, while both are finite."""
    numpy, torch = (paths[backend, label].points for backend in BACKENDS)
    finite = np.isfinite(numpy).all(axis=1) & np.isfinite(torch).all(axis=1)
    last = int(np.argmin(finite)) if not finite.all() else len(finite)
    return np.hypot(*(numpy[:last] - torch[:last]).T)


def largest_distance(paths: PathsByBackend, label: str) -> float:
    """The largest of these distances."""
    return float(np.max(distances(paths, label), initial=0.0))


MEASURES = {
    "crossings": "crossings of the floor",
    "length": "length of the path",
    "across": "way made across the valley",
    "detour": "length over the straight line",
}

PathsByLabel = Mapping[str, PathMeasures]


class PathClaim(NamedTuple):
    """A claim about some optimizers, the measures that decide it, and the decision from them."""

    says: str
    labels: tuple[str, ...]
    measures: tuple[str, ...]
    decide: Callable[[PathsByLabel], Sequence[Decision]]


def _larger(measure: str, label: str, others: Sequence[str], paths: PathsByLabel) -> Decision:
    """Whether a measure is larger for one optimizer than for each of the others."""
    own = getattr(paths[label], measure)
    largest = all(own > getattr(paths[other], measure) for other in others)
    return Decision.SUPPORTED if largest else Decision.NOT_SUPPORTED


PATH_CLAIMS = (
    PathClaim(
        "SGD zig-zags: it crosses the floor of the valley more often than the others, and its path "
        "is the longest.",
        ("SGD", "Momentum", "AdaGrad", "Adam"),
        ("crossings", "length"),
        lambda paths: [
            _larger(measure, "SGD", ("Momentum", "AdaGrad", "Adam"), paths)
            for measure in ("crossings", "length")
        ],
    ),
    PathClaim(
        "Momentum zig-zags less than SGD.",
        ("SGD", "Momentum"),
        ("crossings", "across"),
        lambda paths: [
            _larger(measure, "SGD", ("Momentum",), paths) for measure in ("crossings", "across")
        ],
    ),
    PathClaim(
        "AdaGrad goes to the minimum the most directly.",
        ("SGD", "Momentum", "AdaGrad", "Adam"),
        ("detour",),
        lambda paths: [
            _larger("detour", other, ("AdaGrad",), paths) for other in ("SGD", "Momentum", "Adam")
        ],
    ),
    PathClaim(
        "Adam swings like Momentum, a ball that rolls, but less.",
        ("Momentum", "Adam"),
        ("crossings", "across"),
        lambda paths: [
            Decision.SUPPORTED if paths["Adam"].crossings > 0 else Decision.NOT_SUPPORTED,
            _larger("across", "Momentum", ("Adam",), paths),
        ],
    ),
)


def path_claim_results(paths: PathsByBackend) -> list[DemoClaimResult]:
    """The textbook's claims about the paths.

    Nothing is drawn here, so there is no interval: a claim holds or does not. It is undecided
    where an optimizer that it names was not run, or the two backends contradict each other.
    """
    return [_path_result(paths, claim) for claim in PATH_CLAIMS]


def _path_result(paths: PathsByBackend, claim: PathClaim) -> DemoClaimResult:
    missing = [label for label in claim.labels if ("numpy", label) not in paths]
    if missing:
        reason = f"this run has no optimizer with the label {' and '.join(missing)}"
        return _result(claim.says, "6.1", {"numpy": Decision.UNDECIDED}, [reason])
    decisions = {
        backend: combine(
            claim.decide({label: paths[backend, label] for label in claim.labels}), every=True
        )
        for backend in BACKENDS
    }
    numbers = [
        f"{MEASURES[measure]}: "
        + ", ".join(
            f"{label} {_measured(getattr(paths['numpy', label], measure))}"
            for label in claim.labels
        )
        for measure in claim.measures
    ]
    return _result(claim.says, "6.1", decisions, numbers)


def _measured(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


Layers = Sequence[LayerRow]
"""The rows of one network, from the first layer to the last."""


class LayerQuantity(NamedTuple):
    """A number of one network, computed from its layers' rows."""

    name: str
    of: Callable[[Layers], float]
    percent: bool = True

    def written(self, value: float) -> str:
        """The number as the report writes it."""
        return f"{100 * value:.1f}%" if self.percent else f"{value:.3g}"


LEAST_OUTER = LayerQuantity(
    "smallest share of a layer in the outer tenth of the range", lambda r: min(x.outer for x in r)
)
MOST_OUTER = LayerQuantity(
    "largest share of a layer in the outer tenth of the range", lambda r: max(x.outer for x in r)
)
LEAST_MIDDLE = LayerQuantity(
    "smallest share of a layer in the middle fifth of the range",
    lambda r: min(x.middle for x in r),
)
MOST_MIDDLE = LayerQuantity(
    "largest share of a layer in the middle fifth of the range", lambda r: max(x.middle for x in r)
)
LAST_OUTER = LayerQuantity(
    "share of the last layer in the outer tenth of the range", lambda r: r[-1].outer
)
LAST_MIDDLE = LayerQuantity(
    "share of the last layer in the middle fifth of the range", lambda r: r[-1].middle
)
STD_RATIO = LayerQuantity(
    "standard deviation of the last layer over that of the first",
    lambda r: r[-1].std / r[0].std if r[0].std else float("nan"),
    percent=False,
)


class Part(NamedTuple):
    """One inequality of a claim; the relation is one of :func:`compare.analysis.claims.judged`."""

    quantity: LayerQuantity
    relation: str
    bound: float


class LayerClaim(NamedTuple):
    """A claim about one activation with one spread of the weights: all its parts must hold."""

    says: str
    activation: str
    spread: str
    parts: tuple[Part, ...]


def _piles_up(activation: str, ends: str) -> LayerClaim:
    says = (
        f"{activation}, std 1: the activations of every layer pile up at {ends}, where the slope "
        "is near 0 (more than half of them in the outer tenth of the range)."
    )
    return LayerClaim(says, activation, "1", (Part(LEAST_OUTER, "higher than", 0.5),))


def _collapses(activation: str, middle: str) -> LayerClaim:
    says = (
        f"{activation}, std 0.01: nearly all activations of every layer lie near {middle} (more "
        "than 95% of them in the middle fifth of the range)."
    )
    return LayerClaim(says, activation, "0.01", (Part(LEAST_MIDDLE, "higher than", 0.95),))


def _stays_spread(activation: str) -> LayerClaim:
    says = (
        f"{activation}, Xavier: the activations of every layer are spread, and neither pile up (at "
        "most 10% in the outer tenth of the range, as in a uniform distribution) nor collapse (at "
        "most 95% in the middle fifth)."
    )
    parts = (Part(MOST_OUTER, "at most", 0.1), Part(MOST_MIDDLE, "at most", 0.95))
    return LayerClaim(says, activation, "xavier", parts)


LAYER_CLAIMS = (
    _piles_up("Sigmoid", "0 and 1"),
    _collapses("Sigmoid", "0.5"),
    _stays_spread("Sigmoid"),
    _piles_up("Tanh", "−1 and 1"),
    _collapses("Tanh", "0"),
    LayerClaim(
        "Tanh, Xavier: the upper layers' activations have the shape of a bell around 0 (the last "
        "layer has more of them in the middle fifth of the range, and fewer in the outer tenth, "
        "than the 20% and 10% of a uniform distribution).",
        "Tanh",
        "xavier",
        (Part(LAST_MIDDLE, "higher than", 0.2), Part(LAST_OUTER, "lower than", 0.1)),
    ),
    LayerClaim(
        "ReLU, std 0.01: the activations vanish on their way up (the last layer's spread is below "
        "a tenth of the first one's).",
        "ReLU",
        "0.01",
        (Part(STD_RATIO, "lower than", 0.1),),
    ),
    LayerClaim(
        "ReLU, Xavier: the activations shrink from layer to layer (the last layer's spread is "
        "below half of the first one's).",
        "ReLU",
        "xavier",
        (Part(STD_RATIO, "lower than", 0.5),),
    ),
    LayerClaim(
        "ReLU, He: the spread stays as it is (the last layer's lies between half and twice the "
        "first one's).",
        "ReLU",
        "he",
        (Part(STD_RATIO, "higher than", 0.5), Part(STD_RATIO, "lower than", 2.0)),
    ),
)


def layer_claim_results(rows: Layers) -> list[DemoClaimResult]:
    """The textbook's claims about the activations, decided over seeds with 95% intervals."""
    networks: dict[tuple[str, str], dict[int, list[LayerRow]]] = {}
    for row in sorted(rows, key=lambda row: row.layer):
        networks.setdefault((row.backend, row.label), {}).setdefault(row.seed, []).append(row)
    return [_layer_result(networks, claim) for claim in LAYER_CLAIMS]


def _layer_result(
    networks: Mapping[tuple[str, str], Mapping[int, Layers]], claim: LayerClaim
) -> DemoClaimResult:
    label = network_label(claim.activation, claim.spread)
    if any((backend, label) not in networks for backend in BACKENDS):
        reason = f"this run has no {claim.activation} with the spread {claim.spread}"
        return _result(claim.says, "6.2", {"numpy": Decision.UNDECIDED}, [reason])
    decisions, numbers = {}, {}
    for backend in BACKENDS:
        found = [
            (part, *_decide_part(part, list(networks[backend, label].values())))
            for part in claim.parts
        ]
        decisions[backend] = combine([decision for _, _, decision in found], every=True)
        # A quantity with two bounds is written once.
        written = {part.quantity.name: _written(part.quantity, i) for part, i, _ in found}
        numbers[backend] = [f"{name}: {interval}" for name, interval in written.items()]
    return _result(claim.says, "6.2", decisions, numbers["numpy"])


def _decide_part(part: Part, seeds: Sequence[Layers]) -> tuple[Interval, Decision]:
    values = [part.quantity.of(layers) for layers in seeds]
    interval, decision, _ = decide(values, part.relation, part.bound)
    assert interval is not None  # there is a seed
    return interval, decision


def _written(quantity: LayerQuantity, found: Interval) -> str:
    mean = quantity.written(found.mean)
    if not found.known:
        return f"{mean}, of one seed, which has no interval"
    return f"{mean} ({quantity.written(found.low)} to {quantity.written(found.high)})"
