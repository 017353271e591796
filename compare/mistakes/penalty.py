"""An L2 penalty that is in the loss and not, or not to the same measure, in the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compare.backends.protocol import Arrays
from compare.mistakes.case import Case

# A λ below this is rounding.
SMALL = 1e-9


@dataclass(frozen=True)
class Penalty:
    """½ · loss · ΣW² in the loss, and gradient · W in the gradient of each weight.

    Attributes:
        loss: λ in the loss.
        gradient: λ in the gradients.
        weights_only: Whether biases are left out.
        only: The one parameter that it is about; None where it is about all.
    """

    loss: float
    gradient: float
    weights_only: bool
    only: str | None = None
    code: str = "l2-missing-in-gradient"

    @property
    def explanation(self) -> str:
        """What was measured."""
        in_loss = f"the loss has a penalty of ½ · {self.loss:.6g} · ΣW²"
        formula = "the derivative of ½λΣW² is λW"
        if self.gradient == 0:
            return f"{in_loss} that no gradient has: {formula}"
        if self.only is not None:
            return (
                f"the gradient of {self.only} has {self.gradient:.6g} · W that the loss does not "
                f"have: {formula}"
            )
        if self.loss == 0:
            return f"each weight gradient has {self.gradient:.6g} · W that the loss does not have"
        return f"{in_loss}, and each gradient {self.gradient:.6g} · W: {formula}"

    def add_to(self, answer: Arrays, parameters: Arrays) -> None:
        """Add the penalty to what the right network answers."""
        for name, gradient in list(answer.items()):
            key = name.removeprefix("gradient/")
            if key == name or key not in parameters or self.only not in (None, key):
                continue
            if _penalised(parameters[key], self.weights_only):
                answer[name] = gradient + self.gradient * parameters[key]
                if self.loss:
                    penalty = self.loss / 2 * np.sum(parameters[key] ** 2)
                    answer["loss"] = answer["loss"] + penalty


def _penalised(array: np.ndarray, weights_only: bool) -> bool:
    return array.ndim > 1 or not weights_only


def _excess(case: Case, answer: Arrays, name: str) -> float:
    """The sum of (found − right) · W over a gradient; 0 where there is none."""
    weight, found = case.parameters[name], answer.get(f"gradient/{name}")
    if found is None or found.shape != weight.shape:
        return 0.0
    return float(np.sum((found - case.expected[f"gradient/{name}"]) * weight))


def penalties(cases: Sequence[Case], answers: Sequence[Arrays]) -> Iterator[Penalty]:
    """The penalties that the first case suggests; the others confirm or refute them."""
    case, answer = cases[0], answers[0]
    names = [k for k in case.parameters if f"gradient/{k}" in case.expected]
    for weights_only in (True, False):
        weights = [case.parameters[n] for n in names]
        squares = sum(np.sum(w**2) for w in weights if _penalised(w, weights_only))
        if not squares:
            continue
        in_loss = 0.0
        if "loss" in answer:
            in_loss = float(2 * (answer["loss"] - case.expected["loss"]) / squares)
        excess = 0.0
        for name in names:
            if _penalised(case.parameters[name], weights_only):
                excess += _excess(case, answer, name)
        in_gradient = excess / float(squares)
        for gradient in {0.0, in_gradient}:
            mismatched = abs(in_loss - gradient) > SMALL * max(abs(in_loss), abs(gradient), 1e-6)
            if mismatched and (abs(in_loss) > SMALL or abs(gradient) > SMALL):
                if abs(in_loss) < 1e-7:
                    yield Penalty(0.0, gradient, weights_only)
                yield Penalty(in_loss, gradient, weights_only)
    for name in names:
        weight = case.parameters[name]
        factor = _excess(case, answer, name) / max(float(np.sum(weight**2)), 1e-300)
        if weight.ndim > 1 and abs(factor) > SMALL:
            yield Penalty(0.0, factor, True, name)
