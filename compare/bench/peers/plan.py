"""A network as a list of plain layers, for peers that build it in their own words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from compare.bench.contender import CannotRunError
from compare.bench.workloads import TrainingStep


class Layer(NamedTuple):
    """One layer: its name in ``state_dict``, its class, and numpy_nn's module for its settings."""

    name: str
    kind: str
    module: Any


def layers_of(workload: TrainingStep, can: set[str], peer: str) -> list[Layer]:
    """The layers of a workload's network, which has to be a Sequential of what a peer can do.

    Args:
        workload: Whose network.
        can: Classes that the peer has.
        peer: Who it is, for the reason.

    Raises:
        CannotRunError: The network has another layer, or the optimizer is another.
    """
    model, _ = workload.start()
    found = [Layer(name, type(m).__name__, m) for name, m in model.named_children()]
    other = sorted({layer.kind for layer in found} - can)
    if other:
        raise CannotRunError(f"{peer} has no {', '.join(other)}")
    return found


def one_hot(targets: np.ndarray, classes: int) -> np.ndarray:
    """Rows with a 1 at the class, float32."""
    return np.eye(classes, dtype=np.float32)[targets]
