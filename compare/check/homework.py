"""A loaded homework: requests look up its names and call its functions with copies of arrays.

This file and those that it imports run beside the homework: in its own process (:mod:`worker`)
or, for functions that a caller already holds, in the caller's.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from compare.check import network_objects, specialisation  # noqa: F401  (presets import them)
from compare.check.adapters import AdaptationError
from compare.check.architecture import record_architecture
from compare.check.definitions import AbsentError, Definitions
from compare.check.filled_network import (
    arrays_of,
    fill,
    get,
    gradients_of,
    is_engine_value,
    plain,
)
from compare.check.layer_classes import LayerObjects
from compare.check.loading import package_folders, run_file, run_homework
from compare.check.notebook import NotebookError
from compare.check.own_names import (
    READERS,
    known_shapes,
    names_in_source,
    names_read,
    source_trees,
)
from compare.check.return_values import CallResult, describe
from compare.check.source import Source, python_2_sign, read_source

# The functions of the contract with their arguments, and the constants.
FUNCTIONS = {
    "forward": ("params", "x"),
    "loss": ("params", "x", "y"),
    "gradients": ("params", "x", "y"),
    "loss_and_gradients": ("params", "x", "y"),
    "update": ("params", "grads", "state"),
    "step": ("params", "x", "y", "state"),
    "network": ("params",),
    "architecture": ("nn",),
}
CONSTANTS = (
    "ARCHITECTURE", "LOSS", "REDUCTION", "WEIGHT_DECAY", "PARAMETERS", "BATCH_AXIS", "ONE_HOT",
    "ATTRIBUTES", "METHODS", "CHANNELS_LAST", "ONE_SAMPLE", "OPTIMIZER", "SETTINGS",
)  # fmt: skip

# Names by which a step is known to be that of an optimizer.
RATES = ("lr", "learning_rate", "rate")

LAYER_METHODS = ("forward", "backward")

# The characters of an exception's message that are shown, and the warnings of one call.
MESSAGE_CHARACTERS = 300
MOST_WARNINGS = 5

Arrays = Mapping[str, np.ndarray]


class Homework:
    """The names that a homework defines, those of its mapping file before its own.

    Args:
        names: The names, unless they are loaded from the file.
        file: The homework's file, for :meth:`request` with ``load`` and for line numbers.
        memory_mb: The memory limit, for error messages.
    """

    def __init__(
        self,
        names: Mapping[str, Any] | None = None,
        file: Path | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self._names: dict[str, Any] = dict(names or {})
        self._file, self._memory_mb = file, memory_mb
        self._source: Source | None = None
        self._definitions: Definitions | None = None
        self._notes: list[str] = []
        # A homework may have a module named compare; the mapping file of a preset gets this one.
        self._own_modules = {
            name: module
            for name, module in sys.modules.items()
            if name.partition(".")[0] == "compare"
        }
        self._optimizer_state: dict[str, Any] = {}
        self._step_state: dict[str, Any] = {}
        self._layers: LayerObjects | None = None

    def request(
        self,
        action: str,
        arrays: Arrays | None = None,
        *,
        description: str = "",
        **details: Any,
    ) -> CallResult:
        """Carry out one request.

        Args:
            action: ``load``, ``declaration``, ``architecture``, ``names_in_source``,
                ``names_read``, ``call``, ``update``, ``step``, ``network``, ``layer``, ``dropout``,
                ``chain``, ``network_step`` or ``layer_loss``.
            arrays: The arrays that go with it.
            description: What is being called, as the subject of an error message.
            details: Further arguments of the action.
        """
        result = CallResult()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                getattr(self, f"_{action}")(result, dict(arrays or {}), **details)
            except BaseException as error:
                if self._file is None and isinstance(error, KeyboardInterrupt):
                    raise  # the person at the keyboard has pressed Ctrl-C
                result.problem = self._sentence(error, description or action)
        result.warnings = self._numpy_warnings(caught)
        return result

    def restart(self) -> None:
        """Forget what was loaded."""
        self._names, self._definitions, self._notes = {}, None, []

    def _load(
        self,
        result: CallResult,
        _: Arrays,
        mapping: str | None = None,
        own_contract: bool = True,
        definitions_only: bool = False,
    ) -> None:
        """Run the file, then the mapping file, which sees the homework's names.

        The mapping file may say in NOTES what it leaves out of the comparison.

        Args:
            mapping: The mapping file.
            own_contract: Whether names of the contract that the homework defines count beside
                those of the mapping file.
            definitions_only: Whether to execute the homework's definitions only.
        """
        assert self._file is not None
        sys.dont_write_bytecode = True
        self._source = read_source(self._file)
        tree = self._source.parse()
        result.details["readable"] = True
        if definitions_only:
            folder = (*package_folders(self._file, 0), self._file.parent)[0]
            self._definitions = Definitions(self._file, folder, CONSTANTS)
        self._names = vars(run_homework(self._source, tree, self._definitions))
        result.details["loaded"] = True
        if mapping is not None:
            public = {k: v for k, v in self._names.items() if not k.startswith("__")}
            hidden = {"NOTES"} if own_contract else {"NOTES", *FUNCTIONS, *CONSTANTS}
            public = {k: v for k, v in public.items() if k not in hidden}
            source = read_source(Path(mapping))
            with _imported({} if own_contract else self._own_modules):
                module = run_file(source, source.parse(), names=public)
            self._names = {**public, **vars(module)}
            self._notes = [str(note) for note in self._names.get("NOTES", ())]

    def _declaration(self, result: CallResult, _: Arrays) -> None:
        result.details["constants"] = {
            name: _as_json(self._names[name])
            for name in CONSTANTS
            if self._names.get(name) is not None
        }
        result.details["functions"] = [name for name in FUNCTIONS if self._defines(name)]
        result.details["places"] = {
            name: self._place_of(self._names[name]) for name in result.details["functions"]
        }
        result.details["filled"] = self._network_is_filled()
        result.details["notes"] = self._notes
        result.details["not_callable"] = [
            name
            for name in FUNCTIONS
            if self._names.get(name) is not None and not callable(self._names[name])
            if name != "step"  # a common name for a number
        ]

    def _defines(self, name: str) -> bool:
        """Whether a function of the contract is there; ``step`` may be something else, too."""
        function = self._names.get(name)
        return callable(function) and (name != "step" or is_training_step(function))

    def _place_of(self, function: Any) -> str:
        """The line at which a function is defined, as ``line 45``.

        Empty if nobody can tell, or it is in a file of another folder, such as a preset.
        """
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is None or self._file is None:
            return ""
        if code.co_filename == str(self._file) and self._source is not None:
            return self._source.line(code.co_firstlineno)
        path = Path(code.co_filename)
        beside = path.parent == self._file.parent
        return f"line {code.co_firstlineno} of {path.name}" if beside else ""

    def _architecture(self, result: CallResult, _: Arrays) -> None:
        result.details["tree"] = record_architecture(self._function("architecture"))

    def _names_in_source(self, result: CallResult, _: Arrays, sizes: list[int]) -> None:
        """Find the names of its arrays without calling the functions of the contract."""
        if self._network_is_filled():
            shapes = arrays_of(self._names["network"]())
            result.details["read"], result.details["shapes"] = list(shapes), shapes
            return
        functions = {name: self._names[name] for name in READERS if self._defines(name)}
        trees = source_trees(functions.values())
        if self._source is not None:
            trees.insert(0, self._source.parse())
        result.details["read"] = names_in_source(trees, functions)
        if self._file is not None:  # in the caller's process nothing is called that was not given
            result.details["shapes"] = known_shapes(self._names, sizes)

    def _names_read(
        self, result: CallResult, _: Arrays, function: str, count: int, axes: int
    ) -> None:
        """Find the names that a function asks for when it is called."""
        found = names_read(function, self._function(function), count, axes)
        result.details["read"], result.details["returned"] = found

    def _call(self, result: CallResult, arrays: Arrays, function: str) -> None:
        """Call a function with copies, and report the arguments that it changed in place."""
        called = self._function(function)
        params, x = _with_prefix("params/", arrays), np.array(arrays["x"])
        arguments: list[Any] = [params, x]
        if "y" in arrays:
            arguments.append(np.array(arrays["y"]))
        filled = self._network_is_filled()
        if filled:
            arguments[0] = self._filled_network(params)
        returned = called(*arguments)
        if filled:
            returned = _with_gradients(function, returned, arguments[0], list(params))
            params = {name: get(arguments[0], name) for name in params}
        result.value = describe(plain(returned))
        result.changed = _changed(arrays, params, dict(zip("xy", arguments[1:], strict=False)))

    def _update(self, result: CallResult, arrays: Arrays, first: bool) -> None:
        """Call ``update``; its ``state`` lasts until an update is the first again."""
        if first:
            self._optimizer_state = {}
        called = self._function("update")
        params, gradients = _with_prefix("params/", arrays), _with_prefix("grads/", arrays)
        result.value = describe(called(params, gradients, self._optimizer_state))

    def _network_is_filled(self) -> bool:
        """Whether ``network`` takes no argument."""
        network = self._names.get("network")
        if not callable(network):
            return False
        try:
            parameters = inspect.signature(network).parameters
        except ValueError:  # written in C: nobody can tell
            return False
        return all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())

    def _filled_network(self, params: Arrays) -> Any:
        network = self._names["network"]()
        fill(network, params)
        return network

    def _step(self, result: CallResult, arrays: Arrays, first: bool) -> None:
        """Call ``step``; its ``state`` lasts until a step is the first again.

        A network that is filled keeps what its class keeps as long, and its arrays are the new
        parameters if no dict is returned.
        """
        filled = self._network_is_filled()
        if first:
            self._step_state = {}
            self._step_network = self._names["network"]() if filled else None
        called = self._function("step")
        params = _with_prefix("params/", arrays)
        batch = {name: np.array(arrays[name]) for name in "xy"}
        if filled:
            fill(self._step_network, params)
            returned = called(self._step_network, batch["x"], batch["y"], self._step_state)
            params = {name: get(self._step_network, name) for name in params}
            result.value = describe(returned if isinstance(returned, Mapping) else params)
        else:
            result.value = describe(called(params, batch["x"], batch["y"], self._step_state))
        result.changed = _changed(arrays, params, batch)

    def _network(
        self,
        result: CallResult,
        arrays: Arrays,
        flipped: list[int],
        methods: dict[str, str],
        output_layer: bool,
    ) -> None:
        params = _with_prefix("params/", arrays)
        filled = self._network_is_filled()
        network = self._filled_network(params) if filled else self._function("network")(params)
        self._layers = LayerObjects(network, flipped, methods, output_layer)
        result.details.update(self._layers.summary())
        loss_layer = [] if self._layers.loss_layer is None else [self._layers.loss_layer]
        result.details["places"] = [
            {method: self._place_of(getattr(layer, method, None)) for method in LAYER_METHODS}
            for layer in [*self._layers.layers, *loss_layer]
        ]

    def _layer(self, result: CallResult, arrays: Arrays, **details: Any) -> None:
        assert self._layers is not None
        result.value = describe(self._layers.run_layer(dict(arrays), **details))

    def _dropout(self, result: CallResult, arrays: Arrays, index: int) -> None:
        assert self._layers is not None
        result.value = describe(self._layers.run_dropout(dict(arrays), index))

    def _chain(self, result: CallResult, arrays: Arrays, **details: Any) -> None:
        assert self._layers is not None
        result.value = describe(self._layers.run_chain(np.array(arrays["x"]), **details))

    def _network_step(self, result: CallResult, arrays: Arrays, **details: Any) -> None:
        assert self._layers is not None
        result.value = describe(self._layers.run_step(dict(arrays), **details))

    def _layer_loss(self, result: CallResult, arrays: Arrays) -> None:
        assert self._layers is not None
        logits, targets = np.array(arrays["x"]), np.array(arrays["y"])
        result.value = describe(self._layers.run_loss(logits, targets))

    def _function(self, name: str) -> Callable[..., Any]:
        """A function of the homework, if its signature fits the contract."""
        function, arguments = self._names[name], FUNCTIONS[name]
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return function
        if name == "step" and not _takes(signature, arguments) and _takes(signature, "pxy"):
            return lambda params, x, y, state: function(params, x, y)
        try:
            signature.bind(*arguments)
        except TypeError:
            raise TypeError(
                f"{name} is called as {name}({', '.join(arguments)}), but is defined as "
                f"{name}{signature}"
            ) from None
        return function

    def _sentence(self, error: BaseException, subject: str) -> str:
        """An exception in one sentence; that of a name that was left out says why it was."""
        if isinstance(error, AdaptationError):
            return f"{self._file.name if self._file else 'The homework'}: {error}."
        if isinstance(error, NameError) and self._definitions is not None:
            reason = self._definitions.reason(str(error.name))
            if reason:
                where = _place(error, self._file, self._source)
                return f"{subject}{where} needs {error.name!r}, {reason}."
        return error_sentence(error, subject, self._file, self._memory_mb, self._source)

    def _numpy_warnings(self, caught: list[warnings.WarningMessage]) -> list[str]:
        found: dict[str, None] = {}
        for warning in caught:
            if issubclass(warning.category, RuntimeWarning):
                here = self._file is None or warning.filename == str(self._file)
                name = "" if here else f" of {Path(warning.filename).name}"
                line = f"line {warning.lineno}"
                if here and self._source is not None:
                    line = self._source.line(warning.lineno)
                found[f"{line}{name}: {warning.message}"] = None
        return list(found)[:MOST_WARNINGS]


def error_sentence(
    error: BaseException,
    subject: str,
    file: Path | None,
    memory_mb: int | None = None,
    source: Source | None = None,
) -> str:
    """An exception of a homework in one sentence, with the line that raised it.

    Args:
        error: The exception.
        subject: What was called: ``gradients(params, x, y)``.
        file: The homework; only lines in it and in files beside it are named.
        memory_mb: The memory limit, if there is one.
        source: The homework's source, which names its lines.
    """
    if isinstance(error, NotebookError):
        return str(error)
    where = _place(error, file, source)
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        return f"{subject} called sys.exit({code}){where}: it should return its result instead."
    if isinstance(error, MemoryError):
        limit = f" of {memory_mb} MB" if memory_mb else ""
        return f"{subject} needed more memory than the limit{limit} allows{where}."
    if isinstance(error, KeyboardInterrupt):
        return f"{subject} raised KeyboardInterrupt{where}."
    if isinstance(error, RecursionError):
        return f"{subject} calls itself without end{where}: maximum recursion depth exceeded."
    if isinstance(error, EOFError):
        return f"{subject} reads the keyboard{where}: there is nobody to type; remove input()."
    if isinstance(error, SyntaxError):
        return _syntax_sentence(error, file, source)
    if isinstance(error, AbsentError):
        return f"{subject}{where} {error}."
    if isinstance(error, ImportError) and error.name:
        return (
            f"{subject} needs the module {error.name!r}, which cannot be imported{where}: {error}."
        )
    try:
        message = " ".join(str(error).split())
    except Exception:  # the homework's own __str__ is broken
        message = ""
    message = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
    if len(message) > MESSAGE_CHARACTERS:
        message = f"{message[: MESSAGE_CHARACTERS - 1]}…"
    end = "" if message.endswith((".", "?", "!")) else "."
    return f"{subject} raised {type(error).__name__}{where}{': ' if message else ''}{message}{end}"


def _syntax_sentence(error: SyntaxError, file: Path | None, source: Source | None) -> str:
    """What Python cannot read, with the line; Python 2 is called that."""
    path = Path(error.filename or file or "the code")
    if source is None or path != source.path:
        try:
            source = read_source(path)
        except (OSError, NotebookError):
            source = None
    line = f"line {error.lineno}" if source is None else source.line(error.lineno or 1)
    python_2 = source and python_2_sign(error, source.text)
    if python_2:
        return (
            f"{path.name} is Python 2 code ({line}: {python_2}); translate it with 2to3 or by hand."
        )
    where = f", {line}" if error.lineno else ""
    return f"{path.name}{where}: {error.msg}; Python cannot read the file."


def _place(error: BaseException, file: Path | None, source: Source | None) -> str:
    """The homework's innermost line in the traceback, as `` at line 3``."""
    package = os.path.dirname(__file__) + os.sep
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)
    ]
    if file is None:
        return f" at line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    folder = str(file.parent) + os.sep
    for frame in reversed(frames):
        if frame.filename == str(file):
            place = f"at line {frame.lineno}"
            return f" {source.place(frame.lineno or 1) if source else place}"
        if frame.filename.startswith(folder) and "site-packages" not in frame.filename:
            return f" at line {frame.lineno} of {os.path.relpath(frame.filename, folder)}"
    return ""


@contextmanager
def _imported(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """Let imports find these modules under their names, for a while."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _with_gradients(function: str, returned: Any, network: Any, paths: list[str]) -> Any:
    """What a function for gradients returned, with those that its network keeps.

    They are taken from the network where the function returned no dict, or the loss of an autograd
    engine, which is first differentiated.
    """
    if function == "gradients":
        if is_engine_value(returned):
            returned.backward()
            returned = None
        return returned if isinstance(returned, Mapping) else gradients_of(network, paths)
    if function != "loss_and_gradients":
        return returned
    if is_engine_value(returned):
        returned.backward()
        return plain(returned), gradients_of(network, paths)
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        return returned
    loss = returned[0] if isinstance(returned, tuple) and returned else returned
    return loss, gradients_of(network, paths)


def _with_prefix(prefix: str, arrays: Arrays) -> dict[str, np.ndarray]:
    """Copies of the arrays whose names have the prefix, by the rest of the name."""
    return {k.removeprefix(prefix): np.array(v) for k, v in arrays.items() if k.startswith(prefix)}


def is_training_step(function: Callable[..., Any]) -> bool:
    """Whether it may be called as ``step(params, x, y, state)`` or ``step(params, x, y)``.

    A step function of an activation takes one argument, and a step of an optimizer gradients or a
    learning rate.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False
    if not any(_takes(signature, arguments) for arguments in (FUNCTIONS["step"], "pxy")):
        return False
    given = list(signature.parameters)[:4]
    return not any("grad" in name or name in RATES for name in given)


def _takes(signature: inspect.Signature, arguments: Sequence[str]) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _changed(
    arrays: Arrays, params: Mapping[str, Any], batch: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The arguments that a call has changed in place, with their new values."""
    found = {}
    for name, before in arrays.items():
        owner, _, key = name.partition("/")
        now = describe(params.get(key) if owner == "params" else batch[owner])
        if now.array is None or not _identical(now.array, before):
            found[name] = now.array if now.array is not None else np.array(np.nan)
    return found


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _is_plain_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def _as_json(value: Any) -> Any:
    """A constant as JSON, or its text if JSON cannot hold it."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and all(map(_is_plain_number, value)):
        return list(value)
    if isinstance(value, (str, bool)) or _is_plain_number(value):
        return value
    return {"not_json": f"{value!r:.80}"}
