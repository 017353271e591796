"""The contract: what a homework declares about itself, and the layout of its arrays.

docs/checking.md describes the contract for the authors of homeworks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.check.declared_loss import REDUCTIONS
from compare.check.torch_loss import TorchLoss, is_torch_loss
from experiments.errors import InputError

# The names of losses in a homework, and PyTorch's classes.
LOSS_CLASSES = {
    "cross_entropy": "CrossEntropyLoss",
    "mse": "MSELoss",
    "bce": "BCELoss",
    "bce_with_logits": "BCEWithLogitsLoss",
}

# The functions that a homework may define, as messages name them.
SIGNATURES = {
    "forward": "forward(params, x)",
    "loss": "loss(params, x, y)",
    "gradients": "gradients(params, x, y)",
    "loss_and_gradients": "loss_and_gradients(params, x, y)",
    "update": "update(params, grads, state)",
    "step": "step(params, x, y, state)",
}
# A homework has to define at least one of these.
CHECKABLE = ("forward", "loss", "gradients", "loss_and_gradients", "update", "step", "network")

# The two ways to write a bias (n,) with two axes, as NumPy's index expressions.
COLUMN, ROW = "[:, None]", "[None, :]"
# What may follow a key in PARAMETERS, once or several times.
FORM_STEP = re.compile(
    r"""\.T(?!\w)
    | \.transpose\( \s* \d+ (?: \s*,\s* \d+ )* \s*,?\s* \)
    | \.reshape\( \s* -?\d+ (?: \s*,\s* -?\d+ )* \s*,?\s* \)
    | \[ \s* (?: :\s*,\s*None | None\s*,\s*: ) \s* \]""",
    re.VERBOSE,
)


class ReturnValueError(Exception):
    """A homework returned something that the contract does not allow; the message says what."""


@dataclass(frozen=True)
class Assignment:
    """What a homework is to compute.

    Attributes:
        architecture: The name of the network, for messages.
        build: Builds the network from a namespace such as ``torch.nn``.
        loss: A key of :data:`LOSS_CLASSES`, or the name of ``torch_loss``.
        optimizer: The class of the optimizer that ``update`` or ``step`` implements, or None if
            updates are not checked.
        settings: The optimizer's keyword arguments.
        torch_loss: A loss that the instructor gives, in the place of PyTorch's.
        one_sample: Whether the homework takes one row at a time: then every batch has one.
    """

    architecture: str
    build: Callable[[Any], Any]
    loss: str = "cross_entropy"
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    torch_loss: TorchLoss | None = None
    one_sample: bool = False

    @property
    def drawn_like(self) -> str:
        """The loss of PyTorch, a key of :data:`LOSS_CLASSES`, for which batches are drawn."""
        return self.loss if self.torch_loss is None else self.torch_loss.like


@dataclass(frozen=True)
class ArrayLayout:
    """The name and the shape that a homework uses for one array of the reference.

    Attributes:
        name: The homework's name for it.
        key: Its key in the reference's ``state_dict``.
        form: How the homework's array follows from the reference's, in NumPy's words: ``""`` (the
            same), ``.T``, ``.transpose(2, 3, 1, 0)``, ``.reshape(8, -1)``, ``[:, None]``,
            ``[None, :]``, or several of them in a row.
    """

    name: str
    key: str
    form: str = ""

    @classmethod
    def parse(cls, name: str, text: str) -> ArrayLayout:
        """Read an entry of PARAMETERS, such as ``0.weight.T``."""
        match = re.fullmatch(rf"(.*?)((?:{FORM_STEP.pattern})*)", text.strip(), re.VERBOSE)
        assert match is not None
        steps = (re.sub(r"\s", "", step[0]) for step in FORM_STEP.finditer(match[2]))
        return cls(name, match[1], "".join(re.sub(r",(?=[^)\]])", ", ", s) for s in steps))

    def to_homework(self, array: np.ndarray) -> np.ndarray:
        """Copy an array of the reference into the homework's layout.

        Raises:
            ValueError: The array has another number of axes or elements than the form needs.
        """
        for step in FORM_STEP.finditer(self.form):
            numbers = tuple(map(int, re.findall(r"-?\d+", step[0])))
            match step[0]:
                case ".T":
                    array = array.T
                case "[:, None]":
                    array = array[:, None]
                case "[None, :]":
                    array = array[None, :]
                case text if text.startswith(".transpose"):
                    array = array.transpose(numbers)
                case _:
                    array = array.reshape(numbers)
        return np.array(array, order="C")

    def from_homework(
        self, array: np.ndarray, shape: tuple[int, ...], subject: str, broadcast: bool = False
    ) -> np.ndarray:
        """Copy an array of the homework into the reference's layout.

        A bias of shape (n,) may come back as (n,), (n, 1) or (1, n), whatever ``form`` is.

        Args:
            array: The homework's array.
            shape: The shape of the reference's.
            subject: What the array is, as the subject of an error message.
            broadcast: Whether one number may stand for all of a bias, as it does in
                ``b - rate * db``.

        Raises:
            ReturnValueError: The array has another shape.
        """
        array = np.asarray(array, np.float64)
        if len(shape) == 1 and array.size == shape[0] == max(array.shape, default=1):
            return array.reshape(shape)
        if len(shape) == 1 and array.size == 1 and broadcast:
            return np.full(shape, array.reshape(()))
        if len(shape) == 0 and array.size == 1:
            return array.reshape(())
        elements = self.to_homework(np.arange(int(np.prod(shape))).reshape(shape))
        if array.shape != elements.shape:
            expected = elements.shape
            transposed = array.shape == expected[::-1] and len(expected) == 2
            hint = "; it is transposed" if transposed else ""
            raise ReturnValueError(
                f"{subject} has the shape {array.shape}, but expected {expected}{hint}."
            )
        found = np.empty(array.size)
        found[elements.ravel()] = array.ravel()
        return found.reshape(shape)


@dataclass(frozen=True)
class BatchLayout:
    """The form in which a homework takes its batches.

    Attributes:
        axis: The batch axis: 0 or 1.
        one_hot: Whether class labels are one-hot rows (columns if the batch axis is 1).
        channels_last: Whether images are (N, H, W, C) instead of (N, C, H, W).
        one_sample: Whether every batch has one row, and an image no axis for it.
    """

    axis: int = 0
    one_hot: bool = False
    channels_last: bool = False
    one_sample: bool = False

    def to_homework(self, rows: np.ndarray) -> np.ndarray:
        """Copy a batch (N, …) into the homework's layout; labels (N,) stay as they are."""
        if self.channels_last and rows.ndim == 4:
            rows = np.moveaxis(rows, 1, 3)
        if self.one_sample and rows.ndim == 4:
            return np.array(rows[0], order="C")
        return np.array(np.moveaxis(rows, 0, self.axis) if rows.ndim > 1 else rows, order="C")

    def labels_to_homework(self, targets: np.ndarray, classes: int) -> np.ndarray:
        """Copy targets into the homework's layout, class labels as one-hot rows if it says so."""
        if self.one_hot and targets.dtype.kind in "iu":
            return self.to_homework(np.eye(classes)[targets])
        return self.to_homework(targets)

    def from_homework(self, array: np.ndarray, shape: tuple[int, ...], subject: str) -> np.ndarray:
        """Copy what the homework returned for a batch into the reference's layout.

        Args:
            array: The homework's array.
            shape: The shape of the reference's.
            subject: What the array is, as the subject of an error message.

        Raises:
            ReturnValueError: The array has another shape.
        """
        array = np.asarray(array, np.float64)
        expected = self.to_homework(np.empty(shape, bool)).shape
        if array.shape == expected:
            if self.one_sample and len(shape) == 4:
                array = array[None]
            elif array.ndim > 1:
                array = np.moveaxis(array, self.axis, 0)
            if self.channels_last and array.ndim == 4:
                array = np.moveaxis(array, 3, 1)
            return np.array(array, order="C")
        if shape[1:] == (1,) and array.shape == shape[:1]:
            return array.reshape(shape)  # one output per row, returned without its axis
        axes = "(classes, N)" if self.axis else "(N, classes)"
        hint = ""
        if len(expected) == 2 and array.shape == expected[::-1]:
            hint = (
                "; it is transposed"
                if self.axis
                else "; if your batch is the columns, write BATCH_AXIS = 1"
            )
        if (
            not self.channels_last
            and len(expected) == 4
            and array.shape == _channels_moved(expected)
        ):
            hint = "; if the channels of your images come last, write CHANNELS_LAST = True"
        of = f", {axes}" if len(expected) == 2 and "logits" in subject else ""
        raise ReturnValueError(
            f"{subject} has the shape {array.shape}, but expected {expected}{of}{hint}."
        )


def _channels_moved(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1])


@dataclass(frozen=True)
class Contract:
    """What one homework declares.

    Attributes:
        architecture: The name of a network, or None if the homework defines the network itself
            or does not say which it is.
        loss: A key of :data:`LOSS_CLASSES`.
        reduction: A key of ``REDUCTIONS``.
        weight_decay: λ of the penalty that its loss has.
        optimizer: The optimizer that its ``update`` or ``step`` is, as written.
        settings: Its keyword arguments.
        parameters: PARAMETERS as written (own name → entry), or None if the homework uses the
            reference's names.
        batches: The batch axis and the form of labels.
        attributes: ATTRIBUTES as written: where layer classes keep their gradients.
        methods: METHODS as written: what layer classes call ``forward`` and ``backward``.
        filled: Whether ``network()`` takes no argument: its arrays are filled after it is called.
        functions: The functions of the contract that the homework defines.
    """

    architecture: str | None = None
    loss: str | None = None
    parameters: dict[str, str] | None = None
    batches: BatchLayout = field(default_factory=BatchLayout)
    attributes: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    filled: bool = False
    functions: tuple[str, ...] = ()
    reduction: str = "mean"
    weight_decay: float = 0.0
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def has(self, function: str) -> bool:
        """Whether the homework defines the function."""
        return function in self.functions

    @property
    def has_functions(self) -> bool:
        """Whether the homework defines a function other than ``network``."""
        return any(name in self.functions for name in SIGNATURES)


def read_contract(
    file: str, constants: Mapping[str, Any], functions: Iterable[str], filled: bool = False
) -> Contract:
    """Build the contract from the names that a homework defines.

    Args:
        file: The name of the homework, for error messages.
        constants: The constants of the contract that it defines.
        functions: The functions of the contract that it defines.
        filled: Whether its ``network()`` takes no argument.

    Raises:
        InputError: A constant has a value that is not allowed, or there is nothing to check.
    """
    functions = tuple(functions)
    if not any(name in functions for name in CHECKABLE):
        near = "forward(params, x), loss(params, x, y), gradients(params, x, y)"
        raise InputError(
            f"{file} defines nothing that can be checked: expected one or more of {near}, "
            "loss_and_gradients(params, x, y), update(params, grads, state), "
            "step(params, x, y, state), network(params)."
        )
    axis = _choice(file, constants, "BATCH_AXIS", (0, 1), 0)
    one_hot = _choice(file, constants, "ONE_HOT", (False, True), False)
    parameters = _names(file, constants, "PARAMETERS", '{"W1": "0.weight.T", "b1": "0.bias"}')
    attributes = _names(file, constants, "ATTRIBUTES", '{"weight": "dW", "bias": "db"}')
    methods = _names(file, constants, "METHODS", '{"forward": "fprop", "backward": "bprop"}') or {}
    for method in methods:
        if method not in ("forward", "backward"):
            raise InputError(
                f"{file}: METHODS may have the keys 'forward' and 'backward', but has {method!r}."
            )
    architecture = constants.get("ARCHITECTURE")
    if architecture is not None and not isinstance(architecture, str):
        raise InputError(
            f'{file}: ARCHITECTURE should be a name such as "softmax_mlp", but is '
            f"{_as_written(architecture)}; a network itself is a function architecture(nn)."
        )
    if architecture is not None and (":" in architecture or "." in architecture):
        raise InputError(
            f"{file}: ARCHITECTURE = {architecture!r} names a file, which only --architecture and "
            "a course's file may do; write the name of a network, or a function architecture(nn)."
        )
    loss = None
    if isinstance(constants.get("LOSS"), str) and is_torch_loss(constants["LOSS"]):
        raise InputError(
            f"{file}: LOSS = {constants['LOSS']!r} names a file, which only --loss and a course's "
            f"file may do; a homework's is one of {', '.join(LOSS_CLASSES)}."
        )
    if "LOSS" in constants:
        loss = _choice(file, constants, "LOSS", tuple(LOSS_CLASSES), "")
    channels_last = _choice(file, constants, "CHANNELS_LAST", (False, True), False)
    one_sample = _choice(file, constants, "ONE_SAMPLE", (False, True), False)
    batches = BatchLayout(axis, bool(one_hot), bool(channels_last), bool(one_sample))
    reduction = _choice(file, constants, "REDUCTION", tuple(REDUCTIONS), "mean")
    return Contract(
        architecture,
        loss,
        parameters,
        batches,
        attributes or {},
        methods,
        filled,
        functions,
        reduction,
        _weight_decay(file, constants),
        *(_optimizer(file, constants) if {"update", "step"} & {*functions} else ()),
    )


def array_layouts(
    file: str,
    parameters: dict[str, str] | None,
    arrays: Mapping[str, np.ndarray],
    trainable: Iterable[str],
) -> list[ArrayLayout]:
    """The layouts of a homework's arrays, in the order of PARAMETERS.

    Args:
        file: The name of the homework, for error messages.
        parameters: PARAMETERS as written.
        arrays: The network's ``state_dict``.
        trainable: The keys of its parameters, without buffers.

    Raises:
        InputError: PARAMETERS has a key that does not exist or comes twice, or lacks one, or a
            form that its array cannot have.
    """
    keys, trainable = list(arrays), list(trainable)
    if parameters is None:
        return [ArrayLayout(key, key) for key in keys]
    found: dict[str, ArrayLayout] = {}
    for name, text in parameters.items():
        layout = ArrayLayout.parse(name, text)
        if layout.key not in keys:
            near = difflib.get_close_matches(layout.key, keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise InputError(
                f"{file}: PARAMETERS[{name!r}] is {text!r}, but the network has only "
                f"{', '.join(keys)}{hint}"
            )
        if layout.key in found:
            raise InputError(
                f"{file}: PARAMETERS names {layout.key} twice: {found[layout.key].name!r} and "
                f"{name!r}."
            )
        try:
            layout.to_homework(arrays[layout.key])
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{file}: PARAMETERS[{name!r}] is {text!r}, but {layout.key} has the shape "
                f"{arrays[layout.key].shape}: {error}."
            ) from None
        found[layout.key] = layout
    missing = [key for key in trainable if key not in found]
    if missing:
        raise InputError(
            f"{file}: PARAMETERS has no entry for {', '.join(missing)}: every parameter of the "
            "network needs a name of yours."
        )
    return list(found.values())


def _weight_decay(file: str, constants: Mapping[str, Any]) -> float:
    value = constants.get("WEIGHT_DECAY", 0.0)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < np.inf:
        raise InputError(
            f"{file}: WEIGHT_DECAY should be a number such as 0.01, the λ of ½ λ ΣW² in the loss, "
            f"but is {_as_written(value)}."
        )
    return float(value)


def _optimizer(file: str, constants: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """OPTIMIZER and SETTINGS."""
    name, settings = constants.get("OPTIMIZER"), constants.get("SETTINGS", {})
    if name is not None and not isinstance(name, str):
        raise InputError(
            f'{file}: OPTIMIZER should be a name such as "SGD", but is {_as_written(name)}.'
        )
    if not isinstance(settings, dict) or "not_json" in settings:
        raise InputError(
            f'{file}: SETTINGS should be a dict such as {{"lr": 0.1}}, but is '
            f"{_as_written(settings)}."
        )
    if settings and name is None:
        raise InputError(
            f'{file}: SETTINGS are those of an optimizer: write OPTIMIZER = "SGD" beside it.'
        )
    for key, value in settings.items():
        if isinstance(value, dict):
            raise InputError(
                f"{file}: SETTINGS[{key!r}] should be a number, but is {_as_written(value)}."
            )
    return name, dict(settings)


def _choice(
    file: str, constants: Mapping[str, Any], name: str, allowed: tuple, default: Any
) -> Any:
    value = constants.get(name, default)
    if name not in constants:
        return default
    if isinstance(value, dict) or value not in allowed:
        words = " or ".join(repr(v) for v in allowed)
        raise InputError(f"{file}: {name} should be {words}, but is {_as_written(value)}.")
    return value


def _names(
    file: str, constants: Mapping[str, Any], name: str, example: str
) -> dict[str, str] | None:
    value = constants.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InputError(
            f"{file}: {name} should be a dict such as {example}, but is {_as_written(value)}."
        )
    return value


def _as_written(value: Any) -> str:
    """A constant in an error message; ``not_json`` marks one that only its text came from."""
    if isinstance(value, dict) and set(value) == {"not_json"}:
        return str(value["not_json"])
    return repr(value)
