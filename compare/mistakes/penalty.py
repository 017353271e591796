"""An L2 penalty that is in the loss and not, or not to the same measure, in the gradient.

In a homework λ is measured in the first case, and the penalty is then a candidate like any other
mistake: all cases confirm or refute it. In a recorded step there is one case. Of one number, the
loss, any penalty could be the reason. So the loss is run again with other weights, which it must
follow as ½λΣW² does; of a gradient, every element has to be off by λW.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from compare.backends import RecordedStep, Stage, State
from compare.backends.protocol import Arrays
from compare.mistakes.case import Case, Diagnosis
from compare.parity import tolerances
from compare.parity.stages import run_stage

if TYPE_CHECKING:
    from compare.parity.comparison import References

# Fewer elements than this could be λW by chance.
LEAST_ELEMENTS = 4


@dataclass(frozen=True)
class Penalty:
    """A penalty ½ · loss · ΣW² in the loss, and gradient · W in the gradient of each weight.

    Attributes:
        loss: λ in the loss.
        gradient: λ in the gradients.
        weights_only: Whether biases are left out.
        only: The one parameter, or the one layer with all its parameters, that it is about; None
            where it is about all.
        seen: What there is of the loss and of gradients to say something about: both, or one.
        rows: The rows of the batch that λ is for; it is divided by the rows of each batch. 0 if
            it is the same for all.
    """

    loss: float
    gradient: float
    weights_only: bool
    only: str | None = None
    seen: frozenset[str] = frozenset({"loss", "gradient"})
    rows: int = 0

    @property
    def belongs_together(self) -> bool:
        """Whether the gradients have the derivative of what the loss has."""
        return self.loss == self.gradient

    @property
    def code(self) -> str:
        """Of a penalty that belongs together, and of one that does not."""
        return "l2-penalty" if self.belongs_together else "l2-missing-in-gradient"

    @property
    def explanation(self) -> str:
        """What was measured."""
        formula = "the derivative of ½λΣW² is λW"
        not_asked_for = "nobody asked for a penalty"
        in_loss = f"the loss has a penalty of ½ · {self._number(self.loss)} · ΣW²"
        in_gradient = f"{self._number(self.gradient)} · W"
        if self.only is not None:
            return self._explanation_of_one(self.only)
        if self.belongs_together:
            return (
                f"{in_loss} and each weight gradient {in_gradient}, which belong together; but "
                f"{not_asked_for}"
            )
        if self.gradient == 0:
            other = "that no gradient has" if "gradient" in self.seen else f"and {not_asked_for}"
            return f"{in_loss} {other}: {formula}"
        without = "that the loss does not have" if "loss" in self.seen else f"and {not_asked_for}"
        if self.loss == 0:
            return f"each weight gradient has {in_gradient} {without}"
        return f"{in_loss}, and each gradient {in_gradient}: {formula}"

    def _explanation_of_one(self, only: str) -> str:
        """What was measured of one parameter, or of one layer with its bias."""
        number = self._number(self.gradient)
        if self.weights_only:
            whose, squares, of = f"gradient of {only} has", "ΣW²", only
            has, formula = f"{number} · W", "the derivative of ½λΣW² is λW"
        else:
            whose, squares, of = f"gradients of layer {only} have", "(ΣW² + Σb²)", f"layer {only}"
            has = f"{number} · W and {number} · b"
            formula = "the derivatives of ½λ(ΣW² + Σb²) are λW and λb"
        if self.loss == 0:
            without = "the loss does not have" if "loss" in self.seen else "nobody asked for"
            return f"the {whose} {has} that {without}: {formula}"
        both = (
            f"the loss has a penalty of ½ · {self._number(self.loss)} · {squares} of {of} and the "
            f"{whose} {has}"
        )
        if self.belongs_together:
            return f"{both}, which belong together; but nobody asked for a penalty"
        return f"{both}: {formula}"

    def _number(self, value: float) -> str:
        return f"{value * self.rows:.6g}/N" if self.rows else f"{value:.6g}"

    def add_to(self, answer: Arrays, parameters: Arrays, rows: int) -> None:
        """Add the penalty to the values of the right network, for a batch of so many rows."""
        share = self.rows / rows if self.rows else 1.0
        for name, gradient in list(answer.items()):
            key = name.removeprefix("gradient/")
            about = (None, key, key.rpartition(".")[0])
            if key == name or key not in parameters or self.only not in about:
                continue
            if _penalised(parameters[key], self.weights_only):
                answer[name] = gradient + share * self.gradient * parameters[key]
                if self.loss and "loss" in answer:
                    penalty = share * self.loss / 2 * np.sum(parameters[key] ** 2)
                    answer["loss"] = answer["loss"] + penalty


def _penalised(array: np.ndarray, weights_only: bool) -> bool:
    return array.ndim > 1 or not weights_only


# ---- In a homework


def penalties(cases: Sequence[Case], answers: Sequence[Arrays]) -> Iterator[Penalty]:
    """The penalties that the first case suggests; the others confirm or refute them."""
    case, answer = cases[0], answers[0]
    least = tolerances.LEAST_PENALTY
    seen = frozenset(key.partition("/")[0] for key in answer)
    names = [k for k in case.parameters if f"gradient/{k}" in case.expected]
    for weights_only, rows in product((True, False), (0, len(case.inputs))):
        weights = [case.parameters[n] for n in names]
        squares = sum(np.sum(w**2) for w in weights if _penalised(w, weights_only))
        if not squares:
            continue
        in_loss = 0.0
        if "loss" in answer:
            off = float(answer["loss"] - case.expected["loss"])
            right = abs(off) <= tolerances.HOMEWORK * float(case.sizes["loss"])
            in_loss = 0.0 if right else 2 * off / squares
        excess = 0.0
        for name in names:
            if _penalised(case.parameters[name], weights_only):
                excess += _excess(case, answer, name)
        in_gradient = excess / float(squares)
        for gradient in {0.0, in_gradient}:
            mismatched = abs(in_loss - gradient) > least * max(
                abs(in_loss), abs(gradient), tolerances.LEAST_PENALTY_SCALE
            )
            if abs(in_loss) <= least and abs(gradient) <= least:
                continue
            if not mismatched:
                yield Penalty(in_loss, in_loss, weights_only, None, seen, rows)
                continue
            if abs(in_loss) < tolerances.LEAST_PENALTY_IN_LOSS:
                yield Penalty(0.0, gradient, weights_only, None, seen, rows)
            yield Penalty(in_loss, gradient, weights_only, None, seen, rows)
    yield from _of_one(case, answer, names, seen)


def _of_one(
    case: Case, answer: Arrays, names: Sequence[str], seen: frozenset[str]
) -> Iterator[Penalty]:
    """Penalties of one weight, or of one layer with its bias."""
    groups = {name: [name] for name in names if case.parameters[name].ndim > 1}
    for name in names:
        if case.parameters[name].ndim == 1:
            module = name.rpartition(".")[0]
            groups[module] = [n for n in names if n.rpartition(".")[0] == module]
    off = float(answer["loss"] - case.expected["loss"]) if "loss" in answer else 0.0
    if abs(off) <= tolerances.HOMEWORK * float(case.sizes.get("loss", np.zeros(()))):
        off = 0.0
    for only, own in groups.items():
        arrays = [case.parameters[name] for name in own]
        squares = max(sum(float(np.sum(a**2)) for a in arrays), tolerances.LEAST_SQUARES)
        factor = sum(_excess(case, answer, name) for name in own) / squares
        if abs(factor) <= tolerances.LEAST_PENALTY:
            continue
        weights_only = only in names
        yield Penalty(0.0, factor, weights_only, only, seen)
        in_loss = 2 * off / squares
        if off and _same(in_loss, factor):
            yield Penalty(factor, factor, weights_only, only, seen)
        elif off:
            yield Penalty(in_loss, factor, weights_only, only, seen)


def _excess(case: Case, answer: Arrays, name: str) -> float:
    """The sum of (found − right) · W over a gradient; 0 where there is none."""
    weight, found = case.parameters[name], answer.get(f"gradient/{name}")
    if found is None or found.shape != weight.shape:
        return 0.0
    return float(np.sum((found - case.expected[f"gradient/{name}"]) * weight))


# ---- In a recorded step


def penalty_in_loss(step: RecordedStep, references: References) -> Diagnosis | None:
    """A penalty in the loss of the NumPy backend that its gradients do not have to that measure.

    Args:
        step: The recorded step.
        references: The backends that the certificate consulted.
    """
    for weights_only in (True, False):
        names = [
            name for name in step.gradients if step.before.model[name].ndim > 1 or not weights_only
        ]
        in_loss = _in_loss(step, references, names)
        if in_loss is None:
            continue
        in_gradients = [_in_gradient(step, references, name) for name in names]
        first = in_gradients[0]
        if first is None or any(g is None or not _same(g, first) for g in in_gradients):
            return None
        if _same(in_loss, first):
            return None  # it is in both directions: another loss, and no mistake of this kind
        penalty = Penalty(in_loss, first, weights_only)
        return Diagnosis(penalty.code, penalty.explanation)
    return None


def penalty_in_gradient(name: str, state: Arrays, found: Arrays, right: Arrays) -> Diagnosis | None:
    """λW in the weight gradient of a module, and nothing else that is different.

    Args:
        name: Of the module.
        state: Its parameters.
        found: Site → value of its stage in the NumPy backend.
        right: The same in PyTorch.
    """
    state = {key: array.astype(np.float64) for key, array in state.items()}  # λW in float64
    weight, site = state.get("weight"), f"gradient/{name}.weight"
    if weight is None or weight.ndim < 2 or any(found[k].shape != right[k].shape for k in right):
        return None
    factor = _factor(found[site] - right[site], weight)
    if factor == 0:
        return None
    parameters = {f"gradient/{name}.{key}": value for key, value in state.items()}
    for place, value in right.items():
        penalised = [value]
        if place.startswith("gradient/"):
            penalised = [value + factor * parameters[place]]
        if place == f"gradient/{name}.bias":
            penalised.append(value)
        if not any(reproduces(found[place], v) for v in penalised):
            return None
    return Diagnosis(
        "l2-missing-in-gradient",
        f"the gradient of {name}.weight has {factor:.6g} · W that the loss does not have: λW is "
        "the derivative of ½λΣW², which belongs into both or, as weight_decay, into the optimizer",
    )


def _in_loss(step: RecordedStep, references: References, names: list[str]) -> float | None:
    """λ, if the loss has ½λΣW² too much whatever the weights are."""
    random = np.random.default_rng(0)
    drawn = {name: 3 * random.standard_normal(step.before.model[name].shape) for name in names}
    measured = []
    for other in ({}, drawn):
        model = {**step.before.model, **other}
        references.numpy64.load(State(model, step.before.optimizer))
        found, right = _losses(step, references)
        references.numpy64.load(step.before)
        if not reproduces(found.grad_input, right.grad_input):
            return None
        squares = float(sum(np.sum(model[name].astype(np.float64) ** 2) for name in names))
        excess = float(found.output - right.output)
        if not squares or abs(excess) <= tolerances.LEAST_EXCESS * abs(float(right.output)):
            return None
        measured.append(2 * excess / squares)
    return measured[1] if _same(*measured) else None


def _losses(step: RecordedStep, references: References) -> list[Stage]:
    """The loss stage in NumPy and in PyTorch, both in float64."""
    call = next(call for call in step.calls if call.name == "loss")
    both = references.numpy64, references.torch64
    return [run_stage(backend, call, step, np.ones(())) for backend in both]


def _in_gradient(step: RecordedStep, references: References, name: str) -> float | None:
    """λ, if a gradient is off by λW; 0 if it is right, None if it is otherwise wrong."""
    module, _, key = name.rpartition(".")
    call = next(call for call in step.calls if call.name == module)
    dy = np.random.default_rng(0).standard_normal(call.output.shape)
    found, right = (
        run_stage(backend, call, step, dy).gradients[key]
        for backend in (references.numpy64, references.torch64)
    )
    weight = step.before.model[name].astype(np.float64)
    factor = _factor(found - right, weight) if found.shape == right.shape else 0.0
    return factor if reproduces(found, right + factor * weight) else None


def _factor(excess: np.ndarray, weight: np.ndarray) -> float:
    """λ of excess = λW, by least squares; 0 where it is nothing or could be chance."""
    squares = float(np.sum(weight**2))
    if weight.size < LEAST_ELEMENTS or not squares:
        return 0.0
    factor = float(np.sum(excess * weight)) / squares
    return factor if abs(factor) * np.sqrt(squares) > tolerances.LEAST_PENALTY else 0.0


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= tolerances.SAME_PENALTY * max(abs(a), abs(b))


def reproduces(found: np.ndarray, value: np.ndarray) -> bool:
    """Whether two arrays agree to rounding of the largest value of the second."""
    size = float(np.max(np.abs(value), initial=tolerances.SMALLEST_SCALE))
    return tolerances.whole_error(found, value, size) <= tolerances.REPRODUCED
