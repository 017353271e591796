"""A homework of functions is asked about every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.contract import Contract
from compare.check.evidence import Answer
from compare.check.layout import MisfitError, Own
from compare.check.returned import SIGNATURES, Reader, computed_in_float32
from compare.check.sandbox import Asked, GoneError
from compare.check.values import Reply
from compare.mistakes.case import Case
from compare.parity.tolerances import SAME_ANSWER


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
        shapes: The shapes of the reference's arrays.
        faults: What makes it no function of its arguments, whatever it returns.
    """

    homework: Asked
    contract: Contract
    own: Sequence[Own]
    trainable: frozenset[str]
    shapes: dict[str, tuple[int, ...]]
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = Reader(self.contract.batches, self.own, self.trainable, self.shapes)

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """An answer for each case, as far as the homework gets."""
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
        values = self.reader.read(function, reply.value, case)
        self._look_at_changes(function, arrays, reply, case, answer, values)
        _note(answer, [f"{function}, {warning}" for warning in reply.warnings])
        if again:
            second = self.reader.read(function, self._call(function, arrays).value, case)
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
        if computed_in_float32(reply.value):
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
                    shape = self.reader.shapes[own[key].key]
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
                    new = self.reader.own_array(value, own, "update", "array", own.key)
                    params[own.key] = own.given(new)
                    answer.values[f"update/{own.key}"] = new
        if value is not None and computed_in_float32(value):
            answer.single = True

    def value(self, function: str, case: Case) -> Arrays:
        """What one function makes of a case that need not be one of the questions.

        Raises:
            UnansweredError: Nothing.
            MisfitError: Something that it should not return.
            GoneError: The process has ended.
        """
        reply = self._call(function, self._arguments(function, case))
        return self.reader.read(function, reply.value, case)

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
        first = self.reader.read(function, self._call(function, arrays).value, case)
        for part in ("params/", "x"):
            rounded = {
                key: a.astype(np.float32).astype(a.dtype) if key.startswith(part) else a
                for key, a in arrays.items()
            }
            second = self.reader.read(function, self._call(function, rounded).value, case)
            if all(np.array_equal(first[k], second[k]) for k in first) and any(
                np.any(v) for v in first.values()
            ):
                return True
        return False


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if np.array_equal(a, b, equal_nan=True):
        return True
    with np.errstate(all="ignore"):
        return bool(np.abs(a - b).max() <= SAME_ANSWER * np.abs(b).max())


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
