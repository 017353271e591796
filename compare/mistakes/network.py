"""The right network in NumPy in float64, into which mistakes can be put."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.protocol import Arrays
from compare.mistakes.case import Case
from compare.mistakes.catalogue import CATALOGUE
from compare.mistakes.mistake import Mistake
from compare.mistakes.penalty import Penalty


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
        # The loss layer, too, is asked alone: it was given the right logits.
        value = float(self.loss(case.expected.get("logits", logits), case.targets))
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
