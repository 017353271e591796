"""The few lines of code that compute a formula: forward and backward, or an optimizer's update.

What no step of the run and no evaluation came through is left out: a layer's code covers every
option that it has, and a reader of one run wants to see the formula that was computed there.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import numpy_nn
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.spec.model import ModelSpec
from compare.training.drift import LARGE

LAYER_METHODS = ("backward", "backward_parameters", "_backward", "forward")
OPTIMIZER_METHODS = ("_update", "_prepare")
"""What matters most comes first."""
STEP, TORCH_STEP = "step", "step of PyTorch"
"""The names of the excerpts that are one step of a training."""
INITIALISATION = "initialisation"
"""The name of the excerpt that draws the weights."""
MOST_LINES = 32
"""So many lines of a class are shown; what does not fit is left to the listing of the file."""
FOLLOWED_STEPS, MOST_FOLLOWED = 2, 8
"""A step of a model shows which lines run, a second one what a first step does not do, and an
evaluation what is different there; of more different models than this none is followed, and every
line is shown."""
FEW = 2
"""Of large networks a step of so few rows is followed: one of a whole batch takes seconds."""

LONGEST_LINE = 100
PURE = {"abs", "bool", "float", "get", "int", "len", "max", "min", "sum"}
"""Functions that do nothing but compute."""
BLOCKS = ("body", "orelse", "finalbody")

Calls = dict[CodeType, set[frozenset[int]]]
"""Function → the lines that ran, of each of its calls."""


class FollowedModel(NamedTuple):
    """A model of the run, and rows for its steps.

    Attributes:
        spec: The network, its loss and its optimizer.
        inputs: A batch of the training set as the network takes it.
        targets: What the loss takes for its rows.
    """

    spec: ModelSpec
    inputs: np.ndarray
    targets: np.ndarray


class Excerpts(NamedTuple):
    """The lines that are shown of a run.

    Attributes:
        classes: Class → the lines that compute it, of all modules, losses and optimizers in use.
        called: File → what these lines call in it; empty where no step could be followed.
        rows: How many rows the steps had that were followed, at least; None where none was.
    """

    classes: dict[str, str]
    called: dict[str, str]
    rows: int | None


def excerpts_of(models: Iterable[FollowedModel]) -> Excerpts:
    """The lines that compute the networks, losses and updates of a run."""
    different = different_models(models)
    layers: dict[str, type] = {}
    losses: dict[str, type] = {}
    algorithms: dict[str, type] = {}
    schemes: dict[str, None] = {}
    calls: Calls | None = {} if len(different) <= MOST_FOLLOWED else None
    followed: list[int] = []
    for spec, inputs, targets in different:
        with lines_run(calls if calls is not None else {}):
            backend = NumpyBackend(spec)
        schemes[f"{spec.initialisation}_"] = None
        layers |= {type(m).__name__: type(m) for m in backend.model.modules()}
        losses[spec.loss] = type(backend.loss)
        algorithms[spec.algorithm] = type(backend.optimizer)
        rows = len(inputs) if len(backend.weights()) <= LARGE else min(FEW, len(inputs))
        followed.append(rows)
        if calls is not None and not _follow(backend, inputs[:rows], targets[:rows], calls):
            calls = None
    found: dict[str, str] = {}
    for name, kind in (layers | losses).items():
        if kind is getattr(numpy_nn, name, None):
            found[name] = excerpt(kind, LAYER_METHODS, calls)
    for name, kind in algorithms.items():
        found[name] = excerpt(kind, OPTIMIZER_METHODS, calls)
    for scheme in schemes:
        draw = getattr(numpy_nn.init, scheme) if scheme in numpy_nn.init.__all__ else None
        if draw is not None and (code := bare(draw, calls)) and INITIALISATION not in found:
            found[INITIALISATION] = _with_meanings(code, _called_in(code, vars(numpy_nn.init)))
    found[STEP] = bare(NumpyBackend._step, calls)
    found[TORCH_STEP] = bare(TorchBackend.train_step)
    found = {name: code for name, code in found.items() if code}
    if not calls:
        return Excerpts(found, {}, None)
    return Excerpts(found, _called_by(found.values(), calls), min(followed))


def different_models(models: Iterable[FollowedModel]) -> list[FollowedModel]:
    """One of the models of each kind: of two that differ in a rate, the same lines run."""
    different: dict[str, FollowedModel] = {}
    for model in models:
        different.setdefault(_code_in_use(model.spec), model)
    return list(different.values())


def _called_by(shown: Iterable[str], calls: Calls) -> dict[str, str]:
    """File → the functions of numpy_nn in it that some code calls, as far as they ran.

    Beneath those of a file stands what the functions do that they call in their turn.
    """
    excerpts = list(shown)
    nodes = [node for code in excerpts for node in ast.walk(ast.parse(code))]
    names = set().union(*(_names_called(code) for code in excerpts))
    shown = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    names -= shown
    root = Path(inspect.getfile(numpy_nn)).parent
    files: dict[str, list[tuple[int, str]]] = {}
    for code in calls:
        file = Path(code.co_filename)
        if code.co_name.lstrip("_").startswith("check"):
            continue
        if code.co_name in names and root in file.parents and (text := bare(code, calls)):
            owner, _, _ = code.co_qualname.rpartition(".")
            text = f"# a method of {owner}\n{text}" if owner else text
            key = f"{root.name}/{file.relative_to(root).as_posix()}"
            files.setdefault(key, []).append((code.co_firstlineno, text))
    listed = {
        file: "\n\n".join(text for _, text in sorted(found))
        for file, found in sorted(files.items())
    }
    told = _docstrings(calls, root)
    for name_of_file, text in listed.items():
        listed[name_of_file] = text = _with_constants(text, root.parent / name_of_file)
        called = _names_called(text) - shown - names
        meanings = {name: told.pop(name) for name in sorted(called) if name in told}
        listed[name_of_file] = _with_meanings(text, meanings)
    return listed


def _with_constants(text: str, file: Path) -> str:
    """Functions of a file, and before them the constants of the file that they read."""
    source = "".join(linecache.getlines(str(file)))  # as it was read for its functions
    assigned = {
        node.targets[0].id: node
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and not isinstance(node.value, ast.Attribute)  # a method under a name of its own
    }
    names = _names_read(ast.parse(text))
    for name in reversed(assigned):  # a constant reads others that come before it
        names |= _names_read(assigned[name].value) if name in names else set()
    constants = [
        ast.get_source_segment(source, node) or ""
        for name, node in assigned.items()
        if name in names
    ]
    return "\n\n".join(["\n".join(constants), text] if constants else [text])


def _names_read(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _docstrings(calls: Calls, root: Path) -> dict[str, str]:
    """Name → the first line of the docstring, its own or inherited, of what ran in a folder."""
    modules = {getattr(module, "__file__", None): module for module in list(sys.modules.values())}
    found: dict[str, str] = {}
    for code in calls:
        if root not in Path(code.co_filename).parents:
            continue
        function: Any = modules.get(code.co_filename)
        for part in code.co_qualname.split("."):
            function = getattr(function, part, None)
        if text := (inspect.getdoc(function) or "").strip():
            found.setdefault(code.co_name, text.partition("\n")[0].replace("``", ""))
    return found


def _names_called(code: str) -> set[str]:
    """The names of the functions and methods that some code calls."""
    called = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    own = [f for f in called if not ast.unparse(f).startswith(("np.", "math."))]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in own}


def _code_in_use(spec: ModelSpec) -> str:
    """Equal for two models of which the same lines run: a rate of another size changes none."""
    settings = {
        key: value if isinstance(value, str) else _any(value)
        for key, value in spec.settings.items()
    }
    return repr(
        (
            spec.architecture,
            sorted(spec.arguments.items(), key=repr),
            spec.loss,
            spec.algorithm,
            sorted(settings.items()),
        )
    )


def _any(value: Any) -> bool:
    return bool(np.any(np.asarray(value, dtype=object)))


def _follow(backend: NumpyBackend, inputs: np.ndarray, targets: np.ndarray, calls: Calls) -> bool:
    """Make steps and an evaluation, and note the lines that run; whether they could be made.

    A network on which a step fails says why when its training begins.
    """
    rows = backend.rows(inputs, targets)
    try:
        with lines_run(calls):
            for _ in range(FOLLOWED_STEPS):
                batch = backend.batch(rows, np.arange(len(rows[1])))
                backend._step(batch, backend.model.backward_parameters)
            backend.logits(inputs)
    except Exception:
        return False
    return True


@contextmanager
def lines_run(
    calls: Calls, modules: tuple[str, ...] = (numpy_nn.__name__, NumpyBackend.__module__)
) -> Iterator[None]:
    """Note which lines run in here, of each call of a function of these modules."""

    def follow(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_globals.get("__name__", "").startswith(modules):
            return None
        lines: set[int] = set()

        def note(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            elif event == "return":
                calls.setdefault(frame.f_code, set()).add(frozenset(lines))
            return note

        return note

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        yield
    finally:
        sys.settrace(before)


def excerpt(kind: type, methods: Iterable[str], calls: Calls | None = None) -> str:
    """The methods of a class that fit, in the order of the file; without docstrings and checks.

    Args:
        kind: The class.
        methods: Names of methods, what matters most first.
        calls: What ran; a method that did not is left out. None leaves nothing out.
    """
    found: list[tuple[int, str]] = []
    left = MOST_LINES
    for name in methods:
        method = _own(kind, name)
        code = "" if method is None else bare(method, calls)
        if method is not None and code and len(code.splitlines()) <= left:
            left -= len(code.splitlines())
            found.append((inspect.getsourcelines(method)[1], code))
    code = "\n\n".join(code for _, code in sorted(found))
    code = code if calls is None else _without_unread(code)
    return _with_meanings(code, {**_hooks(kind, code), **helpers(kind, code)})


def _hooks(kind: type, code: str) -> dict[str, str]:
    """When the methods of some code are called that a base class calls: first lines likewise."""
    shown = [f for f in ast.walk(ast.parse(code)) if isinstance(f, ast.FunctionDef)]
    names = [f.name for f in shown if f.name.startswith("_")]
    return {name: _meaning(getattr(kind, name)) for name in names if _meaning(getattr(kind, name))}


def _meaning(called: Any) -> str:
    """What a function does: the first line of its docstring, its own or inherited."""
    return (inspect.getdoc(called) or "").partition("\n")[0].replace("``", "")


def _without_unread(code: str) -> str:
    """Methods without the lines that set an attribute to a constant which none of them reads."""
    nodes = list(ast.walk(ast.parse(code)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    read = {node.attr for node in attributes if not isinstance(node.ctx, ast.Store)}
    unread = {
        node.lineno
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.targets[0], ast.Attribute)
        and node.targets[0].attr not in read
    }
    return "\n".join(line for n, line in enumerate(code.splitlines(), 1) if n not in unread)


def _with_meanings(code: str, meanings: dict[str, str]) -> str:
    """Code, and beneath it what the functions do that it calls."""
    lines = "\n".join(f"# {name}: {meaning}" for name, meaning in meanings.items())
    return f"{code}\n\n{lines}" if lines else code


def _called_in(code: str, names: Mapping[str, Any]) -> dict[str, str]:
    """What the functions do that some code calls by their names: first lines of docstrings."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        called = names.get(node.func.id)
        if inspect.isroutine(called) and (meaning := _meaning(called)):
            found.setdefault(node.func.id, meaning)
    return found


def helpers(kind: type, code: str) -> dict[str, str]:
    """What the functions do that some code of a class calls: first lines of their docstrings."""
    found: dict[str, str] = {}
    own = {f.name for f in ast.walk(ast.parse(code)) if isinstance(f, ast.FunctionDef)}
    for base in kind.__mro__[:-1]:  # the last is object
        names = vars(sys.modules[base.__module__])
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.Call):
                continue
            called: Any = None
            if isinstance(node.func, ast.Name):
                name, called = node.func.id, names.get(node.func.id)
            elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self":
                name, called = node.func.attr, getattr(kind, node.func.attr, None)
            if called is None or name in own or not inspect.isroutine(called):
                continue
            if meaning := _meaning(called):
                found.setdefault(name, meaning)
    return found


def _own(kind: type, name: str) -> Callable[..., Any] | None:
    """A method that the class, or a class between it and Module, defines."""
    for base in kind.__mro__:
        if base.__name__ in ("Module", "Optimizer", "object"):
            return None
        if name in vars(base):
            found: Callable[..., Any] = vars(base)[name]
            return found
    return None


def bare(function: Callable[..., Any] | CodeType, calls: Calls | None = None) -> str:
    """The source of a function without its docstring, checks of its arguments and their errors.

    Args:
        function: The function.
        calls: What ran; branches that no call took are left out, and a condition that was true in
            every call. None leaves nothing out.

    Returns:
        The source; empty if calls are given and the function was not among them.
    """
    code = function if isinstance(function, CodeType) else inspect.unwrap(function).__code__
    lines, first = inspect.getsourcelines(code)
    source = textwrap.dedent("".join(lines))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    text = _Text(source.splitlines())
    text.drop(1, definition.lineno - 1)  # decorators
    for node in ast.walk(definition):
        if isinstance(node, ast.stmt) and _says_or_checks(node):
            text.drop(node.lineno, _last(node))
    if calls is not None:
        own = calls.get(code)
        if not own:
            return ""
        text.keep_what_ran(definition.body, [{n - first + 1 for n in call} for call in own])
        return _short_signature(_without_unused(text.code()))
    return _short_signature(text.code())


def _short_signature(source: str) -> str:
    """A function whose first line has names and defaults alone, where they fit into one line."""
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    begins = min(node.lineno for node in definition.body)
    arguments = definition.args
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    line = f"def {definition.name}({_unparsed(arguments)}):"
    if len(line) > LONGEST_LINE:
        return source
    return "\n".join([line, *source.splitlines()[begins - 1 :]])


def _without_unused(source: str) -> str:
    """A function without what a branch that was left out needed.

    These are values given to names that nothing reads any more, unless a call makes them, and a
    bare ``return`` at the end.
    """
    lines = source.splitlines()
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    read = {
        node.id
        for node in ast.walk(definition)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }
    # What is added to in place may be a view of something else.
    read |= {
        node.target.id
        for node in ast.walk(definition)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    blocks = [getattr(node, part, []) for node in ast.walk(definition) for part in BLOCKS]
    alone = {id(block[0]) for block in blocks if isinstance(block, list) and len(block) == 1}
    for node in ast.walk(definition):
        if not isinstance(node, ast.Assign) or len(node.targets) > 1:
            continue
        kept = _kept_of(node, read)
        if kept == node.targets[0] or (kept is None and id(node) in alone):
            continue
        rest = [] if kept is None else [" " * node.col_offset + _unparsed(kept)]
        lines[node.lineno - 1 : _last(node)] = rest
        return _without_unused("\n".join(lines))
    last = definition.body[-1]
    if isinstance(last, ast.Return) and last.value is None and len(definition.body) > 1:
        del lines[last.lineno - 1 : _last(last)]
    return "\n".join(lines)


def _kept_of(node: ast.Assign, read: set[str]) -> ast.AST | None:
    """The target where an assignment is needed whole, else what is left of it, or None."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name) and target.id not in read and not _has_call(value):
        return None
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=True))
        kept = [
            (name, given)
            for name, given in pairs
            if not isinstance(name, ast.Name) or name.id in read or _has_call(given)
        ]
        if len(kept) < len(pairs):
            if not kept:
                return None
            names, values = zip(*kept, strict=True)
            left = names[0] if len(kept) == 1 else ast.Tuple(list(names), ast.Store())
            right = values[0] if len(kept) == 1 else ast.Tuple(list(values), ast.Load())
            return ast.fix_missing_locations(ast.Assign([left], right, lineno=0))
    return target


def _unparsed(node: ast.AST) -> str:
    """Code with double quotes, as it is written here."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _has_call(node: ast.AST) -> bool:
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return any(_name_called(c.func) not in PURE for c in calls)


def _name_called(function: ast.expr) -> str:
    """``max`` of ``max(…)``, and ``get`` of ``anything.get(…)``."""
    if isinstance(function, ast.Attribute):
        return "get" if function.attr == "get" else ""
    return function.id if isinstance(function, ast.Name) else ""


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


class _Text:
    """The lines of a function, counted from 1, of which some are dropped or moved to the left."""

    def __init__(self, lines: list[str]) -> None:
        self._lines: dict[int, str] = dict(enumerate(lines, 1))

    def code(self) -> str:
        return "\n".join(line for _, line in sorted(self._lines.items()) if line.strip())

    def drop(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self._lines.pop(number, None)

    def keep_what_ran(
        self, block: list[ast.stmt], calls: list[set[int]], in_loop: bool = False
    ) -> None:
        """Leave out the branches of a block that no call took.

        Args:
            block: Statements.
            calls: The lines that ran, of every call that reached the block.
            in_loop: Whether a call may come here several times, so that it may take both branches.
        """
        for node in block:
            if not any(lines & set(range(node.lineno, _last(node) + 1)) for lines in calls):
                self.drop(node.lineno, _last(node))  # behind a return, for one
            elif isinstance(node, ast.If):
                if not (_says_or_checks(node) or _names_a_value(node)):
                    self._keep_branches(node, calls, in_loop)
            else:
                looped = in_loop or isinstance(node, ast.For | ast.While)
                for part in ("body", "orelse", "finalbody"):
                    self.keep_what_ran(getattr(node, part, []), calls, looped)
                if looped or isinstance(node, ast.With):
                    self._drop_if_empty(node, calls)

    def _drop_if_empty(self, node: Any, calls: list[set[int]]) -> None:
        inner = (
            range(node.body[0].lineno, _last(node.body[-1]) + 1) if hasattr(node, "body") else ()
        )
        kept = [n for n in inner if self._lines.get(n, "").strip(" ")[:1] not in ("", "#")]
        ran = any(lines & set(inner) for lines in calls)
        if inner and not (kept and ran):
            self.drop(node.lineno, _last(node))

    def _keep_branches(self, node: ast.If, calls: list[set[int]], in_loop: bool) -> None:
        end = _last(node)
        middle = _last(node.body[-1])
        body, other = set(range(node.body[0].lineno, middle + 1)), set(range(middle + 1, end + 1))
        calls = [lines for lines in calls if lines & set(range(node.lineno, end + 1))]
        took_body = [lines for lines in calls if lines & body]
        took_other = [lines for lines in calls if lines & other]
        self.keep_what_ran(node.body, took_body, in_loop)
        if not took_body and not took_other:
            self.drop(node.lineno, end)
        elif not took_body:
            self._replace_by(node, node.orelse, node.lineno, node.orelse[0].lineno - 1)
            self.keep_what_ran(node.orelse, took_other, in_loop)
        elif not took_other:
            self.drop(middle + 1, end)
            if len(took_body) == len(calls) and not in_loop:
                self._replace_by(node, node.body, node.lineno, node.body[0].lineno - 1)
        elif node.orelse and not self._is_elif(node.orelse[0]):
            self.keep_what_ran(node.orelse, took_other, in_loop)

    def _is_elif(self, node: ast.stmt) -> bool:
        return self._lines.get(node.lineno, "").lstrip().startswith("elif ")

    def _replace_by(self, node: ast.If, block: list[ast.stmt], first: int, last: int) -> None:
        """Put a branch in the place of its condition, of which a comment stays."""
        if self._is_elif(block[0]):
            self.drop(first, last)
            line = self._lines[block[0].lineno]
            self._lines[block[0].lineno] = line.replace("elif ", "if ", 1)
            return
        said = [self._lines.get(number, "") for number in range(first, last + 1)]
        comments = [line.partition("  # ")[2] for line in said[:1] + said[-1:]]
        self.drop(first, last)
        comment = comments[-1] or (comments[0] if block is node.body else "")
        if comment:
            self._lines[last] = " " * node.col_offset + f"# {comment}"
        left = block[0].col_offset - node.col_offset
        for number in range(block[0].lineno, _last(block[-1]) + 1):
            if number in self._lines:
                self._lines[number] = self._lines[number][left:]


def _names_a_value(node: ast.If) -> bool:
    """Whether the condition is more than a question, by ``:=``."""
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test))


def _says_or_checks(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        raises = not node.orelse and all(isinstance(inner, ast.Raise) for inner in node.body)
        return raises and not _names_a_value(node)
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.lstrip("_").startswith("check")
