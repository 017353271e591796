"""Which optimizer an ``update`` or a ``step`` is: as the options say it, or the homework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy_nn
from compare.check.contract import Contract


def chosen_optimizer(
    contract: Contract, name: str | None, settings: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """The class of the optimizer and its settings: those of the options before the homework's.

    Where the options name the homework's own optimizer without settings, the homework's count.

    Args:
        contract: What the homework declares.
        name: The optimizer of the options, or None.
        settings: Its keyword arguments.
    """
    own, given = optimizer_class(contract.optimizer), optimizer_class(name)
    if given is None or (given == own and not settings):
        return own, dict(contract.settings)
    return given, dict(settings)


def optimizer_class(name: str | None) -> str | None:
    """The class of an optimizer whose name may be written in other cases: ``adam``."""
    classes = {known.lower(): known for known in numpy_nn.optim.__all__}
    return None if name is None else classes.get(name.lower(), name)
