"""What a golden file has to hold: the assignment and the cases, with every name, type and shape.

Nothing may be missing, left over, infinite, or of another shape than what it belongs to. Sizes,
from which tolerances come, are held against the values of the same case, so that no file makes
everything agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.protocol import Arrays
from compare.check.architecture import RecordedArchitecture, most_numbers
from compare.check.contract import LOSS_CLASSES, Assignment
from compare.mistakes.case import Case

KEYS = {"schema", "architecture", "network", "loss", "optimizer", "settings", "cases"}
CASE_KEYS: dict[str, Callable[[Any], bool]] = {
    "parameters": lambda v: _is_count(v, 9),
    "layers": lambda v: isinstance(v, bool),
    "evaluation": lambda v: isinstance(v, bool),
    "steps": lambda v: _is_count(v, 100),
    "training_steps": lambda v: _is_count(v, 100),
    "large_logits": lambda v: isinstance(v, bool),
    "other_size": lambda v: isinstance(v, bool),
}
MOST_CASES = 100
# How many times as large as the largest value of its case a size may be. What is summed cancels,
# and a change may grow on its way through the layers; measured over 11 networks, four losses and
# two optimizers: 42, 15, 2.0e4, 1.0, 5.2e4, 2.8 and 5.6.
MOST_OF_SIZE = {
    "logits": 1e3, "loss": 1e3, "gradient": 1e6, "update": 30.0, "step": 1e6, "activation": 100.0,
    "buffer": 200.0,
}  # fmt: skip
# How far PyTorch's values of float32 may be from those of float64, relative to their sizes;
# measured in the same way: 1.1e-5.
MOST_OF_FLOAT32 = 1e-3
# How many times as many numbers as the whole file a layer may have: the network is built from them.
MOST_OF_FILE = 8.0
LEAST_NUMBERS = 1e5
MOST_BUILT = 1e7


class DamagedError(Exception):
    """A golden file does not hold what it should; the message says what, as part of a sentence."""


def read_assignment(header: Mapping[str, Any]) -> Assignment:
    """The assignment that the description of a file names.

    Raises:
        DamagedError: A key is missing, unknown, or of another type.
        InputError: The network is none of allowed layers.
    """
    if set(header) != KEYS:
        raise DamagedError(f"its description should have {', '.join(sorted(KEYS))} and no more")
    name, loss, optimizer = header["architecture"], header["loss"], header["optimizer"]
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 1000:
        raise DamagedError("its architecture should be a name")
    if not isinstance(loss, str) or loss not in LOSS_CLASSES:
        raise DamagedError(f"its loss should be one of {', '.join(LOSS_CLASSES)}")
    if optimizer is not None and not _is_identifier(optimizer):
        raise DamagedError("its optimizer should be a name or nothing")
    settings = header["settings"]
    fits = isinstance(settings, dict) and len(settings) <= 30
    if not fits or not all(_is_identifier(k) and _is_setting(v) for k, v in settings.items()):
        raise DamagedError("its settings should be names and numbers")
    build = RecordedArchitecture(header["network"], name)
    return Assignment(name, build, loss, optimizer, dict(settings))


def read_cases(header: Mapping[str, Any], assignment: Assignment, arrays: Arrays) -> list[Case]:
    """The cases of a file, which use every array of it.

    Raises:
        DamagedError: Something is missing, left over, or does not fit.
    """
    descriptions = header["cases"]
    if not isinstance(descriptions, list) or not 0 < len(descriptions) <= MOST_CASES:
        raise DamagedError(f"it should have 1 to {MOST_CASES} cases")
    for number, one in enumerate(descriptions):
        if not isinstance(one, dict) or set(one) != set(CASE_KEYS):
            raise DamagedError(f"case {number} should have {', '.join(CASE_KEYS)}")
        for key, fits in CASE_KEYS.items():
            if not fits(one[key]):
                raise DamagedError(f"{key} of case {number} has a value that it cannot have")
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DamagedError(f"{_shown(name)} has values that are no finite numbers")
    count = max(one["parameters"] for one in descriptions) + 1
    sets = [_with_prefix(f"parameters{number}/", arrays) for number in range(count)]
    _require_parameters(sets, assignment, sum(array.size for array in arrays.values()))
    cases = [_case(i, one, arrays, sets) for i, one in enumerate(descriptions)]
    named = {f"parameters{i}/{key}" for i, one in enumerate(sets) for key in one}
    for number, (case, one) in enumerate(zip(cases, descriptions, strict=True)):
        named |= _require_case(number, case, one, assignment)
    if left := [name for name in arrays if name not in named]:
        raise DamagedError(f"{_shown(left[0])} belongs to nothing")
    updates = [bool(case.update_gradients) for case in cases]
    if any(updates[1:]) or updates[0] != (assignment.optimizer is not None):
        raise DamagedError("its first case alone should have updates, where it has an optimizer")
    return cases


def _case(number: int, one: Mapping[str, Any], arrays: Arrays, sets: list[Arrays]) -> Case:
    """A case; those with the same parameters share them, as where they were drawn."""
    start = f"case{number}"
    for part in ("inputs", "targets", *(["evaluation"] if one["evaluation"] else [])):
        if f"{start}/{part}" not in arrays:
            raise DamagedError(f"{start}/{part} is missing")
    return Case(
        sets[one["parameters"]],
        arrays[f"{start}/inputs"],
        arrays[f"{start}/targets"],
        _with_prefix(f"{start}/expected/", arrays),
        _with_prefix(f"{start}/sizes/", arrays),
        tuple(_with_prefix(f"{start}/step{step}/", arrays) for step in range(one["steps"])),
        _with_prefix(f"{start}/expected32/", arrays),
        _with_prefix(f"{start}/given/", arrays) if one["layers"] else {},
        arrays[f"{start}/evaluation"] if one["evaluation"] else None,
        large_logits=one["large_logits"],
        other_size=one["other_size"],
        steps=one["training_steps"],
    )


def _require_parameters(sets: list[Arrays], assignment: Assignment, numbers: int) -> None:
    """Each set has the arrays of the network."""
    build = assignment.build
    assert isinstance(build, RecordedArchitecture)
    room = MOST_OF_FILE * max(numbers, LEAST_NUMBERS)
    if most_numbers(build.tree) > room:
        raise DamagedError("its network is larger than its arrays")
    shapes = {key: array.shape for key, array in sets[0].items()}
    leaves = [name for name, _ in build.leaves()]
    for arrays in sets:
        if not arrays or {key: array.shape for key, array in arrays.items()} != shapes:
            raise DamagedError("its sets of parameters should have the same names and shapes")
        for key, array in arrays.items():
            if not any(key.startswith(f"{leaf}." if leaf else "") for leaf in leaves):
                raise DamagedError(f"its network has no parameter {_shown(key)}")
            expected = np.int64 if key.endswith("num_batches_tracked") else np.float64
            if array.dtype != expected:
                raise DamagedError(f"its parameter {_shown(key)} should be of {expected.__name__}")
            if key.endswith("running_var") and (array < 0).any():
                raise DamagedError(f"its {_shown(key)} has variances below 0")
    if most_numbers(build.tree) > MOST_BUILT:
        return
    try:
        state = build(numpy_nn).state_dict()
    except Exception:  # numpy_nn lacks a layer or a setting of PyTorch's
        return
    if {key: np.shape(array) for key, array in state.items()} != shapes:
        raise DamagedError("its parameters are not those of its network")


def _trainable(parameters: Arrays) -> set[str]:
    """The parameters that have gradients: all arrays but running statistics and counts."""
    ends = ("running_mean", "running_var", "num_batches_tracked")
    return {key for key in parameters if key.rpartition(".")[2] not in ends}


def _statistics(parameters: Arrays) -> set[str]:
    return {key for key in parameters if key.endswith(("running_mean", "running_var"))}


def _require_case(
    number: int, case: Case, one: Mapping[str, Any], assignment: Assignment
) -> set[str]:
    """The case has every part with the shape that follows from the others.

    Returns:
        The names of all its arrays in the file.
    """
    start = f"case{number}"
    rows = _require_batch(start, case, assignment)
    trainable = _trainable(case.parameters)
    shapes = (
        _layer_shapes(start, case) if one["layers"] else _function_shapes(case, bool(one["steps"]))
    )
    if one["layers"] and (one["steps"] or one["training_steps"] or one["evaluation"]):
        raise DamagedError(f"{start} is of layers, which have no updates and one mode")
    if one["training_steps"]:
        shapes |= {f"step/{key}": case.parameters[key].shape for key in trainable}
    _require_names(f"{start}/expected", case.expected, shapes)
    for key, shape in shapes.items():
        _require(f"{start}/expected/{key}", case.expected[key], np.float64, shape)
    for part, arrays in (("sizes", case.sizes), ("expected32", case.expected32)):
        _require_names(f"{start}/{part}", arrays, shapes)
        for key, array in arrays.items():
            whole = part == "sizes" and array.shape == ()
            _require(f"{start}/{part}/{key}", array, np.float32, () if whole else shapes[key])
    if case.expected["logits"].shape[:1] != (rows,):
        raise DamagedError(f"{start}/expected/logits should have {rows} rows")
    if case.evaluation is not None:
        shape = case.expected["logits"].shape
        _require(f"{start}/evaluation", case.evaluation, np.float64, shape)
    for step, gradients in enumerate(case.update_gradients):
        _require_names(f"{start}/step{step}", gradients, trainable)
        for key, array in gradients.items():
            _require(f"{start}/step{step}/{key}", array, np.float64, case.parameters[key].shape)
    _require_sizes(start, case)
    parts = {"expected": case.expected, "sizes": case.sizes, "expected32": case.expected32}
    parts |= {"given": case.given}
    parts |= {f"step{i}": gradients for i, gradients in enumerate(case.update_gradients)}
    named = {f"{start}/{part}/{key}" for part, arrays in parts.items() for key in arrays}
    evaluated = {f"{start}/evaluation"} if case.evaluation is not None else set()
    return named | evaluated | {f"{start}/inputs", f"{start}/targets"}


def _require_batch(start: str, case: Case, assignment: Assignment) -> int:
    """Inputs and targets that fit each other and the loss; returns the number of rows."""
    inputs, targets, logits = case.inputs, case.targets, case.expected.get("logits")
    if logits is None or logits.ndim < 1 or logits.size == 0:
        raise DamagedError(f"{start}/expected/logits is missing or empty")
    if inputs.ndim < 1 or inputs.size == 0 or inputs.dtype not in (np.float64, np.int64):
        raise DamagedError(f"{start}/inputs should be rows of float64, or of int64 for tokens")
    if inputs.dtype == np.int64:
        build = assignment.build
        assert isinstance(build, RecordedArchitecture)
        first, kind = build.leaves()[0]
        table = case.parameters.get(f"{first}.weight" if first else "weight")
        tokens = len(table) if kind == "Embedding" and table is not None and table.ndim else 0
        if not (inputs >= 0).all() or not (inputs < tokens).all():
            raise DamagedError(f"{start}/inputs has tokens that its network does not know")
    if assignment.loss == "cross_entropy":
        _require(f"{start}/targets", targets, np.int64, inputs.shape[:1])
        if logits.ndim != 2 or not ((targets >= 0) & (targets < logits.shape[1])).all():
            raise DamagedError(f"{start}/targets should be classes of its logits")
    else:
        _require(f"{start}/targets", targets, np.float64, logits.shape)
        if assignment.loss != "mse" and not ((targets >= 0) & (targets <= 1)).all():
            raise DamagedError(f"{start}/targets should lie between 0 and 1")
    return len(inputs)


def _function_shapes(case: Case, updated: bool) -> dict[str, tuple[int, ...]]:
    """Quantity → shape, of a case of functions."""
    shapes = {key: array.shape for key, array in case.parameters.items()}
    found: dict[str, tuple[int, ...]] = {"logits": case.expected["logits"].shape, "loss": ()}
    found |= {f"buffer/{key}": shapes[key] for key in _statistics(case.parameters)}
    trainable = _trainable(case.parameters)
    found |= {f"gradient/{key}": shapes[key] for key in trainable}
    return found | {f"update/{key}": shapes[key] for key in trainable if updated}


def _layer_shapes(start: str, case: Case) -> dict[str, tuple[int, ...]]:
    """Quantity → shape, of a case of layers."""
    chained = case.given.get("chained")
    if chained is None or chained.dtype != np.bool_ or chained.shape != ():
        raise DamagedError(f"{start}/given/chained should be true or false")
    inputs, outputs = (
        {key.removeprefix(word): a for key, a in case.given.items() if key.startswith(word)}
        for word in ("input/", "grad_output/")
    )
    if not inputs or inputs.keys() != outputs.keys():
        raise DamagedError(f"{start}/given should have an input and a grad_output of each layer")
    _require_names(
        f"{start}/given",
        case.given,
        ["chained", *(f"{word}/{name}" for name in inputs for word in ("input", "grad_output"))],
    )
    logits = case.expected["logits"].shape
    found: dict[str, tuple[int, ...]] = {"logits": logits, "loss": (), "gradient/logits": logits}
    for name, x in inputs.items():
        if x.dtype not in (np.float64, np.int64) or outputs[name].dtype != np.float64:
            raise DamagedError(f"{start}/given of layer {_shown(name)} should be of float64")
        found[f"activation/{name}"] = outputs[name].shape
        if x.dtype == np.float64:
            found[f"gradient/{name}.input"] = x.shape
    for key, array in case.parameters.items():
        inside = any(key.rpartition(".")[0] == name for name in inputs)
        if inside and key in _trainable(case.parameters):
            found[f"gradient/{key}"] = array.shape
        elif inside and key in _statistics(case.parameters):
            found[f"buffer/{key}"] = array.shape
    called = tuple(f"{name}." for name in inputs if name)
    for key in _trainable(case.parameters):  # of a module inside one that is called
        quantity = f"gradient/{key}"
        if quantity not in found and quantity in case.expected and key.startswith(called):
            found[quantity] = case.parameters[key].shape
    return found


def _require_sizes(start: str, case: Case) -> None:
    """Sizes are not negative and not far above all values of the case."""
    every = [
        *case.parameters.values(), case.inputs, case.targets, *case.expected.values(),
        *(array for array in case.given.values() if array.dtype.kind != "b"),
        *(array for gradients in case.update_gradients for array in gradients.values()),
    ]  # fmt: skip
    largest = max(float(np.abs(array).max(initial=0)) for array in every)
    for key, size in case.sizes.items():
        most = MOST_OF_SIZE[key.partition("/")[0]] * largest
        if not ((size >= 0) & (size <= most)).all():
            raise DamagedError(f"{start}/sizes/{_shown(key)} would let wrong values agree")
        away = np.abs(case.expected32[key] - case.expected[key]).max(initial=0.0)
        if away > MOST_OF_FLOAT32 * max(float(size.max(initial=0.0)), float(np.float32(1e-30))):
            raise DamagedError(
                f"{start}/expected32/{_shown(key)} is far from the values of float64"
            )


def _require(name: str, array: np.ndarray, dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise DamagedError(
            f"{_shown(name)} should have the shape {shape} and the type {np.dtype(dtype).name}, "
            f"but has {array.shape} and {array.dtype.name}"
        )


def _require_names(where: str, found: Mapping[str, Any], expected: Iterable[str]) -> None:
    expected = set(expected)
    if missing := sorted(expected - set(found)):
        raise DamagedError(f"{_shown(f'{where}/{missing[0]}')} is missing")
    if more := sorted(set(found) - expected):
        raise DamagedError(f"{_shown(f'{where}/{more[0]}')} belongs to nothing")


def _with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and value.isidentifier() and value.isascii() and len(value) <= 60


def _is_setting(value: Any) -> bool:
    """Whether it is a truth value, a finite number, nothing, or a few numbers."""
    if isinstance(value, list):
        return len(value) <= 10 and all(_is_setting(v) and not isinstance(v, list) for v in value)
    if isinstance(value, int):
        return abs(value) <= 10**9
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _shown(name: str) -> str:
    """A name of the file as part of a message."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"
