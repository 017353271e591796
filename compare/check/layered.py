"""A homework of layer classes is asked about every layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compare.check.contract import Contract
from compare.check.dropped import kept, question
from compare.check.evidence import Answer
from compare.check.interview import UnansweredError
from compare.check.layer_calls import USUAL
from compare.check.layout import MisfitError, Own
from compare.check.sandbox import Asked, GoneError
from compare.check.values import Reply, Value
from compare.mistakes.case import Case
from experiments.errors import InputError

# Modules that a homework may do without, for they only pass on or reshape; and the word by which
# its own class shows that it does not.
PASSING = {"Flatten": "flat", "Identity": "ident", "Dropout": "drop"}
WITH_PARAMETERS = ("Linear", "Conv", "BatchNorm", "LayerNorm")


@dataclass(frozen=True)
class Span:
    """One layer of the homework and the modules of the network that it stands for."""

    index: int
    modules: tuple[str, ...]


@dataclass
class LayerInterview:
    """Asks one homework.

    Args:
        homework: Answers, here or in its own process.
        contract: Its conventions.
        own: Its own arrays.
        trainable: The reference's names of parameters, without buffers.
        leaves: Name and class of the network's modules, in order.
        asked: The quantities that its layers should give; empty where there were none.
    """

    homework: Asked
    contract: Contract
    own: Sequence[Own]
    trainable: frozenset[str]
    leaves: list[tuple[str, str]]
    asked: dict[str, None] = field(default_factory=dict)

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """An answer for each case, as far as the homework gets."""
        found: list[Answer] = []
        for case in cases:
            answer = Answer()
            found.append(answer)
            try:
                self._answer(case, answer)
            except (UnansweredError, MisfitError, InputError) as reason:
                answer.problem = str(reason)
            except GoneError as reason:
                answer.problem = str(reason)
                return found
        return found

    def _answer(self, case: Case, answer: Answer) -> None:
        arrays = {f"params/{own.name}": own.given(case.parameters[own.key]) for own in self.own}
        made = self._reply("network", arrays, "network(params)")
        spans = spans_of(made.details["names"], made.details["classes"], self.leaves)
        merged = any(len(span.modules) > 1 for span in spans)
        if merged and not case.given["chained"]:
            return
        problems: list[str] = []
        kinds = dict(self.leaves)
        dropping = [s for s in spans if all(kinds[m].startswith("Dropout") for m in s.modules)]
        for span in spans:
            name = made.details["classes"][span.index]
            try:
                if span not in dropping:
                    self._alone(span, name, case, answer)
                elif [kinds[m] for m in span.modules] == ["Dropout"]:
                    self._dropout(span, name, case, answer)
            except (UnansweredError, MisfitError) as reason:
                problems.append(str(reason))
        if made.details["loss"] is not None:
            self._ask("loss", "gradient/logits")
        self._ask("logits")
        if problems:
            raise UnansweredError(problems[0])
        if made.details["loss"] is not None:
            self._loss(case, answer, made.details["loss"])
        self._reply("network", arrays, "network(params)")  # fresh running statistics
        x = {"x": self.contract.batches.given(case.inputs)}
        names = [name for name, _ in self.leaves]
        spans = sorted(spans, key=lambda s: names.index(s.modules[0]))
        order = [span.index for span in spans if span not in dropping]  # random as they are
        logits = self._array(
            self._reply("chain", x, "all layers in a row", order=order).value, "the last layer"
        )
        shape = case.expected["logits"].shape
        answer.values["logits"] = self.contract.batches.taken(logits, shape, "the logits")
        answer.single = answer.single or logits.dtype == np.float32

    def _alone(self, span: Span, name: str, case: Case, answer: Answer) -> None:
        first, last = span.modules[0], span.modules[-1]
        own = {o.key: o for o in self.own}
        keys = [key for key in own if key.rpartition(".")[0] in span.modules]
        wanted = {k: self._paths(own[k]) for k in keys if k in self.trainable}
        held = {
            k: self._paths(own[k])
            for k in keys
            if k not in self.trainable and f"buffer/{k}" in case.expected
        }
        self._ask(
            f"activation/{last}",
            *(f"buffer/{key}" for key in held),
            *(f"gradient/{key}" for key in wanted),
            f"gradient/{first}.input",
        )
        batches = self.contract.batches
        arrays = {
            "x": batches.given(case.given[f"input/{first}"]),
            "dy": batches.given(case.given[f"grad_output/{last}"]),
            **{k: own[k].given(case.parameters[k]) for k in held},
        }
        said = f"{name} ({', '.join(span.modules)})"
        reply = self._reply("layer", arrays, said, index=span.index, wanted=wanted, held=held)
        items = reply.value.items
        output = self._array(items["output"], f"forward of {said}")
        shape = case.expected[f"activation/{last}"].shape
        values = answer.values
        values[f"activation/{last}"] = batches.taken(output, shape, f"the output of {said}")
        for key in held:
            if f"buffer {key}" in items:
                buffer = self._array(items[f"buffer {key}"], key)
                shape = case.expected[f"buffer/{key}"].shape
                values[f"buffer/{key}"] = own[key].taken(buffer, shape, f"{key} of {said}")
        for key in wanted:
            gradient = self._array(items[f"gradient {key}"], f"the gradient of {key}")
            shape = case.parameters[key].shape
            values[f"gradient/{key}"] = own[key].taken(
                gradient, shape, f"the gradient of {own[key].name!r} ({key}) in {said}"
            )
        back = self._array(items["grad_input"], f"backward of {said}")
        shape = case.expected[f"gradient/{first}.input"].shape
        values[f"gradient/{first}.input"] = batches.taken(
            back, shape, f"what backward of {said} returned"
        )
        answer.single = answer.single or output.dtype == np.float32
        answer.notes += [
            f"{said}, {w}" for w in reply.warnings if f"{said}, {w}" not in answer.notes
        ]

    def _dropout(self, span: Span, name: str, case: Case, answer: Answer) -> None:
        """A layer whose mask is random, with an input that shows the mask."""
        batches, (module,) = self.contract.batches, span.modules
        self._ask(f"activation/{module}", f"activation/{module}.kept", f"gradient/{module}.input")
        asked = question(case, module)
        said = f"{name} ({module})"
        arrays = {"x": batches.given(asked.x), "dy": batches.given(asked.dy)}
        reply = self._reply("dropout", arrays, said, index=span.index)
        found = {}
        for part, value in reply.value.items.items():
            method = f"{'backward' if part == 'grad_input' else 'forward'} of {said}"
            array = self._array(value, method)
            found[part] = batches.taken(array, asked.x.shape, f"what {method} returned")
            answer.single = answer.single or array.dtype == np.float32
        answer.values |= {
            f"activation/{module}": found["output"],
            f"activation/{module}.kept": np.array(kept(found["output"]).mean()),
            f"gradient/{module}.input": found["grad_input"],
        }
        if "evaluation" in found:
            self._ask(f"activation/{module}.evaluation")
            answer.values[f"activation/{module}.evaluation"] = found["evaluation"]
        mask = kept(found["output"])
        if 0 < mask.mean() < 1 and np.array_equal(mask, kept(found["again"])):
            sentence = f"{said} drew the same mask twice: draw a new one at each forward."
            answer.notes += [sentence] if sentence not in answer.notes else []

    def _loss(self, case: Case, answer: Answer, name: str) -> None:
        batches = self.contract.batches
        logits = case.expected["logits"]
        labels = batches.given_labels(case.targets, logits.shape[-1])
        reply = self._reply("layer_loss", {"x": batches.given(logits), "y": labels}, name)
        loss = self._array(reply.value.items["loss"], f"forward of {name}")
        if loss.size != 1:
            raise MisfitError(f"forward of {name} returned {reply.value.items['loss'].said()}, "
                         "but expected one number, the loss of the batch.")  # fmt: skip
        answer.values["loss"] = np.array(float(loss.reshape(())))
        back = self._array(reply.value.items["gradient"], f"backward of {name}")
        answer.values["gradient/logits"] = batches.taken(
            back, logits.shape, f"what backward of {name} returned"
        )

    def _ask(self, *quantities: str) -> None:
        self.asked.update(dict.fromkeys(quantities))

    def _paths(self, own: Own) -> list[str]:
        """Where the layer may keep the gradient, or the buffer, of one of its arrays."""
        short = own.key.rpartition(".")[2]
        attributes = self.contract.attributes
        for said in (own.name, own.key, short):
            if said in attributes:
                return [attributes[said]]
        return list(USUAL.get(short, (short,)))

    def _reply(
        self, what: str, arrays: dict[str, np.ndarray], said: str, **details: object
    ) -> Reply:
        reply = self.homework.ask(what, arrays, said=said, **details)
        if reply.problem:
            raise UnansweredError(reply.problem)
        return reply

    def _array(self, value: Value, what: str) -> np.ndarray:
        if value.array is None:
            raise MisfitError(f"{what} returned {value.said()}, but expected an array.")
        return value.array


def spans_of(names: list[str], classes: list[str], leaves: list[tuple[str, str]]) -> list[Span]:
    """Which modules each layer of the homework stands for.

    A dict says so by its keys: ``"0"``, or ``"0-1"`` for a layer that does the work of both. A
    list has a layer for each module; for each but Flatten, Identity and Dropout; or for each that
    has parameters, with all that follows it.

    Raises:
        InputError: It fits in no such way.
    """
    modules = [name for name, _ in leaves]
    explicit = [_range(name, modules) for name in names]
    if names and all(explicit):
        return [Span(i, tuple(span)) for i, span in enumerate(explicit) if span]
    count = len(classes)
    if count == len(leaves):
        return [Span(i, (name,)) for i, name in enumerate(modules)]
    present = " ".join(classes).lower()
    absent = tuple(kind for kind, word in PASSING.items() if word not in present)
    kept = [name for name, kind in leaves if not kind.startswith(absent)]
    if count == len(kept):
        return [Span(i, (name,)) for i, name in enumerate(kept)]
    groups: list[list[str]] = []
    for name, kind in leaves:
        if kind.startswith(WITH_PARAMETERS) or not groups:
            groups.append([])
        groups[-1].append(name)
    if count == len(groups):
        return [Span(i, tuple(group)) for i, group in enumerate(groups)]
    listed = ", ".join(f"{name} {kind}" for name, kind in leaves)
    raise InputError(
        f"network(params) made {count} layers ({', '.join(classes)}), which do not fit the modules "
        f'of the network ({listed}): return a dict such as {{"0": Affine(…), "1": Relu()}}, with '
        '"0-1" for a layer that does the work of both.'
    )


def _range(text: str, modules: list[str]) -> list[str]:
    if text in modules:
        return [text]
    first, dash, last = text.partition("-")
    if dash and first in modules and last in modules:
        return modules[modules.index(first) : modules.index(last) + 1]
    return []
