"""The source code that the report shows, read from the files that ran."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy_nn
from compare.spec.model import ModelSpec


def sources_of(model_specs: Sequence[ModelSpec], schedules: Iterable[str] = ()) -> dict[str, str]:
    """File → source: the architecture function, the layers that matter most, the optimizers.

    Schedules, by their names, have theirs too.

    Of the layers that is batch normalisation, which people get wrong most often; where a network
    has none, its affine and convolutional layers.
    """
    kinds = [type(module).__name__ for module in model_specs[0].model(numpy_nn).modules()]
    shown = [kind for kind in kinds if kind.startswith("BatchNorm")] or [
        kind for kind in kinds if kind in ("Linear", "Conv2d")
    ]
    files: dict[str, ModuleType] = {}
    for kind in shown:
        _add(files, getattr(numpy_nn, kind))
    for model_spec in model_specs:
        _add(files, getattr(numpy_nn.optim, model_spec.algorithm))
    for name in schedules:
        _add(files, getattr(numpy_nn.optim.lr_scheduler, name))
    sources = {name: inspect.getsource(module) for name, module in files.items()}
    return {**_architecture(model_specs[0]), **sources}


def _add(files: dict[str, ModuleType], found: Any) -> None:
    module = inspect.getmodule(found)
    assert module is not None
    files[module.__name__.replace(".", "/") + ".py"] = module


def _architecture(model_spec: ModelSpec) -> dict[str, str]:
    function = model_spec.architecture
    try:
        own = Path(inspect.getsourcefile(function) or "architecture.py").name
        return {f"{own}, {function.__name__}": inspect.getsource(function)}
    except (TypeError, OSError, AttributeError):  # callable, but written down nowhere
        return {"architecture": f"a {type(function).__name__}, without source code"}
