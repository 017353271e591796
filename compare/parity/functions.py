"""Two implementations of one function, judged as two backends are: by the float64 referee.

The reference is run again in float64. The candidate may be K times as far from that as the
reference is in the candidate's own precision, element by element:

    |candidate − referee| ≤ K · max(local, typical · σ)

σ is what rounding the inputs to their last bit does to the element, and its own last bit; ``local``
is the largest error of the reference at this element over several inputs that differ from the
given ones in the last bit; ``typical`` is the 90th percentile of local / σ over the array. So a
sum that cancels may be as inaccurate as the reference's, a value near 0 must be as accurate as its
neighbours for their size, and one element at which the reference happens to be exact does not
decide. A question whose answer changes when its inputs are rounded is called ill-conditioned.

Beside the given inputs, harder ones of the same shapes are asked: offset, large, tiny, with near
ties, and a single row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from compare.parity import tolerances
from compare.parity.callables import (
    FLOATS,
    Answer,
    CallError,
    Inputs,
    Subject,
    Vjp,
    rounded,
)

# Inputs that differ in the last bit: at so many the reference is run in both precisions.
REPLAYS = 8
# Beside the caller's seed: a caller whose inputs come from default_rng(0) must not get them again
# as gradients.
SEED = 20240601
SCHEMA = 1
GIVEN, ROW = "as given", "a single row"


@dataclass(frozen=True)
class FunctionCheck:
    """One quantity compared, for one kind of inputs.

    Attributes:
        quantity: ``output``, ``gradient of input 0``, ``buffer running_mean`` and the like.
        inputs: ``as given``, ``offset by 1000`` and so on.
        passed: Whether it is within the bound everywhere.
        times: The largest error of the candidate, in those that the reference makes.
        allowed: How many are allowed.
        elements, outside: How many there are, and how many are outside.
        place: Where the candidate is furthest outside, with the values there.
        expected, found, reference: In float64, of the candidate, of the reference in the
            candidate's precision.
        note: What else is to be said, such as another shape.
    """

    quantity: str
    inputs: str
    passed: bool
    times: float
    allowed: float
    elements: int = 0
    outside: int = 0
    place: tuple[int, ...] = ()
    expected: float | None = None
    found: float | None = None
    reference: float | None = None
    note: str = ""


@dataclass
class FunctionsRecord:
    """The comparison of two functions.

    Attributes:
        candidate, reference: Their names.
        precision: The format in which they were compared.
        referee: How the right values were found.
        bound: The largest error allowed, where it was declared, relative to the largest value.
        checks: The comparisons, those of the given inputs first.
        notes: What was not compared, and why; questions that are ill-conditioned.
    """

    candidate: str
    reference: str
    precision: str = "float64"
    referee: str = "the reference in float64"
    bound: float | None = None
    checks: list[FunctionCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every comparison is within its bound."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def first_failure(self) -> FunctionCheck | None:
        """The first comparison that is not."""
        return next((check for check in self.checks if not check.passed), None)

    def text(self) -> str:
        """The verdict in sentences."""
        count = len(self.checks)
        first = self.first_failure
        notes = [f"Note: {note}" for note in self.notes]
        if first is None:
            if not count:
                return "\n".join([f"{self.candidate} could not be compared.", *notes])
            return "\n".join(
                [
                    f"{self.candidate} is as near to {self.referee} as {self.reference} is, in "
                    f"{self.precision}, in all {count} comparisons.",
                    *notes,
                ]
            )
        failed = sum(not check.passed for check in self.checks)
        lines = [
            f"{self.candidate} differs from {self.reference} in {failed} of {count} comparisons "
            f"({self.precision}), first in the {first.quantity}, {_of_inputs(first.inputs)}."
        ]
        if first.note:
            lines.append(f"{first.note[:1].upper()}{first.note[1:]}.")
        if first.expected is not None:
            index = ", ".join(map(str, first.place))
            at = f" at element [{index}]" if first.place else ""
            lines += [
                f"The {first.quantity}{at}:",
                f"  expected   {first.expected!r}  ({self.referee})",
                f"  found      {first.found!r}",
            ]
            if first.reference is not None:
                lines.append(f"  reference  {first.reference!r}  (in {self.precision})")
            lines.append(self._distance(first))
        return "\n".join([*lines, *notes])

    def _distance(self, check: FunctionCheck) -> str:
        outside = f"{check.outside:,} of {check.elements:,} elements are outside."
        if not np.isfinite(check.times):
            return outside
        if self.bound is not None:
            return f"It is {check.times:,.3g} times as far as was declared. {outside}"
        return (
            f"It is {check.times:,.3g} times as far from the right value as {self.reference} may "
            f"be expected to be; {check.allowed:g} times are allowed. {outside}"
        )

    def to_json(self) -> str:
        """All of it as JSON."""
        content = {"schema": SCHEMA, "passed": self.passed, **asdict(self)}
        return json.dumps(finite(content), indent=2) + "\n"


def compare_functions(
    candidate: Any,
    reference: Any,
    inputs: Sequence[Any],
    *,
    hard: bool = True,
    gradients: bool = True,
    candidate_vjp: Vjp | None = None,
    reference_vjp: Vjp | None = None,
    bound: float | None = None,
    seed: int = 0,
) -> FunctionsRecord:
    """Compare two implementations of a function.

    Args:
        candidate: The function to judge: of NumPy or PyTorch, a module of either, or an object
            with ``forward`` and ``backward``.
        reference: The one to judge it by, of any of these kinds.
        inputs: The arguments of a call: arrays, tensors on any device, numbers, and lists, tuples
            and dicts of these. Each call gets copies.
        hard: Whether to ask harder inputs of the same shapes, too, drawn from the first array of
            floats: those that the reference takes and answers with numbers.
        gradients: Whether to compare the gradients by inputs and parameters, under random
            gradients of the outputs, where both have them: by autograd, by ``backward``, or by a
            vector-Jacobian product.
        candidate_vjp, reference_vjp: These products: (inputs …, gradient of each output) → the
            gradient by each input, or None for it.
        bound: For a reference that has no float64, such as a kernel: the largest error allowed,
            relative to the largest value of the array. It is said in the record.
        seed: Of the changes in the last bit and the random gradients.

    Returns:
        The record; ``passed`` says whether they agree.

    Raises:
        ValueError: The inputs hold no array, or the reference fails on them or has no float64 and
            no bound is given.
    """
    given = Inputs.of(inputs)
    if not given.arrays:
        raise ValueError("inputs should hold at least one array or tensor, but holds none")
    ours = Subject(candidate, candidate_vjp, "the candidate")
    theirs = Subject(reference, reference_vjp, "the reference")
    judge = _Judge(ours, theirs, given, bound, gradients, np.random.default_rng([seed, SEED]))
    return judge.judge(hard)


class _Judge:
    """Compares one candidate with its reference."""

    def __init__(
        self,
        candidate: Subject,
        reference: Subject,
        given: Inputs,
        bound: float | None,
        gradients: bool,
        random: np.random.Generator,
    ) -> None:
        self.candidate, self.reference, self.given = candidate, reference, given
        self.bound, self.random = bound, random
        self.gradients = gradients
        self.record = FunctionsRecord(candidate.name, reference.name)
        self.dys: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}
        self.largest: dict[str, float] = {}
        self.replay: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}

    def judge(self, hard: bool) -> FunctionsRecord:
        """Compare on the given inputs, then on harder ones."""
        precision = self.precision = self._precision()
        self.record.precision = precision
        given = _in_format(self.given, precision)
        if self.bound is not None:
            self.record.bound = self.bound
            self.record.referee = f"the reference, within {self.bound:g} as was declared"
        if not self._same_parameters():
            return self.record
        self._compare(GIVEN, given, must_answer=True)
        if hard:
            for name, harder in _harder(given, precision, self.random):
                self._compare(name, harder, must_answer=False)
        return self.record

    def _precision(self) -> str:
        """The candidate's: the narrowest format of its inputs, parameters and outputs."""
        names = [self.given.precision, self.candidate.precision(), self.reference.precision()]
        precision = min(names, key=FLOATS.index)
        try:
            answer = self.candidate.call(self.given, precision)
        except CallError:
            return precision
        return min([precision, answer.precision or precision], key=FLOATS.index)

    def _same_parameters(self) -> bool:
        """Whether both have the same parameters, if both are modules of the same names."""
        ours, theirs = self.candidate.parameters(), self.reference.parameters()
        self.parameters = theirs
        self.shared = ours.keys() == theirs.keys()
        if not (ours and self.shared):
            if ours and theirs:
                self.record.notes.append(
                    "Parameters and their gradients are not compared: they have other names."
                )
            return True
        for name, array in theirs.items():
            other = ours[name]
            if other.shape != array.shape or not np.array_equal(
                rounded(other, self.precision), rounded(array, self.precision), equal_nan=True
            ):
                far = (
                    np.abs(other - array).max(initial=0.0) if other.shape == array.shape else np.inf
                )
                self.record.checks.append(
                    FunctionCheck(
                        f"parameter {name}", "before the call", False, np.inf, 0.0,
                        note=f"the two start with other values of {name}: they are up to "
                        f"{far:.3g} apart",
                    )
                )  # fmt: skip
                return False
        return True

    def _dy(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A random gradient of an output, the same for all calls but those of one replay."""
        if (name, shape) not in self.dys:
            drawn = self.random.standard_normal(shape)
            self.dys[name, shape] = rounded(drawn, self.precision)
        return self.replay.get((name, shape), self.dys[name, shape])

    def _call(
        self,
        subject: Subject,
        inputs: Inputs,
        precision: str,
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> Answer:
        dy = self._dy if self.gradients else None
        own = parameters if subject is self.reference or self.shared else None
        return subject.call(inputs, precision, own or None, dy)

    def _compare(self, name: str, inputs: Inputs, must_answer: bool) -> None:
        try:
            referee, low = self._referee(inputs, must_answer)
        except CallError as error:
            if must_answer:
                raise ValueError(f"the reference, {self.reference.name}, {error}") from None
            return
        exact = referee.quantities()
        if not must_answer and not all(np.isfinite(a).all() for a in exact.values()):
            return  # a question without an answer, such as the logarithm of a negative number
        try:
            answer = self._call(self.candidate, inputs, self.precision)
        except CallError as error:
            self._fail("output", name, f"{self.candidate.name} {error}")
            return
        if must_answer and not self._repeats(inputs, answer):
            self._fail(
                "output",
                name,
                f"{self.candidate.name} gave another answer when it was called again with the same "
                "arguments",
            )
            return
        found = answer.quantities()
        noise = self._noise(name, inputs, exact) if self.bound is None else {}
        self._structure(name, referee, answer)
        for quantity, value in exact.items():
            if quantity not in found:
                continue
            self.record.checks.append(
                self._check(quantity, name, found[quantity], value, low.get(quantity), noise)
            )

    def _referee(self, inputs: Inputs, must_answer: bool) -> tuple[Answer, dict[str, np.ndarray]]:
        """What the reference gives in float64, and in the candidate's precision."""
        low = self._call(self.reference, inputs, self.precision, self.parameters)
        if self.bound is not None:
            return low, low.quantities()
        exact = self._call(self.reference, inputs, "float64", self.parameters)
        floats = exact.precision
        if floats and floats != "float64":
            raise ValueError(
                f"the reference, {self.reference.name}, gives {floats} for inputs of float64: it "
                "has no float64 to be a referee; declare how near is near enough with bound=…, "
                "relative to the largest value"
            )
        if must_answer and not _same(
            exact, self._call(self.reference, inputs, "float64", self.parameters)
        ):
            raise ValueError(
                f"the reference, {self.reference.name}, gives another answer each time: a dropout "
                "that is not in evaluation mode?"
            )
        return exact, low.quantities()

    def _repeats(self, inputs: Inputs, answer: Answer) -> bool:
        return _same(answer, self._call(self.candidate, inputs, self.precision))

    def _structure(self, name: str, referee: Answer, answer: Answer) -> None:
        """What one of the two gives and the other does not."""
        if referee.outputs.keys() != answer.outputs.keys():
            note = (
                f"{self.candidate.name} returned {', '.join(answer.outputs)}, but "
                f"{self.reference.name} {', '.join(referee.outputs)}"
            )
            self._fail("output", name, note)
        for index in answer.changed.keys() - referee.changed.keys():
            self._fail(
                f"input {index}",
                name,
                f"{self.candidate.name} changed its argument {index} in place: work on a copy",
            )
        for index in referee.changed.keys() - answer.changed.keys():
            self._fail(
                f"input {index}", name, f"{self.reference.name} changes its argument {index}"
            )
        if name != GIVEN or not self.gradients:
            return
        if not (referee.gradients and answer.gradients):
            without = (
                f"{self.candidate.name} has" if referee.gradients else f"{self.reference.name} has"
            )
            if not (referee.gradients or answer.gradients):
                without = "both have"
            self.record.notes.append(f"Gradients are not compared: {without} none.")
        if missing := sorted(referee.buffers.keys() ^ answer.buffers.keys()):
            self.record.notes.append(f"Only one of the two has the {', '.join(missing)}.")

    def _noise(
        self, name: str, inputs: Inputs, exact: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Quantity → the error that the reference may be expected to make at each element."""
        low, unit = self.precision, tolerances.FORMATS[self.precision]
        begun = _in_format(inputs, low)
        parameters = {name: _rounded_floats(a, low) for name, a in self.parameters.items()}
        at = self._call(self.reference, begun, "float64", parameters).quantities()
        squares = {q: np.zeros(a.shape) for q, a in exact.items()}
        local = {q: np.zeros(a.shape) for q, a in exact.items()}
        for _ in range(REPLAYS):
            try:
                right, error = self._replay(begun, parameters, at)
            except CallError:
                continue
            for quantity in exact:
                if not _alike(quantity, right, error, at, local):
                    continue
                with np.errstate(all="ignore"):
                    squares[quantity] += (right[quantity] - at[quantity]) ** 2
                    local[quantity] = np.maximum(
                        local[quantity], np.nan_to_num(error[quantity], nan=np.inf)
                    )
        found = {}
        for quantity in exact:
            with np.errstate(all="ignore"):
                spread = np.sqrt(squares[quantity] / REPLAYS)
                own_bit = unit * np.abs(at[quantity])
                sigma = spread + own_bit + self._negligible(quantity, at[quantity])
                ratio = local[quantity] / sigma
                typical = float(np.quantile(ratio, 0.9)) if ratio.size else 0.0
                typical = max(typical, tolerances.FUNCTION_FLOOR) if np.isfinite(typical) else 1.0
                noise = np.maximum(local[quantity], typical * sigma)
            found[quantity] = np.where(np.isnan(noise), np.inf, noise)
            if name == GIVEN:
                self._tell_condition(quantity, spread, at[quantity], low)
        return found

    def _replay(
        self, inputs: Inputs, parameters: Mapping[str, np.ndarray], at: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The right values for inputs that differ in the last bit, and the reference's errors.

        Nothing tells the errors of float64. They are seen where the function should be straight:
        half of f(x + h) + f(x − h) − 2 f(x), for a step h at which its curvature is as good as 0
        (Moré and Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33, 2011).
        """

        def call(precision: str, move: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
            near = inputs.replaced([move(a) for a in inputs.arrays])
            weights = {name: move(a) for name, a in parameters.items()}
            self.replay = {key: move(dy) for key, dy in self.dys.items()}
            try:
                return self._call(self.reference, near, precision, weights).quantities()
            finally:
                self.replay = {}

        signs: dict[int, np.ndarray] = {}

        def moved(array: np.ndarray, step: float) -> np.ndarray:
            if array.dtype.kind != "f":
                return array
            signs.setdefault(id(array), self.random.choice((-1.0, 1.0), array.shape))
            with np.errstate(over="ignore"):
                near = rounded(array * (1 + step * signs[id(array)]), self.precision)
            return np.where(np.isfinite(near), near, array)

        bit = 2 * tolerances.FORMATS[self.precision]
        right = call("float64", lambda array: moved(array, bit))
        if self.precision != "float64":
            own = call(self.precision, lambda array: moved(array, bit))
            with np.errstate(all="ignore"):
                return right, {q: np.abs(own[q] - right[q]) for q in own if _alike(q, own, right)}
        step = tolerances.NOISE_STEP
        above = call("float64", lambda array: moved(array, step))
        below = call("float64", lambda array: moved(array, -step))
        with np.errstate(all="ignore"):
            return right, {
                q: np.abs(above[q] + below[q] - 2 * at[q]) / 2
                for q in above
                if _alike(q, above, below, at)
            }

    def _tell_condition(
        self, quantity: str, spread: np.ndarray, value: np.ndarray, precision: str
    ) -> None:
        largest = np.abs(value).max(initial=0.0)
        share = float(spread.max(initial=0.0) / largest) if largest else 0.0
        units = tolerances.ILL_CONDITIONED_UNITS * tolerances.FORMATS[precision]
        if share > max(tolerances.ILL_CONDITIONED, units):
            self.record.notes.append(
                f"The {quantity} is ill-conditioned: when the inputs are rounded to {precision}, "
                f"it changes by {share:.1%} of its largest value. Nothing smaller is judged there."
            )

    def _negligible(self, quantity: str, array: np.ndarray) -> float:
        """Below this a value is as good as 0, beside others of the array or of the given inputs."""
        largest = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
        largest = max(largest, self.largest.setdefault(quantity, largest))
        share = tolerances.NEGLIGIBLE["float64" if self.precision == "float64" else "float32"]
        return max(share * largest, tolerances.SMALLEST[self.precision])

    def _check(
        self,
        quantity: str,
        name: str,
        found: np.ndarray,
        exact: np.ndarray,
        low: np.ndarray | None,
        noise: Mapping[str, np.ndarray],
    ) -> FunctionCheck:
        if found.shape != exact.shape:
            note = f"it has the shape {found.shape}, but expected {exact.shape}"
            return FunctionCheck(quantity, name, False, np.inf, tolerances.FUNCTION_K, note=note)
        if exact.size == 0:
            return FunctionCheck(quantity, name, True, 0.0, tolerances.FUNCTION_K)
        allowed = tolerances.FUNCTION_K
        with np.errstate(all="ignore"):
            if self.bound is not None:
                largest = np.abs(exact[np.isfinite(exact)]).max(initial=0.0)
                allowed, unit = 1.0, np.full(exact.shape, self.bound * (largest or 1.0))
            else:
                unit = noise[quantity]
            error = np.abs(found.astype(np.float64) - exact)
            times = np.where(error == 0, 0.0, error / unit)
        equal = (found == exact) | (
            np.isnan(found) & np.isnan(exact) if found.dtype.kind == "f" else False
        )
        lost = np.zeros(exact.shape, bool)
        if low is not None and low.shape == exact.shape and low.dtype.kind == "f":
            lost = ~np.isfinite(low) & ~np.isfinite(found)  # both left the range of the format
        times = np.where(equal | lost, 0.0, np.where(np.isnan(times), np.inf, times))
        worst = np.unravel_index(int(times.argmax()), times.shape) if times.ndim else ()
        return FunctionCheck(
            quantity,
            name,
            bool(times[worst] <= allowed),
            float(times[worst]),
            allowed,
            elements=int(times.size),
            outside=int((times > allowed).sum()),
            place=tuple(int(i) for i in worst),
            expected=float(exact[worst]),
            found=float(found[worst]),
            reference=None if low is None or low.shape != exact.shape else float(low[worst]),
        )

    def _fail(self, quantity: str, name: str, note: str) -> None:
        check = FunctionCheck(quantity, name, False, np.inf, tolerances.FUNCTION_K, note=note)
        self.record.checks.append(check)


def _in_format(inputs: Inputs, precision: str) -> Inputs:
    return inputs.replaced([_rounded_floats(array, precision) for array in inputs.arrays])


def _rounded_floats(array: np.ndarray, precision: str) -> np.ndarray:
    return rounded(array, precision) if array.dtype.kind == "f" else array


def _alike(quantity: str, *answers: Mapping[str, np.ndarray]) -> bool:
    """Whether all of them have the quantity, in one shape."""
    return len({a[quantity].shape if quantity in a else None for a in answers}) == 1


def _harder(
    given: Inputs, precision: str, random: np.random.Generator
) -> Iterator[tuple[str, Inputs]]:
    """Harder inputs of the same shapes, made from the first array of floats."""
    index = next((i for i, name in enumerate(given.floats) if name), None)
    if index is None:
        return
    x = given.arrays[index]
    if not np.isfinite(x).all() or not x.size:
        return
    typical = float(np.sqrt(np.mean(x**2))) or 1.0
    far, large, tiny = (30.0, 8.0, 1e-2) if precision == "float16" else (1000.0, 1000.0, 1e-6)

    def with_x(array: np.ndarray) -> Inputs:
        return given.replaced([*given.arrays[:index], array, *given.arrays[index + 1 :]])

    changes: dict[str, Callable[[], np.ndarray]] = {
        f"offset by {far:g}": lambda: x + far * typical,
        f"{large:g} times as large": lambda: large * x,
        f"{tiny:g} times as large": lambda: tiny * x,
        "with near ties": lambda: _with_near_ties(x, precision, random),
    }
    for name, change in changes.items():
        yield name, with_x(rounded(change(), precision))
    if x.ndim > 1 and len(x) > 1:
        rows = [
            a[:1] if a.ndim and len(a) == len(x) and (a.ndim == 1 or a.shape == x.shape) else a
            for a in given.arrays
        ]
        yield ROW, given.replaced(rows)


def _with_near_ties(x: np.ndarray, precision: str, random: np.random.Generator) -> np.ndarray:
    """Half of the values become neighbours of the value before them, one bit above or below."""
    flat = x.ravel().copy()
    pairs = np.arange(1, flat.size, 2)
    bit = 2 * tolerances.FORMATS[precision] * random.choice((-1.0, 1.0), pairs.size)
    flat[pairs] = flat[pairs - 1] * (1 + bit)
    return flat.reshape(x.shape)


def _same(one: Answer, other: Answer) -> bool:
    a, b = one.quantities(), other.quantities()
    return a.keys() == b.keys() and all(
        np.array_equal(a[q], b[q], equal_nan=a[q].dtype.kind == "f") for q in a
    )


def _of_inputs(name: str) -> str:
    if name == "before the call":
        return name
    return f"for {name}" if name == ROW else f"for the inputs {name}"


def finite(value: Any) -> Any:
    """The same with what JSON cannot hold in words."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
