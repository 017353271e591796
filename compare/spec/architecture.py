"""Architectures by their names: those of the package, and ``FILE.py:FUNCTION``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import architectures
from experiments.errors import InputError


def architecture_names() -> list[str]:
    """The functions of ``experiments.architectures``, in the order of the file."""
    return [
        name
        for name, value in vars(architectures).items()
        if inspect.isfunction(value)
        and value.__module__ == architectures.__name__
        and not name.startswith("_")
    ]


def find_architecture(name: str, folder: Path = Path()) -> Callable[..., Any]:
    """The function that ``name`` or ``FILE.py:FUNCTION`` means."""
    if ":" not in name:
        if name not in architecture_names():
            raise InputError(
                f"There is no architecture {name!r}: expected one of "
                f"{', '.join(architecture_names())}, or FILE.py:FUNCTION."
            )
        return getattr(architectures, name)
    file_name, _, function_name = name.rpartition(":")
    path = folder / file_name
    spec = importlib.util.spec_from_file_location(f"architecture_in_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"model.architecture {name!r}: there is no Python file {path}.")
    if (beside := str(path.parent.absolute())) not in sys.path:
        sys.path.append(beside)  # so that the file may import others beside it
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and inspect look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"model.architecture {name!r}: {path} could not be run: "
            f"{type(error).__name__}: {error}."
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"model.architecture {name!r}: {path} defines no {function_name}().")
    return function
