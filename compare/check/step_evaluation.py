"""A homework whose training loop updates inside: ``step(params, x, y, state)``.

Of plain SGD the gradients are read off, (params − new) / lr, so that they are compared as those of
``gradients(params, x, y)`` are. Of every optimizer a few steps in a row are compared with
PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.contract import SIGNATURES, ArrayLayout, Assignment
from compare.check.return_values import CallResult, ReturnValue
from compare.check.sandbox import HomeworkHandle
from compare.mistakes.case import Case
from compare.mistakes.search import Network
from compare.parity.tolerances import STEP_CANCELLATION
from experiments.errors import InputError

# Steps in a row: enough for a momentum and for a step count that does not advance.
STEPS = 3
# Settings of SGD that make a step more than params − lr · gradients.
NOT_PLAIN = ("momentum", "dampening", "weight_decay", "nesterov")
# PyTorch's learning rate of SGD, where none is said.
DEFAULT_RATE = 1e-3

ParseItem = Callable[[ReturnValue, ArrayLayout, str, str], np.ndarray]


def require_optimizer(name: str, assignment: Assignment) -> None:
    """Complain of a ``step`` of which nobody says which optimizer it is."""
    if assignment.optimizer is None:
        raise InputError(
            f"{name} defines step but does not say which optimizer it is: write "
            'OPTIMIZER = "SGD" and SETTINGS = {"lr": 0.1} into it, or pass --optimizer and --set.'
        )


def plain_rate(assignment: Assignment) -> float | None:
    """The learning rate of a plain SGD, negative if it goes up; None for any other optimizer.

    Raises:
        InputError: It is 0 or no number, so that a step shows no gradients.
    """
    settings = assignment.settings
    if assignment.optimizer != "SGD" or any(settings.get(name) for name in NOT_PLAIN):
        return None
    rate = settings.get("lr", DEFAULT_RATE)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < np.inf:
        raise InputError(
            f"The learning rate of a step should be a number above 0, but lr is {rate!r}."
        )
    return -float(rate) if settings.get("maximize") else float(rate)


def with_read_off(case: Case, rate: float) -> Case:
    """The case with sizes for gradients that are read off a step, and float32's values of them.

    Args:
        case: A case of functions.
        rate: The learning rate, as :func:`plain_rate` gives it.
    """
    sizes, single = dict(case.sizes), dict(case.expected32)
    for key, value in case.parameters.items():
        quantity = f"gradient/{key}"
        if quantity not in case.expected:
            continue
        sizes[quantity] = sizes[quantity] + STEP_CANCELLATION * np.abs(value) / abs(rate)
        before = value.astype(np.float32)
        after = before - np.float32(rate) * single[quantity].astype(np.float32)
        single[quantity] = _difference(before, after, rate)
    return replace(case, sizes=sizes, expected32=single)


def with_first_step(case: Case, assignment: Assignment) -> Case:
    """The case with what the first step takes off each parameter, in the place of its gradient.

    It shows in which layout a homework has its arrays. Where the optimizer is none of
    ``numpy_nn``, the gradient stays, as it points the same way.
    """
    gradients = {
        key: case.expected[f"gradient/{key}"]
        for key in case.parameters
        if f"gradient/{key}" in case.expected
    }
    one = replace(case, update_gradients=(gradients,), steps=0, weight_decay=0.0)
    try:
        network = Network(
            assignment.build, "MSELoss", assignment.optimizer, dict(assignment.settings)
        )
        after = network.updates(one)
    except (AttributeError, NotImplementedError, ValueError, TypeError):
        return case
    taken_off = {
        f"gradient/{key}": case.parameters[key] - after[f"update/{key}"] for key in gradients
    }
    return replace(case, expected={**case.expected, **taken_off})


def without_steps(case: Case) -> Case:
    """The case without training steps, for a homework that defines no ``step``."""
    expected = {key: a for key, a in case.expected.items() if not key.startswith("step/")}
    return replace(case, expected=expected, steps=0)


class StepAsGradients:
    """A homework in which ``gradients(params, x, y)`` is what its ``step`` takes off, over a rate.

    Every other request is the homework's own.

    Attributes:
        names: The names that have to be in what ``step`` returns, as far as they are known.

    Args:
        homework: The homework, in this process or its own.
        rate: What the difference of the parameters is divided by.
    """

    def __init__(self, homework: HomeworkHandle, rate: float = 1.0) -> None:
        self._homework, self._rate = homework, rate
        self.names: tuple[str, ...] = ()

    def restart(self) -> None:
        """Begin again, with nothing loaded."""
        self._homework.restart()

    def request(
        self,
        action: str,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        description: str = "",
        **details: Any,
    ) -> CallResult:
        """Carry out one request (see :meth:`compare.check.homework.Homework.request`)."""
        if details.get("function") != "gradients":
            return self._homework.request(action, arrays, description=description, **details)
        description = SIGNATURES["step"]
        if action != "call":
            details["function"] = "step"
            return self._homework.request(action, arrays, description=description, **details)
        arrays = arrays or {}
        result = self._homework.request("step", arrays, description=description, first=True)
        result.details["updates"] = True
        if result.problem is None:
            self._read_off(result, arrays)
        return result

    def _read_off(self, result: CallResult, arrays: Mapping[str, np.ndarray]) -> None:
        """Put gradients in the place of new parameters; running statistics count as changed."""
        value = result.value
        if value.kind != "dict":
            end = "; is a return missing?" if value.kind == "none" else "."
            result.problem = f"step returned {value.in_words()}, but expected a dict of params{end}"
            return
        names = [key.removeprefix("params/") for key in arrays if key.startswith("params/")]
        found = {name: value.items[name].array for name in names if name in value.items}
        new = {name: array for name, array in found.items() if array is not None}
        single = all(_is_single(array) for array in new.values())
        gradients: dict[str, ReturnValue] = {}
        for name, after in new.items():
            before = arrays[f"params/{name}"]
            fitted = _fitted(after, before)
            if fitted is None:
                hint = "; it is transposed" if after.shape == before.shape[::-1] else ""
                result.problem = (
                    f"The array for {name!r} that step returned has the shape {after.shape}, but "
                    f"expected {before.shape}{hint}."
                )
                return
            if not np.array_equal(fitted, before):
                result.changed[f"params/{name}"] = fitted
            gradients[name] = ReturnValue(
                "array", "ndarray", _difference(before, fitted, self._rate, single)
            )
        lacking = [name for name in self.names if name not in gradients]
        result.value = ReturnValue("dict", "dict", items=gradients)
        if lacking:
            returned = ", ".join(map(repr, value.items)) or "none"
            result.problem = (
                f"step returned no array for {', '.join(map(repr, lacking[:3]))}; the keys are "
                f"those of params, and it returned {returned}."
            )


def _is_single(array: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        return np.array_equal(array.astype(np.float32).astype(np.float64), array)


def _difference(
    before: np.ndarray, after: np.ndarray, rate: float, single: bool = True
) -> np.ndarray:
    """(before − after) / rate, in float32 if a homework's parameters are numbers of float32."""
    kind = np.float32 if single else np.float64
    with np.errstate(all="ignore"):
        found = (before.astype(kind) - after.astype(kind)) / kind(rate)
    return found.astype(np.float64)


def _fitted(after: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """An array in the shape that it had; a bias may come as a row or a column. None: it cannot."""
    after = np.asarray(after, np.float64)
    if after.shape == before.shape:
        return after
    vectors = all(a.ndim < 2 or (a.ndim == 2 and 1 in a.shape) for a in (after, before))
    return after.reshape(before.shape) if vectors and after.size == before.size else None


@dataclass
class StepsRun:
    """What a few steps in a row gave.

    Attributes:
        values: ``step/KEY`` → the parameter after the last, ``buffer/KEY`` → a running statistic
            after the first, where it was kept in ``params``.
        changed: The arguments other than ``params`` that were changed in place.
        warnings: NumPy's, with their lines.
        problem: Why there are no more, or None.
    """

    values: Arrays = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problem: str | None = None


def run_steps(
    homework: HomeworkHandle,
    case: Case,
    arrays: Mapping[str, np.ndarray],
    layouts: Sequence[ArrayLayout],
    trainable: Collection[str],
    parse_item: ParseItem,
) -> StepsRun:
    """Call ``step`` several times with one batch, each from the parameters of the last.

    Args:
        homework: The homework.
        case: The case, which says how many steps.
        arrays: The arguments of the first.
        layouts: The layouts of its arrays.
        trainable: The reference's keys of parameters, without buffers.
        parse_item: Parses one array of a returned dict.

    Raises:
        ReturnValueError: It returned something that it should not.
    """
    run, given = StepsRun(), dict(arrays)
    for number in range(case.steps):
        result = homework.request("step", given, description=SIGNATURES["step"], first=number == 0)
        if result.problem:
            run.problem = f"{result.problem.rstrip('.')} (step {number + 1})."
            return run
        run.warnings += [w for w in result.warnings if w not in run.warnings]
        run.changed += [n for n in ("x", "y") if n in result.changed and n not in run.changed]
        for layout in layouts:
            name = f"params/{layout.name}"
            if layout.key in trainable:
                new = parse_item(result.value, layout, "step", "array")
                run.values[f"step/{layout.key}"] = new
                given[name] = layout.to_homework(new)
                continue
            statistic = _new_statistic(result, layout.name, given[name])
            if statistic is None:
                continue
            quantity, shape = f"buffer/{layout.key}", case.parameters[layout.key].shape
            if number == 0 and quantity in case.expected:
                run.values[quantity] = layout.from_homework(statistic, shape, layout.name)
            given[name] = statistic
    return run


def _new_statistic(result: CallResult, name: str, before: np.ndarray) -> np.ndarray | None:
    """A running statistic that a step has changed in place or returned; None if it did neither."""
    item = result.value.items.get(name)
    for array in (None if item is None else item.array, result.changed.get(f"params/{name}")):
        same_shape = array is not None and array.shape == before.shape
        if array is not None and same_shape and not np.array_equal(array, before):
            return np.asarray(array, before.dtype)
    return None
