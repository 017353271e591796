"""Definitions only: a file's imports, functions, classes and constants, executed without the rest.

Homeworks are often scripts that load a data set and train when they are imported. What defines
their functions is picked from the syntax tree:

- imports; one that fails leaves a :class:`Placeholder`, which complains when it is used,
- definitions of functions and classes,
- assignments of constants: literals, arithmetic, lambdas, names that exist, calls that only make
  a value, such as ``np.sqrt(2)``, and objects of the homework's own classes,
- assignments of the contract's names, whatever their expression, also in a loop,
- what ``if`` and ``try`` hold of these, and ``sys.path.append``.

Whatever else there is, and an assignment that raises, is left out.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import collections
import functools
import importlib.util
import math
import os
import pathlib
import random
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from compare.check.foreign_modules import RefusedImportError
from compare.check.source import Source, read_source

# The nodes of an expression that only makes a value; a call is looked at more closely.
VALUES = (
    ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.keyword,
    ast.Tuple, ast.List, ast.Dict, ast.Set, ast.JoinedStr, ast.FormattedValue,
    ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
# The functions that only make a value.
MAKERS = (
    *(getattr(builtins, name) for name in (
        "abs", "all", "any", "bool", "complex", "dict", "enumerate", "float", "frozenset", "int",
        "len", "list", "max", "min", "object", "range", "reversed", "round", "set", "slice",
        "sorted", "str", "sum", "tuple", "zip", "property", "staticmethod", "classmethod",
    )),
    *(getattr(np, name) for name in (
        "arange", "array", "asarray", "diag", "dtype", "empty", "errstate", "eye", "finfo",
        "full", "identity", "iinfo", "linspace", "logspace", "ones", "prod", "vectorize", "zeros",
    )),
    np.random.RandomState, np.random.default_rng, np.random.rand, np.random.randn,
    np.random.normal, np.random.uniform, random.Random,
    collections.namedtuple, collections.OrderedDict, collections.defaultdict, functools.partial,
    typing.TypeVar, typing.NewType, pathlib.Path, os.path.join, os.path.dirname, os.path.abspath,
)  # fmt: skip
# The calls on sys.path that may stand between imports.
PATH_CALLS = {"sys.path.append", "sys.path.insert", "sys.path.extend"}


_Import = ast.Import | ast.ImportFrom


class AbsentError(ImportError):
    """What a failed import should have given is used; the message is the end of a sentence."""


class Placeholder:
    """Stands for what a failed import should have given, until it is used.

    Args:
        need: What is needed and why it is absent: ``needs the module 'h5py', which …``.
    """

    def __init__(self, need: str) -> None:
        self.__dict__["_need"] = need

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        self._complain()

    def _complain(self, *args: object, **kwargs: object) -> NoReturn:
        raise AbsentError(self.__dict__["_need"])


# Whatever an operator or a call asks of an object is a use of it.
for _name in (
    "call", "setattr", "getitem", "setitem", "iter", "len", "contains", "bool", "float", "int",
    "enter", "mro_entries", "array", "array_ufunc", "array_function", "neg", "pos", "abs",
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv",
    "mod", "rmod", "pow", "rpow", "matmul", "rmatmul", "lt", "le", "gt", "ge",
):  # fmt: skip
    setattr(Placeholder, f"__{_name}__", Placeholder._complain)


class Definitions:
    """Executes the definitions of a homework, and of files beside it that cannot be imported.

    Attributes:
        left_out: The names that were not defined, and why.

    Args:
        file: The homework.
        folder: Its folder or that of its package: where the files beside it are.
        always: The names whose assignments are executed whatever their expression.
    """

    def __init__(self, file: Path, folder: Path, always: Iterable[str] = ()) -> None:
        self.file, self.always = file, frozenset(always)
        self.left_out: dict[str, str] = {}
        self._folder = folder
        self._stars: list[str] = []

    def run(self, source: Source, module: types.ModuleType) -> None:
        """Execute the definitions of a file in its module.

        Raises:
            SyntaxError: The file is no Python 3.
        """
        _Execution(self, source, module).statements(source.parse().body)

    def reason(self, name: str) -> str:
        """Why a name is not defined, as the end of a sentence; empty if nothing is known."""
        if name in self.left_out:
            return f"{self.left_out[name]}: only definitions were executed"
        if self._stars and not hasattr(builtins, name):
            return f"which is not defined; perhaps it comes from {' or '.join(self._stars)}"
        return ""

    def is_own_class(self, function: object) -> bool:
        """Whether it is a class of the homework or of a file beside it."""
        if not isinstance(function, type):
            return False
        file = getattr(sys.modules.get(function.__module__), "__file__", None)
        return bool(file) and self._is_beside(Path(str(file)))

    def _is_beside(self, path: Path) -> bool:
        return path.is_relative_to(self._folder) and "site-packages" not in path.parts

    def define_beside(self, name: str) -> bool:
        """Load a module beside the homework, which cannot be imported, by its definitions."""
        if name in sys.modules:
            return False
        try:
            spec = importlib.util.find_spec(name)
        except Exception:  # its package raises, or there is none
            return False
        path = Path(spec.origin) if spec and spec.origin else Path()
        if spec is None or path.suffix != ".py" or not self._is_beside(path):
            return False
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            self.run(read_source(path), module)
        except (OSError, SyntaxError, ValueError):
            del sys.modules[name]
            return False
        package, _, child = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], child, module)
        return True

    def replace(
        self, one: _Import, module: str, names: dict[str, Any], cause: BaseException
    ) -> None:
        """Leave a placeholder for an import of one name that failed.

        Args:
            one: The import.
            module: The absolute name of its module.
            names: The names of the file that has it.
            cause: Why it failed.
        """
        alias = one.names[0]
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if isinstance(cause, RefusedImportError):
            why = "which a homework is to do without"
        elif missing and (module == missing or module.startswith(f"{missing}.")):
            why = "which is not installed"
        elif missing:
            why = f"which cannot be imported without {missing!r}"
        elif isinstance(cause, ImportError) and cause.name == module:
            why = "which has no such name"
        else:
            why = f"which cannot be imported ({_in_brief(cause)})"
        if alias.name == "*":
            self._stars.append(f"the module {module!r}, {why}")
            return
        name = alias.asname or alias.name.partition(".")[0]
        if isinstance(one, ast.ImportFrom):
            names[name] = Placeholder(f"needs {alias.name!r} of the module {module!r}, {why}")
        elif not alias.asname and name in sys.modules:
            names[name] = sys.modules[name]  # of scipy.special, scipy is there
        else:
            names[name] = Placeholder(f"needs the module {module!r}, {why}")


class _Execution:
    """Executes statements of one file."""

    def __init__(self, definitions: Definitions, source: Source, module: types.ModuleType) -> None:
        self._definitions, self._source, self._module = definitions, source, module
        self._names = vars(module)
        self._flags = 0

    def statements(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.ImportFrom(module="__future__"):
                for alias in statement.names:
                    feature = getattr(__future__, alias.name, None)
                    self._flags |= getattr(feature, "compiler_flag", 0)
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    self._import(_one_name(statement, alias))
            case ast.If(test=test) if self._is_value(test):
                try:
                    holds = bool(self._evaluate(test))
                except BaseException as error:
                    self._leave_out(statement, error)
                else:
                    for one in statement.orelse if holds else statement.body:
                        self._leave_out(one)
                    self.statements(statement.body if holds else statement.orelse)
            case ast.Try():
                try:
                    self._execute(self._without_the_rest(statement))
                except BaseException:  # it handles no such error: each statement for itself
                    self.statements(statement.body)
                self._leave_out(statement)  # the names that are not defined by now
            case _ if self._defines(statement):
                try:
                    self._execute(statement)
                except BaseException as error:
                    self._leave_out(statement, error)
            case _:
                self._leave_out(statement)

    def _import(self, one: _Import) -> None:
        """Execute an import of one name; what cannot be imported is replaced."""
        try:
            self._execute(one)
            return
        except BaseException as error:
            cause = error
        if isinstance(one, ast.Import):
            module = one.names[0].name
            path = module
        else:
            module = "." * one.level + (one.module or "")
            try:
                module = importlib.util.resolve_name(module, self._module.__package__)
            except ImportError:  # above the topmost package
                module = module.lstrip(".")
            path = f"{module}.{one.names[0].name}"
        parts, defined = path.split("."), False
        for count in range(1, len(parts) + 1):
            defined |= self._definitions.define_beside(".".join(parts[:count]))
        if defined:
            try:
                self._execute(one)
                return
            except BaseException as error:
                cause = error
        self._definitions.replace(one, module, self._names, cause)

    def _defines(self, statement: ast.stmt) -> bool:
        """Whether a statement defines names and does nothing else."""
        match statement:
            case (
                ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass()
                | ast.Import() | ast.ImportFrom()
            ):  # fmt: skip
                return True
            case ast.Assign(targets=targets, value=value):
                return self._assigns(targets, value)
            case (
                ast.AugAssign(target=target, value=value)
                | ast.AnnAssign(target=target, value=ast.expr() as value)
            ):  # fmt: skip
                return self._assigns([target], value)
            case ast.Expr(value=ast.Call(func=function)):
                of_contract = _base(function) in self._definitions.always
                return of_contract or ast.unparse(function) in PATH_CALLS
            case ast.For(iter=values, body=body, orelse=[]):
                targets = [one.targets[0] for one in body if isinstance(one, ast.Assign)]
                of_contract = all(_base(one) in self._definitions.always for one in targets)
                return of_contract and len(targets) == len(body) and self._is_value(values)
            case ast.If(test=test, body=body, orelse=orelse):
                return self._is_value(test) and all(map(self._defines, [*body, *orelse]))
        return type(statement).__name__ == "TypeAlias"

    def _assigns(self, targets: list[ast.expr], value: ast.expr) -> bool:
        """Whether it is the contract's names or only a value that is assigned."""
        if all(_base(target) in self._definitions.always for target in targets):
            return True
        return all(map(self._is_value, [value, *targets]))

    def _without_the_rest(self, statement: ast.Try) -> ast.stmt:
        """A ``try`` with nothing but its definitions."""
        only = ast.Try(
            self._only_definitions(statement.body),
            [
                ast.ExceptHandler(one.type, one.name, self._only_definitions(one.body))
                for one in statement.handlers
            ],
            [one for one in statement.orelse if self._defines(one)],
            [one for one in statement.finalbody if self._defines(one)],
        )
        if not only.handlers and not only.finalbody:
            only.finalbody = [ast.Pass()]
        return ast.fix_missing_locations(ast.copy_location(only, statement))

    def _only_definitions(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [one for one in statements if self._defines(one)] or [ast.Pass()]

    def _is_value(self, expression: ast.AST) -> bool:
        """Whether evaluating an expression only makes a value."""
        if isinstance(expression, ast.Lambda):
            return all(map(self._is_value, ast.iter_child_nodes(expression.args)))
        if isinstance(expression, ast.arg):
            return True
        if not isinstance(expression, VALUES):
            return False
        if isinstance(expression, ast.Call):
            if not self._is_value(expression.func):
                return False
            try:
                function = self._evaluate(expression.func)
            except BaseException:
                return False
            if not (_makes_a_value(function) or self._definitions.is_own_class(function)):
                return False
        return all(map(self._is_value, ast.iter_child_nodes(expression)))

    def _evaluate(self, expression: ast.expr) -> Any:
        return eval(self._compile(ast.Expression(expression), "eval"), self._names)

    def _execute(self, statement: ast.stmt) -> None:
        exec(self._compile(ast.Module([statement], []), "exec"), self._names)

    def _compile(self, tree: Any, mode: str) -> types.CodeType:
        path = str(self._source.path)
        code: types.CodeType = compile(tree, path, mode, flags=self._flags, dont_inherit=True)
        return code

    def _leave_out(self, statement: ast.stmt, error: BaseException | None = None) -> None:
        own = self._source.path == self._definitions.file
        why = f"which was left out {self._source.place(statement.lineno)}"
        why += "" if own else f" of {self._source.path.name}"
        if isinstance(error, AbsentError):
            why += f", as it {error}"
        elif error is not None:
            why += f", as it raised {_in_brief(error)}"
        for name in _stored(statement):
            if name not in self._names:
                self._definitions.left_out[name] = why


def _one_name(statement: _Import, alias: ast.alias) -> _Import:
    """An import with one of its names."""
    one: _Import
    if isinstance(statement, ast.Import):
        one = ast.Import([alias])
    else:
        one = ast.ImportFrom(statement.module, [alias], statement.level)
    return ast.copy_location(one, statement)


def _in_brief(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{text and f': {text}'}"


def _makes_a_value(function: object) -> bool:
    """Whether a function is one of those that only make a value."""
    if isinstance(function, np.ufunc) or any(function is maker for maker in MAKERS):
        return True
    if isinstance(function, type):
        return issubclass(function, np.generic)
    if not isinstance(function, types.BuiltinFunctionType):
        return False
    owner = function.__self__
    return owner is math or isinstance(owner, (str, bytes, int, float, tuple, dict, np.ndarray))


def _base(target: ast.expr) -> str:
    """The name at the beginning of ``a``, ``a["b"]`` or ``a.b``."""
    while isinstance(target, (ast.Subscript, ast.Attribute)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def _stored(node: ast.AST) -> Iterator[str]:
    """The names that a statement would define in its module."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias) and node.name != "*":
        yield (node.asname or node.name).partition(".")[0]
    if not isinstance(node, (ast.Lambda, ast.comprehension)):
        for child in ast.iter_child_nodes(node):
            yield from _stored(child)
