"""Evaluating a homework of functions: each is called for each case, and its results are parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.contract import (
    SIGNATURES,
    ArrayLayout,
    BatchLayout,
    Contract,
    ReturnValueError,
)
from compare.check.result import Observed, add_notes
from compare.check.return_values import CallResult, ReturnValue
from compare.check.sandbox import HomeworkHandle, ProcessEndedError
from compare.check.step_evaluation import StepAsGradients, run_steps
from compare.mistakes.case import Case
from compare.parity.tolerances import HOMEWORK, SAME_ANSWER, UNCHANGED, UNCHANGED_NEAR_ZERO


class NoResultError(Exception):
    """A call gave no result; the message says why."""


@dataclass(frozen=True)
class ReturnParser:
    """Parses what the functions of one homework return into the reference's layout.

    Args:
        batches: The layout of its batches.
        layouts: The layouts of its arrays.
        trainable: The reference's keys of parameters, without buffers.
        shapes: The shapes of the reference's arrays by key.
    """

    batches: BatchLayout
    layouts: Sequence[ArrayLayout]
    trainable: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]

    def parse(self, function: str, value: ReturnValue, case: Case) -> Arrays:
        """The returned values by quantity.

        Raises:
            ReturnValueError: It is not what the function should return.
        """
        if function == "forward":
            return {"logits": self._logits(value, case)}
        if function == "loss":
            return {"loss": _number(value, "loss")}
        if function == "gradients":
            return self._gradients(value, "gradients")
        items = list(value.items.values())
        if value.kind != "tuple" or len(items) != 2:
            raise ReturnValueError(
                f"loss_and_gradients returned {value.in_words()}, but expected (loss, gradients)."
            )
        loss = {"loss": _number(items[0], "loss_and_gradients")}
        return {**loss, **self._gradients(items[1], "loss_and_gradients")}

    def _logits(self, value: ReturnValue, case: Case) -> np.ndarray:
        shape = case.expected["logits"].shape
        if value.kind == "tuple" and value.items:  # logits and what backward needs
            value = value.items["0"]
        if value.kind == "none":
            raise ReturnValueError(
                "forward returned None, but expected the logits; is a return missing?"
            )
        if value.array is None:
            raise ReturnValueError(
                f"forward returned {value.in_words()}, but expected an array of logits."
            )
        return self.batches.from_homework(value.array, shape, "what forward returned (logits)")

    def _gradients(self, value: ReturnValue, function: str) -> Arrays:
        layouts = {layout.key: layout for layout in self.layouts if layout.key in self.trainable}
        return {
            f"gradient/{key}": self.parse_item(value, layout, function, "gradient")
            for key, layout in layouts.items()
        }

    def parse_item(
        self, value: ReturnValue, layout: ArrayLayout, function: str, noun: str
    ) -> np.ndarray:
        """One array of a returned dict.

        Args:
            value: The returned value.
            layout: The layout of the array.
            function: The function that returned it, for messages.
            noun: What the array is, for messages: ``gradient`` or ``array``.

        Raises:
            ReturnValueError: The value is no dict, or the array is missing or something else.
        """
        key = layout.key
        name = repr(layout.name) if layout.name == key else f"{layout.name!r} ({key})"
        if value.kind == "none":
            raise ReturnValueError(
                f"{function} returned None, but expected a dict; is a return missing?"
            )
        if value.kind != "dict":
            raise ReturnValueError(
                f"{function} returned {value.in_words()}, but expected a dict of own name → {noun}."
            )
        if layout.name not in value.items:
            raise ReturnValueError(
                f"{function} returned no {noun} for {name}; the keys are those of params, and it "
                f"returned {', '.join(map(repr, value.items)) or 'none'}."
            )
        item = value.items[layout.name]
        if item.array is None:
            raise ReturnValueError(
                f"{function} returned {item.in_words()} as the {noun} for {name}, not an array."
            )
        subject = f"the {noun} for {name} that {function} returned"
        return layout.from_homework(
            item.array, self.shapes[key], subject, broadcast=noun == "gradient"
        )


def _number(value: ReturnValue, function: str) -> np.ndarray:
    if value.kind == "none":
        raise ReturnValueError(
            f"{function} returned None, but expected a number; is a return missing?"
        )
    if value.array is None or value.array.size != 1:
        raise ReturnValueError(
            f"{function} returned {value.in_words()}, but expected one number, the loss of the "
            "batch."
        )
    return np.array(float(value.array.reshape(())))


@dataclass
class FunctionEvaluation:
    """Evaluates the functions of one homework.

    Attributes:
        faults: Sentences about arguments changed in place and results that do not repeat: such a
            homework is wrong even if all its values are right.
        parser: Parses what its functions return.

    Args:
        homework: The homework, in this process or its own.
        contract: Its conventions.
        layouts: The layouts of its arrays.
        trainable: The reference's keys of parameters, without buffers.
        shapes: The shapes of the reference's arrays by key.
    """

    homework: HomeworkHandle
    contract: Contract
    layouts: Sequence[ArrayLayout]
    trainable: frozenset[str]
    shapes: dict[str, tuple[int, ...]]
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parser = ReturnParser(self.contract.batches, self.layouts, self.trainable, self.shapes)

    def evaluate(self, cases: Sequence[Case]) -> list[Observed]:
        """The homework's values for each case; fewer than cases if its process ended."""
        found: list[Observed] = []
        for number, case in enumerate(cases):
            observed = Observed()
            found.append(observed)
            try:
                self._evaluate(case, observed, first=number == 0)
            except NoResultError as error:
                if case.other_size:
                    observed.notes.append(not_for_this_size(case, str(error)))
                    observed.values.clear()
                else:
                    observed.problem = _with_batch(case, str(error), number)
            except ProcessEndedError as error:
                observed.problem = _with_batch(case, str(error), number)
                return found
        return found

    def value(self, function: str, case: Case) -> Arrays:
        """The values of one function for any case, by quantity.

        Raises:
            NoResultError: The call failed.
            ReturnValueError: It returned something that it should not.
            ProcessEndedError: The process has ended.
        """
        return self.parser.parse(function, self.returned(function, case), case)

    def returned(self, function: str, case: Case) -> ReturnValue:
        """What one function returns for any case.

        Raises:
            NoResultError: The call failed.
            ProcessEndedError: The process has ended.
        """
        return self._call(function, self._arguments(function, case)).value

    def _evaluate(self, case: Case, observed: Observed, first: bool) -> None:
        problems: list[str] = []
        for function in self._functions():
            try:
                if function == "update":
                    self._evaluate_updates(case, observed)
                elif function == "step":
                    self._evaluate_steps(case, observed)
                else:
                    self._evaluate_function(function, case, observed, twice=first)
            except (NoResultError, ReturnValueError) as error:
                problems.append(str(error))
        if first and not problems:
            observed.single = self._rounds_to_float32(case)
        if problems:
            raise NoResultError(problems[0])

    def _functions(self) -> list[str]:
        """The functions to call, in order.

        ``loss_and_gradients`` is called unless ``loss`` and ``gradients`` both exist.
        """
        has = self.contract.has
        both = has("loss_and_gradients") and not (has("loss") and has("gradients"))
        order = ("forward", "loss", "loss_and_gradients", "gradients", "update", "step")
        return [f for f in order if has(f) and (f != "loss_and_gradients" or both)]

    def _evaluate_function(
        self, function: str, case: Case, observed: Observed, twice: bool
    ) -> None:
        arrays = self._arguments(function, case)
        result = self._call(function, arrays)
        values = self.parser.parse(function, result.value, case)
        self._examine_changes(function, arrays, result, case, observed, values)
        source = self._source(function)
        add_notes(observed.notes, [f"{source}, {warning}" for warning in result.warnings])
        if twice:
            second = self.parser.parse(function, self._call(function, arrays).value, case)
            for quantity, value in second.items():
                size = case.sizes.get(quantity) if source == "step" else None
                if not _repeats(value, values[quantity], size):
                    self._add_fault(
                        observed,
                        f"{SIGNATURES[source]} gave another answer when it was called again "
                        "with the same arguments; the second answer counts.",
                    )
                    values[quantity] = value
        for quantity, value in values.items():
            observed.values.setdefault(quantity, value)

    def _source(self, function: str) -> str:
        """The function of the homework that is called for one of the contract."""
        read_off = isinstance(self.homework, StepAsGradients) and function == "gradients"
        return "step" if read_off else function

    def _arguments(self, function: str, case: Case) -> dict[str, np.ndarray]:
        arrays = {
            f"params/{layout.name}": layout.to_homework(case.parameters[layout.key])
            for layout in self.layouts
        }
        arrays["x"] = self.contract.batches.to_homework(case.inputs)
        if function != "forward":
            classes = case.expected["logits"].shape[-1]
            arrays["y"] = self.contract.batches.labels_to_homework(case.targets, classes)
        return arrays

    def _call(self, function: str, arrays: Mapping[str, np.ndarray]) -> CallResult:
        result = self.homework.request(
            "call", arrays, description=SIGNATURES[function], function=function
        )
        if result.problem:
            raise NoResultError(result.problem)
        return result

    def _examine_changes(
        self,
        function: str,
        arrays: Mapping[str, np.ndarray],
        result: CallResult,
        case: Case,
        observed: Observed,
        values: Arrays,
    ) -> None:
        """Take changed running statistics as values; report any other changed argument."""
        layouts = {layout.name: layout for layout in self.layouts}
        for name, after in result.changed.items():
            owner, _, key = name.partition("/")
            if owner == "params" and layouts[key].key not in self.trainable:
                quantity = f"buffer/{layouts[key].key}"
                if quantity in case.expected and after.shape == arrays[name].shape:
                    shape = self.shapes[layouts[key].key]
                    values.setdefault(quantity, layouts[key].from_homework(after, shape, name))
                continue
            if owner == "params" and result.details.get("updates"):
                continue  # a step may change its parameters
            argument = f"params[{key!r}]" if owner == "params" else owner
            self._add_change(self._source(function), argument, observed)

    def _add_change(self, function: str, argument: str, observed: Observed) -> None:
        self._add_fault(
            observed,
            f"{SIGNATURES[function]} changed its argument {argument} in place: the next call "
            "gets something else; work on a copy.",
        )

    def _add_fault(self, observed: Observed, sentence: str) -> None:
        add_notes(observed.notes, [sentence])
        add_notes(self.faults, [sentence])

    def _evaluate_updates(self, case: Case, observed: Observed) -> None:
        """Several updates in a row, each from the parameters that the last one returned."""
        if not case.update_gradients:
            return
        params = {
            layout.key: layout.to_homework(case.parameters[layout.key]) for layout in self.layouts
        }
        for number, gradients in enumerate(case.update_gradients):
            arrays = {f"params/{layout.name}": params[layout.key] for layout in self.layouts}
            for layout in self.layouts:
                if layout.key in self.trainable:
                    arrays[f"grads/{layout.name}"] = layout.to_homework(gradients[layout.key])
            result = self.homework.request(
                "update", arrays, description=SIGNATURES["update"], first=number == 0
            )
            if result.problem:
                raise NoResultError(f"{result.problem.rstrip('.')} (update {number + 1}).")
            for layout in self.layouts:
                if layout.key in self.trainable:
                    new = self.parser.parse_item(result.value, layout, "update", "array")
                    params[layout.key] = layout.to_homework(new)
                    observed.values[f"update/{layout.key}"] = new

    def _evaluate_steps(self, case: Case, observed: Observed) -> None:
        """Several training steps in a row."""
        arrays = self._arguments("step", case)
        parse = self.parser.parse_item
        run = run_steps(self.homework, case, arrays, self.layouts, self.trainable, parse)
        add_notes(observed.notes, [f"step, {warning}" for warning in run.warnings])
        for argument in run.changed:
            self._add_change("step", argument, observed)
        for quantity, value in run.values.items():
            observed.values.setdefault(quantity, value)
        if run.problem is not None:
            raise NoResultError(run.problem)

    def _rounds_to_float32(self, case: Case) -> bool:
        """Whether the homework rounds its parameters or its inputs to float32.

        They are rounded before it gets them. If no bit of the result changes, it does so itself.
        """
        functions = [f for f in self._functions() if f not in ("update", "step")]
        if not functions:
            return False
        function = functions[-1]
        arrays = self._arguments(function, case)
        exact = self.parser.parse(function, self._call(function, arrays).value, case)
        for prefix in ("params/", "x") if arrays["x"].dtype.kind == "f" else ("params/",):
            arguments = {
                key: a.astype(np.float32).astype(a.dtype) if key.startswith(prefix) else a
                for key, a in arrays.items()
            }
            rounded = self.parser.parse(function, self._call(function, arguments).value, case)
            if all(np.array_equal(exact[k], rounded[k]) for k in exact) and any(
                np.any(v) for v in exact.values()
            ):
                return True
        return False


def not_for_this_size(case: Case, problem: str) -> str:
    """What is said of a homework that is written for images of one size."""
    height, width = case.inputs.shape[2:]
    return (
        f"The network takes images of {height} × {width} pixels, too, and was asked with them: "
        f"{problem} This does not count."
    )


def leave_out_own_statistics(
    functions: FunctionEvaluation, cases: Sequence[Case], observed: Sequence[Observed]
) -> list[str]:
    """Do not compare a ``forward`` that uses running statistics which PARAMETERS does not name.

    Nobody could say what they should be. It is recognised by what it computes: other logits than
    in training mode, and of a row the same whatever rows are beside it.

    Args:
        functions: The homework's functions.
        cases: The cases that they were evaluated for.
        observed: Their values, one for each case; the logits are taken out.

    Returns:
        What to name, in a sentence, if they were taken out.
    """
    case, values = cases[0], observed[0].values
    named = {layout.key for layout in functions.layouts}
    unnamed = [
        key
        for key in functions.shapes
        if key.endswith((".running_mean", ".running_var")) and key not in named
    ]
    if case.evaluation is None or "logits" not in values or not unnamed:
        return []
    if np.allclose(values["logits"], case.expected["logits"], rtol=UNCHANGED):
        return []
    try:
        alone = [functions.value("forward", one_row(case, i))["logits"][0] for i in range(2)]
    except (NoResultError, ReturnValueError, ProcessEndedError):
        return []
    if not np.allclose(alone, values["logits"][:2], rtol=UNCHANGED, atol=UNCHANGED_NEAR_ZERO):
        return []
    for one in observed:
        one.values.pop("logits", None)
    entries = ", ".join(f'"{key.rpartition(".")[2]}": "{key}"' for key in unnamed[:2])
    return [
        "forward was not compared: of each row it computes the same whatever rows are beside it, "
        "so it normalises with statistics of its own. To have it compared, name the arrays that "
        f"hold them in PARAMETERS ({entries}), or use the mean and the variance of the batch."
    ]


def one_row(case: Case, index: int) -> Case:
    """The case with a single row of its batch."""
    one = slice(index, index + 1)
    expected = {"logits": case.expected["logits"][one]}
    return replace(case, inputs=case.inputs[one], targets=case.targets[one], expected=expected)


def _repeats(a: np.ndarray, b: np.ndarray, size: np.ndarray | None = None) -> bool:
    """Whether two answers are one; with a size, what is read off parameters may round otherwise."""
    if np.array_equal(a, b, equal_nan=True):
        return True
    with np.errstate(all="ignore"):
        if size is not None and np.all(np.abs(a - b) <= HOMEWORK * size):
            return True
        return bool(np.abs(a - b).max() <= SAME_ANSWER * np.abs(b).max())


def _with_batch(case: Case, problem: str, number: int) -> str:
    """The problem with the size of the batch, unless it is the first one."""
    rows = len(case.inputs)
    if number == 0:
        return problem
    return f"{problem.rstrip('.')} (for a batch of {rows} {'row' if rows == 1 else 'rows'})."


def select_forward_mode(
    cases: Sequence[Case], observed: Sequence[Observed]
) -> tuple[list[Case], list[str]]:
    """Compare ``forward`` in evaluation mode if its logits are nearer to that mode's.

    Both modes of BatchNorm are right. For evaluation mode the quantity ``logits`` becomes
    ``logits/evaluation``, in the cases returned and in ``observed``.

    Args:
        cases: The cases that were evaluated.
        observed: The homework's values, one for each case; changed in place.

    Returns:
        The cases with the logits to compare, and notes for the reader.
    """
    with_both = [
        (case, values)
        for case, values in zip(cases, observed, strict=True)
        if case.evaluation is not None and "logits" in values.values
    ]
    if not with_both or not all(_nearer_to_evaluation(c, o) for c, o in with_both):
        return list(cases), []
    found = []
    for case, values in zip(cases, observed, strict=True):
        if case.evaluation is None or "logits" not in values.values:
            found.append(case)
            continue
        name = "logits/evaluation"
        values.values = {
            (name if key == "logits" else key): value for key, value in values.values.items()
        }
        size = np.full(case.evaluation.shape, np.abs(case.evaluation).max())
        rest = {k: v for k, v in case.expected.items() if k != "logits"}
        rounded = case.evaluation.astype(np.float32)
        found.append(
            replace(
                case,
                expected={name: case.evaluation, **rest},
                sizes={**case.sizes, name: size},
                expected32={**case.expected32, name: rounded},
            )
        )
    return found, [
        "forward uses the running statistics, so its logits are compared in evaluation mode; loss "
        "and gradients belong to training mode."
    ]


def _nearer_to_evaluation(case: Case, observed: Observed) -> bool:
    assert case.evaluation is not None
    found = observed.values["logits"]
    with np.errstate(all="ignore"):
        return bool(
            np.abs(found - case.evaluation).max() < np.abs(found - case.expected["logits"]).max()
        )
