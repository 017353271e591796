"""The source code that the report shows, read from the files that ran."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy_nn
from compare.blueprint import Blueprint


def sources_of(plan: Blueprint) -> dict[str, str]:
    """File → source: the architecture function, and NumPy's BatchNorm and Adam."""
    return {
        **_architecture(plan),
        "numpy_nn/modules/batchnorm.py": inspect.getsource(
            inspect.getmodule(numpy_nn.BatchNorm1d)  # type: ignore[arg-type]
        ),
        "numpy_nn/optim/adam.py": inspect.getsource(
            inspect.getmodule(numpy_nn.optim.Adam)  # type: ignore[arg-type]
        ),
    }


def _architecture(plan: Blueprint) -> dict[str, str]:
    function = plan.architecture
    try:
        own = Path(inspect.getsourcefile(function) or "architecture.py").name
        return {f"{own}, {function.__name__}": inspect.getsource(function)}
    except (TypeError, OSError, AttributeError):  # callable, but written down nowhere
        return {"architecture": f"a {type(function).__name__}, without source code"}
