"""The names under which a homework reads its arrays, found in its own process.

Three places know them: the source of the functions of the contract; these functions, called with a
dict that writes down what it is asked for, where names are put together while they run; and a
function such as ``initialize_parameters``, or a dict of arrays in the module, which knows the
shapes, too.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

# The functions whose first argument holds the arrays, and how many more arguments they take.
READERS = {
    "forward": 1, "loss": 2, "gradients": 2, "loss_and_gradients": 2, "step": 3, "network": 0,
}  # fmt: skip
# What a function that makes the arrays is called.
INITIALISING = re.compile(
    r"(make|create|init|initiali[sz]e)(_?(params?|parameters?|weights?|network|net|model|layers?)\w*)?$",
    re.IGNORECASE,
)
# After so many operations a call of these functions is given up: its loops may never end.
MOST_OPERATIONS = 20_000


class NamesRead(NamedTuple):
    """The names that a function asks for, in its order, and those for which it has gradients."""

    read: list[str]
    returned: list[str]


def names_read(name: str, function: Callable[..., Any], count: int, axes: int) -> NamesRead:
    """Call a function to see which names it asks for, and for which it returns gradients.

    Args:
        name: Its name in the contract.
        function: The function.
        count: How many arrays there are: what ``len(params)`` gives.
        axes: The axes that a batch has.
    """
    found: dict[str, None] = {}
    of_gradients: list[str] = []
    budget = _Budget(axes)
    params = _AnyArrays(found, count, budget)
    batch: tuple[Any, ...] = (Anything(budget), AnyLabels(budget), {})
    with contextlib.suppress(Exception), np.errstate(all="ignore"):
        returned = function(params, *batch[: READERS[name]])
        gradients = returned[1] if isinstance(returned, tuple) else returned
        if name not in ("forward", "loss") and isinstance(gradients, Mapping):
            of_gradients = [key for key in gradients if isinstance(key, str)]
    return NamesRead(list(found), of_gradients)


class _Budget:
    """The operations that are left; an error is raised when there are none.

    Args:
        axes: The axes that arrays seem to have, in ``n, c, h, w = x.shape``.
    """

    def __init__(self, axes: int) -> None:
        self.left, self.axes = MOST_OPERATIONS, axes

    def one(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("too many operations")


class _AnyArrays(dict):
    """An empty dict of arrays that has every name, and writes down which it is asked for."""

    def __init__(self, found: dict[str, None], count: int, budget: _Budget) -> None:
        super().__init__()
        self._found, self._count, self._budget = found, count, budget

    def __getitem__(self, name: Any) -> Any:
        if isinstance(name, str):
            self._found[name] = None
        return Anything(self._budget)

    def get(self, name: Any, default: Any = None) -> Any:
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True

    def __len__(self) -> int:
        return self._count


class Anything:
    """Stands for any array: each operation with it gives another, until there were too many."""

    def __init__(self, budget: _Budget) -> None:
        self.__dict__["_budget"] = budget

    def _another(self, *args: object, **kwargs: object) -> Anything:
        self._budget.one()
        return type(self)(self._budget)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._another()

    def __setattr__(self, name: str, value: object) -> None:
        self._budget.one()

    def __setitem__(self, index: object, value: object) -> None:
        self._budget.one()

    def __iter__(self) -> Any:
        return iter([self._another() for _ in range(self._budget.axes)])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        self._budget.one()
        return np.ones((2, 2), dtype)

    def __index__(self) -> int:
        self._budget.one()
        return 1

    __int__ = __len__ = __index__

    def __float__(self) -> float:
        return 1.0

    def __bool__(self) -> bool:
        self._budget.one()
        return True


for _name in (
    "call", "getitem", "neg", "pos", "abs", "invert", "round", "eq", "ne", "lt", "le", "gt", "ge",
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv",
    "mod", "rmod", "pow", "rpow", "matmul", "rmatmul", "and", "rand", "or", "ror", "array_ufunc",
    "array_function",
):  # fmt: skip
    setattr(Anything, f"__{_name}__", Anything._another)


class AnyLabels(Anything):
    """Stands for labels, too: as an index they are 0, which every array has."""

    def __index__(self) -> int:
        self._budget.one()
        return 0


def names_in_source(trees: Iterable[ast.AST], functions: Iterable[str]) -> list[str]:
    """The names by which functions subscript their first argument, as their source has them.

    Functions to which they hand it on are read where they are called: in ``hidden(params, x)`` the
    first argument of ``hidden`` is the same dict.

    Args:
        trees: Syntax trees that define the functions.
        functions: The names of the functions to begin with.
    """
    reader = _SourceReader(trees)
    for name in functions:
        arguments = reader.arguments.get(name)
        if arguments:
            reader.read(name, arguments[0])
    return list(reader.found)


class _SourceReader:
    """Finds names in source, in the order in which they are read when it runs."""

    def __init__(self, trees: Iterable[ast.AST]) -> None:
        self._defined = {
            node.name: node
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        }
        self.arguments = {
            name: [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
            for name, node in self._defined.items()
        }
        self.found: dict[str, None] = {}
        self._done: set[tuple[str, str]] = set()

    def read(self, function: str, holder: str) -> None:
        """Read a function in which an argument holds the arrays."""
        if (function, holder) not in self._done:
            self._done.add((function, holder))
            self._visit(self._defined[function], holder)

    def _visit(self, node: ast.AST, holder: str) -> None:
        for child in ast.iter_child_nodes(node):
            self._visit(child, holder)
        if isinstance(node, ast.Subscript) and _is_name(node.value, holder):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                self.found[node.slice.value] = None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            own = self.arguments.get(node.func.id, [])
            for given, argument in zip(node.args, own, strict=False):
                if _is_name(given, holder):
                    self.read(node.func.id, argument)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def source_trees(functions: Iterable[Callable[..., Any]]) -> list[ast.AST]:
    """The syntax trees of functions whose source Python can find."""
    found: list[ast.AST] = []
    for function in functions:
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            found.append(ast.parse(textwrap.dedent(inspect.getsource(function))))
    return found


def known_shapes(names: Mapping[str, Any], sizes: list[int]) -> dict[str, list[int]]:
    """Name → shape of the arrays that an initialising function makes, or that the module has.

    Args:
        names: What the homework defines.
        sizes: The number of features of each layer, the inputs first, for
            ``init_params(sizes)`` and ``init_params(*sizes)``.
    """
    draws = np.random.get_state()  # noqa: NPY002
    try:
        for name, function in names.items():
            if INITIALISING.match(name) and isinstance(function, types.FunctionType):
                for arguments in ((), (sizes,), tuple(sizes)):
                    with contextlib.suppress(Exception):
                        made = function(*copy.deepcopy(arguments))
                        shapes = _shapes(made[0] if isinstance(made, tuple) else made)
                        if shapes:
                            return shapes
    finally:
        np.random.set_state(draws)  # noqa: NPY002
    for name, value in names.items():
        if not name.startswith("_") and (shapes := _shapes(value)):
            return shapes
    return {}


def _shapes(value: object) -> dict[str, list[int]]:
    """The shapes in a dict of arrays; empty for anything else."""
    if not isinstance(value, Mapping) or not value:
        return {}
    if not all(isinstance(k, str) and isinstance(a, np.ndarray) for k, a in value.items()):
        return {}
    return {key: list(array.shape) for key, array in value.items()}
