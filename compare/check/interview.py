"""A homework of functions is asked about every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from compare.check.contract import Contract
from compare.check.evidence import Answer, Arrays, Case
from compare.check.layout import MisfitError, Own
from compare.check.sandbox import Asked, GoneError
from compare.check.values import Reply, Value

# An answer repeats if it does so to this, relative to its largest value.
SAME = 1e-10
SIGNATURES = {
    "forward": "forward(params, x)",
    "loss": "loss(params, x, y)",
    "gradients": "gradients(params, x, y)",
    "loss_and_gradients": "loss_and_gradients(params, x, y)",
    "update": "update(params, grads, state)",
}


class UnansweredError(Exception):
    """There is no value: one sentence."""


@dataclass
class Interview:
    """Asks one homework.

    Args:
        homework: Answers, here or in its own process.
        contract: Its conventions.
        own: Its own arrays.
        trainable: The reference's names of parameters, without buffers.
        faults: What makes it no function of its arguments, whatever it returns.
    """

    homework: Asked
    contract: Contract
    own: Sequence[Own]
    trainable: frozenset[str]
    faults: list[str] = field(default_factory=list)
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """An answer for each case, as far as the homework gets."""
        self._shapes = {key: a.shape for key, a in cases[0].parameters.items()}
        found: list[Answer] = []
        for number, case in enumerate(cases):
            answer = Answer()
            found.append(answer)
            try:
                self._answer(case, answer, again=number == 0)
            except UnansweredError as reason:
                answer.problem = _about(case, str(reason), number)
            except GoneError as reason:
                answer.problem = _about(case, str(reason), number)
                return found
        return found

    def _answer(self, case: Case, answer: Answer, again: bool) -> None:
        problems: list[str] = []
        for function in self._functions():
            try:
                if function == "update":
                    self._ask_update(case, answer)
                else:
                    self._ask(function, case, answer, again)
            except (UnansweredError, MisfitError) as reason:
                problems.append(str(reason))
        if again and not problems:
            answer.single = self._is_single(case, answer)
        if problems:
            raise UnansweredError(problems[0])

    def _functions(self) -> list[str]:
        """What is asked, in order; ``loss_and_gradients`` where one of the two is missing."""
        has = self.contract.has
        both = has("loss_and_gradients") and not (has("loss") and has("gradients"))
        order = ("forward", "loss", "loss_and_gradients", "gradients", "update")
        return [f for f in order if has(f) and (f != "loss_and_gradients" or both)]

    def _ask(self, function: str, case: Case, answer: Answer, again: bool) -> None:
        arrays = self._arguments(function, case)
        reply = self._call(function, arrays)
        values = self._read(function, reply.value, case)
        self._look_at_changes(function, arrays, reply, case, answer, values)
        _note(answer, [f"{function}, {warning}" for warning in reply.warnings])
        if again:
            second = self._read(function, self._call(function, arrays).value, case)
            for quantity, value in second.items():
                if not _same(value, values[quantity]):
                    self._fault(
                        answer,
                        f"{SIGNATURES[function]} gave another answer when it was called again "
                        "with the same arguments; the second answer counts.",
                    )
                    values[quantity] = value
        for quantity, value in values.items():
            answer.values.setdefault(quantity, value)
        if _computed_in_float32(reply.value):
            answer.single = True

    def _arguments(self, function: str, case: Case) -> dict[str, np.ndarray]:
        arrays = {f"params/{own.name}": own.given(case.parameters[own.key]) for own in self.own}
        arrays["x"] = self.contract.batches.given(case.inputs)
        if function != "forward":
            classes = case.expected["logits"].shape[-1]
            arrays["y"] = self.contract.batches.given_labels(case.targets, classes)
        return arrays

    def _call(self, function: str, arrays: Mapping[str, np.ndarray]) -> Reply:
        reply = self.homework.ask("call", arrays, said=SIGNATURES[function], function=function)
        if reply.problem:
            raise UnansweredError(reply.problem)
        return reply

    def _read(self, function: str, value: Value, case: Case) -> Arrays:
        """What was returned, in the reference's layout."""
        if function == "forward":
            return {"logits": self._logits(value, case)}
        if function == "loss":
            return {"loss": _number(value, "loss")}
        if function == "gradients":
            return self._gradients(value, "gradients")
        items = list(value.items.values())
        if value.kind != "tuple" or len(items) != 2:
            raise MisfitError(
                f"loss_and_gradients returned {value.said()}, but expected (loss, gradients)."
            )
        loss = {"loss": _number(items[0], "loss_and_gradients")}
        return {**loss, **self._gradients(items[1], "loss_and_gradients")}

    def _logits(self, value: Value, case: Case) -> np.ndarray:
        shape = case.expected["logits"].shape
        if value.kind == "tuple" and value.items:  # logits and what backward needs
            value = value.items["0"]
        if value.kind == "none":
            raise MisfitError(
                "forward returned None, but expected the logits; is a return missing?"
            )
        if value.array is None:
            raise MisfitError(f"forward returned {value.said()}, but expected an array of logits.")
        return self.contract.batches.taken(value.array, shape, "what forward returned (logits)")

    def _gradients(self, value: Value, function: str) -> Arrays:
        wanted = {own.key: own for own in self.own if own.key in self.trainable}
        return {
            f"gradient/{key}": self._own_array(value, own, function, "gradient", key)
            for key, own in wanted.items()
        }

    def _own_array(self, value: Value, own: Own, function: str, what: str, key: str) -> np.ndarray:
        name = repr(own.name) if own.name == key else f"{own.name!r} ({key})"
        if value.kind == "none":
            raise MisfitError(
                f"{function} returned None, but expected a dict; is a return missing?"
            )
        if value.kind != "dict":
            raise MisfitError(
                f"{function} returned {value.said()}, but expected a dict of own name → {what}."
            )
        if own.name not in value.items:
            raise MisfitError(
                f"{function} returned no {what} for {name}; the keys are those of params, and it "
                f"returned {', '.join(map(repr, value.items)) or 'none'}."
            )
        item = value.items[own.name]
        if item.array is None:
            raise MisfitError(
                f"{function} returned {item.said()} as the {what} for {name}, not an array."
            )
        shape = self._shapes[key]
        return own.taken(item.array, shape, f"the {what} for {name} that {function} returned")

    def _look_at_changes(
        self,
        function: str,
        arrays: Mapping[str, np.ndarray],
        reply: Reply,
        case: Case,
        answer: Answer,
        values: Arrays,
    ) -> None:
        """A running statistic that is updated in place is an answer; any other change a fault."""
        own = {own.name: own for own in self.own}
        for name, after in reply.changed.items():
            owner, _, key = name.partition("/")
            if owner == "params" and own[key].key not in self.trainable:
                quantity = f"buffer/{own[key].key}"
                if quantity in case.expected and after.shape == arrays[name].shape:
                    shape = self._shapes[own[key].key]
                    values.setdefault(quantity, own[key].taken(after, shape, name))
                continue
            said = f"params[{key!r}]" if owner == "params" else owner
            self._fault(
                answer,
                f"{SIGNATURES[function]} changed its argument {said} in place: the next call "
                "gets something else; work on a copy.",
            )

    def _fault(self, answer: Answer, sentence: str) -> None:
        _note(answer, [sentence])
        _note_in(self.faults, [sentence])

    def _ask_update(self, case: Case, answer: Answer) -> None:
        """Some updates in a row, each from the parameters that the one before returned."""
        if not case.update_gradients:
            return
        params = {own.key: own.given(case.parameters[own.key]) for own in self.own}
        value = None
        for number, gradients in enumerate(case.update_gradients):
            arrays = {f"params/{own.name}": params[own.key] for own in self.own}
            for own in self.own:
                if own.key in self.trainable:
                    arrays[f"grads/{own.name}"] = own.given(gradients[own.key])
            reply = self.homework.ask(
                "update", arrays, said=SIGNATURES["update"], first=number == 0
            )
            if reply.problem:
                raise UnansweredError(f"{reply.problem.rstrip('.')} (update {number + 1}).")
            value = reply.value
            for own in self.own:
                if own.key in self.trainable:
                    new = self._own_array(value, own, "update", "array", own.key)
                    params[own.key] = own.given(new)
                    answer.values[f"update/{own.key}"] = new
        if value is not None and _computed_in_float32(value):
            answer.single = True

    def _is_single(self, case: Case, answer: Answer) -> bool:
        """Whether digits that float32 does not have make no difference to the homework.

        Parameters or inputs are rounded to float32. If not one bit of the answer changes, they
        are rounded inside as well.
        """
        functions = [f for f in self._functions() if f != "update"]
        if answer.single or not functions:
            return answer.single
        function = functions[-1]
        arrays = self._arguments(function, case)
        first = self._read(function, self._call(function, arrays).value, case)
        for part in ("params/", "x"):
            rounded = {
                key: a.astype(np.float32).astype(a.dtype) if key.startswith(part) else a
                for key, a in arrays.items()
            }
            second = self._read(function, self._call(function, rounded).value, case)
            if all(np.array_equal(first[k], second[k]) for k in first) and any(
                np.any(v) for v in first.values()
            ):
                return True
        return False


def _number(value: Value, function: str) -> np.ndarray:
    if value.kind == "none":
        raise MisfitError(f"{function} returned None, but expected a number; is a return missing?")
    if value.array is None or value.array.size != 1:
        raise MisfitError(
            f"{function} returned {value.said()}, but expected one number, the loss of the batch."
        )
    return np.array(float(value.array.reshape(())))


def _computed_in_float32(value: Value) -> bool:
    """Whether an array in it is float32, or float64 with values that float32 has all of."""
    if value.array is not None:
        array = value.array
        if array.dtype in (np.float32, np.float16):
            return True
        if array.dtype != np.float64 or not np.isfinite(array).all():
            return False
        with np.errstate(over="ignore"):
            short = array.astype(np.float16).astype(np.float64) == array
        # Zeros and other short numbers say nothing.
        return bool(np.any(~short)) and bool(np.all(array.astype(np.float32) == array))
    return any(_computed_in_float32(item) for item in value.items.values())


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if np.array_equal(a, b, equal_nan=True):
        return True
    with np.errstate(all="ignore"):
        return bool(np.abs(a - b).max() <= SAME * np.abs(b).max())


def _about(case: Case, problem: str, number: int) -> str:
    """Name the batch where it is not the first one."""
    rows = len(case.inputs)
    if number == 0:
        return problem
    return f"{problem.rstrip('.')} (for a batch of {rows} {'row' if rows == 1 else 'rows'})."


def _note(answer: Answer, sentences: list[str]) -> None:
    _note_in(answer.notes, sentences)


def _note_in(notes: list[str], sentences: list[str]) -> None:
    notes += [s for s in sentences if s not in notes]
