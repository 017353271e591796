"""Naming a mistake: which one, put into the right code, reproduces the values that were found?

The search runs a subject, which computes quantities: first as it is, which is right, then with each
mistake that its layers, loss or optimizer can have, one at a time. Quantities are gone through in
the order of execution. A mistake is named for the first that differs if it reproduces the value
there in every case, and changes nothing that agreed before; of several, the one that accounts for
most.

There are two subjects: :class:`Network`, the right network for a homework, and
:class:`RecordedStage`, one stage of a recorded training step of the NumPy backend.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

import numpy_nn
from compare.backends import Backend, RecordedStep
from compare.backends.numpy_backend import replace_module
from compare.backends.protocol import Arrays
from compare.mistakes.batchnorm import BATCHNORM
from compare.mistakes.case import Case, Diagnosis
from compare.mistakes.convolution import CONVOLUTION
from compare.mistakes.layers import LAYERS
from compare.mistakes.losses import LOSSES
from compare.mistakes.mistake import Catalogue, Mistake
from compare.mistakes.optimizers import OPTIMIZERS
from compare.mistakes.penalty import (
    Penalty,
    penalties,
    penalty_in_gradient,
    penalty_in_loss,
    reproduces,
)
from compare.mistakes.probabilities import FORMS, in_form
from compare.parity.stages import run_stage, stage_sites

if TYPE_CHECKING:
    from compare.parity.comparison import Comparison, References

# All mistakes, by the class of the layer, loss or optimizer that can have them.
CATALOGUE: Catalogue = {**LAYERS, **CONVOLUTION, **BATCHNORM, **LOSSES, **OPTIMIZERS}

# More mistakes than this in one network are not told apart.
MOST = 5
# A search that has taken so long is not begun again for another mistake, nor another candidate
# tried: each is a whole step of the network, which may be a large one.
PATIENCE_S = 60.0
# Values of larger networks are not kept from one candidate to the next.
MOST_REMEMBERED = 2_000_000


# Mistakes that are a constant factor, explained by what PyTorch's mean is.
FACTORS = (
    "sum-not-mean", "divided-twice", "divided-by-classes", "half-mismatch", "loss-convention",
)  # fmt: skip


class Candidate(NamedTuple):
    """A mistake with the places where it may be."""

    places: tuple[str, ...]
    mistake: Mistake | Penalty


@dataclass(frozen=True)
class Finding:
    """A named mistake, the quantity at which it shows first, and all that it accounts for."""

    quantity: str
    places: tuple[str, ...]
    diagnosis: Diagnosis
    accounts_for: frozenset[str]


# ---- The search


class Subject(Protocol):
    """Something that computes quantities, and into which mistakes can be put."""

    def answer(self, case: Any) -> Arrays:
        """Quantity → value in a case, with the mistakes that are in; right without any.

        Raises:
            ValueError: A mistake gives arrays that do not fit.
        """

    def candidates(self, cases: Sequence[Any], found: Sequence[Arrays]) -> Iterator[Candidate]:
        """Every mistake that is not in yet.

        Args:
            cases: All cases.
            found: The values that are to be explained, of each case.
        """

    def with_mistake(self, candidate: Candidate) -> AbstractContextManager[None]:
        """While this lasts, the mistake is in."""

    def keep(self, candidate: Candidate) -> None:
        """Put a mistake in for good."""


# Whether what was found in a case (by its number) differs from these values, in a quantity.
Differs = Callable[[str, int, Arrays], bool]


@dataclass(frozen=True)
class Search:
    """What was found, and the subject that is to reproduce it.

    Attributes:
        subject: What can be run with mistakes in it.
        cases: What it is run on.
        found: The values that were found, of each case.
        differs: The rule of equality.
        order: The quantities in the order of execution.
        deadline_s: When it has to be over, on the monotonic clock.
    """

    subject: Subject
    cases: Sequence[Any]
    found: Sequence[Arrays]
    differs: Differs
    order: Sequence[str]
    deadline_s: float = float("inf")

    @property
    def over(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self.deadline_s

    def failing(self) -> list[str]:
        """The quantities in which the found values are not the subject's."""
        answers = [self.subject.answer(case) for case in self.cases]
        return [
            quantity
            for quantity in self.order
            if any(self.differs(quantity, number, a) for number, a in enumerate(answers))
        ]

    def best(
        self, failing: Sequence[str], quantities: Sequence[str]
    ) -> tuple[Finding, Candidate] | None:
        """The mistake behind the first of some quantities that has one; it is not kept.

        Of those that reproduce the quantity in every case and change nothing that agrees, the one
        that accounts for most failing quantities; of equals, the one in fewer places, and of those
        the first of the catalogue.

        Args:
            failing: All quantities that differ.
            quantities: Those of them that are looked at.
        """
        agreeing = frozenset(self.order).difference(failing)
        in_first_case = [
            (candidate, there)
            for candidate in self.subject.candidates(self.cases, self.found)
            if agreeing <= (there := self._reproduced(candidate, [0], agreeing))
        ]
        for quantity in quantities:
            best: tuple[tuple[int, int], Candidate, frozenset[str]] | None = None
            for candidate, there in in_first_case:
                if quantity not in there:
                    continue
                needed = agreeing | {quantity}
                reproduced = there & self._reproduced(candidate, range(1, len(self.cases)), needed)
                if not needed <= reproduced:
                    continue
                accounted = reproduced.difference(agreeing)
                if isinstance(candidate.mistake, Penalty) and len(accounted) < len(failing):
                    continue  # a penalty is a claim about all quantities together
                rank = len(accounted), -len(candidate.places)
                if best is None or rank > best[0]:
                    best = rank, candidate, accounted
            if best is not None:
                _, candidate, accounted = best
                diagnosis = Diagnosis(candidate.mistake.code, candidate.mistake.explanation)
                return Finding(quantity, candidate.places, diagnosis, accounted), candidate
        return None

    def _reproduced(
        self, candidate: Candidate, numbers: Sequence[int], needed: frozenset[str]
    ) -> frozenset[str]:
        """The quantities that a mistake reproduces in these cases.

        None if it cannot be run, or if it changes one of those that are needed: these are compared
        first, and few candidates get further.
        """
        same = sorted(self.order, key=lambda quantity: quantity not in needed)
        if self.over:
            return frozenset()
        with self.subject.with_mistake(candidate):
            for number in numbers:
                try:
                    answer = self.subject.answer(self.cases[number])
                except ValueError:
                    return frozenset()
                alike = []
                for quantity in same:
                    if not self.differs(quantity, number, answer):
                        alike.append(quantity)
                    elif quantity in needed:
                        return frozenset()
                same = alike
        return frozenset(same)


def explain(
    subject: Subject,
    cases: Sequence[Any],
    found: Sequence[Arrays],
    differs: Differs,
    order: Sequence[str],
) -> list[Finding]:
    """Name one mistake after the other.

    Each then stays in, so that the quantities after it are judged as if it had been mended. Where
    nothing explains the first quantity that differs, the next is looked at all the same: layers
    that are run alone and updates do not depend on each other.

    Args:
        subject: The right network; the mistakes that are named stay in it.
        cases: What it is run on.
        found: The values that were found, of each case.
        differs: The rule of equality.
        order: The quantities in the order of execution.

    Returns:
        The findings, first divergence first; empty where nothing is named.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    search = Search(subject, cases, found, differs, order, deadline_s)
    findings: list[Finding] = []
    while len(findings) < MOST and not search.over:
        failing = search.failing()
        best = search.best(failing, failing) if failing else None
        if best is None:
            break
        finding, candidate = best
        subject.keep(candidate)
        findings.append(finding)
    return sorted(findings, key=lambda finding: order.index(finding.quantity))


# ---- A homework


class Network:
    """The right network in NumPy in float64, into which mistakes can be put.

    Args:
        architecture: A function of a namespace, with its arguments bound.
        loss: The loss class, or a loss.
        algorithm: The optimizer class, or None where no update is checked.
        settings: Its keyword arguments.
        dropouts: Place of a Dropout → its p. The model has Identity in these places; a Dropout is
            looked at alone, with a mask.
    """

    def __init__(
        self,
        architecture: Callable[[Any], Any],
        loss: Any = "CrossEntropyLoss",
        algorithm: str | None = None,
        settings: dict[str, Any] | None = None,
        dropouts: Mapping[str, float] | None = None,
    ) -> None:
        self.model = architecture(numpy_nn).to(np.float64)
        self.loss = getattr(numpy_nn, loss)() if isinstance(loss, str) else loss
        self._other_loss = not isinstance(loss, str)
        self._dropouts = {name: numpy_nn.Dropout(p) for name, p in (dropouts or {}).items()}
        self._algorithm, self._settings = algorithm, settings or {}
        self.optimizer = self._new_optimizer()
        self.penalty: Penalty | None = None
        self._kept: list[Candidate] = []
        # What was computed last for a case, with the mistakes that were in: those of layers change
        # no update, and those of the update nothing else. By the number of the case's object.
        self._last: dict[tuple[int, str], tuple[Case, list[Candidate], Arrays]] = {}

    def _new_optimizer(self) -> Any:
        if self._algorithm is None:
            return None
        algorithm = getattr(numpy_nn.optim, self._algorithm)
        return algorithm(self.model.parameters(), **self._settings)

    def targets(self) -> Iterator[tuple[str, Any]]:
        """What can be wrong, by its place: layers from the first to the last, loss, optimizer."""
        for name, module in self.model.named_modules():
            if not any(module.children()):
                yield name, self._dropouts.get(name, module)
        yield "loss", self.loss
        if self.optimizer is not None:
            yield "update", self.optimizer

    def candidates(self, cases: Sequence[Case], found: Sequence[Arrays]) -> Iterator[Candidate]:
        """Every mistake that is not in yet, with its places.

        A layer class that is written once has its mistake in every place where it stands; where
        each layer is written out, one may have it alone.
        """
        # Where the loss is declared to be another, factors are no mistakes of those names.
        pytorchs = cases[0].loss_factor == 1 and not self._other_loss
        allowed = () if pytorchs else FACTORS
        for candidate in self._all_candidates(cases, found):
            if candidate.mistake.code not in allowed:
                yield candidate

    def _all_candidates(
        self, cases: Sequence[Case], found: Sequence[Arrays]
    ) -> Iterator[Candidate]:
        taken = {place for candidate in self._kept for place in candidate.places}
        free = [(place, target) for place, target in self.targets() if place not in taken]
        classes = dict.fromkeys(type(target).__name__ for _, target in free)
        for name in (name for name in classes if name in CATALOGUE):
            same = [(place, target) for place, target in free if type(target).__name__ == name]
            if len(same) > 1:
                everywhere = tuple(place for place, _ in same)
                yield from (Candidate(everywhere, m) for m in CATALOGUE[name](same[0][1]))
            for place, target in same:
                yield from (Candidate((place,), m) for m in CATALOGUE[name](target))
        if self.penalty is None:
            yield from (Candidate(("loss",), penalty) for penalty in penalties(cases, found))

    def keep(self, candidate: Candidate) -> None:
        """Put a mistake in for good."""
        if isinstance(candidate.mistake, Penalty):
            self.penalty = candidate.mistake
            return
        self._kept.append(candidate)
        targets = dict(self.targets())
        for place in candidate.places:
            if place != "update":  # the optimizer is built anew for every case
                self._replace(place, candidate.mistake.apply(targets[place]))

    @contextmanager
    def with_mistake(self, candidate: Candidate) -> Iterator[None]:
        """While this lasts, the mistake is in."""
        targets = dict(self.targets())
        kept, penalty = list(self._kept), self.penalty
        self.keep(candidate)
        try:
            yield
        finally:
            self._kept, self.penalty = kept, penalty
            for place in candidate.places:
                if place != "update":
                    self._replace(place, targets[place])

    def _replace(self, place: str, new: Any) -> None:
        if place == "loss":
            self.loss = new
        elif place in self._dropouts:
            self._dropouts[place] = new
        else:
            self.model = replace_module(self.model, self.model.get_submodule(place), new)

    @np.errstate(all="ignore")
    def answer(self, case: Case) -> Arrays:
        """Quantity → value in a case, with the mistakes that are in."""
        found = self._remembered(case, "network", self._of_network)
        for key in found if case.loss_factor != 1 else ():
            if key in ("loss", "gradient/logits") or ("gradient/" in key and not case.given):
                found[key] = case.loss_factor * found[key]
        if case.weight_decay:
            declared = Penalty(case.weight_decay, case.weight_decay, weights_only=True)
            declared.add_to(found, case.parameters, len(case.inputs))
        if self.penalty is not None:
            self.penalty.add_to(found, case.parameters, len(case.inputs))
        if self.optimizer is not None and case.update_gradients:
            found |= self._remembered(case, "update", self.updates)
        if self.optimizer is not None and case.steps:
            found |= self._steps(case)
        return found

    def _remembered(self, case: Case, part: str, compute: Callable[[Case], Arrays]) -> Arrays:
        """What ``compute`` gives for a case; from before, if the mistakes that matter are as then.

        Args:
            case: The case.
            part: ``update``, or ``network`` for all else.
            compute: A function of the case.
        """
        is_update = part == "update"
        matter = [c for c in self._kept if ("update" in c.places) == is_update]
        known = self._last.get((id(case), part))
        if known is not None and known[0] is case and known[1] == matter:
            return dict(known[2])
        found = compute(case)
        if sum(p.data.size for p in self.model.parameters()) < MOST_REMEMBERED:
            self._last[id(case), part] = case, matter, dict(found)
        return found

    def _of_network(self, case: Case) -> Arrays:
        self.model.load_state_dict(case.parameters)
        self.model.zero_grad()
        return self._layers_alone(case) if case.given else self._whole(case)

    def _whole(self, case: Case) -> Arrays:
        logits = self.model(case.inputs)
        value = float(self.loss(logits, case.targets))
        self.model.backward(self.loss.backward())
        found = {"logits": np.array(logits), "loss": np.array(value), **self._gradients()}
        for form in (form for form in FORMS if form in case.expected):
            found[form] = in_form(form, found["logits"], case.targets)
        # A network of layer classes that is run as a whole has names of its own for them.
        return {name: found[key] for name, key in network_names(case, found).items()}

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
                found |= self._dropout_alone(name, case)
                continue
            found[f"activation/{name}"] = np.array(module(case.given[f"input/{name}"]))
            dx = module.backward(case.given[f"grad_output/{name}"])
            found[f"gradient/{name}.input"] = np.array(dx)
        found |= {f"buffer/{name}": np.array(value) for name, value in self.model.named_buffers()}
        found |= self._gradients()
        self.model.load_state_dict(case.parameters)
        logits = self.model(case.inputs)
        # The loss layer, too, is run alone: on the right logits.
        value = float(self.loss(case.expected.get("logits", logits), case.targets))
        gradient = self.loss.backward()
        return found | {
            "logits": np.array(logits),
            "loss": np.array(value),
            "gradient/logits": np.array(gradient),
        }

    def _dropout_alone(self, name: str, case: Case) -> Arrays:
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

    def _optimizer_with_mistakes(self) -> Any:
        optimizer = self._new_optimizer()
        for places, mistake in self._kept:
            if "update" in places and isinstance(mistake, Mistake):
                optimizer = mistake.apply(optimizer)
        return optimizer

    def _steps(self, case: Case) -> Arrays:
        """Training steps in a row, each with the gradients at the parameters of the last."""
        self.model.load_state_dict(case.parameters)
        optimizer = self._optimizer_with_mistakes()
        declared = Penalty(case.weight_decay, case.weight_decay, weights_only=True)
        for _ in range(case.steps):
            self.model.zero_grad()
            self.loss(self.model(case.inputs), case.targets)
            self.model.backward(self.loss.backward())
            named = dict(self.model.named_parameters())
            found = {key: case.loss_factor * g for key, g in self._gradients().items()}
            for penalty in (declared, self.penalty):
                if penalty is not None:
                    now = {name: p.data for name, p in named.items()}
                    penalty.add_to(found, now, len(case.inputs))
            for name, parameter in named.items():
                parameter.grad = found[f"gradient/{name}"]
            optimizer.step()
        return {f"step/{name}": np.array(p.data) for name, p in self.model.named_parameters()}

    def updates(self, case: Case) -> Arrays:
        """The parameters after the updates of a case, with the mistakes that are in."""
        self.model.load_state_dict(case.parameters)
        optimizer = self._optimizer_with_mistakes()
        for gradients in case.update_gradients:
            for name, parameter in self.model.named_parameters():
                parameter.grad = np.array(gradients[name])
            optimizer.step()
        return {
            f"update/{name}": np.array(parameter.data)
            for name, parameter in self.model.named_parameters()
        }


def network_names(case: Case, found: Arrays) -> dict[str, str]:
    """Name in the case → quantity; other names where a network of layer classes is run whole."""
    if "loss/network" not in case.expected:
        return {key: key for key in found}
    return {
        "loss/network"
        if key == "loss"
        else f"gradient/network/{key.removeprefix('gradient/')}": key
        for key in found
        if key == "loss" or key.startswith("gradient/")
    }


# ---- A recorded step of the NumPy backend


class RecordedStage:
    """One stage of a recorded step in float64: a module, the loss, or the ``optimizer``.

    As it is, PyTorch runs it, which is right. With a mistake, the NumPy backend does, with the
    mistake in the place of its own code. A case is a gradient of the output.

    Args:
        step: The recorded step.
        references: The backends that the certificate consulted.
        place: The name of the module, ``loss`` or ``optimizer``.
    """

    def __init__(self, step: RecordedStep, references: References, place: str) -> None:
        self.step, self.references, self.place = step, references, place
        self._with_mistake = False

    def run(self, backend: Backend, dy: np.ndarray) -> Arrays:
        """Quantity → value in a backend. A quantity is a site, or a parameter in an update."""
        if self.place == "optimizer":
            before = self.step.before
            after = backend.update_stage(before, self.step.gradients)
            # Differences, not values: a step is small beside the parameter that it changes.
            return {name: after.model[name] - before.model[name] for name in self.step.gradients}
        call = next(call for call in self.step.calls if call.name == self.place)
        return stage_sites(self.place, run_stage(backend, call, self.step, dy))

    def answer(self, case: np.ndarray) -> Arrays:
        """The right values, or those of the mistake that is in."""
        references = self.references
        return self.run(references.numpy64 if self._with_mistake else references.torch64, case)

    def candidates(
        self, cases: Sequence[np.ndarray], found: Sequence[Arrays]
    ) -> Iterator[Candidate]:
        """The mistakes of what PyTorch has in this place, with PyTorch's settings."""
        right = _part(self.references.torch64, self.place)
        catalogue = CATALOGUE.get(type(right).__name__)
        if catalogue is not None:
            yield from (Candidate((self.place,), mistake) for mistake in catalogue(right))

    @contextmanager
    def with_mistake(self, candidate: Candidate) -> Iterator[None]:
        """While this lasts, the mistake stands in the place of NumPy's own code."""
        own = _part(self.references.numpy64, self.place)
        self.keep(candidate)
        try:
            yield
        finally:
            self._with_mistake = False
            self.references.numpy64.replace(self.place, own)

    def keep(self, candidate: Candidate) -> None:
        """Put a mistake in for good."""
        assert isinstance(candidate.mistake, Mistake)
        own = _part(self.references.numpy64, self.place)
        self.references.numpy64.replace(self.place, candidate.mistake.apply(own))
        self._with_mistake = True


def _part(backend: Backend, place: str) -> Any:
    return getattr(backend, place) if place in ("loss", "optimizer") else backend.module(place)


def diagnose_step(
    step: RecordedStep, references: References, failure: Comparison, seed: int = 0
) -> Diagnosis | None:
    """Name the mistake in the NumPy backend that explains a failed comparison of a step.

    Args:
        step: The recorded step.
        references: The backends that the certificate consulted.
        failure: The comparison that failed.
        seed: For the random output gradient.

    Returns:
        The mistake that explains the first value of the stage that differs; None where none does.
    """
    kind, _, rest = failure.site.removeprefix("whole/").partition("/")
    if kind in ("update", "optimizer"):
        place, shape = "optimizer", ()
    else:
        parts = rest.rpartition(".") if kind in ("gradient", "buffer") else rest.partition("/")
        place = parts[0]
        call = next((call for call in step.calls if call.name == place), None)
        if call is None:
            return None
        shape = call.output.shape
    stage = RecordedStage(step, references, place)
    dy = np.asarray(np.random.default_rng(seed).standard_normal(shape))
    found, right = stage.run(references.numpy64, dy), stage.answer(dy)

    def differs(quantity: str, _: int, values: Arrays) -> bool:
        return quantity not in found or not reproduces(found[quantity], values[quantity])

    search = Search(stage, [dy], [found], differs, list(right))
    if failing := search.failing():
        best = search.best(failing, failing[:1])
        if best is not None:
            return best[0].diagnosis
    if place == "loss":
        return penalty_in_loss(step, references)
    if place == "optimizer":
        return None
    return penalty_in_gradient(place, step.before.of_module(place), found, right)
