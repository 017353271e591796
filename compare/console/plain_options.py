"""A command line whose every word is plain, read off a command's own annotations.

Typer reads every command line, and takes a tenth of a second to make the types of all options. A
command that is to answer at once can be read here first: the table of its options comes from the
same annotations, and what is not plain (an option that Typer itself has to check, a value that
starts with a dash or is no simple number, a word too many) is left to Typer, which knows more forms
and says what is wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import typer

# The text of a plain value, by its type.
PLAIN = {
    str: re.compile(r"[^-].*", re.DOTALL),
    Path: re.compile(r"[^-].*", re.DOTALL),
    int: re.compile(r"[0-9]{1,9}"),
    float: re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?"),
}
# What an annotation may say without changing what a value becomes.
SAYING = ("default", "param_decls", "help", "metavar", "show_default")


class _Parameter(NamedTuple):
    """A parameter of a command.

    Attributes:
        name: Its name in Python.
        kind: A key of :data:`PLAIN`, or ``bool`` for a flag.
        many: Whether it may come again, and is a list.
    """

    name: str
    kind: type
    many: bool


def plain_values(function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments that a command line gives to a command.

    Args:
        function: The command, annotated for Typer.
        words: Those after the command's name.

    Returns:
        Name → value of the parameters that are named; None where the line is left to Typer.
    """
    if os.name == "nt":  # where Typer replaces patterns by the files that they fit
        return None
    argument, options = _parameters(function)
    values: dict[str, Any] = {}
    following = iter(words)
    for word in following:
        name, equals, text = word.partition("=")
        parameter = options.get(name) if word.startswith("-") else argument
        if parameter is None:
            return None
        if parameter.kind is bool:
            value: Any = True
            fits = not equals
        else:
            text = word if parameter is argument else text if equals else next(following, "")
            fits = PLAIN[parameter.kind].fullmatch(text) is not None
            value = parameter.kind(text) if fits else None
        if not fits or (parameter.name in values and not parameter.many):
            return None
        if parameter.many:
            values.setdefault(parameter.name, []).append(value)
        else:
            values[parameter.name] = value
    return values if argument is not None and argument.name in values else None


def _parameters(function: Callable[..., Any]) -> tuple[_Parameter | None, dict[str, _Parameter]]:
    """The one argument of a command, and its options by the words that name them."""
    argument, options = None, {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        kind, said = (*get_args(hint), None, None)[:2]
        is_option = isinstance(said, typer.models.OptionInfo)
        if not is_option and not isinstance(said, typer.models.ArgumentInfo):
            continue
        plain = vars(typer.Option() if is_option else typer.Argument())
        parameter = _parameter(name, kind)
        if parameter is None or any(
            value != plain[key] for key, value in vars(said).items() if key not in SAYING
        ):
            continue
        if not is_option:
            argument = parameter
            continue
        # In an annotation the first name stands in the place of the default.
        named = [one for one in (said.default, *(said.param_decls or ())) if isinstance(one, str)]
        if parameter.kind is bool and not named:
            continue  # it has a name for False, too
        for word in named or [f"--{name.replace('_', '-')}"]:
            options[word] = parameter
    return argument, options


def _parameter(name: str, kind: Any) -> _Parameter | None:
    """A parameter of one of the plain types, a list of one, or either or None."""
    if get_origin(kind) is UnionType:
        kinds = [one for one in get_args(kind) if one is not NoneType]
        kind = kinds[0] if len(kinds) == 1 else None
    many = get_origin(kind) is list
    if many:
        (kind,) = get_args(kind)
    return _Parameter(name, kind, many) if kind in PLAIN or kind is bool else None
