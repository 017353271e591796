"""Whether two architectures that are written down are the same network."""

from __future__ import annotations

from itertools import zip_longest

import numpy_nn
from compare.check.recorded import Recorded


def first_difference(held: Recorded, said: Recorded) -> tuple[str, str] | None:
    """The first layer that differs, as it is in each; None where the networks are the same.

    ``Linear(2, 3)`` and ``Linear(in_features=2, out_features=3)`` are the same, and so are all
    ways to put layers together that give them the same names. Where ``numpy_nn`` lacks a layer,
    the words have to be the same.
    """
    if held.tree == said.tree:
        return None
    try:
        pairs = zip_longest(_built(held), _built(said), fillvalue="nothing")
    except Exception:  # numpy_nn has not every layer and setting of PyTorch
        pairs = zip_longest(held.written(), said.written(), fillvalue="nothing")
    return next(((one, other) for one, other in pairs if one != other), None)


def _built(build: Recorded) -> list[str]:
    """Every layer with all its settings."""
    dropouts = build.probabilities()
    return [
        f"layer {name}, {f'Dropout(p={dropouts[name]:g})' if name in dropouts else repr(module)}"
        for name, module in build(numpy_nn).named_modules()
        if not any(module.children())
    ]
