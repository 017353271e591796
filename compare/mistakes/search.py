"""Naming a mistake: which one, put into the right network, reproduces what was found?

The right network is built in NumPy in float64. Quantities are walked in the order of execution;
at the first that differs, every mistake that its layers, loss or optimizer can have is put in,
one at a time. One is named only if it reproduces the value there in every case, and changes
nothing that agreed before. It then stays in, so that the quantities after it are judged as if it
had been mended, and the next that differs is looked at. Where nothing explains the first, the
next is looked at all the same: layers asked alone and updates do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import numpy_nn
from compare.check.evidence import Arrays, Case, Diagnosis
from compare.mistakes.catalogue import CATALOGUE
from compare.mistakes.mistake import Mistake
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


class Network:
    """The right network, into which mistakes can be put.

    Args:
        architecture: A function of a namespace, with its arguments bound.
        loss: The loss class.
        algorithm: The optimizer class, or None where no update is checked.
        settings: Its keyword arguments.
        dropouts: Place of a Dropout → its p. The model has Identity in these places; a Dropout is
            looked at alone, with a mask.
    """

    def __init__(
        self,
        architecture: Callable[[Any], Any],
        loss: str = "CrossEntropyLoss",
        algorithm: str | None = None,
        settings: dict[str, Any] | None = None,
        dropouts: Mapping[str, float] | None = None,
    ) -> None:
        self.model = architecture(numpy_nn).to(np.float64)
        self.loss = getattr(numpy_nn, loss)()
        self._dropouts = {name: numpy_nn.Dropout(p) for name, p in (dropouts or {}).items()}
        self._algorithm, self._settings = algorithm, settings or {}
        self.optimizer = self._new_optimizer()
        self.penalty: Penalty | None = None
        self._planted: list[tuple[tuple[str, ...], Mistake]] = []

    def _new_optimizer(self) -> Any:
        if self._algorithm is None:
            return None
        made = getattr(numpy_nn.optim, self._algorithm)
        return made(self.model.parameters(), **self._settings)

    def targets(self) -> Iterator[tuple[str, Any]]:
        """What can be wrong, by its place: layers from the first to the last, loss, optimizer."""
        for name, module in self.model.named_modules():
            if not any(module.children()):
                yield name, self._dropouts.get(name, module)
        yield "loss", self.loss
        if self.optimizer is not None:
            yield "update", self.optimizer

    def candidates(self) -> Iterator[tuple[tuple[str, ...], Mistake]]:
        """Every mistake that is not in yet, with its places.

        Somebody who writes a layer once has its mistake in every place where it stands; somebody
        who writes each layer out may have it in one.
        """
        taken = {place for places, _ in self._planted for place in places}
        free = [(place, target) for place, target in self.targets() if place not in taken]
        kinds = dict.fromkeys(type(target).__name__ for _, target in free)
        for kind in (kind for kind in kinds if kind in CATALOGUE):
            same = [(place, target) for place, target in free if type(target).__name__ == kind]
            if len(same) > 1:
                everywhere = tuple(place for place, _ in same)
                yield from ((everywhere, mistake) for mistake in CATALOGUE[kind](same[0][1]))
            for place, target in same:
                yield from (((place,), mistake) for mistake in CATALOGUE[kind](target))

    def keep(self, places: tuple[str, ...], mistake: Mistake | Penalty) -> None:
        """Put a mistake in for good."""
        if isinstance(mistake, Penalty):
            self.penalty = mistake
            return
        self._planted.append((places, mistake))
        targets = dict(self.targets())
        for place in places:
            if place != "update":  # the optimizer is built anew for every case
                mistake.plant(targets[place])

    @contextmanager
    def with_mistake(self, places: tuple[str, ...], mistake: Mistake | Penalty) -> Iterator[None]:
        """While this lasts, the mistake is in."""
        targets = dict(self.targets())
        right = {place: type(targets[place]) for place in places}
        planted, penalty = list(self._planted), self.penalty
        self.keep(places, mistake)
        try:
            yield
        finally:
            self._planted, self.penalty = planted, penalty
            for place in places:
                targets[place].__class__ = right[place]

    @np.errstate(all="ignore")
    def answer(self, case: Case) -> Arrays:
        """Everything that the network makes of a case, mistakes included."""
        self.model.load_state_dict(case.parameters)
        self.model.zero_grad()
        found = self._layers_alone(case) if case.given else self._whole(case)
        if self.penalty is not None:
            self.penalty.add_to(found, case.parameters)
        if self.optimizer is not None and case.update_gradients:
            found |= self._updates(case)
        return found

    def _whole(self, case: Case) -> Arrays:
        logits = self.model(case.inputs)
        value = float(self.loss(logits, case.targets))
        self.model.backward(self.loss.backward())
        return {"logits": np.array(logits), "loss": np.array(value), **self._gradients()}

    def _gradients(self) -> Arrays:
        return {
            f"gradient/{name}": np.zeros(p.shape) if p.grad is None else np.array(p.grad)
            for name, p in self.model.named_parameters()
        }

    def _layers_alone(self, case: Case) -> Arrays:
        found: Arrays = {}
        for name, module in self.model.named_modules():
            if f"input/{name}" not in case.given:
                continue
            if f"mask/{name}" in case.given:
                found |= self._dropped(name, case)
                continue
            found[f"activation/{name}"] = np.array(module(case.given[f"input/{name}"]))
            dx = module.backward(case.given[f"grad_output/{name}"])
            found[f"gradient/{name}.input"] = np.array(dx)
        found |= {f"buffer/{name}": np.array(value) for name, value in self.model.named_buffers()}
        found |= self._gradients()
        self.model.load_state_dict(case.parameters)
        logits = self.model(case.inputs)
        value = float(self.loss(logits, case.targets))
        gradient = self.loss.backward()
        return found | {
            "logits": np.array(logits),
            "loss": np.array(value),
            "gradient/logits": np.array(gradient),
        }

    def _dropped(self, name: str, case: Case) -> Arrays:
        """A Dropout with the mask that the homework drew, and in evaluation mode."""
        x, module = case.given[f"input/{name}"], self._dropouts[name]
        module.train()
        module.mask = case.given[f"mask/{name}"]
        found = {
            f"activation/{name}": np.array(module(x)),
            f"activation/{name}.kept": np.array(1 - module.p),
            f"gradient/{name}.input": np.array(module.backward(case.given[f"grad_output/{name}"])),
        }
        module.eval()
        return found | {f"activation/{name}.evaluation": np.array(module(x))}

    def _updates(self, case: Case) -> Arrays:
        self.model.load_state_dict(case.parameters)
        optimizer = self._new_optimizer()
        for places, mistake in self._planted:
            if "update" in places:
                mistake.plant(optimizer)
        for gradients in case.update_gradients:
            for name, parameter in self.model.named_parameters():
                parameter.grad = np.array(gradients[name])
            optimizer.step()
        return {
            f"update/{name}": np.array(parameter.data)
            for name, parameter in self.model.named_parameters()
        }


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
