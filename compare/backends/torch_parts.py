"""Parts of PyTorch that take long to load and that a training never uses.

``import torch`` loads the shapes of operations on tensors without values, and the writing of whole
programs: a third of its time. The first optimizer loads the compiler ``torch._dynamo``, with all of
SymPy, only to ask it to leave the optimizer alone: as long again as PyTorch itself. In processes
that belong to this program, such parts wait until something of them is asked for. In a process of
somebody else nothing is changed: what it does with PyTorch is not known here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

# The shapes of operations on tensors of the device "meta" (their registration is a side effect,
# which nothing asks for: :func:`load_postponed` where such tensors may come); writing programs.
SHAPES, PROGRAMS = "torch._meta_registrations", "torch.export"
COMPILER = "torch._dynamo"


def postpone(name: str, own: Mapping[str, Any] | None = None) -> None:
    """Have a module loaded when something of it is first asked for, not when it is imported.

    ``importlib.util.LazyLoader`` would load it when it is imported a second time.

    Args:
        name: A module of a package, ``package.module``.
        own: Attributes that it is to have without being loaded.
    """
    if name in sys.modules or importlib.util.find_spec(name.partition(".")[0]) is None:
        return
    stand_in = ModuleType(name)

    def real(attribute: str) -> Any:
        # Python asks for the path before it imports a module of this one.
        if attribute.startswith("__") and attribute != "__path__":
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__dict__.update(own or {}, __getattr__=real)
    sys.modules[name] = stand_in


def load_postponed(names: Iterable[str]) -> None:
    """Load the modules of :func:`postpone` that nothing has asked for."""
    for name in names:
        if getattr(sys.modules.get(name), "__spec__", None) is None:
            sys.modules.pop(name, None)
            importlib.import_module(name)


def postpone_compiler() -> None:
    """Have optimizers not load the compiler; for processes in which nothing is compiled.

    What an optimizer asks of it has no effect where nothing is compiled: to leave a function alone,
    and to end a piece of a program.
    """
    postpone(COMPILER, {"disable": _left_alone, "graph_break": lambda *_, **__: None})


def _left_alone(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
    return function
