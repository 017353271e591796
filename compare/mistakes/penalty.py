"""An L2 penalty that is in the loss and not, or not to the same measure, in the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compare.check.evidence import Arrays, Case


@dataclass(frozen=True)
class Penalty:
    """½ · loss · ΣW² in the loss, and gradient · W in the gradient of each weight."""

    loss: float
    gradient: float
    weights_only: bool
    code: str = "l2-missing-in-gradient"

    @property
    def explanation(self) -> str:
        """What was measured."""
        in_loss = f"the loss has a penalty of ½ · {self.loss:.6g} · ΣW²"
        formula = "the derivative of ½λΣW² is λW"
        if self.gradient == 0:
            return f"{in_loss} that no gradient has: {formula}"
        if self.loss == 0:
            return f"each weight gradient has {self.gradient:.6g} · W that the loss does not have"
        return f"{in_loss}, and each gradient {self.gradient:.6g} · W: {formula}"

    def add_to(self, answer: Arrays, parameters: Arrays) -> None:
        """Add the penalty to what the right network answers."""
        for name, gradient in list(answer.items()):
            key = name.removeprefix("gradient/")
            if key == name or key not in parameters:
                continue
            if _penalised(parameters[key], self.weights_only):
                answer[name] = gradient + self.gradient * parameters[key]
                answer["loss"] = answer["loss"] + self.loss / 2 * np.sum(parameters[key] ** 2)


def _penalised(array: np.ndarray, weights_only: bool) -> bool:
    return array.ndim > 1 or not weights_only


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
        excess = in_gradient = 0.0
        for name in names:
            weight = case.parameters[name]
            found = answer.get(f"gradient/{name}")
            if found is None or not _penalised(weight, weights_only):
                continue
            if found.shape == weight.shape:
                excess += float(np.sum((found - case.expected[f"gradient/{name}"]) * weight))
        in_gradient = excess / float(squares)
        small = 1e-9
        for gradient in {0.0, in_gradient}:
            mismatched = abs(in_loss - gradient) > small * max(abs(in_loss), abs(gradient), 1e-6)
            if mismatched and (abs(in_loss) > small or abs(gradient) > small):
                yield Penalty(in_loss, gradient, weights_only)
                if abs(in_loss) < 1e-7:
                    yield Penalty(0.0, gradient, weights_only)
